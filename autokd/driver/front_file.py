"""Reads the file `front.json` of a run, which may be damaged or come from anybody, so each of its keys is checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from autokd.errors import InputError, said
from autokd.files import read_json
from autokd.front import Front
from autokd.study.explanation import first_problem
from autokd.study.run import TeacherFacts


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


class _Member(_Plain):
    trial: _Count
    arch: dict[str, Any]
    recipe: dict[str, Any]
    values: dict[str, _Finite]
    spread: _Numbers = {}
    seeds: _Count = 0
    test: _Numbers = {}
    within_noise: bool = False


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
