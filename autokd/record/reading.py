"""Reads the record of a run by plain SQL, which changes nothing and takes little time.

Through Optuna and SQLAlchemy, 2,000 trials take 1.3 CPU seconds, and the import of both takes 0.4. Here the trials take
0.03 seconds. The tables are Optuna's, and a test compares what both ways read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autokd.errors import START_OVER, InputError, said
from autokd.files import open_file
from autokd.record.lock import no_record
from autokd.record.trials import STATES, TrialRecord, remembered, state_of
from autokd.study.run import SETUP_FILE, STUDY, read_setup

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

Parameters = tuple[dict[str, Any], dict[str, "BaseDistribution"]]
"""The values that were suggested in a trial, and the distribution of each value."""

_INFINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf}
"""The values for which the database holds only their kind."""

_DAMAGE = (sqlite3.Error, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""The errors that reading a database raises if its content is not what was written."""

_WAL_HEADER = 32
_COPIES = 20


def read_trials(folder: str | Path, named: str = "sqlite") -> list[TrialRecord]:
    """All trials of a run, by number; the run may be under way in another process.

    Args:
        folder: the run folder.
        named: the `record` of the caller's own study; "sqlite" without one.

    Raises:
        InputError: there is no record in `folder`, the record is elsewhere, or it is damaged.
    """
    with _record(Path(folder), named) as select:
        states = dict(select("SELECT t.number, t.state FROM trials t WHERE {here} ORDER BY t.number"))
        if any(type(number) is not int or number < 0 for number in states):  # SQLite keeps a text in any column
            raise ValueError("a trial has no number")
        attributes: dict[int, dict[str, Any]] = {number: {} for number in states}
        for number, key, value in select(
            "SELECT t.number, a.key, a.value_json FROM trials t "
            "JOIN trial_user_attributes a ON a.trial_id = t.trial_id WHERE {here}"
        ):
            attributes[number][key] = json.loads(value)
        return [remembered(number, state, attributes[number]) for number, state in states.items()]


def read_counts(folder: str | Path, named: str = "sqlite") -> dict[str, int]:
    """The number of trials of a run in each of `STATES`, the same as `counts` of all its trials.

    Raises:
        InputError: there is no record in `folder`, or the record is damaged.
    """
    with _record(Path(folder), named) as select:
        found: Counter[str] = Counter()
        for state, outcome, number in select(
            "SELECT t.state, a.value_json, COUNT(*) FROM trials t LEFT JOIN trial_user_attributes a "
            "ON a.trial_id = t.trial_id AND a.key = 'outcome' WHERE {here} GROUP BY t.state, a.value_json"
        ):
            found[state_of(state, json.loads(outcome or "{}"))] += number
        return {state: found[state] for state in STATES}


def read_seconds(folder: str | Path, named: str = "sqlite") -> dict[int, float]:
    """The seconds from proposal to end of each trial of a run that has ended, by number.

    Raises:
        InputError: there is no record in `folder`, or the record is damaged.
    """
    with _record(Path(folder), named) as select:
        times = select(
            "SELECT t.number, t.datetime_start, t.datetime_complete FROM trials t WHERE {here} "
            "AND t.datetime_start IS NOT NULL AND t.datetime_complete IS NOT NULL"
        )
        return {number: (_time(ended) - _time(began)).total_seconds() for number, began, ended in times}


def read_parameters(folder: str | Path, named: str = "sqlite") -> dict[int, Parameters]:
    """The values that were suggested in each complete trial of a run, by number; equal distributions are one object.

    Raises:
        InputError: there is no record in `folder`, or the record is damaged.
    """
    from optuna.distributions import json_to_distribution

    with _record(Path(folder), named) as select:
        known: dict[str, BaseDistribution] = {}
        found: dict[int, Parameters] = {}
        for number, name, value, text in select(
            "SELECT t.number, p.param_name, p.param_value, p.distribution_json FROM trials t "
            "JOIN trial_params p ON p.trial_id = t.trial_id WHERE {here} AND t.state = 'COMPLETE' "
            "ORDER BY t.number, p.param_id"
        ):
            if text not in known:
                known[text] = json_to_distribution(text)
            params, distributions = found.setdefault(number, ({}, {}))
            params[name], distributions[name] = known[text].to_external_repr(value), known[text]
        return found


def stored_trials(storage: optuna.storages.RDBStorage, name: str) -> Iterator[optuna.trial.FrozenTrial]:
    """The trials of a study in a database as Optuna's objects, one after another; equal distributions are one object.

    Optuna's own reader takes three times the memory of the trials, and keeps it.
    """
    from optuna.distributions import json_to_distribution
    from optuna.trial import FrozenTrial, TrialState

    with contextlib.closing(storage.engine.raw_connection()) as connection:
        select = _of_study(connection.cursor(), name, "the database")
        trials = select(
            "SELECT t.trial_id, t.number, t.state, t.datetime_start, t.datetime_complete FROM trials t "
            "WHERE {here} ORDER BY t.number"
        )
        values = _by_trial(select, "v.value, v.value_type", "trial_values v", "v.objective")
        params = _by_trial(select, "p.param_name, p.param_value, p.distribution_json", "trial_params p", "p.param_id")
        attributes = _by_trial(select, "a.key, a.value_json", "trial_user_attributes a", "a.trial_user_attribute_id")
        system = _by_trial(select, "a.key, a.value_json", "trial_system_attributes a", "a.trial_system_attribute_id")
    known: dict[str, BaseDistribution] = {}
    for number, (trial_id, place, state, began, ended) in enumerate(trials):
        suggested = params.pop(trial_id, [])
        for _, _, text in suggested:
            known.setdefault(text, json_to_distribution(text))
        yield FrozenTrial(
            number=place,
            trial_id=number,
            state=TrialState[state],
            value=None,
            values=[_INFINITE.get(kind, value) for value, kind in values.pop(trial_id, [])] or None,
            datetime_start=_time(began),
            datetime_complete=_time(ended),
            params={parameter: known[text].to_external_repr(value) for parameter, value, text in suggested},
            distributions={parameter: known[text] for parameter, _, text in suggested},
            user_attrs={key: json.loads(text) for key, text in attributes.pop(trial_id, [])},
            system_attrs={key: json.loads(text) for key, text in system.pop(trial_id, [])},
            intermediate_values={},
        )


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """A copy of an SQLite file with its write-ahead log, to read while another process may write to the original.

    Even a connection that only reads leaves files beside a database. A copy is whole if the log was begun before the
    copy and was not begun anew during the copy: what the writer moved from the log into the file meanwhile is in both.
    """
    log = Path(f"{path}-wal")
    with tempfile.TemporaryDirectory(prefix="autokd-") as folder:
        copy = Path(folder) / path.name
        for _ in range(_COPIES):
            began = _beginning(log)
            _copy(path, copy)
            Path(f"{copy}-wal").unlink(missing_ok=True)
            if began:
                with contextlib.suppress(FileNotFoundError):
                    _copy(log, Path(f"{copy}-wal"))
            if began == _beginning(log):
                break
        yield copy


def _copy(path: Path, out: Path) -> None:
    """Copies a file, if there is room for it: one with holes may say that it is larger than any disk."""
    with open_file(path) as source, out.open("wb") as file:
        if os.fstat(source.fileno()).st_size > shutil.disk_usage(out.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        shutil.copyfileobj(source, file, 1 << 20)


def has_own_database(folder: Path) -> bool:
    """Whether the record of a run is the file `record.db` in its folder."""
    return not (folder / SETUP_FILE).exists() or read_setup(folder).study.get("record", "sqlite") == "sqlite"


def place_of(folder: Path, named: str) -> tuple[str, str]:
    """The place of a run's record, and the name of its study there.

    The place is "sqlite", which means `record.db` in the run folder, or the URL of a database. A URL in `study.json`
    counts only if the caller's own study has the same URL. So if a folder came from elsewhere, no database is opened
    except the one in the folder.

    Args:
        folder: the run folder.
        named: the `record` of the caller's own study; "sqlite" without one.

    Raises:
        InputError: the record is elsewhere and the caller does not name it, or record.db is a link.
    """
    setup = read_setup(folder) if (folder / SETUP_FILE).exists() else None
    url, name = ("sqlite", STUDY) if setup is None else (setup.study.get("record", "sqlite"), setup.records[-1])
    if url == "sqlite" and (folder / "record.db").is_symlink():
        raise InputError(
            f"{folder / 'record.db'} is a link; a run's record must be a file in the run folder: put the file there"
        )
    if url not in ("sqlite", named):
        from autokd.record.storage import shown_url

        raise InputError(
            f"{folder}: its record is in {shown_url(url)}, and a database outside a run folder is opened only for the "
            "study file that names it; give that study file in place of the folder: STUDY.yaml --run RUN (from Python: "
            "study=load_study('study.yaml'))"
        )
    return url, name


def unusable(path: Path, error: Exception) -> InputError:
    """The error to raise if a file is not a record that can be read."""
    return InputError(f"{path} cannot be used as a record ({said(error)}); {START_OVER}")


@contextmanager
def _record(folder: Path, named: str) -> Iterator[Any]:
    """A function that gives the rows of a SELECT, where `{here}` stands for the condition on the run's trials `t`."""
    url, name = place_of(folder, named)
    if url != "sqlite":
        with _on_a_server(url, name, folder) as select:
            yield select
        return
    path = folder / "record.db"
    if not path.is_file():
        raise no_record(
            folder, f"{folder} is not a run: it has no record.db; give the folder that `autokd search` wrote"
        )
    try:
        with copied(path) as copy, contextlib.closing(sqlite3.connect(copy)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger')").fetchone():
                raise ValueError("it holds views or triggers, which are code")  # and a view may have rows without end
            yield _of_run(connection.cursor(), name, str(path), folder)
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check that you may read it, and that {tempfile.gettempdir()} "
            "has room for a copy of it"
        ) from error
    except _DAMAGE as error:
        raise unusable(path, error) from error


@contextmanager
def _on_a_server(url: str, name: str, folder: Path) -> Iterator[Any]:
    from autokd.record.storage import close_storage, open_storage, shown_url

    storage = open_storage(url)
    try:
        with contextlib.closing(storage.engine.raw_connection()) as connection:
            yield _of_run(connection.cursor(), name, f"{shown_url(url)}, study {name},", folder)
    finally:
        close_storage(storage)


def _of_run(cursor: Any, name: str, place: str, folder: Path) -> Any:
    """As `_of_study`; while a search is still making the run, that is what the error says."""
    try:
        return _of_study(cursor, name, place)
    except InputError as error:
        raise no_record(folder, str(error)) from error


def _of_study(cursor: Any, name: str, place: str) -> Any:
    def rows(statement: str) -> Sequence[Any]:
        cursor.execute(statement)
        return list(cursor.fetchall())

    tables: Mapping[str, int] = {}
    with contextlib.suppress(sqlite3.OperationalError):  # an empty file has no tables
        tables = {study: number for number, study in rows("SELECT study_id, study_name FROM studies")}
    if name not in tables:
        raise InputError(f"{place} holds no search; {START_OVER}")
    return lambda statement: rows(statement.format(here=f"t.study_id = {int(tables[name])}"))


def _by_trial(select: Any, columns: str, table: str, order: str) -> dict[int, list[Any]]:
    """The rows of a table by the trial to which they belong."""
    found: dict[int, list[Any]] = {}
    alias = table.split()[1]
    for trial_id, *row in select(
        f"SELECT t.trial_id, {columns} FROM trials t JOIN {table} ON {alias}.trial_id = t.trial_id "
        f"WHERE {{here}} ORDER BY {order}"
    ):
        found.setdefault(trial_id, []).append(row)
    return found


def _time(stored: Any) -> Any:
    """A time as a Python object; SQLite stores it as text. None if there is none."""
    return datetime.fromisoformat(stored) if isinstance(stored, str) else stored


def _beginning(log: Path) -> bytes:
    """The head of a write-ahead log, which changes whenever the log is begun anew; b"" if there is no log."""
    try:
        with open_file(log) as file:
            return file.read(_WAL_HEADER)
    except FileNotFoundError:
        return b""
