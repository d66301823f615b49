"""Files of .npy, .npz and idx that claim more than they hold are refused, as are links to endless files."""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from autokd.errors import InputError
from autokd.npy import open_npy
from autokd.tasks import open_task


def npy(shape: object, dtype: str = "<f4", *, fortran: object = False, body: bytes = bytes(400)) -> bytes:
    """A .npy file with any header."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': {fortran!r}, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


LABELS = npy((100,), "<i8", body=(np.arange(100) % 2).tobytes())
HEADERS = {
    "terabytes": npy((10**12, 3)),
    "more than any machine has": npy((10**30, 10**30)),
    "a little too much": npy((101,)),
    "negative": npy((-5, 3)),
    "both negative": npy((-10, -10)),
    "true": npy((True, 3)),
    "dimensions": npy((1,) * 70),
    "nested": npy("(" * 900 + ")" * 900),
    "no text": npy("\0"),
    "half": npy((3,))[:20],
    "objects": npy((3,), "|O"),
    "long texts": npy((5,), "<U1000000000"),
    "no order": npy((3,), fortran=[]),
    "no type": npy((3,), "what"),
    "nothing": b"",
}


@pytest.mark.parametrize("name", HEADERS)
def test_an_array_that_claims_what_is_not_there_is_a_value_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.npy").write_bytes(HEADERS[name])
    with pytest.raises(ValueError, match=r"."):
        open_npy(tmp_path / "x.npy")


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.zeros((0, 4)), np.array(3), np.array(["a", "é"])])
def test_an_array_is_read_as_it_was_written(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", array)
    assert np.array_equal(open_npy(tmp_path / "x.npy"), array)
    assert open_npy(tmp_path / "x.npy").dtype == array.dtype


def refusal(data: Path, max_gb: float = 20.0) -> str:
    with pytest.raises(InputError) as caught:
        open_task({"data": str(data), "max_gb": max_gb}, seed=0, folder=data.parent / "task")
    assert not (data.parent / "task").exists()
    return str(caught.value)


def npz(folder: Path, **arrays: bytes) -> Path:
    with zipfile.ZipFile(folder / "data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return folder / "data.npz"


ARCHIVES = {
    "terabytes": ({"x": npy((100, 10**12))}, "task.max_gb: data would take 4e+05 GB, more than 20"),
    "columns first": ({"x": npy((100, 10**12), fortran=True)}, "task.max_gb: data would take 4e+05 GB"),
    "gigabytes": ({"x": npy((100, 10**7))}, "is cut short"),
    "gigabytes, columns first": ({"x": npy((100, 10**7), fortran=True)}, "is cut short"),
    "negative": ({"x": npy((100, -5))}, "its header says that the shape is (100, -5)"),
    "negative rows": ({"x": npy((-100, 5))}, "its header says that the shape is (-100, 5)"),
    "labels": ({"y": npy((10**13,))}, "task.max_gb: DATA, y would take 4e+04 GB"),
    "fewer labels": ({"y": npy((10**9,))}, "DATA is cut short"),
    "classes": ({"classes": npy((10**13,))}, "task.max_gb: DATA, classes would take 4e+04 GB"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_claims_more_than_it_holds_is_refused_before_memory_is_taken(tmp_path: Path, name: str) -> None:
    arrays, words = ARCHIVES[name]
    path = npz(tmp_path, **{"x": npy((100, 1)), "y": LABELS} | arrays)
    assert words.replace("DATA", str(path)) in refusal(path)


def test_labels_that_are_packed_a_thousandfold_count_as_what_they_unpack_to(tmp_path: Path) -> None:
    path = npz(tmp_path, x=npy((100, 1)), y=npy((5_000_000,), body=bytes(20_000_000)))
    assert path.stat().st_size < 100_000
    assert "y would take 0.02 GB, more than 0.01" in refusal(path, max_gb=0.01)


def idx(folder: Path, images: tuple[int, ...], labels: tuple[int, ...], ending: str = "") -> Path:
    for name, shape in {f"images-idx3-ubyte{ending}": images, f"labels-idx1-ubyte{ending}": labels}.items():
        content = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + bytes(400)
        (folder / f"train-{name}").write_bytes(gzip.compress(content) if ending else content)
    return folder / f"train-images-idx3-ubyte{ending}"


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("images", "labels"),
    [((2**32 - 1,) * 3, (100,)), ((100, 2, 2), (2**32 - 1,)), ((100, 2, 2), (2**32 - 1,) * 255)],
    ids=["images", "labels", "dimensions"],
)
def test_idx_files_that_claim_more_than_they_hold_are_refused(
    tmp_path: Path, images: tuple[int, ...], labels: tuple[int, ...], ending: str
) -> None:
    assert "is cut short" in refusal(idx(tmp_path, images, labels, ending))


def test_idx_labels_count_as_what_they_unpack_to(tmp_path: Path) -> None:
    images = idx(tmp_path, (100, 2, 2), (100,), ".gz")
    header = struct.pack(">HBBI", 0, 8, 1, 20_000_000)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + bytes(20_000_000)))
    assert "would take 0.02 GB, more than 0.01" in refusal(images, max_gb=0.01)


def test_a_device_or_a_pipe_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "zeros.npz").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.npz")
    for name in ("zeros.npz", "pipe.npz"):
        assert f"{name} cannot be read: a device or a pipe, and no file" in refusal(tmp_path / name)
