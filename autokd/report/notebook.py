"""The live view of a search in a notebook: one output that is updated in place, with plain HTML and no widgets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from html import escape
from types import TracebackType
from typing import Any, Self

from autokd.driver.events import PROGRESS, Event
from autokd.front.words import heading, number
from autokd.report.lines import LogLines
from autokd.report.live import counts, ended_trials, figures, largest_front, status, with_baseline


class NotebookView:
    """Shows the progress of a search below the cell that runs it. The last state stays when the search ends."""

    def __init__(self) -> None:
        self._shown: Any = None
        self._last = ""

    def __enter__(self) -> Self:
        """Creates the output."""
        from IPython.display import display

        self._shown = display(  # type: ignore[no-untyped-call]
            _bundle("The search begins.", ""), raw=True, display_id=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the last state in the notebook."""

    def tell(self, event: Event) -> None:
        """Updates the view at each event that says how the search stands."""
        if event["event"] != PROGRESS:
            return
        progress = with_baseline(event)
        html = page(progress)
        if html != self._last:
            self._last = html
            self._shown.update(_bundle(status(progress), html), raw=True)

    def log_handler(self) -> logging.Handler:
        """A handler that also writes below the cell."""
        return LogLines().log_handler()


def page(progress: Mapping[str, Any]) -> str:
    """HTML on how a search stands: a bar, the counts and the front. All texts are escaped.

    Args:
        progress: the same data as for `LiveView.update`.
    """
    parts = []
    limit = progress["budget"].get("trials")
    if limit and progress["trials"]:
        done = min(ended_trials(progress["trials"]), limit)
        parts.append(f'<progress value="{done}" max="{limit}" style="width: 30em"></progress> {done} of {limit} trials')
    if progress["trials"]:
        parts.append(escape(", ".join(f"{count} {words}" for count, words in counts(progress["trials"]))))
    parts.append(escape(figures(progress)))
    if progress["message"]:
        parts.append(f"<i>{escape(progress['message'])}</i>")
    return "".join(f"<div>{part}</div>" for part in parts) + _table(progress)


def _table(progress: Mapping[str, Any]) -> str:
    members, more = largest_front(progress)
    if not members:
        return ""
    names = [objective["name"] for objective in progress["objectives"]]
    settings = list(dict.fromkeys(name for member in members for name in member["recipe"]))
    head = ["trial", *map(heading, progress["objectives"]), *settings]
    rows = [
        [
            str(member["trial"]),
            *(number(member["values"].get(name)) for name in names),
            *(_setting(member["recipe"].get(name)) for name in settings),
        ]
        for member in members
    ]
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    below = f"<div>There are {more} more students on the front.</div>" if more else ""
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>{below}"


def _setting(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _bundle(text: str, html: str) -> dict[str, str]:
    return {"text/plain": text, "text/html": html or escape(text)}
