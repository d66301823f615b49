"""How far something long is, and how long it still takes: told to the caller, and now and then to the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from autokd.driver.events import PROGRESS, Tell
from autokd.study import Study

Notify = Callable[[str], None]
"""Told in words what is being done."""

_LOG = logging.getLogger("autokd")
_TOLD_EVERY, _LOGGED_EVERY = 0.5, 30.0


SEARCHING = "Training students."
"""What is done while a search trains, stops and proposes students."""


def fresh_seeds(done: int, total: int) -> str:
    """How far the trainings are from which the numbers of a front come."""
    return f"Training students again with fresh seeds: {done} of {total} trainings are done."


def tell_nobody(message: str) -> None:
    """A `Notify` for when nobody looks."""


def steps(doing: str, notify: Notify, *, clock: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    """What is to be called with how many steps of how many are done, first with those that were done before.

    Args:
        doing: what is done, as `Training the teacher for 20 epochs`.
        notify: told twice a second at most.
        clock: seconds, only differences count.
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
    """Tells what is being done while there are no trials yet."""
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
