"""Writes files whole or not at all, so that they are on the disk before anything relies on them; and reads files."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from autokd.errors import InputError


def given_path(key: str, given: object) -> Path:
    """What a caller gave as a path. An empty text is none: it would mean the current folder.

    Raises:
        InputError: it is no path; names the argument.
    """
    if isinstance(given, str | os.PathLike) and (name := os.fspath(given)) and isinstance(name, str):
        return Path(name)
    what = (
        repr(given) if given is None or isinstance(given, str | bytes) else f"an object of type {type(given).__name__}"
    )
    raise InputError(f"{key}: {what} given; give a path, as text or as a pathlib.Path")


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes `data` so that a reader sees all of it or the earlier file, even after a loss of power."""
    write_bytes(path, json.dumps(data, indent=1).encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes bytes to a file, whole or not at all, as `write_json` does."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        sync(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until everything that was written to a file is on the disk.

    Otherwise, a file that is renamed, or that another file relies on, may be empty after a loss of power.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_line(path: Path, line: str) -> None:
    """Adds a line of text to a file, which is made if it is not there.

    Raises:
        OSError: it cannot be written; or is a device, a pipe or the like.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        file.write(f"{line}\n")


_MOST_BYTES = 1_000_000_000


def open_file(path: Path) -> BufferedReader:
    """A file, opened to be read, which a folder that came from elsewhere may hold.

    Raises:
        OSError: it is not there or cannot be read; or is a device, a pipe or the like, which may never begin or end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # or a pipe would wait until somebody writes to it
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_bytes(path: Path, *, most: int = _MOST_BYTES) -> bytes:
    """The content of a file.

    Args:
        path: the path of the file.
        most: the largest number of bytes that the file may have.

    Raises:
        OSError: see `open_file`; or the file is too large.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"{size:,} bytes, more than {most:,}", str(path))
        return file.read()


def utf8_text(path: Path, *, most: int = _MOST_BYTES) -> str:
    """The UTF-8 text of a file, without a byte order mark; line breaks stay as they are.

    Raises:
        OSError: see `read_bytes`.
        UnicodeDecodeError: the file is not UTF-8.
    """
    return read_bytes(path, most=most).decode("utf-8-sig")


def read_json(path: Path, *, most: int = _MOST_BYTES) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: see `read_bytes`.
        ValueError: the file is damaged, or nested too deeply.
    """
    try:
        return json.loads(utf8_text(path, most=most))
    except RecursionError:
        raise ValueError("nested too deeply") from None
