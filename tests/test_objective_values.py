"""An objective must give one number. Anything else is refused in one line that names the objective."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import small_context, small_study

from autokd.driver import search_study
from autokd.errors import ObjectiveError
from autokd.objectives.measuring import measured
from autokd.record import read_trials
from autokd.trial import reason_of
from autokd.types import Evaluation, Objective

GIVEN: dict[str, Any] = {}


def give(evaluation: Evaluation) -> Any:
    return GIVEN["value"]


def give_a_number_to_the_teacher_alone(evaluation: Evaluation) -> Any:
    return 0.5 if torch.equal(evaluation.outputs, evaluation.teacher) else None


def fall(evaluation: Evaluation) -> Any:
    raise RuntimeError("targets\nand more")


given = Objective("given", "maximize", "", True, give, ideal=1.0, worst=0.0)
choosy = Objective("choosy", "maximize", "", True, give_a_number_to_the_teacher_alone, ideal=1.0, worst=0.0)
falls = Objective("falls", "maximize", "", True, fall, ideal=1.0, worst=0.0)
NUMBERS = [
    1,
    0.5,
    True,
    np.float32(0.5),
    np.int64(3),
    np.bool_(True),
    np.array(2.0),
    torch.tensor(0.25),
    Fraction(1, 2),
]
NUMBERS += [torch.tensor([0.25]), np.array([[1.5]])]


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_whatever_is_one_number_is_taken(value: Any) -> None:
    GIVEN["value"] = value
    number = measured(given, None)
    assert type(number) is float
    assert number == float(value if np.ndim(value) == 0 else value.reshape(-1)[0])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        ("0.9", "'0.9'"),
        (1j, "a complex"),
        ([0.9], "a list"),
        (torch.zeros(2), "a Tensor"),
        (np.zeros(0), "a ndarray"),
        ({"accuracy": 0.9}, "a dict"),
    ],
)
def test_whatever_is_not_is_refused_by_the_objectives_name(value: Any, shown: str) -> None:
    GIVEN["value"] = value
    with pytest.raises(ObjectiveError) as caught:
        measured(given, None)
    assert str(caught.value) == f"objective 'given' returned {shown}; it must return one number"
    assert reason_of(caught.value) == str(caught.value)


def test_what_an_objective_raises_is_told_with_its_name_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match=r"^objective 'falls' raised RuntimeError: targets and more$"):
        small_context(tmp_path, objectives={f"{__name__}:falls": {}, "accuracy": {}})


def test_a_search_whose_objective_gives_nothing_is_refused_before_it_begins(tmp_path: Path) -> None:
    GIVEN["value"] = None
    study = small_study(objectives={f"{__name__}:given": {}, "parameters": {}})
    with pytest.raises(ObjectiveError, match="objective 'given' returned None"):
        search_study(study, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_student_for_which_an_objective_gives_nothing_fails_alone(tmp_path: Path) -> None:
    study = small_study(objectives={f"{__name__}:choosy": {}, "accuracy": {}})
    with pytest.raises(Exception, match="objective 'choosy' returned None"):
        search_study(study, run=tmp_path / "run")
    assert {trial.reason for trial in read_trials(tmp_path / "run") if trial.state == "failed"} == {
        "objective 'choosy' returned None; it must return one number"
    }
