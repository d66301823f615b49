"""Reads arrays in .npy files and .npz archives. Nothing is unpickled, and sizes are checked before they are used."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from autokd.files import open_file

Array = NDArray[Any]

_HEADER_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    SyntaxError,
    TokenError,
    RecursionError,
    MemoryError,
)
"""The errors that numpy raises on damaged headers, though it documents only ValueError."""

GROWS_AT_MOST = 1_100
"""How many bytes one byte of an archive or of a gzip file may become: deflate makes 1,032 at most."""


def open_npy(path: Path, *, mapped: str = "r") -> Array:
    """The array in a .npy file, memory-mapped with numpy's mode `mapped`; an array without elements is read.

    Raises:
        OSError: the file cannot be read, or is a device or a pipe.
        ValueError: the file holds no array of plain values, or less than its header says.
    """
    with open_file(path) as stream:
        shape, _, dtype = npy_header(stream)
        size = num_bytes(shape, dtype)
        if size > os.fstat(stream.fileno()).st_size - stream.tell():
            raise ValueError(f"it is cut short: its header says {size:,} bytes")
    try:
        return np.load(path, mmap_mode=mapped if size else None, allow_pickle=False)  # type: ignore[arg-type]
    except (TypeError, OverflowError, MemoryError) as error:  # shapes that numpy does not have, such as 65 dimensions
        raise ValueError(f"its header says that the shape is {shape}") from error


def npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, the order (whether columns come first) and the type of the array that follows in a stream.

    Raises:
        ValueError: what follows is no array of plain values, or has a negative size.
    """
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except _HEADER_ERRORS as error:
        raise ValueError("it is no .npy file, or its header is damaged") from error
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded")
    if any(type(side) is not int or side < 0 for side in shape):
        raise ValueError(f"its header says that the shape is {shape}")
    return shape, fortran, dtype


def npz_array(archive: zipfile.ZipFile, key: str) -> Array:
    """The array of that name in an archive.

    Raises:
        KeyError: there is none.
        ValueError: the header is damaged, as `npy_header` says.
        zipfile.BadZipFile, zlib.error, EOFError: the archive is damaged, or holds less than the header says.
    """
    with npz_stream(archive, key) as stream:
        shape, _, dtype = npy_header(stream)
        if num_bytes(shape, dtype) > archive.getinfo(f"{key}.npy").file_size:
            raise EOFError
    with archive.open(f"{key}.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def npz_stream(archive: zipfile.ZipFile, key: str) -> IO[bytes]:
    """The .npy file of that name in an archive.

    Raises:
        KeyError: there is none.
        zipfile.BadZipFile: the sizes in the archive are not possible.
    """
    info = archive.getinfo(f"{key}.npy")
    if info.compress_type == zipfile.ZIP_DEFLATED and info.file_size > GROWS_AT_MOST * info.compress_size + 1_000:
        raise zipfile.BadZipFile
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise zipfile.BadZipFile
    return archive.open(info)


def num_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """The size of an array in bytes."""
    return math.prod(shape) * dtype.itemsize
