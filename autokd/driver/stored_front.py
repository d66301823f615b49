"""Reads the front of a run from its folder, without torch and without code that the run names.

The file `front.json` may be damaged or come from anybody, so each of its keys is checked. torch is imported only when a
student of the front is loaded, retrained or exported.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from autokd.errors import InputError, said
from autokd.files import given_path, read_json
from autokd.front import Front
from autokd.record import read_counts, read_trials
from autokd.study import read_setup
from autokd.study.explanation import first_problem
from autokd.study.run import TeacherFacts

if TYPE_CHECKING:
    from torch import nn

    from autokd.study import Study


def load_front(run: str | Path, *, study: Study | None = None, space: object = None, task: object = None) -> Front:
    """The front of a run: the final front in `front.json` if no trial was added since, else the raw front so far.

    Nothing that the run names is imported until a student is loaded, retrained or exported.

    Args:
        run: the run folder.
        study: the caller's own study of this run. It is needed if the run's record is in a database outside the folder,
            and to load, retrain or export students whose code is not an installed plug-in.
        space: the search space of the run, to load, retrain or export students: the file that holds the space, a
            reference, or the space itself. It is needed if the space is not an installed plug-in and `study` does not
            name it, or if the space was edited since.
        task: the task of the run, for the same purposes, if no file in the run folder holds the task: the file that
            makes the task, a reference, or the task itself.

    Raises:
        InputError: `run` is not a run folder, or its record is elsewhere.
    """
    run = given_path("run", run)
    record = "sqlite" if study is None else study.record
    tally, setup, front = read_counts(run, record), read_setup(run), final_front(run)
    if front is None or not still_answers(front, tally):
        from autokd.driver.front_from_record import raw_front

        front = raw_front(run, setup, read_trials(run, record), study)
    return front.with_door(RunDoor(run.absolute(), study, space, task))


def final_front(run: Path) -> Front | None:
    """The front that a search of this run answered last; None if no search has.

    Raises:
        InputError: `front.json` is damaged.
    """
    path = run / "front.json"
    return read_front(path) if path.exists() else None


def still_answers(front: Front, tally: Mapping[str, int]) -> bool:
    """Whether nothing but repeated proposals came into the record since `front` was answered.

    Args:
        front: the front that was answered.
        tally: the number of trials in each state now.
    """
    return {**front.trials, "duplicate": 0} == {**tally, "duplicate": 0}


def _within_floats(value: int | float) -> int | float:
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ValueError("a whole number of more digits than any measure has")
    return value


_Numbers = dict[str, Annotated[int | float, AfterValidator(_within_floats)]]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]


class _Plain(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Objective(_Plain):
    name: str
    direction: Literal["minimize", "maximize"]
    unit: str = ""


class _Kinds(_Plain):
    whole: _Count
    cut: _Count
    new: _Count


class _Layers(_Plain):
    whole: list[str]
    cut: list[str]
    new: list[str]


class _Start(_Plain):
    digest: str
    tensors: _Kinds
    parameters: _Kinds
    layers: _Layers


class _Member(_Plain):
    trial: _Count
    arch: dict[str, Any]
    recipe: dict[str, Any]
    values: dict[str, _Finite]
    spread: _Numbers = {}
    seeds: _Count = 0
    test: _Numbers = {}
    within_noise: bool = False
    reading: dict[str, Any] = {}
    start: _Start | None = None


class _Baseline(_Plain):
    overrides: list[dict[str, Any]]
    epochs_spent: _Count
    hypervolume: _Finite
    front: list[_Member]


class _FrontFile(_Plain):
    study: str
    objectives: list[_Objective]
    front: list[_Member]
    trials: dict[str, _Count]
    epochs_spent: _Count
    teacher: TeacherFacts
    baselines: dict[str, _Baseline]
    hypervolume: _Finite
    reference: dict[str, _Finite]
    validation_labels: _Count
    standard_error: float
    test_reads: _Count
    final: bool
    note: str = ""
    reasons: list[str] = []


def read_front(path: Path) -> Front:
    """The front in a file.

    Raises:
        InputError: the file is damaged.
    """
    try:
        data = read_json(path)
        found = _FrontFile.model_validate(data)
        _refuse_gaps(found)
        return Front.from_dict(data)
    except ValidationError as error:
        problem = first_problem(error)
    except (OSError, ValueError) as error:
        problem = said(error)
    raise InputError(f"{path} is damaged ({problem}); remove it and run the search again")


def _refuse_gaps(found: _FrontFile) -> None:
    names = {objective.name for objective in found.objectives}
    if len(names) < len(found.objectives) or not names <= found.reference.keys():
        raise ValueError("its objectives do not match its reference")
    for member in [*found.front, *(rival for baseline in found.baselines.values() for rival in baseline.front)]:
        if not names <= member.values.keys():
            raise ValueError(f"trial {member.trial} lacks a value")


@dataclass(frozen=True)
class RunDoor:
    """Loads, retrains and exports the students of a run, by the numbers of their trials.

    Args:
        run: the run folder.
        study: the caller's own study of the run; code that it names may be imported.
        space: the caller's own search space of the run, which may be imported, too.
        task: the caller's own task of the run, if no file in the run folder holds it.
    """

    run: Path
    study: Study | None = None
    space: object = None
    task: object = None

    def __reduce__(self) -> tuple[type[RunDoor], tuple[Path]]:
        return RunDoor, (self.run,)  # a copy in another process knows only the folder; objects stay here

    def load(self, trial: int) -> nn.Module:
        """As `Student.load` says."""
        from autokd.driver.students import load_trial

        return load_trial(self.run, trial, study=self.study, space=self.space, task=self.task)

    def retrain(self, trial: int, *, epochs: int | None, seeds: int, reserve: bool, workers: int) -> dict[str, Any]:
        """As `Student.retrain` says."""
        from autokd.driver.students import retrain

        return retrain(
            self.run,
            trial,
            epochs=epochs,
            seeds=seeds,
            reserve=reserve,
            workers=workers,
            study=self.study,
            space=self.space,
            task=self.task,
        )

    def export(self, trial: int, out: str | Path) -> str:
        """As `Student.export` says."""
        from autokd.driver.students import export_trial

        return export_trial(self.run, trial, out, study=self.study, space=self.space, task=self.task)
