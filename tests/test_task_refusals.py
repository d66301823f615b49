"""Data that cannot become a task are refused in one line that says what to do."""

from __future__ import annotations

import gzip
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset, TensorDataset

from autokd.errors import InputError
from autokd.tasks import from_arrays, from_dataset, load_task, open_task

Array = np.ndarray[Any, Any]
X = np.random.default_rng(0).integers(0, 256, (60, 6, 6), dtype=np.uint8)
Y = np.arange(60) % 3


def with_nan() -> Array:
    x = X.astype(np.float32)
    x[17, 2, 2] = np.nan
    return x


BAD_ARRAYS: list[tuple[str, dict[str, Any], str]] = [
    ("lengths differ", {"y_train": Y[:50]}, r"60 rows of inputs but labels of shape \(50,\)"),
    ("two classes a row", {"y_train": 1 - np.eye(3)[Y]}, r"row 0 of labels of shape \(60, 3\) holds no single 1"),
    ("NaN", {"x_train": with_nan()}, "row 17 holds NaN or infinity"),
    ("too large for float32", {"x_train": X.astype(np.float64) * 1e300}, "holds NaN or infinity"),
    ("no rows", {"x_train": X[:0], "y_train": Y[:0]}, "no training rows"),
    ("text inputs", {"x_train": X.astype(str)}, "give numbers"),
    ("one dimension", {"x_train": X[:, 0, 0]}, r"inputs have shape \(60,\)"),
    ("five dimensions", {"x_train": X[:, None, None]}, "inputs have shape"),
    ("no features", {"x_train": np.ones((60, 0))}, r"inputs have shape \(60, 0\)"),
    ("one class", {"y_train": 0 * Y}, "needs two classes or more"),
    ("labels with fractions", {"y_train": Y / 2, "heads": "classes"}, "labels are of type float64; give whole numbers"),
    ("label out of range", {"class_names": ("a", "b")}, "label 2 is out of range: there are 2 class names, for 0 .. 1"),
    ("negative label", {"class_names": ("a", "b", "c"), "y_train": Y - 1}, "label -1 is out of range"),
    ("class without rows", {"class_names": ("a", "b", "c", "d")}, "class 'd' has no training rows"),
    ("rare class", {"y_train": np.where(np.arange(60) < 2, 7, Y)}, r"class '7' has 2 row\(s\) left .* drop the class"),
    ("test without labels", {"x_test": X}, "go together"),
    (
        "test of another shape",
        {"x_test": X[:, :5], "y_test": Y},
        "test rows are 1x5x6 uint8 but training",
    ),
    ("test of another type", {"x_test": X / 255, "y_test": Y}, "test rows are 1x6x6 float32"),
    ("class only in test", {"x_test": X, "y_test": Y + 1}, "test label 3 is of no training row"),
    ("empty test", {"x_test": X[:0], "y_test": Y[:0]}, "the test split has no rows"),
    (
        "too many labels",
        {"labels": 1000},
        "task.labels: 1000 cannot be drawn from 38 rows of 3 classes; give a count of 3 to 38",
    ),
    ("fewer labels than classes", {"labels": 2}, "task.labels: 2 cannot be drawn"),
    ("a sliver of labels", {"labels": 0.001}, "task.labels: 0.001 of 38 rows, which is 0, cannot be drawn"),
    ("all rows to validation", {"validation": 48}, "task.validation: 48 cannot be drawn from 48 rows"),
    ("too many rows", {"rows": 1000}, "task.rows: 1000 cannot be drawn"),
    (
        "too few labels for validation",
        {"labels": 3, "validation_from": "labels"},
        r"task.validation: class '0' has 1 row\(s\)",
    ),
    ("labels not a number", {"labels": "many"}, "task.labels: 'many' given; write a count"),
    ("labels true", {"labels": True}, "task.labels: true given; write a count"),
    ("validation of nothing", {"validation": 0}, "task.validation: 0 given; write a count"),
    ("noise of everything", {"label_noise": 1.0}, "task.label_noise: 1.0 given; it should be less than 1"),
    ("negative seed", {"seed": -1}, "seed: -1 is negative"),
    ("too large", {"max_gb": 1e-9}, "task.max_gb: arrays would take 2.16e-06 GB, more than 1e-09"),
    ("weights of other classes", {"class_weights": [1.0, 2.0]}, r"2 weight\(s\) for 3 classes"),
    ("normalise misspelt", {"normalise": "standart"}, "task.normalise: 'standart' given; it should be 'standard'"),
    ("means of other channels", {"normalise": {"mean": [0.0] * 3, "std": [1.0] * 3}}, r"3 mean\(s\) .* 1 channel"),
    (
        "means alone",
        {"normalise": {"mean": [0.0]}},
        "task.normalise.std: this key is missing; write a list of numbers > 0",
    ),
    ("augment misspelt", {"augment": {"flop": True}}, "task.augment.flop: there is no such key; did you mean 'flip'"),
    ("views all alike", {"augment": {"views": 3}}, "task.augment: the 3 views would all be alike; add flip"),
    ("crop of everything", {"augment": {"crop": 6}}, "crop: 6 pixels of images 6x6 leave nothing; give at most 5"),
    ("flipped features", {"x_train": X.reshape(60, 36), "augment": {"flip": True}}, "need images"),
]


@pytest.mark.parametrize(("given", "message"), [each[1:] for each in BAD_ARRAYS], ids=[each[0] for each in BAD_ARRAYS])
def test_bad_arrays_and_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        from_arrays(**{"x_train": X, "y_train": Y, **given})

    assert "\n" not in str(caught.value)


def truncated(file: Path) -> None:
    np.savez(file, x_train=X, y_train=Y)
    file.write_bytes(file.read_bytes()[:1000])


def damaged_inside(file: Path) -> None:
    np.savez_compressed(file, x=X, y=Y)
    held = bytearray(file.read_bytes())
    held[300:900] = bytes(600)
    file.write_bytes(held)


def pickled(file: Path) -> None:
    np.savez(file, x=np.array([{}] * 60, dtype=object), y=Y)


def pickled_labels(file: Path) -> None:
    np.savez(file, x=X, y=Y.astype(object))


BAD_NPZ: list[tuple[Callable[[Path], object], str]] = [
    (lambda file: None, "No such file"),
    (truncated, "cut short or not of the kind"),
    (damaged_inside, "cut short or not of the kind"),
    (lambda file: file.write_bytes(pickle.dumps("trojan")), "cut short or not of the kind"),
    (lambda file: file.touch(), "cut short or not of the kind"),
    (pickled, "holds pickled objects, which are never read"),
    (pickled_labels, "holds pickled objects, which are never read"),
    (lambda file: np.savez(file, images=X, labels=Y), r"has no array 'x' \(it has images, labels\)"),
    (lambda file: np.savez(file, x_train=X), "has no array 'y_train'"),
    (lambda file: np.savez(file, x_train=X, y_train=Y, x_test=X), "has no array 'y_test'"),
    (lambda file: np.savez(file, x=X, y=Y[:7]), "60 rows of inputs"),
    (lambda file: file.mkdir(), "cannot be read"),
]


@pytest.mark.parametrize(("write", "message"), BAD_NPZ)
def test_bad_npz_files_are_refused_and_leave_nothing(
    write: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    write(tmp_path / "bad.npz")

    with pytest.raises(InputError, match=message):
        open_task(str(tmp_path / "bad.npz"), seed=0, folder=tmp_path / "task")

    assert [each.name for each in tmp_path.iterdir() if each.name != "bad.npz"] == []


def test_bad_idx_files_are_refused(tmp_path: Path) -> None:
    images, labels = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte.gz"

    def message() -> str:
        with pytest.raises(InputError) as caught:
            open_task(str(tmp_path), seed=0, folder=tmp_path / "task")
        return str(caught.value)

    images.write_bytes(b"\0\0\x08\x03" + bytes([0, 0, 0, 60, 0, 0, 0, 6, 0, 0, 0, 6]) + X.tobytes()[:-1])
    assert "labels-idx1-ubyte[.gz] is missing" in message()
    labels.write_bytes(b"not gzip")
    assert "cut short or not of the kind" in message()
    labels.write_bytes(gzip.compress(b"\0\0\x08\x01" + bytes([0, 0, 0, 59]) + Y.astype(np.uint8).tobytes()))
    assert "60 rows of inputs but labels of shape (59,)" in message()
    labels.write_bytes(gzip.compress(b"\0\0\x08\x01" + bytes([0, 0, 0, 60]) + Y.astype(np.uint8).tobytes()))
    assert f"{images} is cut short" in message()
    images.write_bytes(b"hello, I am text")
    assert "no idx header" in message()


def test_bad_folders_of_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "pets"

    def message() -> str:
        with pytest.raises(InputError) as caught:
            open_task(str(folder), seed=0, folder=tmp_path / "task")
        return str(caught.value)

    folder.mkdir()
    assert "has neither images in folders class/name.png nor idx files; put the images so" in message()
    (folder / "pets.npz").touch()
    assert message().endswith(f"nor idx files; name {folder / 'pets.npz'}, which lies there")
    for name in ("train/cat", "train/dog", "test/cow"):
        (folder / name).mkdir(parents=True)
        for i in range(5):
            image.fromarray(X[i]).save(folder / name / f"{i}.png")
    assert "has the class 'cow'" in message()
    (folder / "test").rename(tmp_path / "elsewhere")
    image.fromarray(X[0, :5]).save(folder / "train/dog/3.png")
    assert "dog/3.png has shape (5, 6)" in message()
    (folder / "train/dog/3.png").write_bytes(b"no image")
    assert "dog/3.png cannot be read" in message()
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert "pip install 'autokd[images]'" in message()


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([])


class Odd(TensorDataset):
    def __getitem__(self, index: Any) -> Any:
        return torch.zeros(2 if index == 30 else 3), Y[index]


BAD_DATASETS: list[tuple[object, str]] = [
    (Stream(), "give a map-style torch Dataset"),
    ([], "has no samples"),
    (TensorDataset(torch.zeros(60, 3)), r"sample 0 is of type tuple; give a pair \(input, label\)"),
    (TensorDataset(torch.zeros(60, 3), torch.zeros(60, 2, 2)), r"has a label of shape \(2, 2\); give one class number"),
    (TensorDataset(torch.zeros(60, 3), torch.zeros(60, 4)), r"row 0 of labels of shape \(60, 4\) holds no single 1"),
    (Odd(torch.zeros(60)), r"sample 30 is \(2,\) float32, sample 0 is \(3,\) float32; resize"),
]


@pytest.mark.parametrize(("dataset", "message"), BAD_DATASETS)
def test_bad_datasets_are_refused(dataset: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_dataset(dataset)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "task.data: 'digit' is unknown; did you mean 'digits'?"),
        ("nowhere/data", "task.data: nowhere/data is neither a file nor a folder; write digits, a .npz file"),
        (__file__.removesuffix(".py") + "_no.csv", "is neither a file nor a folder"),
        ("no_such_module:data", "no task is named 'no_such_module:data'"),
        ("torchvision:CIFAR10", "torchvision is missing; run: pip install 'autokd[torchvision]'"),
        ("numpy:sum.__missing__", "has no 'sum.__missing__'"),
        ("numpy:sqrt", "calling 'numpy:sqrt' failed: TypeError"),
        ("sys:exit", "'sys' is a module of Python itself"),
        ("numpy", "'numpy, train' is of type module; give a map-style torch Dataset"),
        ({"data": "digits", "lables": 100}, "task.lables: there is no such key; did you mean 'labels'?"),
        ({"data": "digits", "zzz": 100}, "task.zzz: there is no such key; known: data, text, target"),
        ({"labels": 100}, "task.data: this key is missing; write digits, a .npz file"),
        ({"data": 3}, "task.data: 3 given; it should be text"),
        (7, "task: 7 given; it should be a mapping {key: value}"),
    ],
)
def test_bad_specs_are_refused(spec: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)

    with pytest.raises(InputError) as caught:
        open_task(spec, seed=0, folder=tmp_path / "task")

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_task_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no task \(no task.json\)"):
        load_task(tmp_path)
