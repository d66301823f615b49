"""The settings of a task, as a study's `task:` section gives them; every default stands here, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from autokd.errors import InputError, nearest

Count = Annotated[int, Field(ge=1, strict=True)]
Fraction = Annotated[float, Field(gt=0, lt=1, strict=True)]
FractionOrAll = Annotated[float, Field(gt=0, le=1, strict=True)]


class AugmentSpec(BaseModel):
    """How training images are varied; needs images, not features."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    views: Count = Field(
        4, description="a whole number >= 1: versions of each image, the first of them unaugmented; 1 is none"
    )
    flip: bool = Field(False, description="true or false: mirror left to right, every second time")
    crop: int = Field(
        0, ge=0, strict=True, description="a whole number >= 0: shift by at most so many pixels, filling with zeros"
    )
    cutout: int = Field(
        0, ge=0, strict=True, description="a whole number >= 0: side in pixels of a square of zeros put anywhere"
    )

    @model_validator(mode="after")
    def _varies(self) -> AugmentSpec:
        if self.views > 1 and not (self.flip or self.crop or self.cutout):
            raise ValueError(f"views: {self.views} would all be alike; add flip: true, crop: 2 or cutout: 4")
        return self


class NormaliseSpec(BaseModel):
    """Mean and standard deviation by channel, of values scaled to 0 .. 1 where the data are whole numbers (uint8)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: list[float] = Field(min_length=1, description="a list of numbers, one a channel (or feature)")
    std: list[Annotated[float, Field(gt=0)]] = Field(
        min_length=1, description="a list of numbers > 0, one a channel (or feature)"
    )


class TaskSpec(BaseModel):
    """A classification task on arrays; a plain string stands for `{data: string}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field(
        description="digits, a .npz file, a folder (or prefix) of idx files, a folder class/name.png, "
        "torchvision:NAME, a folder in which a task was saved, or a reference to a torch Dataset (module:attr, "
        "file.py:attr)"
    )
    labels: Count | FractionOrAll | None = Field(
        None,
        description="how many training labels may be used, stratified: a count, a fraction in (0, 1], or null for all; "
        "other training rows become the unlabelled transfer set",
    )
    rows: Count | None = Field(
        None,
        description="how many training rows a search uses, stratified: a count, or null for all; the others are kept "
        "for retraining",
    )
    validation: Count | Fraction = Field(
        0.2,
        description="validation rows, stratified: a count, or a fraction in (0, 1) of the rows they are drawn from; "
        "validation rows that the data come with are used instead",
    )
    validation_from: Literal["train", "labels"] = Field(
        "train",
        description="'train' (validation rows are drawn from all training rows, beside `labels`) or 'labels' (from "
        "within `labels`, so that no other label is used)",
    )
    test: Fraction = Field(
        0.2,
        description="a fraction in (0, 1) of all rows, stratified, the same for every seed; test rows that the data "
        "come with are used instead",
    )
    label_noise: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="a fraction in [0, 1) of the labels outside validation and test that is changed to another class",
    )
    augment: AugmentSpec | None = Field(
        None, description="null, or a mapping like {views: 4, flip: true, crop: 2, cutout: 4}"
    )
    class_weights: Literal["balanced"] | list[Annotated[float, Field(gt=0)]] | None = Field(
        None,
        description="null, 'balanced', or a list of numbers > 0, one a class; unless null, the score is balanced "
        "accuracy",
    )
    max_gb: Annotated[float, Field(gt=0)] = Field(
        20.0, description="a number > 0: gigabytes that the data may take on disk; checked before they are read"
    )
    normalise: Literal["standard", "unit", "none"] | NormaliseSpec = Field(
        "standard",
        description="'standard' (mean and deviation by channel of the training rows), 'unit' (divided by the largest "
        "value), 'none', or a mapping {mean: [...], std: [...]}",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, given: Any) -> Any:
        return {"data": given} if isinstance(given, str) else given


_NESTED: dict[str, type[BaseModel]] = {"augment": AugmentSpec, "normalise": NormaliseSpec}


def read_spec(given: TaskSpec | Mapping[str, Any] | str) -> TaskSpec:
    """The checked settings.

    Raises:
        InputError: a key is unknown, missing, or of a value that will not do; names the first.
    """
    if isinstance(given, TaskSpec):
        return given
    try:
        return TaskSpec.model_validate(given)
    except ValidationError as error:
        raise InputError(_first_problem(error)) from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    model: type[BaseModel] = TaskSpec
    where = "task"
    for part in problem["loc"]:
        if part not in model.model_fields:
            if problem["type"] == "extra_forbidden":
                return f"{where}.{part}: no such key{nearest(str(part), model.model_fields) or _keys(model)}"
            break
        where = f"{where}.{part}"
        field = model.model_fields[str(part)]
        model = _NESTED.get(str(part), model)
    if where == "task":
        return f"task: {problem['msg']}, given {problem['input']!r}; write a string or a mapping with the key 'data'"
    if problem["type"] == "missing":
        return f"{where} is missing; write {field.description}"
    if problem["type"] == "value_error":
        return f"{where}: {problem['ctx']['error']}"
    return f"{where}: {problem['input']!r} will not do; write {field.description}"


def _keys(model: type[BaseModel]) -> str:
    return f"; known: {', '.join(model.model_fields)}"
