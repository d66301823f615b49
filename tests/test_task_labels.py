"""Labels of any type are matched by name, and rows without a label go to the transfer set alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import TensorDataset

from autokd.errors import InputError
from autokd.tasks import ArrayTask, from_arrays, from_dataset, open_task
from autokd.tasks.rows import all_labels, with_reserve

ROWS = 60
X = np.random.default_rng(0).normal(size=(ROWS, 5)).astype(np.float32)
Y = np.arange(ROWS) % 3
NAMES = np.array(["dog", "cat", "newt"])


def with_some(labels: Any, missing: object, rows: slice = slice(40, None)) -> Any:
    changed = np.array(labels)
    changed = changed.astype(
        object if missing is None or changed.dtype.kind in "UO" else np.result_type(changed, missing)
    )
    changed[rows] = missing
    return changed


def split_sizes(task: ArrayTask) -> dict[str, int]:
    return {name: len(rows) for name, rows in task.splits.items()}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (Y.astype(np.float64), ("0", "1", "2")),
        (Y.astype(np.uint64) + 2**63, tuple(str(2**63 + i) for i in range(3))),
        (Y.astype(str), ("0", "1", "2")),
        (Y.astype(np.bytes_), ("0", "1", "2")),
        (Y.tolist(), ("0", "1", "2")),
        (Y[:, None], ("0", "1", "2")),
        (np.eye(3)[Y], ("0", "1", "2")),
        (np.eye(3, dtype=bool)[Y], ("0", "1", "2")),
        (scipy.sparse.csr_matrix(np.eye(3)[Y]), ("0", "1", "2")),
        (torch.eye(3, dtype=torch.bfloat16)[Y], ("0", "1", "2")),
        (torch.from_numpy(Y), ("0", "1", "2")),
        ([torch.tensor(y) for y in Y], ("0", "1", "2")),
        (Y * 5 - 5, ("-5", "0", "5")),
        (pandas.Series(Y, dtype="Int64"), ("0", "1", "2")),
        (pandas.DataFrame({"label": Y}), ("0", "1", "2")),
        (pandas.get_dummies(np.array(["a", "b", "c"])[Y]), ("a", "b", "c")),
    ],
)
def test_numbers_are_classes_however_they_are_written(labels: Any, names: tuple[str, ...]) -> None:
    task = from_arrays(X, labels)

    assert task.class_names == names
    assert task.y.tolist() == Y.tolist()


@pytest.mark.parametrize(
    "labels",
    [
        NAMES[Y],
        NAMES[Y].tolist(),
        NAMES[Y].astype(object),
        NAMES[Y].astype(np.bytes_),
        pandas.Series(NAMES[Y]),
        pandas.Series(NAMES[Y]).astype("category"),
        pandas.Categorical(NAMES[Y]),
    ],
)
def test_texts_are_classes_in_alphabetical_order(labels: Any) -> None:
    task = from_arrays(X, labels)

    assert task.class_names == ("cat", "dog", "newt")
    assert [task.class_names[y] for y in task.y] == NAMES[Y].tolist()


def test_truth_values_are_two_classes() -> None:
    assert from_arrays(X, Y == 1).class_names == ("False", "True")


def test_class_names_are_matched_by_number_or_by_name() -> None:
    by_number = from_arrays(X, Y, class_names=("zero", "one", "two"))
    by_name = from_arrays(X, NAMES[Y], class_names=("newt", "dog", "cat"))

    assert [by_number.class_names[y] for y in by_number.y[:3]] == ["zero", "one", "two"]
    assert by_name.class_names == ("newt", "dog", "cat")
    assert [by_name.class_names[y] for y in by_name.y] == NAMES[Y].tolist()
    assert from_arrays(X, Y + 5, class_names=("7", "6", "5")).y[:3].tolist() == [2, 1, 0]


def test_labels_of_training_and_test_rows_match_by_name() -> None:
    task = from_arrays(X, Y.astype(np.float32), X, np.array(["0", "1", "2"])[Y])

    assert task.class_names == ("0", "1", "2")
    assert task.y.tolist() == [*Y, *Y]


def test_labels_of_digits_have_the_numbers_they_had() -> None:
    whole = from_arrays(X, Y)

    for labels in (Y.astype(np.float64), Y.astype(str), np.eye(3)[Y], Y.astype(object)):
        assert from_arrays(X, labels).digest == whole.digest


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.where(Y == 1, np.inf, Y), "row 1 has inf"),
        (Y.astype(complex), "labels are of type complex128"),
        (np.array([(1, 2)] * ROWS, dtype=object), r"row 0 of labels of shape \(60, 2\) holds no single 1"),
        (np.array([{}] * ROWS), "labels are of type object; give whole numbers or texts"),
        (np.eye(3)[Y] * 0.8 + 0.2 / 3, r"row 0 .* holds shares of several classes, which are no labels; .* y\.argmax"),
        (np.eye(3)[Y] + np.eye(3)[(Y + 1) % 3], "holds no single 1 among zeros; give one class a row"),
        (np.zeros((ROWS, 3)), "row 0 .* holds no single 1 among zeros"),
        (np.ones((ROWS, 3, 3)), r"labels of shape \(60, 3, 3\); give one label a row"),
        (NAMES[np.stack([Y, Y], 1)], r"labels of shape \(60, 2\); give one label a row"),
        ([[1, 2], [3]] * 30, "numpy makes no array"),
        (np.full(ROWS, np.nan), "no training row has a label; classification needs two classes"),
    ],
)
def test_what_is_no_class_is_refused_in_words(labels: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        from_arrays(X, labels)
    assert "\n" not in str(caught.value)


def test_names_that_no_label_has_and_labels_that_have_no_name_are_refused() -> None:
    with pytest.raises(InputError, match=r"label 'dog' is none of the class names .*; did you mean 'dogs'"):
        from_arrays(X, NAMES[Y], class_names=("dogs", "cat", "newt"))
    with pytest.raises(InputError, match="class 'cow' has no training rows"):
        from_arrays(X, NAMES[Y], class_names=("dog", "cat", "newt", "cow"))
    with pytest.raises(InputError, match="test label newt is of no training row"):
        from_arrays(X, NAMES[Y % 2], X, NAMES[Y])


@pytest.mark.parametrize(
    "labels",
    [
        with_some(Y, np.nan),
        with_some(Y, -1),
        with_some(Y, None),
        with_some(Y.astype(float), -1.0),
        with_some(NAMES[Y], None),
        with_some(NAMES[Y], np.nan),
        with_some(NAMES[Y].astype(object), float("nan")).astype(str),
        with_some(np.eye(3)[Y], np.nan),
        np.ma.masked_array(Y, np.arange(ROWS) >= 40),
        pandas.Series([*NAMES[Y[:40]], *[None] * 20]).astype("category"),
        pandas.Series([*Y[:40], *[None] * 20], dtype="Int64"),
    ],
)
def test_rows_without_a_label_go_to_the_transfer_set_alone(labels: Any) -> None:
    task = from_arrays(X, labels)
    alone = from_arrays(X[:40], np.asarray(labels)[:40])

    assert task.class_names == alone.class_names
    assert task.splits["transfer"].tolist() == list(range(40, ROWS))
    assert task.y[40:].tolist() == [-1] * 20
    for name in ("train", "validation", "test"):
        assert torch.equal(task.splits[name], alone.splits[name])
    assert ", transfer 20, " in task.summary()
    assert "(20 rows have no label)" in task.summary()


@given(classes=st.integers(2, 5), labels=st.none() | st.integers(5, 20), rows=st.none() | st.integers(25, 40))
def test_rows_without_a_label_change_nothing_of_the_others(classes: int, labels: int | None, rows: int | None) -> None:
    y = np.arange(80) % classes
    x = np.arange(80.0)[:, None]
    settings: Any = {"labels": labels, "rows": rows, "label_noise": 0.2, "class_weights": "balanced"}

    alone = from_arrays(x, y, **settings)
    task = from_arrays(np.concatenate([x, x]), np.concatenate([y, np.full(80, np.nan)]), **settings)

    assert {name: len(r) for name, r in task.splits.items() if name != "transfer"} == {
        name: len(r) for name, r in alone.splits.items() if name != "transfer"
    }
    assert task.splits["transfer"].tolist() == [*alone.splits["transfer"].tolist(), *range(80, 160)]
    assert (task.y[80:] == -1).all()
    assert (task.y[:80] != -1).all()
    assert (task.y[:80] != torch.from_numpy(y)).sum() == (alone.y != torch.from_numpy(y)).sum()


def test_labels_of_exactly_minus_1_and_1_are_two_classes() -> None:
    assert from_arrays(X, np.where(Y, 1, -1)).class_names == ("-1", "1")
    assert from_arrays(X, np.where(Y, 0, -1)).class_names == ("-1", "0")
    assert from_arrays(X, np.where(Y, 1.0, -1.0)).class_names == ("-1", "1")
    assert from_arrays(X, with_some(np.where(Y, 1.0, -1.0), np.nan)).class_names == ("-1", "1")


def test_a_teacher_learns_from_all_rows_that_have_a_label() -> None:
    task = from_arrays(X, with_some(Y, np.nan), labels=10)

    assert len(all_labels(task).splits["train"]) == 40 - len(task.splits["validation"]) - len(task.splits["test"])
    assert (task.targets(all_labels(task).splits["train"]) >= 0).all()


def test_rows_left_out_join_those_whose_labels_are_shown_or_hidden_as_theirs_are() -> None:
    shown = from_arrays(X, with_some(Y, np.nan), rows=12)
    hidden = from_arrays(X, with_some(Y, np.nan), rows=12, labels=6)

    assert len(with_reserve(shown).splits["train"]) == 12 + len(shown.splits["reserve"])
    assert len(with_reserve(hidden).splits["train"]) == 6


def test_test_rows_without_a_label_are_refused() -> None:
    with pytest.raises(InputError, match="20 of 60 test rows have no label; drop them, or put them among the training"):
        from_arrays(X, Y, X, with_some(Y, np.nan))


def test_rows_without_a_label_come_from_files_and_data_sets(tmp_path: Path) -> None:
    np.savez(tmp_path / "toy.npz", x=X, y=with_some(Y, np.nan))
    from_npz = open_task(str(tmp_path / "toy.npz"), seed=0, folder=tmp_path / "task")
    of_tensors = from_dataset(TensorDataset(torch.from_numpy(X), torch.from_numpy(with_some(Y, -1))))
    of_texts = from_dataset([(x, y) for x, y in zip(X, with_some(NAMES[Y], None), strict=True)])

    assert from_npz.splits["transfer"].tolist() == list(range(40, ROWS))
    assert of_tensors.digest == from_npz.digest
    assert of_texts.class_names == ("cat", "dog", "newt")
    assert split_sizes(of_texts)["transfer"] == 20


@pytest.mark.parametrize(
    "labels", [NAMES[Y], np.eye(3, dtype=np.uint8)[Y], Y.astype(np.float32), Y.astype(">i2"), Y == 1]
)
def test_labels_in_a_file_are_those_in_memory(labels: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", x=X, y=labels)

    task = open_task(str(tmp_path / "arrays.npz"), seed=0, folder=tmp_path / "task")

    assert task.digest == from_arrays(X, labels).digest
    assert task.class_names == from_arrays(X, labels).class_names


def test_the_study_says_what_else_stands_for_no_label(tmp_path: Path) -> None:
    def transfer(labels: Any, unlabelled: Any) -> list[int]:
        task = from_arrays(X, labels, unlabelled=unlabelled)
        assert len(task.class_names) == len(set(np.unique(task.y))) - 1
        return task.splits["transfer"].tolist()

    assert transfer(with_some(NAMES[Y], "?"), "?") == list(range(40, ROWS))
    assert transfer(with_some(Y, 255), 255) == list(range(40, ROWS))
    assert transfer(with_some(Y, 255), "255") == list(range(40, ROWS))
    assert transfer(with_some(with_some(NAMES[Y], "?"), "", slice(30, 40)), ["?", ""]) == list(range(30, ROWS))
    assert transfer(with_some(with_some(NAMES[Y], "?"), None, slice(30, 40)), "?") == list(range(30, ROWS))
    assert transfer(with_some(np.where(Y, 1, -1), 0), 0) == list(range(40, ROWS))
    assert transfer(Y, 2) == np.flatnonzero(Y == 2).tolist()


def test_null_makes_a_class_of_what_would_stand_for_no_label() -> None:
    assert from_arrays(X, Y - 1, unlabelled=None).class_names == ("-1", "0", "1")
    with pytest.raises(InputError, match=r"some labels are NaN or None, and task\.unlabelled is null"):
        from_arrays(X, with_some(Y, np.nan), unlabelled=None)


def test_a_label_that_no_row_has_stands_for_nothing() -> None:
    with pytest.raises(InputError, match=r"task\.unlabelled: no label of arrays is 'cats'; labels are cat, dog, newt"):
        from_arrays(X, NAMES[Y], unlabelled="cats")
    with pytest.raises(InputError, match="no label of arrays is '-1'; labels are 0, 1, 2"):
        from_arrays(X, Y, unlabelled=-1)
    with pytest.raises(
        InputError, match=r"task\.unlabelled: 0\.5 given; write a number, a text, a list of them, null for none"
    ):
        from_arrays(X, Y, unlabelled=0.5)  # type: ignore[arg-type]


def test_a_folder_of_images_without_a_label_is_named(tmp_path: Path) -> None:
    for i in range(ROWS):
        file = tmp_path / "pets" / NAMES[Y[i]] / f"{i:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), i).save(file)

    task = open_task({"data": str(tmp_path / "pets"), "unlabelled": "newt"}, seed=0, folder=tmp_path / "task")

    assert task.class_names == ("cat", "dog")
    assert task.splits["transfer"].tolist() == list(range(40, 60))


def test_a_class_without_a_label_is_named_by_number_or_by_name() -> None:
    for unlabelled in ("newt", 2, "2"):
        task = from_arrays(X, Y, class_names=("dog", "cat", "newt"), unlabelled=unlabelled)
        assert task.class_names == ("dog", "cat")
        assert task.splits["transfer"].tolist() == np.flatnonzero(Y == 2).tolist()
    task = from_arrays(X, Y, class_names=("unsorted", "dog", "cat"), unlabelled="unsorted")
    assert task.class_names == ("dog", "cat")
    assert task.y.tolist() == (Y - 1).tolist()


def test_a_class_may_be_named_nan_or_minus_1() -> None:
    assert from_arrays(X, Y - 1, class_names=("-1", "0", "1")).class_names == ("-1", "0", "1")
    assert from_arrays(X, np.array(["nan", "pita", "roti"])[Y], class_names=("roti", "nan", "pita")).num_outputs == 3
