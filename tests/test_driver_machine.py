"""A driver and its record hold their laws under any order of events, stops in the middle included."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from optuna.trial import TrialState
from small import small_study

from autokd.checkpoints import (
    MOST_DEATHS,
    OPTIMIZER,
    WEIGHTS,
    checkpoint,
    deaths_of_trial,
    drop,
    note_death,
    write_result,
)
from autokd.driver.core import Driver
from autokd.errors import NoFrontError
from autokd.record import Record, counts, read_trials
from autokd.trial import Context, Stretch
from autokd.types import Arch, Objective, Point

TRIALS, EPOCHS, RUNGS = 9, 24, (1, 2, 4)
STUDY = small_study(**{"budget.trials": TRIALS, "budget.epochs": EPOCHS, "budget.rungs": list(RUNGS)})
OBJECTIVES = (
    Objective("accuracy", "maximize", "", trained=True, measure=lambda evaluation: 0.0),
    Objective("size", "minimize", "", trained=False, measure=lambda student, inputs: 0.0, bound=9.0),
)
STATES = {
    "complete": TrialState.COMPLETE,
    "running": TrialState.RUNNING,
    "failed": TrialState.FAIL,
    "pruned": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,
    "duplicate": TrialState.PRUNED,
}


@dataclass(frozen=True)
class Trivial(Context):
    """Students that are a number: 10 and 11 break a bound, and 6 raises when it is suggested."""

    def suggest(self, trial: optuna.Trial) -> tuple[Arch, dict[str, Any]]:
        size = trial.suggest_int("size", 0, 11)
        if size == 6:
            raise RuntimeError("six")
        return {"size": size}, {"alpha": 0.5, "epochs": RUNGS[-1]}

    def costs(self, arch: Arch) -> dict[str, float]:
        return {"size": float(arch["size"])}


def best_half(point: Point, peers: Sequence[Point]) -> bool | None:
    """Waits for a second trial at the rung, and lets the better half go on."""
    if point.epoch == 0:
        return True
    better = sum(peer.values["accuracy"] > point.values["accuracy"] for peer in peers)
    return None if len(peers) < 2 else better < len(peers) / 2


class DriverMachine(RuleBasedStateMachine):
    """Proposes, trains, fails, releases, gives up and reopens in any order."""

    under_way = Bundle("under_way")

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.folder = Path(self.home.name)
        task: Any = None
        self.context = Trivial(STUDY, task, task, torch.empty(0), OBJECTIVES)
        self.verdicts: dict[int, str] = {}
        self.epochs: dict[int, int] = {}
        self.running: dict[int, Stretch] = {}
        self.open()

    def open(self) -> None:
        self.record = Record(self.folder, OBJECTIVES, optuna.samplers.RandomSampler(seed=0))
        self.driver = Driver(self.context, self.record, best_half, folder=self.folder, latencies={})

    def taken(self, stretches: Sequence[Stretch]) -> Any:
        for stretch in stretches:
            trial = self.record.trials[stretch.trial]
            assert stretch.trial not in self.running
            kept = checkpoint(self.folder, trial)  # a damaged disk may have lost it: the trial begins anew then
            assert (stretch.start, stretch.source) == (trial.epoch, str(kept or ""))
            assert (stretch.stop, trial.state) == (next(rung for rung in RUNGS if rung > trial.epoch), "running")
            self.running[stretch.trial] = stretch
        return multiple(*stretches)

    def worked(self, stretch: Stretch, accuracy: float) -> dict[str, Any]:
        """What a worker leaves of a stretch that it finishes."""
        folder = Path(stretch.folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (WEIGHTS, OPTIMIZER):
            (folder / name).write_bytes(b"numbers")
        result = {"epoch": stretch.stop, "values": {"accuracy": accuracy}, "seconds": 0.1}
        write_result(folder, result)
        return result

    def current(self, stretch: Stretch) -> bool:
        """Whether a stretch is one that the driver waits for; those of before it was reopened are not."""
        return self.running.get(stretch.trial) == stretch

    @rule(target=under_way)
    def propose(self) -> Any:
        try:
            stretch = self.driver.propose()
        except NoFrontError:  # the first five all failed; a search ends here, and the same command goes on
            return multiple()
        assert (stretch is None) == bool(self.driver.ended)
        return self.taken([stretch] if stretch else [])

    @rule(target=under_way, stretch=consumes(under_way), accuracy=st.sampled_from([0.1, 0.5, 0.5, 0.9]))
    def advance(self, stretch: Stretch, accuracy: float) -> Any:
        if not self.current(stretch):
            return multiple()
        del self.running[stretch.trial]
        following = self.driver.advance(stretch.trial, self.worked(stretch, accuracy))
        assert self.record.trials[stretch.trial].rungs[stretch.stop] == {"accuracy": accuracy}
        return self.taken(following)

    @rule(stretch=consumes(under_way))
    def fail(self, stretch: Stretch) -> None:
        if self.current(stretch):
            del self.running[stretch.trial]
            with contextlib.suppress(NoFrontError):
                assert self.driver.advance(stretch.trial, {"error": "out of memory"}) == []
            assert self.record.trials[stretch.trial].state == "failed"

    @rule(target=under_way, stretch=consumes(under_way))
    def die(self, stretch: Stretch) -> Any:
        """The machine ends a worker: the same stretch is tried again elsewhere, but for the third time."""
        if not self.current(stretch):
            return multiple()
        del self.running[stretch.trial]
        note_death(Path(stretch.folder), "of a signal")
        died = len(deaths_of_trial(self.folder, stretch.trial))
        following: list[Stretch] = []
        with contextlib.suppress(NoFrontError):
            following = self.driver.advance(stretch.trial, {"lost": "of a signal"})
        if died < MOST_DEATHS:
            assert [each.trial for each in following] == [stretch.trial]
            assert following[0].folder != stretch.folder
        else:
            assert following == []
            assert self.record.trials[stretch.trial].state == "failed"
            assert self.record.trials[stretch.trial].reason == "its process died 3 times, the last time of a signal"
        return self.taken(following)

    @rule(place=st.integers(0, 3))
    def lose_a_checkpoint(self, place: int) -> None:
        """The disk loses what a trial has learnt before it goes on."""
        idle = [each for trials in self.driver._waiting.values() for each in trials]
        for trial in idle[place : place + 1]:
            folder = checkpoint(self.folder, trial)
            if folder is not None:
                drop(folder)

    @rule(target=under_way)
    def release(self) -> Any:
        following = self.driver.release()
        assert not self.driver._waiting
        return self.taken(following)

    @rule(stretch=consumes(under_way))
    def give_up(self, stretch: Stretch) -> None:
        if self.current(stretch):
            del self.running[stretch.trial]
            self.driver.give_up(stretch, "the time limit was reached")
            assert self.record.trials[stretch.trial].state == "pruned"

    @rule(
        target=under_way,
        finished=st.sets(st.integers(0, 3)),
        damaged=st.sets(st.integers(0, 3)),
        killer=st.sampled_from([None, 0, 1]),
        accuracy=st.sampled_from([0.2, 0.6]),
    )
    def reopen(self, finished: set[int], damaged: set[int], killer: int | None, accuracy: float) -> Any:
        """A driver dies, some of whose workers have finished what it will never hear of; another takes over.

        Of some the result is damaged, and it may have been a student that ended the driver.
        """
        running = list(self.running.values())
        adopted = [stretch for place, stretch in enumerate(running) if place in finished - damaged]
        for place, stretch in enumerate(running):
            if place in finished:
                self.worked(stretch, accuracy)
            if place in finished & damaged:
                (Path(stretch.folder) / "result.json").write_bytes(b'{"epoch": 1, "val')
            if place == killer and place not in finished:
                note_death(Path(stretch.folder), "of its student")
        before = {trial.number: (trial.state, trial.epoch) for trial in self.record.trials if trial.arch}
        self.record.close()
        self.running = {}
        self.open()
        recorded = {trial.number: (trial.state, trial.epoch) for trial in self.record.trials if trial.arch}
        assert recorded == before
        stretches = self.driver.resume()
        for stretch in adopted:
            assert self.record.trials[stretch.trial].epoch == stretch.stop
        return self.taken(stretches)

    @invariant()
    def a_verdict_stays(self) -> None:
        for trial in self.record.trials:
            assert self.verdicts.get(trial.number, trial.state) == trial.state
            assert trial.epoch >= self.epochs.get(trial.number, 0)
            self.epochs[trial.number] = trial.epoch
            if trial.state != "running":
                self.verdicts[trial.number] = trial.state

    @invariant()
    def optuna_was_told_the_same(self) -> None:
        told = [trial.state for trial in self.record.study.get_trials(deepcopy=False)]
        assert told == [STATES[trial.state] for trial in self.record.trials]

    @invariant()
    def a_running_trial_is_under_way_or_waits(self) -> None:
        waiting = [trial.number for trials in self.driver._waiting.values() for trial in trials]
        running = [trial.number for trial in self.record.trials if trial.state == "running" and trial.arch]
        assert sorted([*waiting, *self.running]) == running

    @invariant()
    def the_budget_holds_and_the_tallies_are_right(self) -> None:
        trials, spent = self.record.trials, self.record.spent
        assert self.record.tally == counts(trials)
        assert self.record.epochs_spent == sum(trial.epoch for trial in trials)
        ahead = sum(stretch.stop - stretch.start for stretch in self.running.values())
        assert self.record.epochs_spent + ahead <= EPOCHS
        assert len(spent | self.running.keys()) <= TRIALS + sum(trial.arch is None for trial in trials)
        assert self.record.completed == sorted(
            (trial for trial in trials if trial.state == "complete"), key=self.record.completed.index
        )

    def teardown(self) -> None:
        """Lets all that is under way end, and reads back what was written."""
        stretches = list(self.running.values())
        while stretches or self.driver._waiting:
            self.running = {}
            stretches = [
                *(each for s in stretches for each in self.driver.advance(s.trial, self.worked(s, 0.5))),
                *self.driver.release(),
            ]
        mirrored = [
            (t.number, t.arch, t.recipe, t.costs, t.rungs, t.state, t.reason) for t in self.record.trials if t.arch
        ]
        self.record.close()
        stored = read_trials(self.folder)
        assert [(t.number, t.arch, t.recipe, t.costs, t.rungs, t.state, t.reason) for t in stored if t.arch] == mirrored
        assert all(trial.state != "running" for trial in stored if trial.arch)
        self.home.cleanup()


GENERATED = [Phase.generate]
"""Without shrinking, which takes minutes with a database in each step."""


def test_a_driver_keeps_its_word_whatever_happens_in_whatever_order() -> None:
    run_state_machine_as_test(
        DriverMachine, settings=settings(max_examples=3, stateful_step_count=20, deadline=None, phases=GENERATED)
    )


@pytest.mark.slow
def test_a_driver_keeps_its_word_in_many_more_orders() -> None:
    run_state_machine_as_test(
        DriverMachine, settings=settings(max_examples=20, stateful_step_count=40, deadline=None, phases=GENERATED)
    )
