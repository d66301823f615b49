"""A study of each kind of head, from the search to the exported student."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_heads import SPLITS, study_of, task_of

from autokd.distill import predict
from autokd.driver import export_trial, load_front, retrain, search_study
from autokd.export import load_student
from autokd.record import read_trials
from autokd.report.run import write_run_report
from autokd.study import Study
from autokd.tasks import save_task

OBJECTIVES = {
    "classes": ["accuracy", "parameters"],
    "labels": ["auc", "parameters"],
    "values": ["rmse", "parameters"],
    "gaussian": ["rmse", "parameters"],
    "positions": ["miou", "parameters"],
    "several": ["classes.accuracy", "values.rmse", "labels.auc", "parameters"],
}
KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from small_heads import study_of, task_of
from autokd.driver import search_study
from autokd.study import Study

ended = 0

def tell(event):
    global ended
    ended += event["event"] == "stretch_ended"
    if ended == 3:
        os._exit(9)

study = Study.model_validate(study_of({task!r}, **{given!r}))
search_study(study, run=Path({run!r}), tell=tell)
"""


def searched(kind: str, folder: Path, **given: Any) -> Any:
    weights = {"recipe": {"lr": 0.02, "batch_size": 32, "head_weights": "uncertainty"}} if kind == "several" else {}
    study = Study.model_validate(study_of(task_of(kind), **{**weights, **given}))
    return search_study(study, run=folder)


def numbers(run: Path) -> list[Any]:
    return [(trial.arch, trial.recipe, trial.rungs, trial.state) for trial in read_trials(run)]


def by_student(run: Path) -> list[Any]:
    return [(json.dumps([arch, recipe]), rungs) for arch, recipe, rungs, _ in numbers(run)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "positions", "several"])
def test_a_head_is_searched_picked_reported_retrained_and_exported(kind: str, tmp_path: Path) -> None:
    task, run = task_of(kind), tmp_path / "run"
    front = searched(kind, run)
    assert [each["name"] for each in front.to_dict()["objectives"]] == OBJECTIVES[kind]
    trained = set(OBJECTIVES[kind]) - {"parameters"}
    assert all(set(student.test) == trained for student in front)
    assert set(front.teacher["values"]) == set(front.teacher["test"]) == trained
    assert load_front(run) == front
    best = front.pick()
    assert set(retrain(run, best.trial, seeds=1)["validation"]) == trained
    assert "rmse" in write_run_report(run).read_text(encoding="utf-8") or "rmse" not in str(OBJECTIVES[kind])
    export_trial(run, best.trial, tmp_path / "student" / "student.safetensors")
    exported = load_student(tmp_path / "student")
    expected = predict(front.pick().load(), task, SPLITS["test"])
    torch.testing.assert_close(predict(exported, task, SPLITS["test"]), expected)


@pytest.mark.slow
def test_processes_give_the_numbers_of_an_inline_search(tmp_path: Path) -> None:
    searched("several", tmp_path / "inline", scheduler="none")
    searched("several", tmp_path / "processes", scheduler="none", executor="processes", workers=2)
    inline, processes = (sorted(numbers(tmp_path / name), key=json.dumps) for name in ("inline", "processes"))
    assert processes == inline


@pytest.mark.slow
def test_a_killed_search_of_several_heads_goes_on_with_the_numbers_of_an_uninterrupted_one(tmp_path: Path) -> None:
    task, run = save_task(task_of("several"), tmp_path / "task"), tmp_path / "killed"
    recipe = {"lr": 0.02, "batch_size": 32, "head_weights": "uncertainty"}
    given = {"recipe": recipe, "scheduler": "none"}
    program = KILLED.format(tests=str(Path(__file__).parent), task=str(tmp_path / "task"), run=str(run), given=given)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 9, ended.stderr
    for folder in (run, tmp_path / "whole"):
        search_study(Study.model_validate(study_of(str(tmp_path / "task"), **given)), run=folder)
    assert task.num_outputs == 7
    found, whole = ({trial[0]: trial[1:] for trial in by_student(folder)} for folder in (run, tmp_path / "whole"))
    begun = found.keys() & whole.keys()  # students that are proposed after the kill may be others
    assert len(begun) >= 2
    assert {student: found[student] for student in begun} == {student: whole[student] for student in begun}


def test_a_recipe_of_values_has_no_temperature(tmp_path: Path) -> None:
    searched("values", tmp_path / "run", budget={"trials": 2, "rungs": [1], "reseeds": 0})
    trials = read_trials(tmp_path / "run")
    assert {trial.recipe["temperature"] for trial in trials} == {1.0}
    assert {trial.recipe["method"] for trial in trials} == {"kd"}
