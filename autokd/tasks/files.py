"""Reads data in files: .npz archives and idx files, in chunks. Nothing is ever unpickled."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from autokd.errors import InputError, said
from autokd.npy import GROWS_AT_MOST, npy_header, npz_array, npz_stream, num_bytes
from autokd.tasks.labels import label_name, one_a_row
from autokd.tasks.sources import Array, Part, RawTargets, Source, rows_in_chunk
from autokd.tasks.targets import Asked, part_of, row_targets

PARTS = {"train": ["train"], "validation": ["validation", "val"], "test": ["test"]}
_NOT_DATA = ("__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini", "lost+found")
_IDX_NAME = re.compile(r"(?P<prefix>.*)-images-idx[34]-ubyte(\.gz)?")
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def npz(file: Path, *, max_gb: float, asked: Asked = None) -> Source:
    """A source from the arrays x_train and y_train, or x and y, of an .npz file.

    The arrays x_test, y_test, x_validation, y_validation and classes are optional. For several heads, there is an array
    for each in place of y_train, such as y_train_digit and y_train_size, and likewise of the others.

    Raises:
        InputError: the file cannot be read, is no .npz, is cut short, holds pickled objects or lacks an array; or its
            labels would take more than `max_gb`. The size of its inputs is checked when they are collected.
    """
    with readable(file), zipfile.ZipFile(file) as archive:
        keys = {name.removesuffix(".npy") for name in archive.namelist()}
        named = {part: [name for name in names if f"x_{name}" in keys] for part, names in PARTS.items()}
        pairs = {part: (f"x_{names[0]}", f"y_{names[0]}") for part, names in named.items() if names}
        if "train" not in pairs:
            pairs = {"train": ("x", "y"), **pairs}
        heads = {y: _heads_of(y, keys) for _, y in pairs.values() if y not in keys}
        wanted = [key for x, y in pairs.values() for key in (x, *(heads.get(y) or [y]))]
        for key in wanted:
            if key not in keys:
                raise InputError(
                    f"{file} has no array '{key}' (it has {', '.join(sorted(keys)) or 'none'}); save x_train, y_train "
                    "and perhaps x_test, y_test, or x and y"
                )
        parts = {
            part: _npz_part(file, archive, x, y, heads.get(y, []), max_gb, asked) for part, (x, y) in pairs.items()
        }
        classes = _npz_labels(file, archive, "classes", max_gb).ravel().tolist() if "classes" in keys else []
    return Source(file.stem, parts, tuple(label_name(each) or str(each) for each in classes), stamp([file]))


def idx(prefix: Path, *, max_gb: float) -> Source:
    """A source from files like MNIST's: <prefix>-images-idx3-ubyte[.gz] and <prefix>-labels-idx1-ubyte[.gz].

    If the prefix ends in "train" and there are files with "t10k" or "test" in its place, these are the test rows.

    Raises:
        InputError: a file is missing, cut short or no idx file; or its labels would take more than `max_gb`.
    """
    parts = {"train": _idx_files(prefix)}
    for other in ("t10k", "test"):
        beside = prefix.with_name(re.sub("train$", other, prefix.name))
        if beside != prefix and _idx_file(beside, "images") is not None:
            parts["test"] = _idx_files(beside)
    found = {name: _idx_part(*files, max_gb) for name, files in parts.items()}
    name = prefix.name.removesuffix("train").strip("-") or prefix.absolute().parent.name
    return Source(name, found, fingerprint=stamp([file for files in parts.values() for file in files]))


def idx_prefix(path: Path) -> Path | None:
    """The prefix for `idx`, from a folder of idx files, one of the files, or their prefix; None if there are none."""
    if os.path.isdir(path):
        prefixes = sorted({match["prefix"] for each in listed(path) if (match := _IDX_NAME.fullmatch(each.name))})
        training = [each for each in prefixes if each.endswith("train")]
        return path / training[0] if len(training) == 1 else None
    match = _IDX_NAME.fullmatch(path.name)
    prefix = path.with_name(match["prefix"]) if match else path
    return prefix if _idx_file(prefix, "images") is not None else None


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turns any error while reading a file into one line about it."""
    try:
        if not stat.S_ISREG(mode := file.stat().st_mode) and not stat.S_ISDIR(mode):
            raise OSError("a device or a pipe, and no file")
        yield
    except InputError:
        raise
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, struct.error, RuntimeError):
        raise InputError(f"{file} is cut short or not of the kind its name says; copy or download it again") from None
    except OSError as error:
        reason = error.strerror or said(error)
        raise InputError(f"{file} cannot be read: {reason}; check the path and its permissions") from None
    except ValueError as error:
        if "Object arrays" in said(error):
            raise InputError(
                f"{file} holds pickled objects, which are never read; save plain arrays of numbers"
            ) from None
        raise InputError(f"{file} cannot be read: {said(error)}; write it again") from None


def listed(folder: Path) -> list[Path]:
    """The files and folders in a folder, by name, except those that an operating system or editor keeps for itself."""
    return sorted(each for each in folder.iterdir() if not each.name.startswith(".") and each.name not in _NOT_DATA)


def stamp(files: list[Path]) -> str:
    """A digest that changes when a file is replaced, moved or rewritten, from names, folders, sizes and times."""
    digest = hashlib.sha256()
    for file in files:
        with readable(file):
            status = file.stat()
        name = "/".join(file.parts[-3:])  # the folders of an image are its part and class
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _heads_of(y: str, keys: Collection[str]) -> list[str]:
    """The arrays with the targets of several heads in place of an array `y`; those of other parts are left out."""
    parts = [f"y_{name}" for names in PARTS.values() for name in names]
    others = [part for part in parts if part != y and not y.startswith(part)]
    return sorted(key for key in keys if key.startswith(f"{y}_") and not any(key.startswith(part) for part in others))


def _npz_part(
    file: Path, archive: zipfile.ZipFile, x: str, y: str, heads: list[str], max_gb: float, asked: Asked
) -> Part:
    given = {key.removeprefix(f"{y}_"): _npz_labels(file, archive, key, max_gb) for key in heads}
    targets = given or _npz_labels(file, archive, y, max_gb)
    with npz_stream(archive, x) as stream:
        shape, fortran, dtype = npy_header(stream)
    labels = row_targets(f"{file}, {x} and {y}", shape[0] if shape else 0, targets, asked)
    step = rows_in_chunk(shape, dtype)

    def chunks() -> Iterator[tuple[Array, RawTargets]]:
        with readable(file), zipfile.ZipFile(file) as again:
            if fortran:  # the columns come first, so no row is complete before the last column
                yield npz_array(again, x), labels
                return
            with npz_stream(again, x) as stream:
                npy_header(stream)
                for start in range(0, shape[0], step):
                    rows = min(step, shape[0] - start)
                    yield _read_rows(stream, (rows, *shape[1:]), dtype), part_of(labels, start, start + rows)

    return Part(shape, dtype, chunks)


def _npz_labels(file: Path, archive: zipfile.ZipFile, key: str, max_gb: float) -> Array:
    with npz_stream(archive, key) as stream:
        shape, _, dtype = npy_header(stream)
    _refuse_large(f"{file}, {key}", num_bytes(shape, dtype), max_gb)
    return npz_array(archive, key)


def _refuse_large(name: str, size: int, max_gb: float) -> None:
    if size / 1e9 > max_gb:
        raise InputError(
            f"task.max_gb: {name} would take {size / 1e9:.3g} GB, more than {max_gb:g}; raise it or give less data"
        )


def _idx_files(prefix: Path) -> tuple[Path, Path]:
    found = _idx_file(prefix, "images"), _idx_file(prefix, "labels")
    if found[0] is None or found[1] is None:
        raise InputError(f"{prefix}-labels-idx1-ubyte[.gz] is missing; put it beside the images")
    return found[0], found[1]


def _idx_file(prefix: Path, what: str) -> Path | None:
    kinds = ("idx3", "idx4") if what == "images" else ("idx1",)
    names = [f"{prefix.name}-{what}-{kind}-ubyte{end}" for kind in kinds for end in ("", ".gz")]
    return next((prefix.with_name(name) for name in names if os.path.isfile(prefix.with_name(name))), None)


def _idx_part(images_file: Path, labels_file: Path, max_gb: float) -> Part:
    shape, dtype = _idx_shape(images_file)
    label_shape, label_dtype = _idx_shape(labels_file)
    _refuse_large(str(labels_file), num_bytes(label_shape, label_dtype), max_gb)
    with _idx_stream(labels_file) as stream:
        labels = one_a_row(
            f"{images_file} and {labels_file.name}", shape[0], _read_rows(stream, label_shape, label_dtype)
        )
    step = rows_in_chunk(shape, dtype)

    def chunks() -> Iterator[tuple[Array, RawTargets]]:
        with _idx_stream(images_file) as stream:
            for start in range(0, shape[0], step):
                rows = min(step, shape[0] - start)
                yield _read_rows(stream, (rows, *shape[1:]), dtype), part_of(labels, start, start + rows)

    return Part(shape, dtype, chunks)


def _idx_shape(file: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with readable(file), _open(file) as stream:
        shape, dtype = _idx_header(stream)
        if num_bytes(shape, dtype) > file.stat().st_size * (GROWS_AT_MOST if file.suffix == ".gz" else 1):
            raise EOFError
        return shape, dtype


def _idx_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    zeros, kind, dims = struct.unpack(">HBB", stream.read(4))
    if zeros != 0 or kind not in _IDX_TYPES or dims == 0:
        raise ValueError("no idx header")
    return struct.unpack(f">{dims}I", stream.read(4 * dims)), np.dtype(_IDX_TYPES[kind])


@contextmanager
def _idx_stream(file: Path) -> Iterator[IO[bytes]]:
    with readable(file), _open(file) as stream:
        _idx_header(stream)
        yield stream


def _open(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")  # type: ignore[return-value]


def _read_rows(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    wanted = num_bytes(shape, dtype)
    found = stream.read(wanted)
    if len(found) < wanted:
        raise EOFError
    return np.frombuffer(found, dtype).reshape(shape)
