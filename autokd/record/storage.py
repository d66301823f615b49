"""`record.db`: opened, locked, and read back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import BaseFileLock, FileLock, Timeout

from autokd.errors import InputError
from autokd.record.trials import TrialRecord, as_record

STUDY = "autokd"


def hold(folder: Path) -> BaseFileLock:
    """The lock of a run, which one driver holds.

    Raises:
        InputError: another search holds it.
    """
    lock = FileLock(folder / "record.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder} is held by another search that is running; wait for it, or give another folder with --run"
        ) from None
    return lock


def open_storage(folder: Path) -> optuna.storages.RDBStorage:
    """Optuna's storage of a run, SQLite with a write-ahead log: a killed driver loses nothing it has told.

    Raises:
        InputError: `record.db` is not an SQLite file, or cannot be written.
    """
    path = folder / "record.db"
    try:
        return optuna.storages.RDBStorage(
            f"sqlite:///{path}", engine_kwargs={"connect_args": {"factory": _Connection, "timeout": 60}}
        )
    except Exception as error:
        message = str(error).splitlines()[0]
        broken = isinstance(error.__cause__, sqlite3.OperationalError)
        remedy = "free some disk, and the same command goes on" if broken else "start over with --fresh"
        raise InputError(f"{path} cannot be used as a record ({message}); {remedy}") from error


@contextmanager
def without_log() -> Iterator[None]:
    """Optuna says nothing but warnings inside."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def read_trials(folder: Path) -> list[TrialRecord]:
    """All trials of a run, by number; the run may be under way in another process.

    Raises:
        InputError: there is no record in `folder`.
    """
    return [as_record(trial) for trial in read_study(folder).get_trials(deepcopy=False)]


def read_study(folder: Path) -> optuna.Study:
    """Optuna's study of a run, for reading.

    Raises:
        InputError: there is no record in `folder`.
    """
    if not (folder / "record.db").is_file():
        raise InputError(f"{folder} is not a run: it has no record.db; give the folder that `autokd search` wrote")
    try:
        return optuna.load_study(study_name=STUDY, storage=open_storage(folder))
    except KeyError:
        raise InputError(f"{folder / 'record.db'} holds no search; start over with --fresh") from None


class _Connection(sqlite3.Connection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")
