"""A record is read by plain SQL: the result is that of Optuna, and reading leaves no trace."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from test_record import open_record, propose

from autokd.errors import InputError
from autokd.record import Record, as_record, counts, read_counts, read_parameters, read_study, read_trials, reading


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    """Of a search under way: a trial in every state, of a space with conditional parameters, and one enqueued."""
    record = open_record(tmp_path)
    for number, state in enumerate(("complete", "complete", "pruned", "infeasible", "duplicate", "failed", "running")):
        trial = record.ask()
        for name, value in suggested(trial).items():
            assert trial.params[name] == value
        record.propose(trial, {"width": number}, {"alpha": 0.5}, {"parameters": 10.0}, predicted={})
        record.reach(number, 1, {"accuracy": 0.1 * number}, spread={"accuracy": 0.01} if number else None)
        if state == "complete":
            record.complete(number)
        elif state == "failed":
            record.fail(number, "raised ValueError: no 'such' \"thing\" ±")
        elif state != "running":
            record.prune(number, state, "so it is", constraints={"accuracy": 0.5} if state == "infeasible" else None)
    yield record
    record.close()


def suggested(trial: optuna.Trial) -> dict[str, Any]:
    params: dict[str, Any] = {"kind": trial.suggest_categorical("kind", [None, True, "a", 3])}
    params["lr"] = trial.suggest_float("lr", 1e-3, 1, log=True)
    params["depth"] = trial.suggest_int("depth", 1, 9, step=2)
    if params["depth"] > 3:
        params["width"] = trial.suggest_float("width", 0, 1, step=0.25)
    return params


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_read_is_what_optuna_reads(record: Record, tmp_path: Path) -> None:
    told = read_study(tmp_path).get_trials(deepcopy=False)
    assert read_trials(tmp_path) == [as_record(trial) for trial in told] == record.trials
    assert read_counts(tmp_path) == counts(record.trials) == record.tally
    complete = [trial for trial in told if trial.state.name == "COMPLETE"]
    assert read_parameters(tmp_path) == {trial.number: (trial.params, trial.distributions) for trial in complete}
    assert len(complete) == 2


def test_what_a_driver_takes_up_is_what_optuna_reads(record: Record, tmp_path: Path) -> None:
    record.close()
    told = read_study(tmp_path).get_trials(deepcopy=False)
    again = open_record(tmp_path)
    try:
        taken_up = again.study.get_trials(deepcopy=False)
        assert taken_up == told
        distributions = {id(each) for trial in taken_up for each in trial.distributions.values()}
        assert len(distributions) == 4
    finally:
        again.close()


def test_reading_changes_nothing_whether_a_driver_writes_or_none(record: Record, tmp_path: Path) -> None:
    for folder in (tmp_path, shutil.copytree(tmp_path, tmp_path.with_name("copy"))):
        before = files(folder)
        assert "record.db-wal" in before
        for read in (read_trials, read_counts, read_parameters, read_study):
            read(folder)
        assert files(folder) == before
    record.close()
    before = files(tmp_path)
    assert not {"record.db-wal", "record.db-shm"} & set(before)
    assert len(read_trials(tmp_path)) == len(read_study(tmp_path).trials) == 7
    assert files(tmp_path) == before


def test_a_log_that_is_begun_anew_during_the_copy_does_not_tear_it(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile, copies = reading._copy, []

    def slowly(source: Path, copy: Path) -> None:
        copyfile(source, copy)
        copies.append(source)
        if len(copies) == 1:  # all that the log held goes into the file that was copied, and new trials into the log
            with sqlite3.connect(tmp_path / "record.db") as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
            propose(record)

    monkeypatch.setattr(reading, "_copy", slowly)
    assert read_trials(tmp_path) == record.trials
    assert copies.count(tmp_path / "record.db") == 2


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE trial_user_attributes SET value_json = '{\"arch' WHERE key = 'proposal'",
        "UPDATE trial_user_attributes SET value_json = '[1, 2]' WHERE key = 'proposal'",
        "UPDATE trial_user_attributes SET key = 'epoch many' WHERE key = 'epoch 1'",
        "DROP TABLE trial_user_attributes",
    ],
)
def test_a_damaged_record_is_refused_in_one_line(record: Record, tmp_path: Path, damage: str) -> None:
    record.close()
    with sqlite3.connect(tmp_path / "record.db") as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(InputError, match=r"record\.db cannot be used as a record .*--fresh"):
        read_trials(tmp_path)


def test_zeroed_pages_are_refused_in_one_line(record: Record, tmp_path: Path) -> None:
    record.close()
    path = tmp_path / "record.db"
    path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096))
    for read in (read_trials, read_counts, read_study):
        with pytest.raises(
            InputError, match=r"record\.db (cannot be used as a record|holds no search).*--fresh"
        ) as error:
            read(tmp_path)
        assert str(tmp_path) in str(error.value)
