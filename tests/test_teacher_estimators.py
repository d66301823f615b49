"""Classifiers of scikit-learn as teachers: fitted ones are used as they are, others answer out of fold."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor

from autokd.errors import InputError
from autokd.tasks import ArrayTask, from_arrays
from autokd.teachers.answers import ask
from autokd.teachers.cache import open_outputs, teacher_outputs
from autokd.teachers.scores import teacher_score
from autokd.teachers.sources import load_teacher
from autokd.testing import TinyTask
from autokd.types import Task, Teacher

TASK = TinyTask()


def load(source: Any, *, task: Task = TASK, seed: int = 0) -> Teacher:
    return load_teacher(source, task, folder=Path(), train=lambda *_: None, seed=seed)


def fitted_on(task: Task, classifier: Any, labels: Any = None) -> Any:
    """The classifier, fitted on the training rows by their class numbers, or by what `labels` makes of them."""
    rows = task.splits["train"]
    numbers = task.targets(rows).numpy()
    return classifier.fit(task.inputs(rows).flatten(1).numpy(), numbers if labels is None else labels(numbers))


def clouds(rows: int = 240, names: Sequence[Any] = (0, 1, 2), labels: int | None = None) -> ArrayTask:
    """Points around centres, with noise, so that no classifier is always right."""
    generator, y = np.random.default_rng(0), np.arange(rows) % len(names)
    x = np.eye(len(names))[y] + 0.4 * generator.normal(size=(rows, len(names)))
    task = from_arrays(x.astype("float32"), y, labels=labels)
    return replace(task, class_names=tuple(str(name) for name in names))


def entropy(logits: Tensor) -> float:
    p = logits.double().softmax(dim=1)
    return float(-(p * p.clamp_min(1e-12).log()).sum(dim=1).mean())


def test_a_fitted_classifier_answers_with_the_log_of_its_probabilities() -> None:
    inputs = TASK.inputs(TASK.splits["train"])
    classifier = fitted_on(TASK, LogisticRegression())
    answers = load(classifier).outputs(inputs)
    torch.testing.assert_close(
        answers.exp().numpy(), classifier.predict_proba(inputs.flatten(1).numpy()), check_dtype=False
    )


def test_a_classifier_by_reference_is_fitted_and_the_callers_own_is_not(tmp_path: Path) -> None:
    section = {"sklearn": "sklearn.linear_model:LogisticRegression", "args": {"C": 2.0}}
    teacher = load(section)
    cached = teacher_outputs(teacher, TASK, tmp_path)
    assert teacher_score(open_outputs(cached.path), TASK) > 0.9
    assert load(section).digest == teacher.digest
    assert load(section | {"args": {"C": 3.0}}).digest != teacher.digest
    assert load(section | {"folds": 3}).digest != teacher.digest
    mine = LogisticRegression()
    ask(load(mine), TASK, TASK.splits["validation"], 0)
    assert not hasattr(mine, "classes_")


# Fitted here: out of fold


def test_a_forest_that_comes_unfitted_is_no_surer_of_its_own_rows_than_of_others(tmp_path: Path) -> None:
    task = clouds(labels=60)
    outputs = open_outputs(teacher_outputs(load(ExtraTreesClassifier(30), task=task), task, tmp_path).path)[0]
    own, others = (entropy(outputs[task.splits[split]]) for split in ("transfer", "validation"))
    assert own == pytest.approx(others, rel=0.5)
    seen = fitted_on(task, ExtraTreesClassifier(30))  # what it would say of rows that it was fitted on
    assert entropy(ask(load(seen, task=task), task, task.splits["train"], 0)) < 0.01


def test_a_row_is_answered_by_a_model_that_has_not_seen_its_label() -> None:
    task = clouds()
    one_neighbour = load(KNeighborsClassifier(1), task=task)
    rows = task.splits["train"]
    wrong = ask(one_neighbour, task, rows, 0).argmax(dim=1) != task.targets(rows)
    assert wrong.any()  # with its own row among the neighbours it would always be right
    flipped = rows[:1]
    y = task.y.clone()
    y[flipped] = (y[flipped] + 1) % 3
    other = load(KNeighborsClassifier(1), task=replace(task, y=y))
    torch.testing.assert_close(ask(other, task, flipped, 0), ask(one_neighbour, task, flipped, 0))


def test_all_other_rows_are_answered_by_what_was_fitted_on_every_labelled_row() -> None:
    task = clouds(labels=60)
    rows = torch.cat([task.splits[split] for split in ("train", "transfer", "reserve")])
    whole = KNeighborsClassifier(9).fit(task.inputs(rows).numpy(), task.targets(rows).numpy())
    others = torch.cat([task.splits["validation"], task.splits["test"]])
    given = ask(load(KNeighborsClassifier(9), task=task), task, others, 0)
    torch.testing.assert_close(given.exp().numpy(), whole.predict_proba(task.inputs(others).numpy()), check_dtype=False)


def test_a_classifier_without_a_seed_gets_that_of_the_study_wherever_it_takes_one() -> None:
    task = clouds()
    forest = make_pipeline(StandardScaler(), ExtraTreesClassifier(5))
    first, again, other = (load(forest, task=task, seed=seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    rows = task.splits["train"]
    assert torch.equal(ask(first, task, rows, 0), ask(again, task, rows, 0))
    assert not torch.equal(ask(first, task, rows, 0), ask(other, task, rows, 0))


def test_a_classifier_keeps_the_seed_that_it_has() -> None:
    task = clouds()
    rows = task.splits["validation"]
    one, other = (load(ExtraTreesClassifier(5, random_state=7), task=task, seed=seed) for seed in (1, 2))
    assert torch.equal(ask(one, task, rows, 0), ask(other, task, rows, 0))


def test_classes_with_fewer_rows_than_folds_are_named(caplog: pytest.LogCaptureFixture) -> None:
    task = clouds(rows=60)
    y = task.y.clone()
    y[task.splits["train"]] = 0
    y[task.splits["train"][:3]] = torch.tensor([1, 1, 2])
    scarce = replace(task, y=y)
    with caplog.at_level(logging.WARNING, "autokd"):
        answers = ask(load(DecisionTreeClassifier(), task=scarce), scarce, task.splits["train"], 0)
    assert "in 5 folds; these classes have fewer labelled training rows: '1' (2), '2' (1)" in caplog.text
    assert answers[2, 2] == pytest.approx(np.log(1e-7))  # no model without that row knows of its class


def test_rows_without_any_class_of_two_are_refused() -> None:
    task = clouds(rows=60)
    none = replace(task, y=torch.full_like(task.y, -1))
    with pytest.raises(InputError, match="no class has two labelled training rows"):
        ask(load(DecisionTreeClassifier(), task=none), none, task.splits["train"], 0)


def test_rows_without_a_label_are_not_fitted_on() -> None:
    task = clouds(labels=60)
    y = task.y.clone()
    y[task.splits["transfer"]] = -1
    unlabelled = replace(task, y=y)
    rows = task.splits["train"]
    whole = KNeighborsClassifier(3).fit(task.inputs(rows).numpy(), task.targets(rows).numpy())
    given = ask(load(KNeighborsClassifier(3), task=unlabelled), unlabelled, task.splits["transfer"], 0)
    expected = whole.predict_proba(task.inputs(task.splits["transfer"]).numpy())
    torch.testing.assert_close(given.exp().numpy(), expected, check_dtype=False)


# Their classes, by name


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ((3, 4, 5), lambda numbers: numbers + 3),
        ((3, 4, 5), lambda numbers: (numbers + 3).astype(float)),
        ((3, 4, 5), lambda numbers: (numbers + 3).astype(str)),
        ((3, 4, 5), lambda numbers: numbers),
        (("cat", "dog", "owl"), lambda numbers: np.array(["cat", "dog", "owl"])[numbers]),
        ((9, 10, 11), lambda numbers: (numbers + 9).astype(str)),  # as texts, 10 comes before 9
    ],
    ids=["numbers", "floats", "texts of numbers", "positions", "texts", "another order"],
)
def test_the_columns_of_a_fitted_classifier_go_by_the_names_of_its_classes(names: Any, labels: Any) -> None:
    task = clouds(names=names)
    rows = task.splits["validation"]
    teacher = load(fitted_on(task, LogisticRegression(), labels), task=task)
    expected = load(fitted_on(task, LogisticRegression()), task=task)
    torch.testing.assert_close(ask(teacher, task, rows, 0), ask(expected, task, rows, 0), atol=1e-4, rtol=1e-4)


def test_two_classes_of_true_and_false_are_matched() -> None:
    task = clouds(names=(0, 1))
    teacher = load(fitted_on(task, LogisticRegression(), lambda numbers: numbers == 1), task=task)
    rows = task.splits["validation"]
    assert task.score(ask(teacher, task, rows, 0), task.targets(rows)) > 0.8


def test_numbers_that_may_be_names_or_positions_are_refused_with_both() -> None:
    task = clouds(names=(2, 0, 1))
    with pytest.raises(InputError, match=r"names of the classes .* or their positions, and these differ \(.*is '2'\)"):
        load(fitted_on(task, LogisticRegression()), task=task)


# Of many kinds


@pytest.mark.parametrize(
    "classifier",
    [
        GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [3, 5]}, cv=2),
        make_pipeline(StandardScaler(), GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [3]}, cv=2)),
        CalibratedClassifierCV(LinearSVC(), cv=2),
        HistGradientBoostingClassifier(max_iter=3),
    ],
    ids=["search", "search in a pipeline", "calibrated", "boosting"],
)
def test_a_classifier_is_a_teacher_fitted_and_unfitted(classifier: Any) -> None:
    task = clouds()
    rows = task.splits["validation"]
    for teacher in (load(classifier, task=task), load(fitted_on(task, classifier), task=task)):
        assert task.score(ask(teacher, task, rows, 0), task.targets(rows)) > 0.7


def test_a_search_that_is_fitted_again_is_the_same_teacher() -> None:
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [3, 5]}, cv=2)
    digests = {load(fitted_on(TASK_OF_CLOUDS, search), task=TASK_OF_CLOUDS).digest for _ in range(2)}
    assert len(digests) == 1  # though it notes how long each fit took


TASK_OF_CLOUDS = clouds()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"sklearn": "model.joblib"}, "loading a pickle can run code"),
        (
            {"sklearn": "sklearn.linear_model:LinearRegression"},
            "LinearRegression is a regressor, and the task has classes; give a classifier",
        ),
        (
            {"sklearn": "sklearn.svm:LinearSVC"},
            r"decision_function does not give probabilities; .*CalibratedClassifierCV",
        ),
        ({"sklearn": "sklearn.linear_model:LogisticRegression", "args": {"D": 1}}, "cannot be made: .*'D'"),
        (make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression()), "in place of lambdas"),
        (DummyClassifier().fit([[0.0]] * 3, [0, 1, 2]), r"knows 3 classes \(0, 1, 2\), .* has 10 \(0, 1, 2, 3, 4...\)"),
        (DummyClassifier().fit([[0.0]] * 10, list(range(1, 11))), "fit it on the names of the task's classes"),
    ],
)
def test_a_classifier_that_will_not_do_is_refused(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(source)


def test_a_classifier_that_cannot_be_fitted_is_refused_when_it_is_asked() -> None:
    teacher = load({"sklearn": "sklearn.linear_model:LogisticRegression", "args": {"C": -1}})
    with pytest.raises(InputError, match=r"cannot be fitted: .*'C'"):
        ask(teacher, TASK, TASK.splits["train"], 0)
