"""The `teacher:` section of a study, as pydantic models; imports neither torch nor optuna."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from autokd.errors import InputError, nearest

Gives = Literal["logits", "probabilities"]


class Section(BaseModel):
    """What every form may say.

    Attributes:
        weight: share in the weighted mean of an ensemble, > 0, relative to the other members; only in a list.
        saw_training_rows: it was trained elsewhere on the rows that validation is drawn from, too, so that its score
            there says little; that score is labelled so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    saw_training_rows: bool = False


class TrainedSpec(Section):
    """A network of a search space, trained by us on all training labels and kept in the run folder.

    Attributes:
        space: reference of the search space that builds it.
        arch: what the space's `build` takes.
        epochs: passes over the training rows.
        lr: peak learning rate of AdamW.
        weight_decay: of AdamW.
        batch_size: rows a step.
    """

    space: str
    arch: dict[str, Any]
    epochs: int = Field(gt=0)
    lr: float = Field(default=5e-3, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=1e-4, ge=0, allow_inf_nan=False)
    batch_size: int = Field(default=64, ge=2)


class SpaceSpec(Section):
    """A network of a search space with weights from a file.

    Attributes:
        space: reference of the search space that builds it.
        arch: what the space's `build` takes.
        weights: `.safetensors`, `.pt`, `.pth` or `.npz`, found from the current folder.
    """

    space: str
    arch: dict[str, Any]
    weights: str


class NetworkSpec(Section):
    """A torch network by reference; it gets inputs normalised by the task, so let the task normalise its way.

    Attributes:
        network: `module:attr` or `path/to/file.py:attr`: a function or class that makes the network, or the
            network itself; or the file of a program with its weights, of `torch.export` (`.pt2`) or TorchScript.
        args: keyword arguments for that function or class.
        weights: `.safetensors`, `.pt`, `.pth` or `.npz`, found from the current folder; None where the
            network comes with its weights.
    """

    network: str
    args: dict[str, Any] = {}
    weights: str | None = None


class _NamedSpec(Section):
    pretrained: bool = True
    weights: str | None = None

    @model_validator(mode="after")
    def _has_weights(self) -> _NamedSpec:
        if not self.pretrained and self.weights is None:
            raise ValueError("an untrained network teaches nothing: give 'weights', or keep 'pretrained' true")
        return self


class TimmSpec(_NamedSpec):
    """A network of timm by name.

    Attributes:
        timm: the name in timm's registry.
        pretrained: with timm's own weights and classes; passed over where `weights` is given.
        weights: a file for the network with the task's number of classes.
    """

    timm: str


class TorchvisionSpec(_NamedSpec):
    """A network of torchvision by name.

    Attributes:
        torchvision: the name in torchvision's registry.
        pretrained: with torchvision's default weights and classes; passed over where `weights` is given.
        weights: a file for the network with the task's number of classes.
    """

    torchvision: str


class OnnxSpec(Section):
    """An ONNX file with one input and one output, run by ONNX Runtime on one CPU thread.

    Attributes:
        onnx: the file, found from the current folder.
        gives: what its output is.
    """

    onnx: str
    gives: Gives = "logits"


class SklearnSpec(Section):
    """A scikit-learn classifier by reference; it sees inputs flattened to (batch, features).

    Attributes:
        sklearn: `module:attr`: a classifier, or a class or function that makes one; one that is not fitted is
            fitted on all training labels.
        args: keyword arguments for that class or function.
    """

    sklearn: str
    args: dict[str, Any] = {}


class OutputsSpec(Section):
    """Answers computed elsewhere.

    Attributes:
        outputs: a `.npy` file, found from the current folder, of shape (rows, num_outputs) or (views, rows,
            num_outputs); its rows are the task's first rows, and NaN stands where there is no answer.
        gives: what the numbers are.
    """

    outputs: str
    gives: Gives = "logits"


_FORMS: dict[str, type[Section]] = {
    "network": NetworkSpec,
    "timm": TimmSpec,
    "torchvision": TorchvisionSpec,
    "onnx": OnnxSpec,
    "sklearn": SklearnSpec,
    "outputs": OutputsSpec,
    "weights": SpaceSpec,
    "space": TrainedSpec,
}
"""By the key that tells a form from the others, the first there deciding; their names are pydantic's tags."""

_TAGS = {"single", "list", *(model.__name__ for model in _FORMS.values())}


def _form(section: Any) -> str | None:
    if isinstance(section, Section):
        return type(section).__name__
    if isinstance(section, Mapping):
        return next((model.__name__ for key, model in _FORMS.items() if key in section), None)
    return None


def _alone(spec: Any) -> Any:
    if isinstance(spec, Section) and spec.weight != 1:
        raise ValueError("'weight' is a share of an ensemble: give a list of teachers, or leave it out")
    return spec


_WHICH = Discriminator(
    _form,
    custom_error_type="teacher_form",
    custom_error_message="give one of the keys network, timm, torchvision, onnx, sklearn, outputs or space "
    "(with arch, and epochs or weights), or a list of such sections",
)

SingleSpec = Annotated[
    Annotated[NetworkSpec, Tag("NetworkSpec")]
    | Annotated[TimmSpec, Tag("TimmSpec")]
    | Annotated[TorchvisionSpec, Tag("TorchvisionSpec")]
    | Annotated[OnnxSpec, Tag("OnnxSpec")]
    | Annotated[SklearnSpec, Tag("SklearnSpec")]
    | Annotated[OutputsSpec, Tag("OutputsSpec")]
    | Annotated[SpaceSpec, Tag("SpaceSpec")]
    | Annotated[TrainedSpec, Tag("TrainedSpec")],
    _WHICH,
]
"""One teacher."""

TeacherSpec = Annotated[
    Annotated[SingleSpec, Tag("single")] | Annotated[list[SingleSpec], Field(min_length=1), Tag("list")],
    Discriminator(lambda section: "list" if isinstance(section, list | tuple) else "single"),
    AfterValidator(_alone),
]
"""One teacher, or a list of them: an ensemble."""

_ADAPTER: TypeAdapter[Any] = TypeAdapter(TeacherSpec)


def parse_teacher(section: object) -> Section | list[Section]:
    """The specification a `teacher:` section stands for; one that is parsed already comes back as it is.

    Raises:
        InputError: an unknown or missing key or a value out of range, naming the key.
    """
    try:
        return _ADAPTER.validate_python(section)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        keys = [str(part) for part in first["loc"] if part not in _TAGS]
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            model = next(model for model in _FORMS.values() if model.__name__ in first["loc"])
            known = model.model_fields
            message = f"no such key; known: {', '.join(known)}{nearest(keys[-1], known)}"
        raise InputError(f"{'.'.join(['teacher', *keys])}: {message}") from None


def teacher_schema() -> dict[str, Any]:
    """The JSON Schema of a `teacher:` section."""
    return _ADAPTER.json_schema()
