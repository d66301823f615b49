"""Opens, locks and reads the database of a run's record, which is `record.db` or a database on a server."""

from __future__ import annotations

import hashlib
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import unquote

import optuna
import sqlalchemy
from filelock import BaseFileLock
from sqlalchemy.pool import QueuePool, StaticPool

from autokd.errors import OTHER_FOLDER, START_OVER, InputError, printable, said, without_secrets
from autokd.record.lock import held, hold, no_record
from autokd.record.mounts import mounts, network_file_system
from autokd.record.reading import copied, has_own_database, place_of, unusable
from autokd.study import STUDY

_CLAIMS = {
    "postgresql": "SELECT pg_try_advisory_lock(:number)",
    "mysql": "SELECT GET_LOCK(CONCAT('autokd ', :number), 0)",
    "mariadb": "SELECT GET_LOCK(CONCAT('autokd ', :number), 0)",
}
"""Statements that give a connection a lock that ends with it, by kind of server; they are true if it got the lock."""


def take(folder: Path, named: str) -> tuple[BaseFileLock, optuna.storages.RDBStorage, str]:
    """The lock of a run, the database of its record and the study's name there, for the one driver that writes it.

    Args:
        folder: the run folder.
        named: the `record` of the caller's own study.

    Raises:
        InputError: another search holds the lock, on this machine or, if the record is on a server, anywhere; or the
            database cannot be used, as `open_storage` says.
    """
    lock = hold(folder)
    try:
        url, name = whereabouts(folder, named)
        storage = open_storage(url)
        if not _claim(storage, name):
            close_storage(storage)
            raise held(folder)
    except InputError:
        lock.release()
        raise
    return lock, storage, name


def refuse_held(folder: Path, named: str) -> None:
    """Refuses a run whose record another search holds now; only `take` refuses a search that begins later."""
    if not has_own_database(folder):
        lock, storage, _ = take(folder, named)
        close_storage(storage)
        lock.release()
    elif (folder / "record.lock").exists():
        hold(folder).release()


def whereabouts(folder: Path, named: str) -> tuple[sqlalchemy.URL, str]:
    """The URL of the database with the record of a run, and the name of its Optuna study, as `place_of` finds them."""
    url, name = place_of(folder, named)
    return (database_file(folder / "record.db") if url == "sqlite" else sqlalchemy.make_url(url)), name


def database_file(path: Path) -> sqlalchemy.URL:
    """The URL of an SQLite file, whatever characters its path has."""
    return sqlalchemy.URL.create("sqlite", database=str(path))


def dashboard_command(folder: Path, named: str) -> str:
    """The command that shows the record of a run in the browser, without any password.

    Args:
        folder: the run folder, as the command will name it.
        named: the `record` of the study.
    """
    shown = Path(printable(str(folder)))  # a URL is text, and a folder's name need not be
    url = str(database_file(shown / "record.db")) if named == "sqlite" else shown_url(named)
    return f"optuna-dashboard {quote(url)}"


def open_storage(url: str | sqlalchemy.URL) -> optuna.storages.RDBStorage:
    """Optuna's storage at a URL. SQLite gets a write-ahead log, so that a killed driver loses nothing it has written.

    Raises:
        InputError: the database cannot be reached, the file is no database, or it is an SQLite file on a network file
            system.
    """
    parsed = sqlalchemy.make_url(url)
    local = parsed.get_backend_name() == "sqlite"
    path = Path(parsed.database or "")
    if local:
        _refuse_network(path)
        # Optuna takes only a text, and some versions of SQLAlchemy misread it: of a path with a question mark they
        # would open the part before the mark. So the file is named in the function that opens it, and in no URL.
        text = "sqlite://"
        opened = partial(sqlite3.connect, path, factory=_Connection, timeout=60, check_same_thread=False)
        settings: dict[str, Any] = {"creator": opened, "poolclass": QueuePool}
    else:
        text = parsed.render_as_string(hide_password=False)
        settings = {"poolclass": StaticPool, "pool_pre_ping": False}  # one connection, which has the lock
    try:
        with without_log():
            return optuna.storages.RDBStorage(text.replace("{", "{{").replace("}", "}}"), engine_kwargs=settings)
    except ImportError as error:
        missing = getattr(error.__cause__ or error, "name", None) or parsed.drivername
        raise InputError(
            f"record: {shown_url(url)} needs the package {missing}; pip install 'autokd[postgres]' for PostgreSQL"
        ) from error
    except Exception as error:
        message = " ".join(str(error.__cause__ or error).split())
        if not local:
            raise InputError(
                f"record: {shown_url(url)} cannot be opened ({message}); check that the server runs and lets you in (a "
                "password comes from ~/.pgpass or PGPASSWORD)"
            ) from error
        broken = isinstance(error.__cause__, sqlite3.OperationalError)
        remedy = (
            "free some disk and run the same search again, which goes on where it stopped" if broken else START_OVER
        )
        reason = said(error)
        raise InputError(f"{path} cannot be used as a record ({reason}); {remedy}") from error


def close_storage(storage: optuna.storages.RDBStorage) -> None:
    """Gives up the connections of a storage, and with them its locks."""
    storage.remove_session()
    storage.engine.dispose()


def refuse_record(url: str, folder: Path) -> None:
    """Refuses a place in which no record of a run in `folder` can be kept, before anything is done for the run.

    Raises:
        InputError: the database cannot be used, as `open_storage` says.
    """
    if url == "sqlite":
        _refuse_network(folder / "record.db")
    else:
        close_storage(open_storage(url))


def shown_url(url: str | sqlalchemy.URL) -> str:
    """A database's URL as it may be printed, without any password."""
    try:
        return without_secrets(unquote(sqlalchemy.make_url(url).set(query={}).render_as_string(hide_password=True)))
    except (sqlalchemy.exc.ArgumentError, ValueError):  # from a study.json that somebody else wrote
        return "a text that is not the URL of a database"


@contextmanager
def without_log() -> Iterator[None]:
    """Inside this context, Optuna logs nothing but warnings."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def read_study(folder: str | Path, named: str = "sqlite") -> optuna.Study:
    """Optuna's study of a run as it is now, in memory.

    Args:
        folder: the run folder.
        named: the `record` of the caller's own study; "sqlite" without one.

    Raises:
        InputError: there is no record in `folder`, the record is elsewhere, or it is damaged.
    """
    folder = Path(folder)
    url, name = whereabouts(folder, named)
    if not has_own_database(folder):
        return _read_study(url, name, f"{shown_url(url)}, study {name},", folder)
    path = folder / "record.db"
    if not path.is_file():
        raise no_record(
            folder, f"{folder} is not a run: it has no record.db; give the folder that `autokd search` wrote"
        )
    with copied(path) as copy:
        try:
            return _read_study(database_file(copy), name, str(path), folder)
        except InputError as error:
            raise InputError(str(error).replace(str(copy), str(path))) from error
        except (sqlalchemy.exc.SQLAlchemyError, ValueError) as error:
            raise unusable(path, error) from error


def _read_study(url: sqlalchemy.URL, name: str, place: str, folder: Path) -> optuna.Study:
    storage = open_storage(url)
    try:
        stored = optuna.load_study(study_name=name, storage=storage)
        return write_study(optuna.storages.InMemoryStorage(), STUDY, stored, stored.get_trials(deepcopy=False))
    except KeyError:
        raise no_record(folder, f"{place} holds no search; {START_OVER}") from None
    finally:
        close_storage(storage)


def write_study(
    storage: optuna.storages.BaseStorage, name: str, like: optuna.Study, trials: Sequence[optuna.trial.FrozenTrial]
) -> optuna.Study:
    """A study with the directions and attributes of another, and with these trials in their order.

    If an interrupted write has left a study under that name, that study is deleted first.
    """
    with without_log(), warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        if name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)
        study = optuna.create_study(study_name=name, storage=storage, directions=like.directions)
        if like.metric_names is not None:
            study.set_metric_names(like.metric_names)
        for key, value in like.user_attrs.items():
            study.set_user_attr(key, value)
        study.add_trials(trials)
    return study


def _claim(storage: optuna.storages.RDBStorage, name: str) -> bool:
    """Whether this driver may write the study of that name; no other may as long as the storage's connection lives.

    A machine that has another copy of the run folder does not see its lock file, so the database is locked, too. This
    lock belongs to the connection through which the record is written: a driver that lost the lock cannot write.
    """
    statement = _CLAIMS.get(storage.engine.dialect.name)
    if statement is None:
        return True
    # All users of a server share its numbered locks, so the number is made from a name of ours.
    number = int.from_bytes(hashlib.sha256(f"autokd {name}".encode()).digest()[:8], "big", signed=True)
    with storage.engine.connect() as connection:
        return bool(connection.execute(sqlalchemy.text(statement), {"number": number}).scalar())


class _Connection(sqlite3.Connection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


def _refuse_network(path: Path) -> None:
    kind = network_file_system(path, mounts())
    if kind:
        raise InputError(
            f"{path} lies on {kind}: SQLite loses records on a network file system, where its locks cannot be relied "
            f"on; {OTHER_FOLDER}, on a local disk, or keep the record on a server, as "
            "record=postgresql+psycopg://me@host/database"
        )
