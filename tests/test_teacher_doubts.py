"""AutoKD warns of teachers that may have little to teach."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from command_line import autokd, write_study
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor
from torch.nn.functional import one_hot

from autokd.tasks import ArrayTask, from_arrays
from autokd.teachers.cache import open_outputs, teacher_outputs
from autokd.teachers.doubts import doubts, linear_score
from autokd.teachers.sources import load_teacher
from autokd.testing import TinyTask


def clouds(features: int = 4, rows: int = 1200) -> ArrayTask:
    """Four overlapping clouds of points: a linear model is as good as any."""
    generator, y = np.random.default_rng(0), np.arange(rows) % 4
    x = np.eye(features)[y] + 0.5 * generator.normal(size=(rows, features))
    return from_arrays(x.astype("float32"), y, labels=200)


def training_rows(task: ArrayTask) -> Tensor:
    return torch.cat([task.splits[split] for split in ("train", "transfer", "reserve")])


def fitted(classifier: Any, task: ArrayTask, rows: Tensor) -> Any:
    return classifier.fit(task.inputs(rows).flatten(1).numpy(), task.targets(rows).numpy())


def doubted(source: Any, task: ArrayTask, folder: Path) -> str:
    teacher = load_teacher(source, task, folder=folder, train=lambda *_: None, seed=0)
    return "; ".join(doubts(open_outputs(teacher_outputs(teacher, task, folder).path), task))


def right(task: ArrayTask, share: float) -> Tensor:
    """Answers of which this share is right on validation, and all elsewhere."""
    answers = task.targets(torch.arange(task.num_rows))
    wrong = task.splits["validation"][round(share * len(task.splits["validation"])) :]
    answers[wrong] = (answers[wrong] + 1) % task.num_outputs
    return 2 * one_hot(answers, task.num_outputs).float()[None]


def test_a_forest_that_answers_the_rows_it_was_fitted_on_is_said_to_repeat_their_labels(tmp_path: Path) -> None:
    task = clouds()
    said = doubted(fitted(ExtraTreesClassifier(30), task, training_rows(task)), task, tmp_path)
    assert "much surer on training rows (mean entropy 0.00 nats) than on validation rows (0." in said
    assert "a teacher repeats the labels and adds little" in said


def test_a_forest_that_comes_unfitted_is_not(tmp_path: Path) -> None:
    assert "entropy" not in doubted(ExtraTreesClassifier(30), clouds(), tmp_path)


def test_a_teacher_that_is_surer_of_validation_rows_may_have_been_trained_on_them(tmp_path: Path) -> None:
    task = clouds()
    said = doubted(fitted(ExtraTreesClassifier(30), task, task.splits["validation"]), task, tmp_path)
    assert "may have been trained on the validation rows, and then its score there says little" in said


def test_a_good_teacher_is_not_doubted() -> None:
    task = clouds()
    assert doubts(right(task, 0.98), task) == []


@pytest.mark.parametrize(("share", "said"), [(0.27, True), (0.5, False)])
def test_a_teacher_hardly_above_chance_is_said_with_both_figures(share: float, said: bool) -> None:
    task = clouds()
    found = "; ".join(doubts(right(task, share), task))
    assert ("hardly above 0.25" in found) is said


def test_a_teacher_below_a_linear_model_is_said_with_both_figures(tmp_path: Path) -> None:
    task = clouds()
    said = doubted(DecisionTreeClassifier(max_depth=2, random_state=0), task, tmp_path)
    assert f"below a linear model on the same labels, which scores {linear_score(task):.3f}" in said


@pytest.mark.parametrize("features", [4, 2000], ids=["fewer features than rows", "more"])
def test_the_linear_model_is_as_good_as_that_of_scikit_learn(features: int) -> None:
    task = clouds(features)
    rows, validation = training_rows(task), task.splits["validation"]
    other = fitted(LogisticRegression(max_iter=1000), task, rows)
    expected = other.score(task.inputs(validation).numpy(), task.targets(validation).numpy())
    assert linear_score(task) == pytest.approx(expected, abs=0.02)


def test_the_linear_model_sees_which_tokens_a_text_has() -> None:
    task = TinyTask(input_shape=(12,), num_outputs=3, vocabulary=60)
    assert linear_score(task) > 1.5 * task.chance


def test_the_linear_model_sees_the_last_choice_of_what_is_searched_of_a_reading() -> None:
    class Read(TinyTask):
        readings: ClassVar = {"size": (4, 8)}

        def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
            raise AssertionError("nobody reads such a task itself")

        def seen_through(self, reading: Any) -> TinyTask:
            return TinyTask(input_shape=(1, reading["size"], reading["size"]))

    assert linear_score(Read()) == linear_score(TinyTask(input_shape=(1, 8, 8)))


def test_rows_without_a_label_teach_the_linear_model_nothing() -> None:
    task = clouds()
    y = task.y.clone()
    y[task.splits["transfer"]] = -1
    assert linear_score(replace(task, y=y)) > 0.5
    y[task.splits["train"]] = -1
    assert math.isnan(linear_score(replace(task, y=y)))


def test_answers_that_are_no_classes_are_not_judged() -> None:
    class Values(TinyTask):
        def targets(self, rows: Tensor) -> Tensor:
            return super().targets(rows).float()

    task = Values()
    assert doubts(torch.zeros(1, task.num_rows, task.num_outputs), task) == []


def test_it_is_said_in_log_front_and_report(tmp_path: Path) -> None:
    teacher = {"sklearn": "sklearn.tree:DecisionTreeClassifier", "args": {"max_depth": 2}}
    study = write_study(tmp_path, {"teacher": teacher, "baselines": []})
    answer = autokd("search", study, "--run", tmp_path / "run")
    assert answer.code == 0, answer
    words = "below a linear model on the same labels, which scores"
    assert "The teacher, DecisionTreeClassifier, may have little to teach: it scores" in answer.out
    assert words in autokd("front", tmp_path / "run").out
    assert words in (tmp_path / "run" / "report.html").read_text()
    assert words in json.loads((tmp_path / "run" / "study.json").read_text())["teacher"]["note"]
