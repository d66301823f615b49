"""Every source gives its rows in their order, whatever the source is made of."""

from __future__ import annotations

import gzip
import struct
import sys
import tracemalloc
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset, TensorDataset

from autokd.errors import InputError
from autokd.tasks import ArrayTask, from_arrays, from_dataset, open_task, sources

Array = np.ndarray[Any, Any]


def grey(rows: int = 60, *, classes: int = 3, size: int = 6) -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (rows, size, size), dtype=np.uint8), np.arange(rows) % classes


def all_inputs(task: ArrayTask) -> torch.Tensor:
    return task.inputs(torch.arange(task.num_rows))


def test_digits_are_1797_rows_in_order_with_a_test_split(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    task = open_task({"data": "digits", "labels": 100, "normalise": "unit"}, seed=3, folder=tmp_path / "task")

    assert {name: len(rows) for name, rows in task.splits.items()} == {
        "train": 100,
        "transfer": 1050,
        "validation": 288,
        "test": 359,
        "reserve": 0,
    }
    assert (task.input_shape, task.num_outputs, task.x.dtype) == ((1, 8, 8), 10, np.uint8)
    images, labels = load_digits(return_X_y=True)
    assert np.allclose(all_inputs(task).flatten(1), images / 16)
    assert task.y.tolist() == labels.tolist()


def write_npz(folder: Path, x: Array, y: Array) -> str:
    file = folder / "toy.npz"
    np.savez_compressed(file, x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:], classes=["a", "b", "c"])
    return str(file)


def write_idx(folder: Path, x: Array, y: Array) -> str:
    for name, rows, opened in (("train", slice(0, 40), gzip.open), ("t10k", slice(40, None), open)):
        end = ".gz" if opened is gzip.open else ""
        part_x, part_y = x[rows], y[rows].astype(np.uint8)
        with opened(folder / f"{name}-images-idx3-ubyte{end}", "wb") as stream:  # type: ignore[operator]
            stream.write(struct.pack(">HBB3I", 0, 8, 3, *part_x.shape) + part_x.tobytes())
        with opened(folder / f"{name}-labels-idx1-ubyte{end}", "wb") as stream:  # type: ignore[operator]
            stream.write(struct.pack(">HBBI", 0, 8, 1, len(part_y)) + part_y.tobytes())
    return str(folder)


def write_idx_prefix(folder: Path, x: Array, y: Array) -> str:
    return f"{write_idx(folder, x, y)}/train"


def write_idx_file(folder: Path, x: Array, y: Array) -> str:
    return f"{write_idx(folder, x, y)}/train-images-idx3-ubyte.gz"


def write_dataset(folder: Path, x: Array, y: Array) -> str:
    np.savez(folder / "arrays.npz", x=x, y=y)
    file = folder / "mine.py"
    file.write_text(f"""
import numpy, torch
from torch.utils.data import Subset, TensorDataset

def both():
    z = numpy.load({str(folder / "arrays.npz")!r})
    x, y = torch.from_numpy(z["x"]), torch.from_numpy(z["y"])
    return {{"train": TensorDataset(x[:40], y[:40]), "test": TensorDataset(x[40:], y[40:])}}
""")
    return f"{file}:both"


@pytest.mark.parametrize("write", [write_npz, write_idx, write_idx_prefix, write_idx_file, write_dataset])
def test_every_source_gives_the_rows_in_their_order(write: Callable[[Path, Array, Array], str], tmp_path: Path) -> None:
    x, y = grey()

    task = open_task({"data": write(tmp_path, x, y), "normalise": "none"}, seed=0, folder=tmp_path / "task")

    assert np.array_equal(all_inputs(task), x[:, None].astype(np.float32))
    assert task.y.tolist() == y.tolist()
    assert task.splits["test"].tolist() == list(range(40, 60))
    assert len(task.class_names) == 3


def test_a_folder_of_images_is_read_class_by_class_in_order_of_names(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    x = np.random.default_rng(0).integers(0, 256, (2, 8, 5, 4, 3), dtype=np.uint8)
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(8):
            image.fromarray(x[number, i]).save(tmp_path / "pets" / name / f"{i}.png")

    task = open_task({"data": str(tmp_path / "pets"), "normalise": "none"}, seed=0, folder=tmp_path / "task")

    assert task.class_names == ("cat", "dog")
    assert np.array_equal(all_inputs(task), x.reshape(16, 5, 4, 3).transpose(0, 3, 1, 2))
    assert task.y.tolist() == [0] * 8 + [1] * 8


def test_torchvision_data_sets_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Toy(TensorDataset):
        classes = ("a", "b", "c")

        def __init__(self, root: str, train: bool, download: bool) -> None:
            x, y = grey(60 if train else 12)
            super().__init__(torch.from_numpy(x), torch.from_numpy(y))

    datasets = types.ModuleType("torchvision.datasets")
    datasets.Toy = Toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)

    task = open_task("torchvision:Toy", seed=0, folder=tmp_path / "task")

    assert (task.name, task.class_names, len(task.splits["test"])) == ("toy", ("a", "b", "c"), 12)
    with pytest.raises(InputError, match="no data set 'Tox'; did you mean 'Toy'"):
        open_task("torchvision:Tox", seed=0, folder=tmp_path / "other")


@pytest.mark.slow
def test_fashion_mnist_is_read_whole_and_searched_in_part(shared: Path, tmp_path: Path) -> None:
    file = shared / "fashion_mnist" / "fashion_mnist.npz"

    task = open_task({"data": str(file), "rows": 6000, "validation": 2000}, seed=0, folder=tmp_path / "task")

    sizes = {name: len(rows) for name, rows in task.splits.items()}
    assert sizes == {"train": 6000, "transfer": 0, "validation": 2000, "test": 10_000, "reserve": 52_000}
    assert task.targets(task.splits["train"]).bincount().tolist() == [600] * 10
    assert task.class_names[-1] == "Ankle boot"


def test_cifar_images_come_out_normalised_as_a_pretrained_teacher_wants_them(shared: Path, tmp_path: Path) -> None:
    file = shared / "cifar10_lossless_5k" / "cifar10_lossless_5k.npz"
    normalise = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

    task = open_task({"data": str(file), "normalise": normalise}, seed=0, folder=tmp_path / "task")

    with np.load(file) as archive:
        raw = torch.from_numpy(archive["x_test"][:5]).permute(0, 3, 1, 2) / 255
    expected = (raw - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    found = task.inputs(task.splits["test"][:5])
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("shape", "sample"),
    [
        ((60, 7), (7,)),
        ((60, 5, 6), (1, 5, 6)),
        ((60, 15, 12, 3), (3, 15, 12)),
        ((60, 3, 5, 6), (3, 5, 6)),
        ((60, 1, 4, 4), (1, 4, 4)),
        ((60, 2, 5, 6), (2, 5, 6)),
        ((60, 1, 8, 8), (1, 8, 8)),
        ((60, 3, 32, 32), (3, 32, 32)),
        ((60, 28, 28, 1), (1, 28, 28)),
        ((60, 16, 16, 4), (4, 16, 16)),
        ((60, 24, 32, 3), (3, 24, 32)),
        ((60, 16, 5, 5), (16, 5, 5)),
    ],
)
def test_layouts_are_told_by_shape(shape: tuple[int, ...], sample: tuple[int, ...]) -> None:
    assert from_arrays(np.ones(shape), grey()[1]).input_shape == sample


@pytest.mark.parametrize(
    "shape",
    [
        (60, 16, 4, 4),
        (60, 16, 8, 4),
        (60, 64, 1, 1),
        (60, 32, 3, 3),
        (60, 5, 6, 3),
        (60, 3, 4, 4),
        (60, 3, 5, 3),
        (60, 1, 100, 3),
        (60, 64, 64, 12),
    ],
)
def test_a_layout_that_the_shape_leaves_open_is_asked_for(shape: tuple[int, ...]) -> None:
    _, a, b, c = shape
    readings = rf"may be {a} channel\(s\) of {b}x{c} pixels or {c} channel\(s\) of {a}x{b} pixels"
    with pytest.raises(InputError, match=rf"{readings}; write layout: channels_first for the one"):
        from_arrays(np.ones(shape), grey()[1])

    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    first = from_arrays(x, grey()[1], layout="channels_first", normalise="none")
    last = from_arrays(x, grey()[1], layout="channels_last", normalise="none")
    assert np.array_equal(all_inputs(first), x)
    assert np.array_equal(all_inputs(last), x.transpose(0, 3, 1, 2))


def test_a_layout_may_be_given_where_one_is_likely(tmp_path: Path) -> None:
    x = np.ones((60, 28, 28, 1), np.float32)
    np.savez(tmp_path / "toy.npz", x=x, y=grey()[1])
    turned = {"data": str(tmp_path / "toy.npz"), "layout": "channels_first"}

    assert open_task(turned, seed=0, folder=tmp_path / "task").input_shape == (28, 28, 1)
    assert from_dataset(TensorDataset(torch.from_numpy(x), torch.from_numpy(grey()[1])), layout="channels_last")
    with pytest.raises(InputError, match=r"task\.layout: channels_last is for images of shape"):
        from_arrays(x[..., 0], grey()[1], layout="channels_last")


def test_images_of_pillow_in_a_data_set_know_their_layout() -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 4, 5, 3), dtype=np.uint8)
    images = [(Image.fromarray(each), int(y)) for each, y in zip(x, grey()[1], strict=True)]

    assert np.array_equal(from_dataset(images).x, x.transpose(0, 3, 1, 2))
    with pytest.raises(InputError, match="channels_first given, but dataset is known to be channels_last"):
        from_dataset(images, layout="channels_first")


def test_rows_that_the_data_keep_for_validation_are_used(tmp_path: Path) -> None:
    x, y = grey()
    np.savez(tmp_path / "toy.npz", x_train=x[:40], y_train=y[:40], x_val=x[40:50], y_val=y[40:50])

    task = open_task(str(tmp_path / "toy.npz"), seed=0, folder=tmp_path / "task")

    assert task.splits["validation"].tolist() == list(range(40, 50))
    assert sorted(torch.cat([task.splits["train"], task.splits["test"]]).tolist()) == list(range(40))


def test_a_reference_to_a_task_gives_that_task(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text("""
import numpy
from autokd.tasks import from_arrays
task = from_arrays(numpy.eye(40), numpy.arange(40) % 2, labels=8)
""")

    task = open_task(f"{tmp_path}/made.py:task", seed=0, folder=tmp_path / "task")

    assert len(task.splits["train"]) == 8


def test_arrays_tensors_and_datasets_make_the_same_task() -> None:
    x, y = grey()
    tensors = torch.from_numpy(x), torch.from_numpy(y)

    digests = {
        from_arrays(x[:40], y[:40], x[40:], y[40:]).digest,
        from_arrays(tensors[0][:40], tensors[1][:40], tensors[0][40:], tensors[1][40:]).digest,
        from_dataset(Subset(TensorDataset(*tensors), range(40)), Subset(TensorDataset(*tensors), range(40, 60))).digest,
    }

    assert len(digests) == 1


def test_data_are_never_in_memory_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_CHUNK_BYTES", 500_000)
    x = np.zeros((5000, 64, 64), np.uint8)  # 20 MB
    x[:, 0, 0] = np.arange(5000) % 251
    np.savez_compressed(tmp_path / "large.npz", x=x, y=np.arange(5000) % 2)
    digest = from_arrays(x, np.arange(5000) % 2).digest
    del x

    tracemalloc.start()
    task = open_task(str(tmp_path / "large.npz"), seed=0, folder=tmp_path / "task")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert isinstance(task.x, np.memmap)
    assert peak < 5e6
    assert task.digest == digest
