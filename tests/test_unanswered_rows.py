"""A file of a teacher's answers may lack validation and test rows; the search then does without its score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Answer, autokd, refused_search, write_study

from autokd.front import Front
from autokd.tasks import load_task


def front_of(run: Path) -> Front:
    return Front.from_dict(json.loads(autokd("front", run, "--json").out))


def points(rows: int, seed: int) -> tuple[Any, Any]:
    """Points around three centres, and their classes."""
    generator, y = np.random.default_rng(seed), np.arange(rows) % 3
    return np.eye(5, dtype="float32")[y] + 0.3 * generator.normal(size=(rows, 5)).astype("float32"), y


@pytest.fixture
def changes(tmp_path: Path) -> dict[str, Any]:
    """A study of an npz with validation and test rows of its own, the teacher answering the training rows alone."""
    (x, y), (x_validation, y_validation), (x_test, y_test) = (points(rows, rows) for rows in (90, 60, 30))
    arrays = {"x_validation": x_validation, "y_validation": y_validation, "x_test": x_test, "y_test": y_test}
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, **arrays)
    np.save(tmp_path / "answers.npy", 3 * np.eye(3, dtype="float32")[y])
    return {
        "task": {"data": "data.npz"},
        "teacher": {"outputs": "answers.npy"},
        "scheduler": "none",
        "sampler": "random",
    }


def search(folder: Path, changes: dict[str, Any], *words: str) -> Answer:
    answer = autokd("search", write_study(folder, changes), "--run", folder / "run", *words)
    assert answer.code == 0, answer
    return answer


def test_a_teacher_that_answers_the_training_rows_alone_has_no_values(tmp_path: Path, changes: dict[str, Any]) -> None:
    said = search(tmp_path, changes).out
    assert said.count("The teacher is answers. On validation it has no values, because it did not answer all rows") == 1
    front = front_of(tmp_path / "run")
    assert (front.teacher["values"], front.teacher["test"]) == ({}, {})
    assert front.validation_labels == 60
    assert front.front[0].values["accuracy"] > 0.5
    assert all(student.test for student in front)


def test_what_comes_after_goes_without_them_too(tmp_path: Path, changes: dict[str, Any]) -> None:
    search(tmp_path, changes, "baselines=[hard]")
    front = front_of(tmp_path / "run")
    assert front.baselines["hard"]["front"]
    assert search(tmp_path, changes, "baselines=[hard]", "budget.trials=5").code == 0
    trial = str(front.front[0].trial)
    assert autokd("retrain", tmp_path / "run", "--trial", trial, "--seeds", "1", "--workers", "1").code == 0
    exported = autokd("export", tmp_path / "run", tmp_path / "student" / "student.safetensors", "--trial", trial)
    assert exported.code == 0, exported


def test_rows_drawn_for_validation_may_go_unanswered_too(tmp_path: Path) -> None:
    search(tmp_path, {"teacher": {"sklearn": "sklearn.neighbors:KNeighborsClassifier"}, "budget.trials": 1})
    task = load_task(tmp_path / "run" / "task")
    answers = np.full((task.num_rows, task.num_outputs), np.nan, dtype="float32")
    for split in ("train", "transfer"):
        rows = task.splits[split].numpy()
        answers[rows] = 5 * np.eye(10, dtype="float32")[task.y[task.splits[split]].numpy()]
    half = task.splits["validation"].numpy()[::2]
    answers[half] = 0
    np.save(tmp_path / "answers.npy", answers)
    (tmp_path / "other").mkdir()
    search(tmp_path / "other", {"teacher": {"outputs": str(tmp_path / "answers.npy")}})
    assert front_of(tmp_path / "other" / "run").teacher["values"] == {}


def test_an_objective_that_compares_with_the_teacher_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    said = refused_search(tmp_path, changes | {"objectives": {"accuracy": {}, "agreement": {}}})
    words = "objectives.agreement compares with the teacher, which has no answers for 60 rows of validation;"
    assert words in said
