"""The events that a search tells while it goes on, as plain data, each of them once, and how far long tasks are.

`docs/howto/callbacks.md` lists the events with their keys. The order of the events of one trial is fixed. Events are
told between two steps of the search, in the thread that called the search.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from autokd.record import TrialRecord
from autokd.study import Study
from autokd.types import Objective

Event = dict[str, Any]
"""What happened: `event` says what, and `study`, `run` and `baseline` say where; the other keys depend on `event`."""

Tell = Callable[[Event], None]
"""Is called with each event."""

PROGRESS = "progress"
"""The event that says how a search stands, about twice a second; every other event tells what happened."""


def tell_no_one(event: Event) -> None:
    """A `Tell` for when nobody listens."""


def signed(tell: Tell, *, study: str, run: str) -> Tell:
    """`tell`, with the study and the run folder in each event that does not name its own."""
    return lambda event: tell({"study": study, "run": run, "baseline": "", **event})


def of_baseline(tell: Tell, name: str) -> Tell:
    """`tell`, with the name of a baseline in each event."""
    return lambda event: tell({**event, "baseline": name})


def progress_only(look: Callable[[Mapping[str, Any]], None]) -> Tell:
    """A `Tell` that passes on how the search stands, and nothing else."""

    def tell(event: Event) -> None:
        if event["event"] == PROGRESS:
            look(event)

    return tell


def described(objectives: Sequence[Objective]) -> list[dict[str, str]]:
    """The name, the direction and the unit of each objective."""
    return [{"name": each.name, "direction": each.direction, "unit": each.unit} for each in objectives]


class Account:
    """Tells what has happened to the trials since it was last asked to.

    Args:
        tell: is told each event.
        objectives: the objectives in the order in which values are told.
        trials: the trials in the record when the search begins; what earlier searches recorded of them is not told.
    """

    def __init__(self, tell: Tell, objectives: Sequence[Objective], trials: Iterable[TrialRecord]) -> None:
        self._tell, self._names = tell, [objective.name for objective in objectives]
        self._begun, self._ended = set[int](), set[int]()
        self._epochs: dict[int, int] = {}
        for trial in trials:
            if trial.state == "running":
                self._epochs[trial.number] = trial.epoch
            else:
                self._ended.add(trial.number)

    def tell_of(self, trial: TrialRecord) -> None:
        """Tells what is new about one trial: that it began, which rungs it reached, and how it ended."""
        number = trial.number
        if number in self._ended or (trial.arch is None and trial.state == "running"):
            return
        student = {"trial": number, **trial.picked}
        trained = trial.state == "running" or trial.rungs or number in self._epochs
        if trained and number not in self._begun:
            self._begun.add(number)
            epoch = self._epochs.setdefault(number, 0)
            self._tell({"event": "trial_began", **student, "epoch": epoch, "values": self._values(trial, epoch)})
        for epoch in sorted(trial.rungs):
            if epoch > self._epochs[number]:
                self._epochs[number] = epoch
                values = self._values(trial, epoch)
                self._tell({"event": "stretch_ended", "trial": number, "epoch": epoch, "values": values})
        if trial.state != "running":
            self._ended.add(number)
            values = self._values(trial, trial.epoch)
            how = {"state": trial.state, "reason": trial.reason, "epoch": trial.epoch, "values": values}
            self._tell({"event": "trial_ended", **student, **how})

    def _values(self, trial: TrialRecord, epoch: int) -> dict[str, float]:
        known = trial.costs | trial.rungs.get(epoch, {})
        return {name: known[name] for name in self._names if name in known}


Notify = Callable[[str], None]
"""Is told in words what is being done."""

_LOG = logging.getLogger("autokd")
_TOLD_EVERY, _LOGGED_EVERY = 0.5, 30.0


SEARCHING = "Training students."
"""The message while a search trains, stops and proposes students."""


def fresh_seeds(done: int, total: int) -> str:
    """The message while the trainings run from which the numbers of a front come."""
    return f"Training students again with fresh seeds: {done} of {total} trainings are done."


def tell_nobody(message: str) -> None:
    """A `Notify` for when nobody looks."""


def steps(doing: str, notify: Notify, *, clock: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    """A function to call with the number of steps that are done and of all steps; first with those done before.

    Args:
        doing: what is being done, such as `Training the teacher for 20 epochs`.
        notify: is told twice a second at most.
        clock: gives the time in seconds, of which only differences count.
    """
    began = told = logged = clock()
    before: int | None = None

    def tell(done: int, total: int) -> None:
        nonlocal before, told, logged
        before, now = done if before is None else before, clock()
        if now - told < _TOLD_EVERY or done == before:
            return
        left = (now - began) / (done - before) * (total - done)
        ends = f", about {_duration(left)} left" if done < total else ""
        message = f"{doing}: {done:,} of {total:,} done{ends}."
        told = now
        notify(message)
        if now - logged >= _LOGGED_EVERY:
            logged = now
            _LOG.info("%s", message)

    return tell


def before_trials(study: Study, tell: Tell) -> Notify:
    """A `Notify` that tells what is being done while there are no trials yet."""
    started = time.monotonic()

    def notify(message: str) -> None:
        tell(
            {
                "event": PROGRESS,
                "trials": {},
                "budget": {"trials": study.budget.trials, "epochs": study.budget.epochs},
                "epochs_spent": 0,
                "seconds": time.monotonic() - started,
                "eta_seconds": None,
                "hypervolume": None,
                "front": [],
                "objectives": [],
                "message": message,
            }
        )

    return notify


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
