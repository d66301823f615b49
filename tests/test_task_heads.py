"""Tasks of arrays with other targets than one class a row."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autokd.errors import InputError
from autokd.heads import Classes, Labels, Positions, Values
from autokd.tasks import from_arrays, from_dataset, open_task

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 4)).astype(np.float32)
CLASS = np.arange(120) % 3
VALUE = 1000 + 50 * X[:, 0].astype(np.float64)
LABELS = (X[:, :2] > 0).astype(float)
PLACES = np.stack([CLASS, (CLASS + 1) % 3], axis=1)


def test_targets_with_fractions_are_values(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "autokd"):
        task = from_arrays(X, VALUE)
    head = task.heads[""]
    train = VALUE[task.splits["train"].numpy()]
    assert isinstance(head, Values)
    assert head.names == ("value 0",)
    assert head.centre == (pytest.approx(train.mean()),)
    assert head.scale == (pytest.approx(train.std()),)
    assert torch.equal(task.targets(torch.arange(120))[:, 0], torch.from_numpy(VALUE))
    assert caplog.messages == ["The targets of arrays are taken for values. Where this is wrong, write `heads`."]


def test_whole_numbers_are_values_where_heads_says_so() -> None:
    task = from_arrays(X, CLASS, heads={"kind": "values", "variance": True}, class_names=["count"])
    assert task.heads == {"": Values(("count",), task.heads[""].centre, task.heads[""].scale, variance=True)}
    assert task.num_outputs == 2
    assert task.class_names == ()


def test_rows_without_a_target_are_for_transfer() -> None:
    y = np.where(np.arange(120) < 10, np.nan, VALUE)
    task = from_arrays(X, y)
    assert set(range(10)) <= set(task.splits["transfer"].tolist())
    assert "10 rows have no label" in task.summary()


def test_several_labels_may_hold_and_some_may_be_unknown() -> None:
    y = LABELS.copy()
    y[:20, 0] = np.nan
    task = from_arrays(X, y, heads="labels", class_names=["red", "round"])
    assert task.heads == {"": Labels(("red", "round"))}
    assert task.targets(torch.arange(2)).isnan().tolist() == [[True, False]] * 2


def test_classes_at_positions_may_be_ignored() -> None:
    y = PLACES.copy()
    y[::2, 1] = 255
    task = from_arrays(X, y, heads={"kind": "positions", "ignored": 255})
    assert task.heads == {"": Positions(("0", "1", "2"), (2,), ignored=255)}
    assert task.num_outputs == 6


def test_a_mapping_of_targets_makes_heads() -> None:
    task = from_arrays(X, {"kind": CLASS, "size": VALUE}, X, {"kind": CLASS, "size": VALUE})
    assert list(task.heads) == ["kind", "size"]
    assert isinstance(task.heads["kind"], Classes)
    assert task.num_outputs == 4
    assert len(task.splits["test"]) == 120


def test_targets_of_one_head_may_be_missing_where_another_has_them() -> None:
    kind = np.where(np.arange(120) < 60, CLASS, -1)
    size = np.where(np.arange(120) % 5 == 0, np.nan, VALUE)
    task = from_arrays(X, {"kind": kind, "size": size})
    nowhere = np.flatnonzero((kind < 0) & np.isnan(size))
    assert task.splits["transfer"].tolist() == nowhere.tolist()


def test_an_npz_has_an_array_for_each_head(tmp_path: Path) -> None:
    arrays = {f"{part}_{name}": y for part in ("y_train", "y_test") for name, y in (("kind", CLASS), ("size", VALUE))}
    np.savez(tmp_path / "two.npz", x_train=X, x_test=X + 1, **arrays)
    task = open_task(
        {"data": str(tmp_path / "two.npz"), "heads": {"size": {"kind": "values"}}}, seed=0, folder=tmp_path / "t"
    )
    assert list(task.heads) == ["kind", "size"]
    assert len(task.splits["test"]) == 120
    again = open_task(
        {"data": str(tmp_path / "two.npz"), "heads": {"size": {"kind": "values"}}}, seed=0, folder=tmp_path / "t"
    )
    assert again.digest == task.digest


def test_a_dataset_may_give_values_and_positions() -> None:
    rows = [(torch.from_numpy(x), float(y)) for x, y in zip(X, VALUE, strict=True)]
    assert from_dataset(rows).heads[""].kind == "values"
    rows = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in zip(X, PLACES, strict=True)]
    assert from_dataset(rows, heads="positions").heads[""].shape == (3, 2)


def test_a_task_of_classes_has_the_digest_that_it_had() -> None:
    x, y = np.arange(96, dtype=np.float32).reshape(24, 4), np.arange(24) % 3
    assert from_arrays(x, y, heads="classes").digest == from_arrays(x, y).digest


@pytest.mark.parametrize(
    ("given", "heads", "words"),
    [
        (VALUE, "classes", "labels are of type float64; give whole numbers or texts, for these are classes, and row"),
        (CLASS, "labels", "label 'label 0' is 2 in row 2; write 1 where a label holds"),
        (VALUE * np.nan, "values", "all targets are missing"),
        (np.full(120, 3.5), None, "'value 0' is 3.5 in all rows of train, so there is nothing to learn"),
        (np.array(["a", "b", "c"] * 40), "values", "the target of row 0 is 'a', which is no number"),
        (
            {"kind": CLASS, "size": VALUE},
            "values",
            r"the data have the heads kind, size; write \{head: kind\} for them",
        ),
        ({"kind": CLASS, "size": VALUE}, {"sizes": "values"}, "the data have no head 'sizes'; they have kind, size"),
        (VALUE, {"size": "values"}, "no head 'size'; they have one head without a name; write its kind alone"),
        ({"the kind": CLASS}, None, "'the kind' given as the name of a head; write letters, digits and '_'"),
        ({"kind": CLASS[:50]}, None, r"120 rows of inputs but targets of shape \(50,\)"),
        (LABELS, None, "no single 1 among zeros"),
        (PLACES, {"kind": "positions", "variance": True}, "'variance' is for values, and these are positions"),
    ],
)
def test_targets_that_do_not_fit_are_refused(given: Any, heads: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        from_arrays(X, given, heads=heads)


def test_label_noise_is_for_classes() -> None:
    with pytest.raises(InputError, match=r"task.label_noise: this is for classes, and these are values; leave it out"):
        from_arrays(X, VALUE, label_noise=0.1)


def test_positions_do_not_move_with_pixels() -> None:
    images, masks = np.zeros((30, 1, 8, 8), np.uint8), np.arange(30 * 64).reshape(30, 8, 8) % 3
    images[:, :, ::2] = 200
    with pytest.raises(
        InputError, match=r"task.augment: flip and crop move pixels, and the targets at positions would"
    ):
        from_arrays(images, masks, heads="positions", augment={"views": 2, "flip": True})


BOTH = {"digit": np.arange(60) % 3, "size": np.linspace(0.5, 2.5, 60)}
UNKNOWN = np.full(60, np.nan)


@pytest.mark.parametrize(
    ("y", "y_test", "more", "message"),
    [
        (BOTH, BOTH["digit"], {}, "test rows have targets of one head, but the first training rows of the heads digit"),
        (BOTH, {"digit": BOTH["digit"]}, {}, "test rows have targets of the heads digit, but the first training rows"),
        (BOTH, {**BOTH, "size": UNKNOWN}, {}, "head 'size': no row of test has a known target"),
        (BOTH, BOTH, {"class_names": ["a", "b", "c"]}, "and give the classes of each head as texts"),
        (BOTH["size"] + 1j, BOTH["size"] + 1j, {"heads": "values"}, "targets are complex numbers"),
        (BOTH["size"] * 1e300, BOTH["size"], {"heads": "values"}, r"infinite, or beyond 1e\+150, in row 0"),
        (np.zeros((60, 4), int), np.zeros((60, 3), int), {"heads": "positions"}, r"targets of shape \(3,\) each"),
    ],
    ids=["one head", "a head less", "an unknown head", "class names", "complex", "huge", "other positions"],
)
def test_targets_that_do_not_belong_together_are_refused(y: Any, y_test: Any, more: Any, message: str) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    with pytest.raises(InputError, match=message):
        from_arrays(x, y, x, y_test, **more)
