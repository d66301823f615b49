from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from small import small_driver, small_run, write_space

from autokd.checkpoints import OPTIMIZER, WEIGHTS, drop
from autokd.driver import Driver
from autokd.errors import InputError, NoFrontError
from autokd.files import write_json
from autokd.trial import Stretch, run_stretch

FIXED = {"recipe": {"alpha": 0.5, "temperature": 4.0, "method": "kd", "lr": 0.01}, "budget.trials": 50}
"""With these a search has as many students as its space has architectures."""


@contextmanager
def driving(tmp_path: Path, **overrides: Any) -> Iterator[Driver]:
    """A driver of `small_run` without early stopping, whose record is closed at the end."""
    driver = small_driver(small_run(tmp_path, **({"scheduler": "none"} | overrides)))
    try:
        yield driver
    finally:
        driver.record.close()


def trained(stretch: Stretch, accuracy: float = 0.5) -> dict[str, Any]:
    """What a worker answers, and leaves in the folder of its stretch, without training."""
    folder = Path(stretch.folder)
    folder.mkdir(parents=True)
    for name in (WEIGHTS, OPTIMIZER):
        (folder / name).write_bytes(b"numbers")
    result = {"epoch": stretch.stop, "values": {"accuracy": accuracy}, "seconds": 0.1}
    write_json(folder / "result.json", result)
    return result


def propose(driver: Driver) -> Stretch:
    stretch = driver.propose()
    assert stretch is not None, driver.ended
    return stretch


def to_the_end(driver: Driver, stretch: Stretch, accuracy: float = 0.5) -> list[Stretch]:
    """All stretches of a trial, each answered at once."""
    stretches = [stretch]
    while following := driver.advance(stretches[-1].trial, trained(stretches[-1], accuracy)):
        stretches += following
    return stretches


def told(driver: Driver) -> list[TrialState]:
    return [trial.state for trial in driver.record.study.get_trials(deepcopy=False)]


def test_a_trial_goes_from_rung_to_rung_each_stretch_from_the_last_ones_checkpoint(tmp_path: Path) -> None:
    with driving(tmp_path) as driver:
        stretches = to_the_end(driver, propose(driver))
        assert [(stretch.start, stretch.stop) for stretch in stretches] == [(0, 1), (1, 2), (2, 4)]
        assert [stretch.source for stretch in stretches] == ["", stretches[0].folder, stretches[1].folder]
        assert len({stretch.seed for stretch in stretches}) == 1
        assert driver.record.trials[0].state == "complete"
        assert told(driver) == [TrialState.COMPLETE]


def test_of_a_complete_trial_the_last_weights_are_left_and_nothing_else(tmp_path: Path) -> None:
    with driving(tmp_path) as driver:
        *_, last = to_the_end(driver, propose(driver))
        left = {path.name for path in (tmp_path / "run" / "trials").rglob("*") if path.is_file()}
        assert left == {WEIGHTS, "result.json"}
        assert (Path(last.folder) / WEIGHTS).exists()


def test_weights_that_vanished_are_trained_anew(tmp_path: Path) -> None:
    with driving(tmp_path) as driver:
        first = propose(driver)
        result = trained(first)
        drop(Path(first.folder))
        (following,) = driver.advance(first.trial, result)
        assert (following.start, following.stop, following.source) == (1, 2, "")


def test_an_error_ends_a_trial_as_failed_and_no_other(tmp_path: Path) -> None:
    with driving(tmp_path) as driver:
        first, second = propose(driver), propose(driver)
        assert driver.advance(first.trial, {"error": "out of memory"}) == []
        assert driver.record.trials[0].reason == "out of memory"
        to_the_end(driver, second)
        assert told(driver) == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_bound_known_before_training_is_never_trained(tmp_path: Path) -> None:
    space = write_space(tmp_path, widths=[4, 8, 64])
    bounds = {"accuracy": {}, "parameters": {"bound": 700}}
    with driving(tmp_path, space=space, objectives=bounds, **FIXED) as driver:
        proposed = []
        while (stretch := driver.propose()) is not None:
            proposed.append(stretch)
        infeasible = [trial for trial in driver.record.trials if trial.state == "infeasible"]
        assert sorted(stretch.arch["width"] for stretch in proposed) == [4, 8]
        assert len(infeasible) == 1
        for trial in infeasible:
            assert trial.arch == {"width": 64}
            assert not trial.rungs
            assert trial.reason == "parameters misses its bound by 4110"
            frozen = driver.record.study.get_trials(deepcopy=False)[trial.number]
            assert frozen.state == TrialState.PRUNED
            assert frozen.constraints == {"parameters": 4110.0}


def test_a_bound_is_met_at_its_own_value(tmp_path: Path) -> None:
    space = write_space(tmp_path, widths=[8])
    parameters = 64 * 8 + 8 + 8 * 10 + 10
    with driving(tmp_path, space=space, objectives={"accuracy": {}, "parameters": {"bound": parameters}}) as driver:
        assert propose(driver).arch == {"width": 8}


def test_a_trained_bound_is_judged_after_the_full_training_only(tmp_path: Path) -> None:
    with driving(tmp_path, objectives={"accuracy": {"bound": 0.8}, "parameters": {}}) as driver:
        stretches = to_the_end(driver, propose(driver), accuracy=0.7)
        assert [stretch.stop for stretch in stretches] == [1, 2, 4]
        assert driver.record.trials[0].state == "infeasible"
        (frozen,) = driver.record.study.get_trials(deepcopy=False)
        assert frozen.state == TrialState.PRUNED
        assert frozen.constraints["accuracy"] == pytest.approx(0.1)


def test_trained_trials_that_break_a_bound_count_towards_the_budget(tmp_path: Path) -> None:
    overrides = {"objectives": {"accuracy": {"bound": 0.8}, "parameters": {}}, "budget.trials": 3}
    with driving(tmp_path, **overrides) as driver:
        for _ in range(3):
            to_the_end(driver, propose(driver), accuracy=0.7)
        assert driver.propose() is None
        assert driver.ended == "3 trials are done"


def test_the_scheduler_prunes_and_its_verdict_is_no_value(tmp_path: Path) -> None:
    with driving(tmp_path, scheduler="halving", space=write_space(tmp_path, widths=[4, 8, 16])) as driver:
        first, second = sorted((propose(driver), propose(driver)), key=lambda stretch: stretch.arch["width"])
        assert driver.advance(second.trial, trained(second, 0.5)) == []  # waits: half of one is none
        (following,) = driver.advance(first.trial, trained(first, 0.6))
        assert following.trial == first.trial  # the other is larger and worse
        assert driver.record.trials[second.trial].reason == "stopped early at epoch 1"
        frozen = driver.record.study.get_trials(deepcopy=False)[second.trial]
        assert (frozen.state, frozen.values) == (TrialState.PRUNED, None)
        assert not (Path(second.folder) / OPTIMIZER).exists()
        assert (Path(second.folder) / WEIGHTS).exists()


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_an_exhausted_space_ends_with_each_student_tried_once(sampler: str, tmp_path: Path) -> None:
    space = write_space(tmp_path, widths=[4, 8, 12, 16])
    with driving(tmp_path, space=space, sampler=sampler, **FIXED) as driver:
        widths = []
        while (stretch := driver.propose()) is not None:
            to_the_end(driver, stretch)
            widths.append(stretch.arch["width"])
        assert sorted(widths) == [4, 8, 12, 16]
        assert "exhausted" in driver.ended
        assert TrialState.RUNNING not in told(driver)


def test_what_cannot_be_built_is_tried_once(tmp_path: Path) -> None:
    space = write_space(tmp_path, widths=[4, 8, 12], build="assert width != 8, 'no eight'")
    with driving(tmp_path, space=space, sampler="random", **FIXED) as driver:
        while (stretch := driver.propose()) is not None:
            to_the_end(driver, stretch)
        failed = [trial for trial in driver.record.trials if trial.state == "failed"]
        assert [(trial.arch, trial.reason) for trial in failed] == [({"width": 8}, "raised AssertionError: no eight")]
        assert "exhausted" in driver.ended


def test_a_bound_hardly_anyone_meets_ends_the_search_and_keeps_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autokd.driver.core._UNTRAINED_IN_A_ROW", 20)
    with driving(tmp_path, sampler="random") as driver:
        to_the_end(driver, propose(driver))
        driver.record.objectives = tuple(replace(each, bound=1.0) for each in driver.record.objectives)
        assert driver.propose() is None
        assert "none of the last 20 proposals could be trained; the last was infeasible" in driver.ended
        assert driver.record.trials[0].state == "complete"


def test_trials_that_wait_for_company_go_on_when_none_will_come(tmp_path: Path) -> None:
    with driving(tmp_path, scheduler="halving") as driver:
        first = propose(driver)
        assert driver.advance(first.trial, trained(first)) == []
        assert told(driver) == [TrialState.RUNNING]
        (following,) = driver.release()
        assert (following.trial, following.start) == (first.trial, 1)
        assert driver.release() == []


def test_five_failures_at_the_start_end_the_search_with_the_reason(tmp_path: Path) -> None:
    with driving(tmp_path) as driver:
        for _ in range(4):
            assert driver.advance(propose(driver).trial, {"error": "raised ValueError: x"}) == []
        last = propose(driver)
        with pytest.raises(NoFrontError, match=r"all failed, the last one with this reason: out of memory; .*check"):
            driver.advance(last.trial, {"error": "out of memory"})


def test_failures_beside_a_student_that_still_trains_do_not(tmp_path: Path) -> None:
    with driving(tmp_path, **{"budget.trials": 10}) as driver:
        propose(driver)
        for _ in range(8):
            assert driver.advance(propose(driver).trial, {"error": "raised ValueError: x"}) == []


def test_the_budget_of_trials_counts_what_is_under_way(tmp_path: Path) -> None:
    with driving(tmp_path, **{"budget.trials": 2}) as driver:
        propose(driver), propose(driver)
        assert driver.propose() is None
        assert driver.ended == "2 trials are done"


def test_the_budget_of_epochs_is_never_overdrawn(tmp_path: Path) -> None:
    with driving(tmp_path, **{"budget.epochs": 10, "budget.trials": 50}) as driver:
        under_way = [propose(driver) for _ in range(3)]
        while under_way:
            stretch = under_way.pop(0)
            under_way += driver.advance(stretch.trial, trained(stretch))
            if not under_way and (proposed := driver.propose()):
                under_way.append(proposed)
        assert driver.ended == "10 epochs are spent"
        assert driver.record.epochs_spent <= 10
        assert TrialState.RUNNING not in told(driver)
        assert "complete" in [trial.state for trial in driver.record.trials]


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_cost_that_is_no_number_fails_the_trial_and_is_never_told(number: float, tmp_path: Path) -> None:
    costs = tmp_path / "costs.py"
    costs.write_text(
        "from autokd.types import Objective\n"
        "def measure(student, inputs):\n"
        f"    return float('{number}') if student[1].out_features == 8 else 1.0\n"
        "odd = Objective('odd', 'minimize', '', trained=False, measure=measure)\n"
    )
    space = write_space(tmp_path, widths=[4, 8])
    with driving(tmp_path, space=space, objectives={"accuracy": {}, f"{costs}:odd": {}}, **FIXED) as driver:
        while (stretch := driver.propose()) is not None:
            to_the_end(driver, stretch)
        failed = [trial.reason for trial in driver.record.trials if trial.state == "failed"]
        assert failed == [f"raised ValueError: odd is {number}"]
        told_values = [trial.values for trial in driver.record.study.get_trials(deepcopy=False) if trial.values]
        assert told_values == [[0.5, 1.0]]


def test_a_suggest_that_breaks_its_contract_ends_the_search_in_one_line(tmp_path: Path) -> None:
    with driving(tmp_path) as driver:

        class Tuples:
            @staticmethod
            def suggest(trial: Any) -> dict[str, Any]:
                return {"widths": (trial.suggest_int("width", 4, 8),)}

        object.__setattr__(driver.context, "space", Tuples)
        with pytest.raises(InputError, match="JSON round trip"):
            driver.propose()
        assert told(driver) == [TrialState.FAIL]


def test_a_stretch_given_up_leaves_no_trial_running(tmp_path: Path) -> None:
    with driving(tmp_path) as driver:
        driver.give_up(propose(driver), "the time limit was reached")
        assert driver.record.trials[0].reason == "the time limit was reached"
        assert told(driver) == [TrialState.PRUNED]


def test_stretches_can_be_run(tmp_path: Path) -> None:
    with driving(tmp_path) as driver:
        stretch = propose(driver)
        (following,) = driver.advance(stretch.trial, run_stretch(driver.context, stretch))
        assert following.start == 1
        assert 0 < driver.record.trials[0].values["accuracy"] <= 1
