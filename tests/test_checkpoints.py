from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autokd.checkpoints import (
    MOST_DEATHS,
    OPTIMIZER,
    WEIGHTS,
    checkpoint,
    clean,
    deaths_of_trial,
    drop,
    drop_unknown,
    in_mortal_danger,
    is_whole,
    note_death,
    read_result,
    size_gb,
    too_many,
    trial_folder,
    unrecorded_result,
    whole_checkpoint,
    write_result,
)
from autokd.files import write_json
from autokd.record import TrialRecord
from autokd.weights import save_tensors


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


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """The checkpoint of trial 0 after epoch 1, as a worker writes it."""
    folder = attempt(tmp_path, 0, 1)
    save_tensors({"layer.weight": torch.arange(6.0)}, folder / WEIGHTS)
    save_tensors({"0.step": torch.ones(3)}, folder / OPTIMIZER)
    write_result(folder, done(1))
    return folder


def flip_a_bit(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def test_a_checkpoint_as_it_was_written_is_whole(sealed: Path, tmp_path: Path) -> None:
    assert is_whole(sealed, WEIGHTS, OPTIMIZER)
    assert whole_checkpoint(tmp_path, trial(epochs=(1,))) == sealed
    assert read_result(sealed) == unrecorded_result(tmp_path, trial()) == done(1)


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER])
def test_a_file_that_is_cut_off_changed_or_gone_is_noticed(sealed: Path, tmp_path: Path, name: str) -> None:
    whole = (sealed / name).read_bytes()
    flip_a_bit(sealed / name, -1)
    assert not is_whole(sealed, WEIGHTS, OPTIMIZER)
    (sealed / name).write_bytes(whole[:-5])
    assert not is_whole(sealed, WEIGHTS, OPTIMIZER)
    (sealed / name).unlink()
    assert not is_whole(sealed, WEIGHTS, OPTIMIZER)
    assert (whole_checkpoint(tmp_path, trial(epochs=(1,))) is None) == (name == WEIGHTS)


def test_any_changed_byte_of_a_result_is_noticed(sealed: Path, tmp_path: Path) -> None:
    path = sealed / "result.json"
    before = path.read_bytes()
    for place in range(len(before)):
        flip_a_bit(path, place)
        for result in (read_result(sealed), unrecorded_result(tmp_path, trial())):
            assert result is None or result.items() >= done(1).items()  # as after another blank between two keys
        path.write_bytes(before)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b"null", b"[" * 100_000, b"{}", b'{"error": 3}', b'{"epoch": "1", "values": {}}']
    + [b'{"epoch": 1, "values": %b}' % values for values in (b"[]", b'{"a": "x"}', b'{"a": NaN}', b'{"a": 1e999}')]
    + [b'{"epoch": 2, "values": {"accuracy": 0.5}}', b'{"epoch": 1, "values": {"accuracy": 0.5}, "files": 3}'],
)
def test_a_result_that_cannot_be_used_is_none(tmp_path: Path, content: bytes) -> None:
    folder = attempt(tmp_path, 0, 1)
    (folder / "result.json").write_bytes(content)
    assert unrecorded_result(tmp_path, trial()) is None


def test_the_length_of_a_file_of_an_earlier_version_is_looked_at(sealed: Path) -> None:
    write_json(sealed / "result.json", done(1))
    assert is_whole(sealed, WEIGHTS, OPTIMIZER)
    (sealed / OPTIMIZER).write_bytes((sealed / OPTIMIZER).read_bytes()[:-1])
    assert not is_whole(sealed, OPTIMIZER)


def test_deaths_are_counted_over_all_attempts_at_a_trial(tmp_path: Path) -> None:
    folders = [trial_folder(tmp_path, 0) / name / "epoch-0001" for name in ("attempt-0", "attempt-0-1", "attempt-10")]
    for number, folder in enumerate(folders):
        assert not too_many(deaths_of_trial(tmp_path, 0))
        note_death(folder, f"of reason {number}")
    assert deaths_of_trial(tmp_path, 0) == ["of reason 0", "of reason 1", "of reason 2"]
    assert len(folders) == MOST_DEATHS
    assert too_many(deaths_of_trial(tmp_path, 0)) == "its process died 3 times, the last time of reason 2"


def test_who_ends_in_order_takes_the_death_back_that_was_noted(tmp_path: Path) -> None:
    folder = trial_folder(tmp_path, 0) / "attempt-0" / "epoch-0001"
    with in_mortal_danger(folder, "it was here"):
        assert deaths_of_trial(tmp_path, 0) == ["it was here"]
    assert deaths_of_trial(tmp_path, 0) == []
    note_death(folder, "it was before")
    with pytest.raises(KeyboardInterrupt), in_mortal_danger(folder, "it was here"):
        raise KeyboardInterrupt
    assert deaths_of_trial(tmp_path, 0) == ["it was before"]


def test_the_note_of_a_death_stays_where_the_record_does_not_know_the_trial_yet(tmp_path: Path) -> None:
    for number in (3, 4):
        note_death(trial_folder(tmp_path, number), "as it was proposed")
    note_death(trial_folder(tmp_path, 4) / "attempt-0" / "epoch-0001", "as it was trained")
    assert drop_unknown(tmp_path, 3) == [4]
    assert deaths_of_trial(tmp_path, 3) == ["as it was proposed"]
    assert deaths_of_trial(tmp_path, 4) == []
