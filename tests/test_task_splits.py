"""Splits are stratified, disjoint, fixed by their seeds, and do not disturb each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd.study import TaskSection
from autokd.tasks import from_arrays
from autokd.tasks.splits import SPLITS, noisy_labels, split_rows, stratified

Array = np.ndarray[Any, Any]


def grey(rows: int = 60, *, classes: int = 3, size: int = 6) -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (rows, size, size), dtype=np.uint8), np.arange(rows) % classes


@settings(deadline=None)
@given(data=st.data(), having=st.lists(st.integers(3, 40), min_size=2, max_size=6))
def test_a_stratified_draw_is_in_proportion_and_misses_no_class(data: st.DataObject, having: list[int]) -> None:
    labels = np.repeat(np.arange(len(having)), having)
    leave = data.draw(st.integers(0, 2))
    count = data.draw(st.integers(len(having), len(labels) - leave * len(having)))

    drawn = stratified(labels, count, len(having), leave=leave)

    room = np.array(having) - 1 - leave
    share = 1 + (count - len(having)) * room / max(1, room.sum())
    assert drawn.sum() == count
    assert (drawn >= 1).all()
    assert (drawn <= np.array(having) - leave).all()
    assert (np.abs(drawn - share) < 1).all()


spec_keys = {
    "labels": st.none() | st.integers(12, 40) | st.floats(0.5, 1),
    "rows": st.none() | st.integers(40, 60),
    "validation": st.integers(3, 9) | st.floats(0.26, 0.5),
    "validation_from": st.sampled_from(["train", "labels"]),
}


@settings(deadline=None)
@given(keys=st.fixed_dictionaries(spec_keys), seed=st.integers(0, 2**32))
def test_splits_are_disjoint_and_together_all_rows(keys: dict[str, Any], seed: int) -> None:
    labels = np.arange(150) % 3
    parts = {"train": np.arange(150)}

    splits = split_rows(labels, parts, TaskSection(data="", **keys), seed=seed, class_names="abc")

    assert tuple(splits) == SPLITS
    assert np.sort(np.concatenate(list(splits.values()))).tolist() == list(range(150))
    assert all(set(labels[splits[name]]) == {0, 1, 2} for name in ("train", "validation", "test"))


def test_the_test_split_is_the_same_for_every_seed_and_validation_is_not() -> None:
    one, other = (from_arrays(*grey(), seed=seed) for seed in (0, 1))

    assert torch.equal(one.splits["test"], other.splits["test"])
    assert not torch.equal(one.splits["validation"], other.splits["validation"])


def test_validation_does_not_depend_on_labels_rows_or_noise() -> None:
    one, other = from_arrays(*grey()), from_arrays(*grey(), labels=9, rows=30, label_noise=0.3)

    assert torch.equal(one.splits["validation"], other.splits["validation"])
    assert torch.equal(one.y[one.splits["validation"]], other.y[other.splits["validation"]])


def test_fewer_labels_are_some_of_the_more_labels() -> None:
    few, many = (from_arrays(*grey(90), labels=labels).splits["train"].tolist() for labels in (9, 30))

    assert set(few) < set(many)


def test_validation_from_labels_uses_no_other_label() -> None:
    task = from_arrays(*grey(150), labels=30, validation=0.2, validation_from="labels")

    assert (len(task.splits["train"]), len(task.splits["validation"]), len(task.splits["transfer"])) == (24, 6, 90)


@settings(deadline=None)
@given(fraction=st.floats(0, 0.99), seed=st.integers(0, 2**32), classes=st.integers(2, 7))
def test_label_noise_changes_the_stated_fraction_to_other_classes(fraction: float, seed: int, classes: int) -> None:
    labels = np.arange(100) % classes
    bounds = [0, 20, 50, 70, 90, 100]
    splits = {name: np.arange(bounds[i], bounds[i + 1]) for i, name in enumerate(SPLITS)}

    noisy = noisy_labels(labels, splits, fraction, seed=seed, num_classes=classes)

    changed = {name: int((noisy[rows] != labels[rows]).sum()) for name, rows in splits.items()}
    expected = {name: round(fraction * len(splits[name])) for name in ("train", "transfer", "reserve")}
    assert changed == {**expected, "validation": 0, "test": 0}
    assert noisy.min() >= 0
    assert noisy.max() < classes
