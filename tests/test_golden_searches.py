"""Searches give the numbers that they gave before, bit for bit; `pytest --update-golden` rewrites the golden files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from golden_runs import as_read, compare, found_in
from sklearn.datasets import load_digits
from small import small_study
from tables import write_table
from torch import Tensor
from torch.nn import functional

from autokd.driver import retrain, search_study
from autokd.study import Study, load_study, override
from autokd.testing import TinyTask

LOGISTIC = {"sklearn": "sklearn.linear_model:LogisticRegression", "args": {"max_iter": 500}}
NEAREST = {"sklearn": "sklearn.neighbors:KNeighborsClassifier"}
FOREST = {"sklearn": "sklearn.ensemble:ExtraTreesClassifier", "args": {"n_estimators": 10, "random_state": 0}}
TRAINED = {
    "space": "resnet",
    "arch": {"width": 4, "stages": [{"blocks": 1, "kernel": 3, "widen": 1}]},
    "epochs": 1,
}
PRECISE = {"nll": {}, "parameters": {}}
"""Objectives of most golden searches: a changed bit of any answer changes `nll`."""
LATENCY = "latency_ms"


def searched(study: Study, run: Path) -> dict[str, Any]:
    """What a search without a latency found."""
    search_study(study, run=run)
    return found_in(run)


def shipped(name: str, **overrides: Any) -> Study:
    """A study of `studies/`, inline and without what is never the same twice."""
    study = load_study(ROOT / "studies" / f"{name}.yaml")
    objectives = {each: settings for each, settings in study.objectives.items() if each != LATENCY}
    small = {"objectives": {**objectives, "nll": {}}, "executor": "inline", "workers": 1, "baselines": {}}
    return override(study, small | overrides)


def part_of(file: Path, folder: Path, **rows: int) -> str:
    """A file of the first rows of each split of `file`."""
    with np.load(file) as data:
        kept = {name: data[name][: rows.get(name.split("_")[-1])] for name in data.files}
    path = folder / "part.npz"
    np.savez(path, **kept)
    return str(path)


def test_the_study_digits_gives_the_same_numbers(tmp_path: Path, golden: Path, update_golden: bool) -> None:
    budget = {"budget.trials": 4, "budget.rungs": [1, 2], "budget.reseeds": 1}
    study = shipped("digits", **{"task.rows": 400, "teacher.epochs": 1, **budget})
    compare(searched(study, tmp_path / "run"), golden, update=update_golden)


@pytest.mark.slow
def test_the_study_fashion_gives_the_same_numbers(
    shared: Path, tmp_path: Path, golden: Path, update_golden: bool
) -> None:
    data = part_of(shared / "fashion_mnist" / "fashion_mnist.npz", tmp_path, train=1500, test=200)
    rows = {"task.data": data, "task.rows": 500, "task.labels": 150, "task.validation": 300}
    budget = {"budget.trials": 5, "budget.rungs": [1, 2], "budget.reseeds": 1}
    study = shipped("fashion", **rows, **budget, **{"teacher.epochs": 1})
    compare(searched(study, tmp_path / "run"), golden, update=update_golden)


@pytest.mark.slow
def test_the_study_cifar10_pretrained_gives_the_same_numbers(
    shared: Path, tmp_path: Path, golden: Path, update_golden: bool
) -> None:
    data = part_of(shared / "cifar10_lossless_5k" / "cifar10_lossless_5k.npz", tmp_path, train=600, test=100)
    weights = str(shared / "teachers_cifar10_resnet" / "resnet20.npz")
    budget = {"budget.trials": 5, "budget.rungs": [1, 2], "budget.reseeds": 1}
    parts = {"task.data": data, "task.validation": 150, "task.augment.views": 2, "teacher.weights": weights}
    study = shipped("cifar10_pretrained", **parts, **budget)
    compare(searched(study, tmp_path / "run"), golden, update=update_golden)


QUICK: Mapping[str, Mapping[str, Any]] = {
    "transfer rows": {"teacher": LOGISTIC},
    "all rows labelled": {"task.labels": None, "teacher": NEAREST},
    "label noise": {"task.label_noise": 0.3, "teacher": LOGISTIC},
    "class weights": {"task.class_weights": "balanced", "objectives": {"accuracy": {}, **PRECISE}},
    "class weights given": {"task.class_weights": [1, 2, 1, 1, 1, 3, 1, 1, 1, 0.5]},
    "views": {"task.augment": {"views": 3, "flip": True, "crop": 1, "cutout": 2}, "teacher": TRAINED},
    "an ensemble": {"teacher": [{**LOGISTIC, "weight": 2}, NEAREST]},
    "an out-of-fold forest": {"teacher": {**FOREST, "folds": 3}},
}
"""Overrides of `small_study`, by what is golden."""
SLOW: Mapping[str, Mapping[str, Any]] = {
    "reserve rows and validation among labels": {"task.validation_from": "labels", "task.validation": 30},
    "divided pixels": {"task.normalise": "unit", "task.validation": 0.3, "task.test": 0.4},
    "given normalisation": {"task.normalise": {"mean": [0.3], "std": [0.4]}},
    "every objective of quality": {
        "objectives": {
            **{name: {} for name in ("accuracy", "error", "balanced_accuracy", "f1", "agreement", "ece", "nll")},
            **{name: {} for name in ("parameters", "flops", "size_mb", "peak_memory_mb")},
        }
    },
    "resnet": {"space": "resnet", "teacher": TRAINED},
    "mobilenet": {"space": "mobilenet"},
    "vit": {"space": "vit"},
    "seed": {"seed": 7},
    "fixed recipe": {"recipe": {"alpha": 0.5, "temperature": 2, "method": "kd", "lr": 0.01, "batch_size": 32}},
    "labels alone": {"recipe": {"alpha": 0}},
    "baselines": {"baselines": {"hard": {"budget.trials": 2}, "default": {"budget.trials": 2}, "sequential": {}}},
    "a bound": {"objectives": {"nll": {}, "parameters": {"bound": 1500}}, "budget.trials": 8},
    "many trials": {"budget.trials": 24, "teacher": LOGISTIC},
}
"""The same, of searches that are golden in the slow tests only."""
CASES = [pytest.param(name, QUICK[name], id=name.replace(" ", "_")) for name in QUICK] + [
    pytest.param(name, SLOW[name], id=name.replace(" ", "_"), marks=pytest.mark.slow) for name in SLOW
]


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_a_search_finds_what_it_found_before(
    name: str, changes: Mapping[str, Any], tmp_path: Path, golden: Path, update_golden: bool
) -> None:
    small = {"objectives": PRECISE, "budget.trials": 3, "budget.rungs": [1, 2]}
    compare(searched(small_study(**{**small, **changes}), tmp_path / "run"), golden, update=update_golden)


@pytest.mark.parametrize("gives", ["logits", "probabilities"])
def test_a_search_with_a_file_of_answers_finds_what_it_found_before(
    gives: str, tmp_path: Path, golden: Path, update_golden: bool
) -> None:
    labels = load_digits().target
    answers = np.random.default_rng(0).normal(3 * np.eye(10)[labels], 1).astype(np.float32)
    if gives == "probabilities":
        answers = np.exp(answers) / np.exp(answers).sum(axis=1, keepdims=True)
    np.save(tmp_path / "answers.npy", answers)
    teacher = {"outputs": str(tmp_path / "answers.npy"), "gives": gives}
    small = {"objectives": PRECISE, "budget.trials": 2, "budget.rungs": [1]}
    compare(searched(small_study(teacher=teacher, **small), tmp_path / "run"), golden, update=update_golden)


@dataclass(frozen=True)
class Rings:
    """A user's own task: is a point inside of a ring? It has a loss, a score and a chance of its own."""

    name: str = "rings"
    input_shape: tuple[int, ...] = (2,)
    num_outputs: int = 2
    num_rows: int = 400
    views: int = 2
    digest: str = "rings-1"
    chance: float = 0.5

    @cached_property
    def splits(self) -> Mapping[str, Tensor]:
        parts = torch.arange(self.num_rows).split([100, 120, 100, 60, 20])
        return dict(zip(("train", "transfer", "validation", "test", "reserve"), parts, strict=True))

    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        points = torch.randn(self.views, self.num_rows, 2, generator=torch.Generator().manual_seed(0))
        return points[0, rows] + (0.1 * points[view, rows] if view else 0)

    def targets(self, rows: Tensor) -> Tensor:
        return (self.inputs(rows).norm(dim=1) < 1.2).long()

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, label_smoothing=0.1)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        return float((outputs.argmax(dim=1) == targets).double().mean())


@dataclass(frozen=True)
class Radius:
    """A user's own teacher."""

    name: str = "radius"
    digest: str = "radius-1"

    def outputs(self, inputs: Tensor) -> Tensor:
        radius = inputs.norm(dim=1)
        return torch.stack([radius, 2.4 - radius], dim=1)


def test_a_search_with_a_task_and_a_teacher_of_the_users_own_finds_what_it_found_before(
    tmp_path: Path, golden: Path, update_golden: bool
) -> None:
    small = {"objectives": PRECISE, "budget.trials": 3, "budget.rungs": [1, 2]}
    study = small_study(task=Rings(), teacher=Radius(), **small)
    compare(searched(study, tmp_path / "run"), golden, update=update_golden)


@pytest.mark.slow
def test_a_search_of_photos_that_are_a_python_object_finds_what_it_found_before(
    tmp_path: Path, golden: Path, update_golden: bool
) -> None:
    task = TinyTask(input_shape=(3, 8, 8), num_outputs=4, views=2)
    small = {"objectives": PRECISE, "budget.trials": 3, "budget.rungs": [1, 2], "space": "mobilenet"}
    study = small_study(task=task, teacher=NEAREST, **small)
    compare(searched(study, tmp_path / "run"), golden, update=update_golden)


@pytest.mark.parametrize("sampler", ["autokd", "tpe", "random", "nsga2"])
def test_a_search_on_a_table_finds_what_it_found_before(
    sampler: str, tmp_path: Path, golden: Path, update_golden: bool
) -> None:
    study = Study.model_validate(
        {
            "name": "looked-up",
            "task": {"table": str(write_table(tmp_path))},
            "budget": {"trials": 16, "rungs": [3, 9, 27]},
            "executor": "inline",
            "sampler": sampler,
        }
    )
    compare(searched(study, tmp_path / "run"), golden, update=update_golden)


@pytest.mark.slow
def test_a_search_that_learns_from_an_earlier_one_and_is_widened_finds_what_it_found_before(
    tmp_path: Path, golden: Path, update_golden: bool
) -> None:
    budget = {"objectives": PRECISE, "budget.trials": 4, "budget.rungs": [1, 2]}
    recipe = {"method": ["kd"], "temperature": {"low": 1, "high": 4}}
    search_study(small_study(**budget, recipe=recipe), run=tmp_path / "earlier")
    search_study(small_study(**budget, seed=1, recipe=recipe), run=tmp_path / "run", prior=tmp_path / "earlier")
    wider = {"method": ["kd", "dist"], "temperature": {"low": 1, "high": 8}}
    study = small_study(**{**budget, "budget.trials": 7}, seed=1, recipe=wider)
    search_study(study, run=tmp_path / "run", widened=True)
    compare(found_in(tmp_path / "run"), golden, update=update_golden)


@pytest.mark.slow
def test_a_student_that_is_retrained_with_the_reserve_is_what_it_was_before(
    tmp_path: Path, golden: Path, update_golden: bool
) -> None:
    budget = {"budget.trials": 2, "budget.rungs": [1], "budget.reseeds": 0}
    study = small_study(objectives=PRECISE, **budget)
    trial = search_study(study, run=tmp_path / "run")[0].trial
    trained = retrain(tmp_path / "run", trial, seeds=2, epochs=2, reserve=True, study=study)
    found = found_in(tmp_path / "run")
    told = as_read({split: trained[split] for split in ("validation", "test")})
    compare({**found, "retrained": told}, golden, update=update_golden)


def test_a_changed_bit_fails_where_the_file_was_written_and_a_changed_digest_everywhere(tmp_path: Path) -> None:
    first = {"arch": {}, "recipe": {}, "seed": 1, "costs": {}, "rungs": {"1": {"nll": 0.1}}}
    written = {"made_with": {"torch": "1"}, "digests": {"task": "a", "space": "b"}, "validation_rows": 5}
    found = {**written, "trials": [first]}
    compare(found, tmp_path / "golden.json", update=True)
    other_bit = {**found, "trials": [{**first, "rungs": {"1": {"nll": np.nextafter(0.1, 1)}}}]}
    with pytest.raises(AssertionError):
        compare(other_bit, tmp_path / "golden.json", update=False)
    elsewhere = {**other_bit, "made_with": {"torch": "2"}}
    compare(elsewhere, tmp_path / "golden.json", update=False)
    with pytest.raises(AssertionError):
        compare({**elsewhere, "digests": {"task": "c", "space": "b"}}, tmp_path / "golden.json", update=False)
