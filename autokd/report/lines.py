"""A search as lines of a log: one for each trial that ended, one for each change of the front."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from autokd.driver.events import Event
from autokd.errors import printable, without_secrets
from autokd.front.words import number

_LOG = logging.getLogger("autokd")
_FORMAT = "[%(levelname).1s %(asctime)s] %(message)s"


class LogLines:
    """Logs a search to the logger `autokd` at level INFO, while it is entered as a context."""

    def __enter__(self) -> Self:
        """Does nothing, because a log needs no preparation."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Does nothing, likewise."""

    def tell(self, event: Event) -> None:
        """Logs the line of an event, if it has one."""
        text = line(event)
        if text:
            _LOG.info("%s", text)

    def log_handler(self) -> logging.Handler:
        """A handler that writes to stderr, like Optuna's."""
        handler = logging.StreamHandler()
        handler.setFormatter(_Plain(_FORMAT, "%Y-%m-%d %H:%M:%S"))
        return handler


def line(event: Event) -> str:
    """The log line of an event; "" for an event without one, such as a student that was trained before."""
    what = event["event"]
    words = _LINES[what](event) if what in _LINES else ""
    return f"Baseline {event['baseline']}: {words}" if words and event["baseline"] else words


def _began(event: Event) -> str:
    names = " and ".join(filter(None, [", ".join(_names(event)[:-1]), _names(event)[-1]]))
    again = f" It goes on after {sum(event['trials'].values())} trials." if any(event["trials"].values()) else ""
    return f"Searching over {names}; the run folder is {event['run']}.{again}"


def _trial_ended(event: Event) -> str:
    reason, values = event["reason"], _values(event["values"])
    if event["state"] == "complete":
        how = "was trained to the end"
    elif event["state"] == "failed":
        return f"Trial {event['trial']} failed: {reason}"
    elif event["state"] == "infeasible":
        how = f"is infeasible, because {reason}"
    elif event["state"] == "pruned":
        how = f"was {reason}" if reason.startswith("stopped") else f"was stopped, because {reason}"
    else:
        return ""
    return f"Trial {event['trial']} {how}: {values}." if values else f"Trial {event['trial']} {how}."


def _front(event: Event) -> str:
    count = len(event["front"])
    students = "1 student" if count == 1 else f"{count} students"
    return f"The front has {students} now, with a hypervolume of {number(event['hypervolume'])}."


def _ended(event: Event) -> str:
    count = len(event["front"])
    return f"The search has ended with {count} student{'s' if count != 1 else ''} on the front: {event['note']}."


def _names(event: Event) -> list[str]:
    return [objective["name"] for objective in event["objectives"]]


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in values.items())


_LINES = {"search_began": _began, "trial_ended": _trial_ended, "front": _front, "search_ended": _ended}


class _Plain(logging.Formatter):
    """The text without secrets and control characters, because names in the data of a search may come from anybody."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(without_secrets(super().format(record)))
