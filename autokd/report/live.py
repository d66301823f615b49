"""The live view of a search: redrawn in place on a terminal, or a plain line every few seconds if output is piped."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from autokd.driver.events import PROGRESS, Event
from autokd.errors import without_secrets
from autokd.front.words import number
from autokd.report.encoding import writable
from autokd.report.table import PLAIN_WIDTH, front_table, front_text

LARGEST_FRONT = 12
"""How many rows of the front are shown while a search runs."""

_FRONT_EVERY = 60.0
_STATES = {
    "complete": "complete",
    "running": "running",
    "pruned": "stopped early",
    "infeasible": "infeasible",
    "failed": "failed",
}


class LiveView:
    """Shows the progress of a search while it is entered as a context. rich uses no colour if `NO_COLOR` is set.

    When the view prints plain lines, it also prints the front after it has changed, at most once a minute.

    Args:
        console: where to show the progress; stdout if None. The view is redrawn in place only on a capable terminal.
        environment: the environment of the process. If `CI` is set and not empty, every terminal gets plain lines.
        clock: gives seconds, of which only differences matter.
        every: seconds between two plain lines, >= 0.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        every: float = 5.0,
    ) -> None:
        self._console = console or Console()
        able = self._console.is_terminal and not self._console.is_dumb_terminal
        in_place = able and not environment.get("CI")
        self._live = Live(console=self._console, auto_refresh=False) if in_place else None
        self._clock, self._every = clock, every
        self._last: Mapping[str, Any] | None = None
        self._status, self._status_at = "", float("-inf")
        self._front, self._front_at = "", clock()

    def __enter__(self) -> Self:
        """Takes over the terminal, if there is one."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the last state on the screen."""
        if self._live is not None:
            self._live.stop()
        elif self._last is not None:
            self._print_status(self._last)

    def tell(self, event: Event) -> None:
        """Updates the view at each event that says how the search stands."""
        if event["event"] == PROGRESS:
            self.update(with_baseline(event))

    def update(self, progress: Mapping[str, Any]) -> None:
        """Shows how the search stands.

        Args:
            progress: `trials` (counts by state: complete, running, pruned, infeasible, failed, duplicate), `budget`
                (`trials` and `epochs`, None for no limit), `epochs_spent`, `seconds` since the start, `eta_seconds`
                or None, `hypervolume` or None, `objectives` and `front` as `front_table` takes them, and `message`,
                "" for none.
        """
        self._last = progress
        if self._live is not None:
            shown = screen(progress, width=self._console.width, encoding=self._console.encoding)
            self._live.update(shown, refresh=True)
            return
        every = max(self._every, progress["seconds"] / 50)  # a long search prints lines less often
        if self._clock() - self._status_at >= every:
            self._print_status(progress)
        if self._clock() - self._front_at >= _FRONT_EVERY:
            self._print_front(progress)

    def log_handler(self) -> logging.Handler:
        """A handler that prints log records above the view."""
        return _Above(self._console)

    def _print_status(self, progress: Mapping[str, Any]) -> None:
        line = status(progress)
        if line != self._status:
            _plain(self._console, line)
        self._status, self._status_at = line, self._clock()

    def _print_front(self, progress: Mapping[str, Any]) -> None:
        shown = {"objectives": progress["objectives"], "front": largest_front(progress)[0]}
        text = front_text(shown, encoding=self._console.encoding).rstrip()
        if progress["front"] and text != self._front:
            _plain(self._console, f"{_baseline(progress)}The front so far:\n{text}")
        self._front, self._front_at = text, self._clock()


def status(progress: Mapping[str, Any]) -> str:
    """One line on how a search stands; before its first trial, on what AutoKD is doing."""
    if not progress["trials"]:
        return " ".join(part for part in (progress["message"], f"({_time(progress)})") if part)
    limit = progress["budget"].get("trials")
    states = ", ".join(f"{count} {words}" for count, words in counts(progress["trials"]))
    parts = [f"{ended_trials(progress['trials'])}{_of(limit)} trials: {states}", figures(progress), progress["message"]]
    return "; ".join(part for part in parts if part)


def screen(progress: Mapping[str, Any], *, width: int = PLAIN_WIDTH, encoding: str = "utf-8") -> Group:
    """A screen on how a search stands: a bar, the counts and the front. Before the first trial it shows a message."""
    trials, limit = progress["trials"], progress["budget"].get("trials")
    lines: list[RenderableType] = []
    if limit and trials:
        bar = ProgressBar(total=limit, completed=min(ended_trials(trials), limit), width=60)
        lines.append(Align.left(bar))  # the bar does not end its line
    if trials:
        shown = [Text.assemble((str(count), _style(words, count)), f" {words}") for count, words in counts(trials)]
        lines.append(Text("   ").join(shown))
    lines.append(Text(writable(figures(progress, between="   "), encoding)))
    if progress["message"]:
        lines.append(Text(writable(progress["message"], encoding), style="italic"))
    members, more = largest_front(progress)
    if members:
        shown_front = {"objectives": progress["objectives"], "front": members}
        lines.append(front_table(shown_front, width=width, encoding=encoding))
    if more:
        lines.append(Text(f"There are {more} more students on the front.", style="dim"))
    return Group(*lines)


def with_baseline(event: Event) -> Event:
    """A progress event with the name of its baseline, if it has one, in the message."""
    return {**event, "message": f"{_baseline(event)}{event['message']}"}


def _baseline(progress: Mapping[str, Any]) -> str:
    name = progress.get("baseline")
    return f"Baseline {name}: " if name else ""


def counts(trials: Mapping[str, int]) -> list[tuple[int, str]]:
    """The number of trials in each state, with the word for the state."""
    return [(trials.get(state, 0), words) for state, words in _STATES.items()]


def ended_trials(trials: Mapping[str, int]) -> int:
    """The number of trials that count towards the budget: those that ended after some training."""
    return sum(trials.get(state, 0) for state in ("complete", "pruned", "failed"))


def figures(progress: Mapping[str, Any], *, between: str = "; ") -> str:
    """Epochs, size and hypervolume of the front, and the time; before the first trial the time alone."""
    if not progress["trials"]:
        return _time(progress)
    count = len(progress["front"])
    front = f"{count} student{'' if count == 1 else 's'} on the front"
    return between.join([_epochs(progress), front, f"hypervolume {number(progress['hypervolume'])}", _time(progress)])


def largest_front(progress: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """The students of the front that are shown, without their architectures, and the number of the others."""
    members = progress["front"][:LARGEST_FRONT]
    shown = [{key: member[key] for key in member if key not in ("arch", "reading")} for member in members]
    return shown, len(progress["front"]) - len(shown)


def duration(seconds: float) -> str:
    """Seconds in words, in at most two units: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{minutes} min {rest} s" if hours < 1 else f"{hours} h {minutes} min"


class _Above(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        _plain(self._console, without_secrets(self.format(record)))


def _plain(console: Console, text: str) -> None:
    console.print(writable(text, console.encoding), markup=False, highlight=False, soft_wrap=True)


def _epochs(progress: Mapping[str, Any]) -> str:
    return f"{progress['epochs_spent']:,}{_of(progress['budget'].get('epochs'))} epochs"


def _time(progress: Mapping[str, Any]) -> str:
    left = progress["eta_seconds"]
    ends = "" if left is None else f", about {duration(left)} left"
    return f"{duration(progress['seconds'])} so far{ends}"


def _of(limit: int | None) -> str:
    return f" of {limit:,}" if limit else ""


def _style(words: str, count: int) -> str:
    if not count:
        return "dim"
    return {"failed": "bold red", "complete": "bold green"}.get(words, "bold")
