from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from small import small_study
from torch import nn

from autokd.choices import pick, take_any_choice
from autokd.driver import search_study
from autokd.errors import InputError
from autokd.record import read_trials

CHOICES = [[16], (32, 16), {"width": 8, "norm": None}, "plain", 3, None, True]


def asked(choices: Any, value: object) -> Any:
    trial = optuna.trial.FixedTrial({"widths": value})
    take_any_choice(trial)
    take_any_choice(trial)
    return trial.suggest_categorical("widths", choices)


@pytest.mark.parametrize(
    ("stored", "picked"),
    [
        ("[16]", [16]),
        ("[32, 16]", [32, 16]),
        ('{"norm": null, "width": 8}', {"width": 8, "norm": None}),
        ("plain", "plain"),
        (3, 3),
        (None, None),
        (True, True),
    ],
)
def test_optuna_stores_the_json_of_a_list_and_the_space_gets_the_list(stored: object, picked: object) -> None:
    assert asked(CHOICES, stored) == picked


def test_choices_that_optuna_stores_are_handed_on_as_they_are() -> None:
    given: list[Any] = []
    choices = range(3)
    pick(lambda name, offered: given.append(offered), "n", choices)
    assert given[0] is choices


@pytest.mark.parametrize("choice", [nn.ReLU, {3: 4}, [float("nan")], [object()], {1, 2}, print])
def test_a_choice_that_is_no_plain_data_is_refused_with_what_to_write(choice: object) -> None:
    with pytest.raises(
        InputError, match=r"suggest_categorical\('widths', \.\.\.\) offers .* cannot be stored"
    ) as refusal:
        asked([choice], "x")
    assert "\n" not in str(refusal.value)
    assert "[trial.suggest_categorical('widths', [" in str(refusal.value)


def test_a_list_and_the_text_of_its_json_cannot_both_be_offered() -> None:
    with pytest.raises(InputError, match="the same choice twice"):
        asked([[16], "[16]"], "[16]")


TWO = """
from torch import nn


def suggest(trial):
    return {"widths": trial.suggest_categorical("widths", [[4], (8, 4)]),
            "how": trial.suggest_categorical("how", [{"bias": True}, {"bias": False}])}


def build(arch, task):
    widths = [64, *arch["widths"]]
    layers = [nn.Linear(i, o, **arch["how"]) for i, o in zip(widths, widths[1:])]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], task.num_outputs))
"""
ONE = """
from torch import nn


def student(trial, task):
    widths = [64, *trial.suggest_categorical("widths", [[4], (8, 4)])]
    how = trial.suggest_categorical("how", [{"bias": True}, {"bias": False}])
    layers = [nn.Linear(i, o, **how) for i, o in zip(widths, widths[1:])]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], task.num_outputs))
"""


@pytest.mark.parametrize("sampler", ["autokd", "tpe"])
@pytest.mark.parametrize("source", [TWO, ONE], ids=["two functions", "one function"])
def test_a_space_with_lists_as_choices_is_searched_and_goes_on(tmp_path: Path, source: str, sampler: str) -> None:
    (tmp_path / "space.py").write_text(source)
    space = str(tmp_path / "space.py") + (":student" if source is ONE else "")
    for trials in (4, 7):
        study = small_study(space=space, sampler=sampler, **{"budget.trials": trials, "budget.rungs": [1]})
        front = search_study(study, run=tmp_path / "run")
        assert front.trials["failed"] == 0
    archs = [trial.arch for trial in read_trials(tmp_path / "run") if trial.arch]
    assert archs == json.loads(json.dumps(archs))
    kinds = {str(arch["widths"]) for arch in archs}
    assert kinds <= {"[4]", "[8, 4]"}
    assert {trial.state for trial in read_trials(tmp_path / "run")} <= {"complete", "duplicate", "pruned"}
    (tmp_path / "space.py").write_text(source.replace("[[4], (8, 4)]", "[[4], (8, 4), [6]]"))
    wider = small_study(space=space, sampler=sampler, **{"budget.trials": 8, "budget.rungs": [1]})
    search_study(wider, run=tmp_path / "run", widened=True)
