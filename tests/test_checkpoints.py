from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autokd.checkpoints import (
    OPTIMIZER,
    WEIGHTS,
    checkpoint,
    clean,
    drop,
    size_gb,
    trial_folder,
    unrecorded_result,
)
from autokd.files import write_json
from autokd.record import TrialRecord


def trial(number: int = 0, *, epochs: tuple[int, ...] = (), state: str = "running") -> TrialRecord:
    return TrialRecord(number, arch={}, rungs={epoch: {"accuracy": 0.5} for epoch in epochs}, state=state)


def attempt(run: Path, session: int, epoch: int, *, number: int = 0, result: Any = None, size: int = 1000) -> Path:
    """What a worker leaves of one stretch; without a result it was killed before its end."""
    folder = trial_folder(run, number) / f"attempt-{session}" / f"epoch-{epoch:04d}"
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(bytes(size))
    (folder / OPTIMIZER).write_bytes(bytes(size))
    if result is not None:
        write_json(folder / "result.json", result)
    return folder


def done(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "values": {"accuracy": 0.5}, "seconds": 0.1}


def test_the_checkpoint_is_that_of_the_last_recorded_rung(tmp_path: Path) -> None:
    first, second = (attempt(tmp_path, 0, epoch, result=done(epoch)) for epoch in (1, 2))
    assert checkpoint(tmp_path, trial()) is None
    assert checkpoint(tmp_path, trial(epochs=(1,))) == first
    assert checkpoint(tmp_path, trial(epochs=(1, 2))) == second
    assert checkpoint(tmp_path, trial(epochs=(1, 2, 4))) is None


def test_the_newest_attempt_wins_by_number_not_by_name(tmp_path: Path) -> None:
    for session in (2, 9, 10):
        newest = attempt(tmp_path, session, 1, result=done(1))
    assert checkpoint(tmp_path, trial(epochs=(1,))) == newest


def test_a_checkpoint_without_its_result_is_none(tmp_path: Path) -> None:
    whole = attempt(tmp_path, 0, 1, result=done(1))
    attempt(tmp_path, 1, 1)
    assert checkpoint(tmp_path, trial(epochs=(1,))) == whole


def test_a_checkpoint_whose_weights_were_dropped_is_none(tmp_path: Path) -> None:
    drop(attempt(tmp_path, 0, 1, result=done(1)), WEIGHTS)
    assert checkpoint(tmp_path, trial(epochs=(1,))) is None


def test_a_result_beyond_the_last_recorded_rung_is_unrecorded(tmp_path: Path) -> None:
    attempt(tmp_path, 0, 1, result=done(1))
    assert unrecorded_result(tmp_path, trial()) == done(1)
    assert unrecorded_result(tmp_path, trial(epochs=(1,))) is None
    attempt(tmp_path, 0, 2, result=done(2))
    assert unrecorded_result(tmp_path, trial(epochs=(1,))) == done(2)


def test_an_error_is_unrecorded_too(tmp_path: Path) -> None:
    attempt(tmp_path, 0, 1, result=done(1))
    attempt(tmp_path, 0, 2, result={"error": "out of memory"})
    assert unrecorded_result(tmp_path, trial(epochs=(1,))) == {"error": "out of memory"}


def test_an_old_attempts_error_at_a_rung_that_was_reached_since_is_not(tmp_path: Path) -> None:
    attempt(tmp_path, 0, 2, result={"error": "raised FileNotFoundError: its checkpoint was dropped"})
    attempt(tmp_path, 1, 2, result=done(2))
    assert unrecorded_result(tmp_path, trial(epochs=(1, 2))) is None


def test_a_stretch_that_was_cut_short_has_no_result(tmp_path: Path) -> None:
    attempt(tmp_path, 0, 1)
    assert unrecorded_result(tmp_path, trial()) is None


def test_nothing_is_deleted_below_the_limit(tmp_path: Path) -> None:
    attempt(tmp_path, 0, 4, result=done(4))
    assert clean(tmp_path, [trial(epochs=(4,), state="complete")], front=[], limit_gb=1) == 0
    assert checkpoint(tmp_path, trial(epochs=(4,))) is not None


@pytest.mark.parametrize(("limit", "left"), [(8000, [0, 1, 2, 3]), (7000, [0, 1, 3]), (4500, [0, 3]), (0, [0])])
def test_pruned_trials_go_first_then_others_off_the_front(limit: int, left: list[int], tmp_path: Path) -> None:
    states = ["complete", "complete", "pruned", "complete"]
    trials = [trial(number, epochs=(1,), state=state) for number, state in enumerate(states)]
    for each in trials:
        attempt(tmp_path, 0, 1, number=each.number, result={"epoch": 1}, size=990)

    freed = clean(tmp_path, trials, front=[0], limit_gb=limit / 1e9)

    kept = [each.number for each in trials if checkpoint(tmp_path, each)]
    assert kept == left
    assert freed * 1e9 == pytest.approx(2000 * (4 - len(left)), rel=0.01)


def test_a_running_trial_is_never_cleaned(tmp_path: Path) -> None:
    folder = attempt(tmp_path, 0, 1, result=done(1))
    clean(tmp_path, [trial(epochs=(1,))], front=[], limit_gb=0)
    assert folder.exists()


def test_the_front_stays_even_above_the_limit(tmp_path: Path) -> None:
    folder = attempt(tmp_path, 0, 1, result=done(1))
    assert clean(tmp_path, [trial(epochs=(1,), state="complete")], front=[0], limit_gb=0) == 0
    assert folder.exists()


def test_a_trial_that_never_trained_takes_no_room(tmp_path: Path) -> None:
    assert size_gb(trial_folder(tmp_path, 3)) == 0
    assert clean(tmp_path, [trial(3, state="infeasible")], front=[], limit_gb=0) == 0


def test_dropping_what_is_absent_is_no_error(tmp_path: Path) -> None:
    drop(tmp_path / "nowhere")
    drop(tmp_path, WEIGHTS)
