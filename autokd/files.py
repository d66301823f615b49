"""Files that are written whole or not at all, on the disk before anything says so; and how ours are read."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes `data` so that a reader sees all of it or the file that was there before, even after a loss of power."""
    write_bytes(path, json.dumps(data, indent=1).encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file as `write_json` does."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        sync(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Returns when all that was written to a file is on the disk.

    Without it a file that is renamed, or that another file vouches for, may be empty after a loss of power.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_MOST_BYTES = 1_000_000_000


def read_bytes(path: Path, *, most: int = _MOST_BYTES) -> bytes:
    """What a file holds.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        OSError: it is not there or cannot be read; is larger; or is a device, a pipe or the like, which may never end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):  # reading a folder says that it is one
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if status.st_size > most:
        raise OSError(errno.EFBIG, f"{status.st_size:,} bytes, more than {most:,}", str(path))
    return path.read_bytes()


def utf8_text(path: Path, *, most: int = _MOST_BYTES) -> str:
    """The UTF-8 text of a file, without a byte order mark; line breaks are as they are.

    Raises:
        OSError: see `read_bytes`.
        UnicodeDecodeError: it is in no UTF-8.
    """
    return read_bytes(path, most=most).decode("utf-8-sig")


def read_json(path: Path, *, most: int = _MOST_BYTES) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: see `read_bytes`.
        ValueError: it is damaged, or nested beyond all use.
    """
    try:
        return json.loads(utf8_text(path, most=most))
    except RecursionError:
        raise ValueError("nested too deeply") from None
