"""The lock of a run folder. The driver that writes the record holds it as long as the driver lives."""

from __future__ import annotations

import fcntl
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from autokd.errors import OTHER_FOLDER, InputError
from autokd.files import open_file

_FILE = "record.lock"
_PATIENCE_SECONDS = 0.2
"""How long a driver tries to get the lock, because `is_held` also takes it for a moment."""


def hold(folder: Path) -> BaseFileLock:
    """The lock of a run, which one driver holds.

    Raises:
        InputError: another search holds it.
    """
    lock = FileLock(folder / _FILE)
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout:
        raise held(folder) from None
    return lock


def held(folder: Path) -> InputError:
    """The error to raise if another search holds the lock of a run."""
    return InputError(f"{folder} is held by another search that is running; wait for it, or {OTHER_FOLDER}")


def no_record(folder: Path, problem: str) -> InputError:
    """What is raised where a run has no record: the problem, unless a search is making the record now."""
    if is_held(folder):
        problem = f"a search is still preparing {folder}, so there is nothing to read yet; try again in a moment"
    return InputError(problem)


def is_held(folder: Path) -> bool:
    """Whether a search on this machine holds the lock of a run now; nothing in the folder is changed."""
    try:
        with open_file(folder / _FILE) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no search ever held the lock, or the file system has no such locks
        return False
    return False
