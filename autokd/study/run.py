"""What a run is: the file `study.json` in its folder, as one frozen model that every part of AutoKD reads.

A file of format 0, which had no `format` yet, is read as well. A file of a later format is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from autokd.errors import START_OVER, InputError, said
from autokd.files import read_json, write_json
from autokd.study.explanation import first_problem
from autokd.types import Direction, Objective, share_error

STUDY = "autokd"
"""The Optuna study of a run that has a database of its own."""

SETUP_FILE = "study.json"
"""The name of the file in the run folder."""

FORMAT = 1
"""Of the file as it is written now."""


class Digests(BaseModel):
    """What a run was begun with, each as a digest; "" where there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    """Of the data, labels, splits and augmentation, or of the table."""
    teacher: str
    """Of everything that its answers depend on."""
    space: str
    """Of the source file of the space and its settings, or of the choices of the table."""


class Measure(BaseModel):
    """What is to be known of an objective to read its values: all but how it is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As its plug-in has it."""
    direction: Direction
    """Which end is better."""
    unit: str
    """For tables."""
    trained: bool
    """Whether it is known after training alone."""
    is_share: bool
    """Whether it is a share of rows, so that its standard error follows from how many there are."""


class TeacherFacts(BaseModel):
    """What a run and its front say of the teacher."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = ""
    """Of its class, or as it names itself."""
    values: Mapping[str, int | float] = {}
    """On validation, by objective."""
    test: Mapping[str, int | float] = {}
    """On test."""
    note: str = ""
    """On what the values are worth."""


class Setup(BaseModel):
    """What a run was begun with, and where in its folder the parts of it are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    """Version of the file that this was read from, or will be written to."""
    study: Mapping[str, Any]
    """The study as `dump` gives it. It may name objects that only the program that began the run has."""
    digests: Digests
    """What the run was begun with."""
    sources: Mapping[str, Mapping[str, str]] = {}
    """What the code of its parts was, as `study_sources` gives it; empty for runs of before this was kept."""
    task: str
    """The folder of the data, or the file of the table, seen from the run folder."""
    outputs: str
    """The file of the teacher's answers, seen from the run folder; "" where a table is searched."""
    teacher: Mapping[str, Any]
    """As `TeacherFacts` has it, without what is not known; empty where a table is searched."""
    reference_ms: float
    """Idle time of the latency reference network when the run began, in ms; 0 where nothing is timed."""
    reference_point: Mapping[str, int | float]
    """Worst value by objective, for the hypervolume."""
    ideal_point: Mapping[str, int | float] = {}
    """Best value by objective, likewise; empty in a run of before, which counts from 0 or 1."""
    environment: Mapping[str, str]
    """The versions and the machine with which the run began."""
    objectives: tuple[Measure, ...] = ()
    """Its objectives, by which a front is read without their code; empty for runs of before this was kept."""
    validation_rows: int = 0
    """How many rows students are compared on; 0 where a table is searched."""
    records: tuple[str, ...] = (STUDY,)
    """Names of its Optuna studies, the one in use last; a wider space begins a new one."""
    reserve: bool = False
    """Whether the training rows that the search left out are trained on, too."""

    @field_validator("teacher")
    @classmethod
    def _are_facts(cls, teacher: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            TeacherFacts.model_validate(dict(teacher))
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None
        return teacher


def read_setup(folder: str | Path) -> Setup:
    """What a run is, from its folder.

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
    write_json(folder / SETUP_FILE, {**setup.model_dump(), "format": FORMAT})


def measures(objectives: Sequence[Objective]) -> tuple[Measure, ...]:
    """What a run keeps of its objectives."""
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
    """The objectives of a run as far as it keeps them: values of theirs can be compared, and none can be measured."""
    return tuple(
        Objective(o.name, o.direction, o.unit, o.trained, float, standard_error=share_error if o.is_share else None)
        for o in setup.objectives
    )


def _damaged(path: Path, problem: str) -> InputError:
    return InputError(f"{path} is damaged ({problem}); {START_OVER}")
