"""The setup of a run: the file `study.json` in its folder, as one frozen model that every part of AutoKD reads.

A file of format 0, which has no key `format`, is read as well. A file of a later format is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from autokd.errors import START_OVER, InputError, said
from autokd.files import read_json, write_json
from autokd.study.explanation import first_problem
from autokd.types import Direction, Objective, share_error

STUDY = "autokd"
"""The name of the Optuna study of a run that has a database of its own."""

SETUP_FILE = "study.json"
"""The name of the file in the run folder."""

FORMAT = 1
"""The version of the file format that this version of AutoKD writes."""

_CALIBRATION = "reference_ms"
"""The name of the field `calibration_ms` in the file, which keeps the name of earlier versions."""


class Digests(BaseModel):
    """Digests of the parts with which a run began; "" for a part that it lacks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    """The digest of the data, labels, splits and augmentation, or of the table."""
    teacher: str
    """The digest of everything that the teacher's answers depend on."""
    space: str
    """The digest of the source file of the space and its settings, or of the choices of the table."""
    origins: Mapping[str, str] = {}
    """The digests of the files from which students begin, by the name of the start; empty if they begin from none."""

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = plain(self)
        return {key: value for key, value in data.items() if key != "origins" or value}


class Measure(BaseModel):
    """The facts about an objective that are needed to read its values: all but how it is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The name of its plug-in."""
    direction: Direction
    """Whether larger or smaller values are better."""
    unit: str
    """The unit that tables show."""
    trained: bool
    """Whether it can only be measured after training."""
    is_share: bool
    """Whether it is a share of rows, so that its standard error follows from their number."""


class TeacherFacts(BaseModel):
    """The facts about the teacher that a run and its front hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = ""
    """The teacher's own name, or the name of its class."""
    values: Mapping[str, int | float] = {}
    """Its values on validation, by objective."""
    test: Mapping[str, int | float] = {}
    """Its values on the test split, by objective."""
    note: str = ""
    """A remark on how far the values can be trusted."""


class Setup(BaseModel):
    """What a run began with, and where its parts are in the run folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    format: int = FORMAT
    """The format of the file that this was read from, or will be written to."""
    study: Mapping[str, Any]
    """The study as `dump` gives it. It may name objects that only the program that began the run has."""
    digests: Digests
    """Digests of the parts with which the run began."""
    sources: Mapping[str, Mapping[str, str]] = {}
    """Digests of the code of its parts, as `study_sources` gives them; empty in runs of earlier versions."""
    task: str
    """The folder of the data, or the file of the table, relative to the run folder; "" if the study's task is in no
    file, so that each process makes it again."""
    outputs: str
    """The file of the teacher's answers, relative to the run folder; "" if a table is searched."""
    teacher: Mapping[str, Any]
    """The known fields of `TeacherFacts`; empty if a table is searched."""
    calibration_ms: float = Field(validation_alias=_CALIBRATION, serialization_alias=_CALIBRATION)
    """The time of the calibration network on the idle machine when the run began, in ms; 0 without timing."""
    reference_point: Mapping[str, int | float]
    """The worst value of each objective, for the hypervolume."""
    ideal_point: Mapping[str, int | float] = {}
    """The best value of each objective, for the hypervolume; empty in runs of earlier versions, which use 0 or 1."""
    environment: Mapping[str, str]
    """The versions and the machine with which the run began."""
    objectives: tuple[Measure, ...] = ()
    """Its objectives, so that a front can be read without their code; empty in runs of earlier versions."""
    validation_rows: int = 0
    """How many rows students are compared on; 0 if a table is searched."""
    records: tuple[str, ...] = (STUDY,)
    """The names of its Optuna studies, with the one in use last; a wider space begins a new one."""
    readings: Mapping[str, tuple[Any, ...]] = {}
    """The choices of what is searched of the way in which rows are read, by name; empty if nothing is."""
    origins: Mapping[str, str] = {}
    """The files from which students begin, relative to the run folder, by the name of the start, as a recipe has it;
    empty if they begin from none."""
    reserve: bool = False
    """Whether students also train on the training rows that the search left out."""

    @field_validator("teacher")
    @classmethod
    def _are_facts(cls, teacher: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            TeacherFacts.model_validate(dict(teacher))
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None
        return teacher


def read_setup(folder: str | Path) -> Setup:
    """The setup of a run, from its folder.

    Raises:
        InputError: there is no run, its file is damaged, or a later version of AutoKD wrote it.
    """
    path = Path(folder) / SETUP_FILE
    try:
        data = read_json(path)
    except OSError as error:
        raise InputError(
            f"{folder} is not a run: {path} cannot be read ({error.strerror or said(error)}); give the folder that "
            "`autokd search` wrote"
        ) from error
    except ValueError as error:
        raise _damaged(path, said(error)) from error
    written = data.get("format", 0) if isinstance(data, dict) else 0
    if isinstance(written, int) and not isinstance(written, bool) and written > FORMAT:
        raise InputError(
            f"{path} is of format {written}, and AutoKD {version('autokd')} reads formats up to {FORMAT}; use the "
            "version of AutoKD that wrote it, or search in another folder"
        )
    try:
        return Setup.model_validate({"format": 0, **data} if isinstance(data, dict) else {})
    except ValidationError as error:
        raise _damaged(path, first_problem(error)) from error


def write_setup(folder: Path, setup: Setup) -> None:
    """Writes the file; a reader sees all of it, or the file that was there before."""
    without = {later for later in ("readings", "origins") if not getattr(setup, later)}
    write_json(folder / SETUP_FILE, {**setup.model_dump(by_alias=True, exclude=without), "format": FORMAT})


def measures(objectives: Sequence[Objective]) -> tuple[Measure, ...]:
    """The facts about objectives that a run keeps."""
    return tuple(
        Measure(
            name=o.name,
            direction=o.direction,
            unit=o.unit,
            trained=o.trained,
            is_share=o.trained and o.standard_error is share_error,
        )
        for o in objectives
    )


def objectives_of(setup: Setup) -> tuple[Objective, ...]:
    """The objectives that a run keeps. Their values can be compared, but they cannot be measured."""
    return tuple(
        Objective(o.name, o.direction, o.unit, o.trained, float, standard_error=share_error if o.is_share else None)
        for o in setup.objectives
    )


def _damaged(path: Path, problem: str) -> InputError:
    return InputError(f"{path} is damaged ({problem}); {START_OVER}")
