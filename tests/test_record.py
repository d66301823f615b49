from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from autokd.errors import InputError
from autokd.record import STATES, Record, TrialRecord, canonical, counts, finite, read_study, read_trials, reasons
from autokd.types import Objective

OBJECTIVES = (
    Objective("accuracy", "maximize", "", trained=True, measure=float),
    Objective("parameters", "minimize", "", trained=False, measure=float),
)
RECIPE: dict[str, Any] = {"alpha": 0.5, "epochs": 4}


def open_record(folder: Path, seed: int = 0) -> Record:
    return Record(folder, OBJECTIVES, optuna.samplers.RandomSampler(seed=seed))


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    record = open_record(tmp_path)
    yield record
    record.close()


def propose(record: Record, width: int = 8) -> int:
    trial = record.ask()
    record.propose(trial, {"width": width}, RECIPE, {"parameters": 10.0 * width}, predicted={})
    return trial.number


def told(record: Record, folder: Path) -> list[TrialState]:
    """What Optuna was told, in the database and in memory alike."""
    stored, live = read_study(folder).get_trials(deepcopy=False), record.study.get_trials(deepcopy=False)
    for one, other in zip(stored, live, strict=True):
        assert (one.state, one.values, one.constraints) == (other.state, other.values, other.constraints)
        assert (one.params, one.user_attrs) == (other.params, other.user_attrs)
    return [trial.state for trial in stored]


def test_what_is_read_back_is_what_was_remembered(record: Record, tmp_path: Path) -> None:
    complete, pruned, infeasible, failed, duplicate, running, reached = (propose(record, w) for w in range(7))
    for epoch in (1, 2, 4):
        record.reach(complete, epoch, {"accuracy": 0.2 * epoch})
    record.complete(complete)
    record.reach(pruned, 1, {"accuracy": 0.1})
    record.prune(pruned, "pruned", "stopped early at epoch 1")
    record.prune(infeasible, "infeasible", "parameters misses its bound by 5", constraints={"parameters": 5.0})
    record.fail(failed, "out of memory")
    record.prune(duplicate, "duplicate", "same as trial 0")
    record.reach(reached, 1, {"accuracy": 0.3})

    assert read_trials(tmp_path) == record.trials
    assert [trial.state for trial in record.trials] == [
        *("complete", "pruned", "infeasible", "failed", "duplicate", "running", "running"),
    ]
    assert record.trials[complete].values == {"accuracy": 0.8, "parameters": 0.0}
    assert record.trials[reached].epoch == 1
    assert record.trials[running].epoch == 0
    assert record.completed == [record.trials[complete]]
    assert record.tally == counts(record.trials)
    assert record.spent == {complete, pruned, failed, reached}
    assert record.epochs_spent == 6


def test_the_spread_of_a_student_is_read_back_with_its_values(record: Record, tmp_path: Path) -> None:
    number = propose(record)
    record.reach(number, 1, {"accuracy": 0.5})
    record.reach(number, 4, {"accuracy": 0.8}, spread={"accuracy": 0.02})
    record.complete(number)
    assert read_trials(tmp_path)[number] == record.trials[number]
    assert (record.trials[number].spread, record.trials[number].epoch) == ({"accuracy": 0.02}, 4)


def test_optuna_is_told_pruned_where_stopped_and_fail_for_errors_alone(record: Record, tmp_path: Path) -> None:
    complete, pruned, infeasible, failed = (propose(record, w) for w in range(4))
    record.reach(complete, 4, {"accuracy": 0.8})
    record.complete(complete)
    record.prune(pruned, "pruned", "stopped early")
    record.prune(infeasible, "infeasible", "too large", constraints={"parameters": 5.0})
    record.fail(failed, "out of memory")

    assert told(record, tmp_path) == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED, TrialState.FAIL]
    trials = read_study(tmp_path).get_trials(deepcopy=False)
    assert trials[complete].values == [0.8, 0.0]
    assert [trial.values for trial in trials[1:]] == [None, None, None]
    assert trials[infeasible].constraints == {"parameters": 5.0}
    assert not trials[pruned].constraints


def test_a_record_that_is_opened_again_goes_on(record: Record, tmp_path: Path) -> None:
    propose(record)
    done = propose(record)
    record.reach(done, 4, {"accuracy": 0.8})
    record.complete(done)
    before = record.trials
    record.close()
    again = open_record(tmp_path)
    assert again.trials == before
    assert (again.completed, again.epochs_spent, again.spent) == ([before[done]], 4, {done})
    assert again.tally == record.tally == counts(before)
    assert (record.session, again.session) == (0, 1)
    assert told(again, tmp_path) == [TrialState.RUNNING, TrialState.COMPLETE]
    assert propose(again) == 2
    again.close()


def test_a_proposal_that_was_not_finished_leaves_nothing(record: Record, tmp_path: Path) -> None:
    propose(record)
    record.ask().suggest_float("x", 0, 1)
    record.close()

    again = open_record(tmp_path)
    assert [trial.number for trial in again.trials] == [0]
    assert propose(again) == 1
    assert told(again, tmp_path) == [TrialState.RUNNING, TrialState.RUNNING]
    again.close()


def test_a_proposal_is_finished_before_the_next_trial_is_asked_for(record: Record) -> None:
    assert record.ask().number == record.ask().number == 0


def test_a_trial_whose_proposal_failed_is_recorded_with_the_parameters_it_had(record: Record, tmp_path: Path) -> None:
    picked = record.ask().suggest_float("x", 0, 1)
    record.fail(0, "raised ValueError: no such width")
    (trial,) = read_study(tmp_path).get_trials(deepcopy=False)
    assert (trial.state, trial.params) == (TrialState.FAIL, {"x": picked})
    assert read_trials(tmp_path) == record.trials
    assert propose(record) == 1


def test_what_was_enqueued_is_asked_for_next(record: Record, tmp_path: Path) -> None:
    record.enqueue({"x": 0.25})
    trial = record.ask()
    assert trial.suggest_float("x", 0, 1) == 0.25
    record.propose(trial, {"width": 8}, RECIPE, {}, predicted={})
    assert read_study(tmp_path).get_trials(deepcopy=False)[0].params == {"x": 0.25}


def test_a_trial_of_an_earlier_driver_can_be_ended(record: Record, tmp_path: Path) -> None:
    numbers = [propose(record, width) for width in range(3)]
    record.close()
    again = open_record(tmp_path)
    again.reach(numbers[0], 1, {"accuracy": 0.5})
    again.complete(numbers[0])
    again.prune(numbers[1], "pruned", "stopped early")
    again.fail(numbers[2], "out of memory")
    assert read_trials(tmp_path) == again.trials
    assert told(again, tmp_path) == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    again.close()


def test_a_second_driver_is_refused_and_the_first_goes_on(record: Record, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="held by another search"):
        open_record(tmp_path)
    assert propose(record) == 0


def test_a_driver_in_another_process_is_refused(record: Record, tmp_path: Path) -> None:
    program = (
        "import sys, optuna; from pathlib import Path; from autokd.record import Record; "
        "Record(Path(sys.argv[1]), (), optuna.samplers.RandomSampler())"
    )
    answer = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert "InputError" in answer.stderr
    assert "held by another search" in answer.stderr


def test_a_closed_record_lets_another_driver_in(record: Record, tmp_path: Path) -> None:
    record.close()
    open_record(tmp_path).close()


def test_reading_needs_no_lock_and_makes_no_record(record: Record, tmp_path: Path) -> None:
    propose(record)
    assert len(read_trials(tmp_path)) == 1
    with pytest.raises(InputError, match=r"not a run: it has no record\.db"):
        read_trials(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "record.db").write_text("something else entirely, and long enough to be read as a page of a database")
    before = (tmp_path / "record.db").read_bytes()
    for opened in (open_record, read_study):
        with pytest.raises(InputError, match=r"record.db cannot be used as a record .*--fresh"):
            opened(tmp_path)
    assert (tmp_path / "record.db").read_bytes() == before


def test_the_database_has_a_write_ahead_log(record: Record, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "record.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_every_state_is_counted() -> None:
    trials = [TrialRecord(0, state="complete"), TrialRecord(1, state="complete"), TrialRecord(2)]
    assert counts(trials) == {**dict.fromkeys(STATES, 0), "complete": 2, "running": 1}
    assert sum(counts([]).values()) == 0


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)))
def test_equal_data_have_one_text_whatever_the_order_of_keys(data: dict[str, Any]) -> None:
    backwards = dict(reversed(data.items()))
    assert canonical(data, {}) == canonical(backwards, {})
    assert canonical(data, {}) != canonical(data, {"more": 1})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_may_be_told(number: float) -> None:
    assert finite({"a": 1.0})
    assert not finite({"a": 1.0, "b": number})


def test_reasons_are_counted_the_most_frequent_first_and_numbers_do_not_tell_them_apart() -> None:
    def ended(number: int, state: str, reason: str) -> TrialRecord:
        return TrialRecord(number, state=state, reason=reason)

    trials = [ended(i, "failed", f"raised ValueError: odd is {i}") for i in range(5)]
    trials += [ended(9, "failed", "raised KeyError: 'a'"), ended(10, "complete", ""), ended(11, "duplicate", "as 3")]
    trials += [ended(12, "infeasible", "parameters 2.1e+05 breaks its bound 20,000")]
    assert reasons(trials) == [
        "6 students failed: 5 × raised ValueError: odd is 0; 1 × raised KeyError: 'a'",
        "1 student was infeasible: 1 × parameters 2.1e+05 breaks its bound 20,000",
    ]
    many = [ended(i, "failed", f"raised {'ABCDE'[i]}: no") for i in range(5)]
    assert reasons(many)[0].endswith("1 × raised C: no; 2 for other reasons")
    assert reasons([ended(0, "complete", "")]) == []
