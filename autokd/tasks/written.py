"""Folders that are written whole or not at all, and digests of the files in them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from autokd.errors import InputError, said
from autokd.files import open_file, sync


@contextmanager
def writing(folder: Path, *, last: str) -> Iterator[Path]:
    """A folder beside `folder` to write into. When all files are written, they are moved, with the file `last` last."""
    with _errors_of(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as unfinished:
            yield Path(unfinished)
            folder.mkdir(exist_ok=True)
            for file in sorted(Path(unfinished).iterdir(), key=lambda file: file.name == last):
                sync(file)
                os.replace(file, folder / file.name)


def written_once(folder: Path, write: Callable[[Path], None], *, last: str) -> None:
    """Has `write` fill a folder, unless the file `last` is in it already; other processes wait for the first one.

    Raises:
        InputError: the folder cannot be written.
    """
    if os.path.isfile(folder / last):
        return
    with _errors_of(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not os.path.isfile(folder / last):
                with writing(folder, last=last) as unfinished:
                    write(unfinished)


def file_digest(file: Path) -> str:
    """SHA-256 of the content of a file."""
    with open_file(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    """Turns an error of the disk into one line."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the task cannot be written into {folder}: {error.strerror or said(error)}; free the disk or choose "
            "another folder"
        ) from error
