"""Bad data are refused in one line before a teacher is asked, and nothing is left behind."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import refused_search

ROWS = 60
X = np.random.default_rng(0).normal(size=(ROWS, 5)).astype("float32")
Y = np.arange(ROWS) % 3
WITH_NAN, WITH_INFINITY = X.copy(), X.copy()
WITH_NAN[7, 1], WITH_INFINITY[8, 2] = np.nan, np.inf

ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "a NaN": ({"x": WITH_NAN, "y": Y}, "train row 7 holds NaN or infinity"),
    "an infinity": ({"x": WITH_INFINITY, "y": Y}, "train row 8 holds NaN or infinity"),
    "one class": ({"x": X, "y": 0 * Y}, "all training labels are 0; classification needs two classes or more"),
    "soft labels": ({"x": X, "y": np.eye(3)[Y] * 0.7 + 0.1}, "holds shares of several classes, which are no labels"),
    "no labels at all": ({"x": X, "y": np.full(ROWS, np.nan)}, "no training row has a label"),
    "test rows without a label": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": np.where(Y, Y, np.nan)},
        "20 of 60 test rows have no label; drop them",
    ),
    "objects": ({"x": X.astype(object), "y": Y}, "holds pickled objects, which are never read"),
    "object labels": ({"x": X, "y": Y.astype(object)}, "holds pickled objects, which are never read"),
    "text inputs": ({"x": X.astype(str), "y": Y}, "give numbers, such as uint8 or float32"),
    "maps": (
        {"x": np.ones((ROWS, 16, 4, 4)), "y": Y},
        "may be 16 channel(s) of 4x4 pixels or 4 channel(s) of 16x4 pixels; write layout: channels_first",
    ),
    "no labels": ({"x": X}, "has no array 'y' (it has x)"),
    "other names": ({"images": X, "labels": Y}, "has no array 'x' (it has images, labels)"),
    "too few labels": ({"x": X, "y": Y[:-1]}, "60 rows of inputs but labels of shape (59,)"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, "the data have no training rows"),
    "too few rows": ({"x": X[:3], "y": Y[:3]}, "class '0' has 1 row(s) left to draw from"),
    "one number a row": ({"x": X[:, 0], "y": Y}, "train inputs have shape (60,)"),
    "an empty validation split": (
        {"x_train": X, "y_train": Y, "x_validation": X[:0], "y_validation": Y[:0]},
        "the validation split has no rows",
    ),
    "an empty test split": (
        {"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]},
        "the test split has no rows",
    ),
    "test rows of another shape": (
        {"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y},
        "test rows are 3 float32 but training rows are 5 float32",
    ),
    "an unknown test class": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
        "test label 3 is of no training row",
    ),
    "too few class names": ({"x": X, "y": Y, "classes": np.array(["a", "b"])}, "label 2 is out of range"),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays_that_make_no_task_are_refused(tmp_path: Path, what: str) -> None:
    arrays, words = ARRAYS[what]
    np.savez(tmp_path / "data.npz", **arrays)
    assert words in refused_search(tmp_path, {"task": {"data": str(tmp_path / "data.npz")}})


def cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def one_byte_changed(whole: bytes) -> bytes:
    return whole[:300] + bytes([whole[300] ^ 255]) + whole[301:]


def nothing(whole: bytes) -> bytes:
    return b""


def a_pickle(whole: bytes) -> bytes:
    return pickle.dumps({"x": 1})


@pytest.mark.parametrize("damage", [cut, one_byte_changed, nothing, a_pickle])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Any) -> None:
    file = tmp_path / "data.npz"
    np.savez(file, x=X, y=Y)
    file.write_bytes(damage(file.read_bytes()))
    said = refused_search(tmp_path, {"task": {"data": str(file)}})
    assert f"{file} is cut short or not of the kind its name says" in said


SECTIONS: list[tuple[Any, str]] = [
    ({"data": "nothere.npz"}, "nothere.npz cannot be read: No such file or directory"),
    ({"data": "./nothere"}, "./nothere is neither a file nor a folder"),
    ({"data": "digit"}, "task.data: 'digit' is unknown; did you mean 'digits'?"),
    ({"data": "numpy:pi"}, "give a map-style torch Dataset"),
    ({"data": "numpy:sqrt"}, "task: calling 'numpy:sqrt' failed: TypeError"),
    ({"data": "digits", "labels": 5000}, "task.labels: 5000 cannot be drawn from 1150 rows"),
    ({"data": "digits", "labels": 5}, "give a count of 10 to 1150, at least one a class"),
    ({"data": "digits", "labels": 0}, "task.labels: 0 given; write a count"),
    ({"data": "digits", "labels": "all"}, "task.labels: 'all' given; write a count"),
    ({"data": "digits", "validation": 1800}, "task.validation: 1800 cannot be drawn"),
    ({"data": "digits", "label_noise": 1.0}, "task.label_noise: 1.0 given; it should be less than 1"),
    ({"data": "digits", "class_weights": [1, 2]}, "task.class_weights: 2 weight(s) for 10 classes"),
    ({"data": "digits", "augment": {"crop": 9}}, "task.augment.crop: 9 pixels of images 8x8 leave nothing"),
    ({"data": "digits", "augment": {"flp": True}}, "task.augment.flp: there is no such key; did you mean 'flip'?"),
    ({"data": "digits", "max_gb": 1e-6}, "task.max_gb: digits would take 0.000115 GB, more than 1e-06"),
    ({"labels": 60}, "task.data: this key is missing; write digits, a .npz file"),
    (["digits"], "task: ['digits'] given; write {data: digits, labels: 100}"),
]


@pytest.mark.parametrize(("section", "words"), SECTIONS, ids=[str(section) for section, _ in SECTIONS])
def test_a_section_that_names_no_task_is_refused(tmp_path: Path, section: Any, words: str) -> None:
    assert words in refused_search(tmp_path, {"task": section})
