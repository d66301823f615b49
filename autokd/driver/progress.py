"""Tells the caller, and now and then the log, how far a long task is and how long it will still take."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from autokd.driver.events import PROGRESS, Tell
from autokd.study import Study

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
