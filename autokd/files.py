"""Writes files whole or not at all, so that they are on the disk before anything relies on them; and reads files."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
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


_MOST_BYTES = 1_000_000_000


def read_bytes(path: Path, *, most: int = _MOST_BYTES) -> bytes:
    """The content of a file.

    Args:
        path: the path of the file.
        most: the largest number of bytes that the file may have.

    Raises:
        OSError: the file does not exist, cannot be read, or is too large; or it is a device, a pipe or the like, which
            may never end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):  # reading a folder gives its own error
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if status.st_size > most:
        raise OSError(errno.EFBIG, f"{status.st_size:,} bytes, more than {most:,}", str(path))
    return path.read_bytes()


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
