"""The columns of the table of a front, which of them fit on a line, and the settings that stand below it instead."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autokd.front.starts import with_starts
from autokd.front.words import (
    architecture,
    compact,
    heading,
    interval,
    marked_trial,
    number,
    shown,
    split_common,
    tested_names,
)
from autokd.report.encoding import writable

Row = Mapping[str, Any]
"""A student of a front as plain data, or a part of it."""

GAP = 2
"""The number of characters between two columns."""

_SHORT = {"temperature": "T"}
_TRIAL, _OBJECTIVE, _WANTED, _TEST, _RECIPE, _ARCH = range(6)
"""What a column holds. Columns with a lower number get room first."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        name: its heading, in which lines break at blanks.
        cells: its texts, one for each row.
        urgency: the lower this is, the sooner the column gets room.
        number: whether it is aligned to the right.
    """

    name: str
    cells: tuple[str, ...]
    urgency: int
    number: bool = True

    @property
    def width(self) -> int:
        """The number of characters that it takes, without a gap."""
        return max(map(len, (*self.name.split(), *self.cells)))


def front_columns(front: Mapping[str, Any], encoding: str) -> list[Column]:
    """The columns of a front's table, in the order in which they are shown: the trial, and all that members differ in.

    Each column has a cell for each member, and one for the teacher if there is one.
    """
    front = with_starts(front)
    rows = _rows(front)

    def column(name: str, urgency: int, write: Callable[[Mapping[str, Any]], str], *, number: bool = True) -> Column:
        return Column(writable(name, encoding), tuple(writable(write(row), encoding) for row in rows), urgency, number)

    room = 2 if any(row.get("within_noise") for row in rows) else 0  # of a mark, so that numbers are aligned
    columns = [column("trial", _TRIAL, lambda row: marked_trial(row).ljust(len(str(row["trial"])) + room))]
    for objective in front["objectives"]:
        columns.append(column(heading(objective), _OBJECTIVE, _interval_of(objective["name"])))
    for name in tested_names(front):
        columns.append(column(f"test {name}", _TEST, _test_of(name)))
    for settings_of, urgency in ((_recipe, _RECIPE), (architecture, _ARCH)):
        _, differing = split_common([settings_of(row) for row in front["front"]])
        for name in dict.fromkeys(name for settings in differing for name in settings):
            numbers = all(isinstance(settings.get(name, 0), int | float) for settings in differing)
            first = urgency == _RECIPE and name in ("alpha", "temperature")
            write = _setting_of(settings_of, name)
            columns.append(column(_SHORT.get(name, name), _WANTED if first else urgency, write, number=numbers))
    return columns


def columns_that_fit(columns: Sequence[Column], width: int) -> tuple[list[Column], list[Column]]:
    """The columns that fit on a line, and the others. The first column is always shown."""
    room = width - columns[0].width
    fitting = {0}
    for place in sorted(range(1, len(columns)), key=lambda place: columns[place].urgency):
        needed = columns[place].width + GAP
        if needed <= room:
            fitting.add(place)
            room -= needed
    places = range(len(columns))
    return [columns[i] for i in places if i in fitting], [columns[i] for i in places if i not in fitting]


def lines_below(front: Mapping[str, Any], *, width: int, encoding: str) -> list[str]:
    """Lines on settings without a column: those that all members share, and those for which there is no room."""
    front = with_starts(front)
    shared = [split_common(list(map(part, front["front"])))[0] for part in (_recipe, architecture)]
    common = " ".join(compact(settings) for settings in shared if settings)
    lines = [writable(f"All students have {common}", encoding)] if common else []
    _, others = columns_that_fit(front_columns(front, encoding), width)
    trials: dict[str, list[str]] = {}
    for i, row in enumerate(_rows(front)):
        said = " ".join(f"{column.name}={column.cells[i]}" for column in others if column.cells[i])
        if said:
            trials.setdefault(said, []).append(str(row["trial"]))
    for said, those in trials.items():
        lines.append(f"trial{'s' if len(those) > 1 else ''} {', '.join(those)}: {said}")
    return ["", *(part for line in lines for part in _wrapped(line, width))] if lines else []


def _rows(front: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    teacher = front.get("teacher")
    return [*front["front"], *([{"trial": "teacher", **teacher}] if teacher else [])]


def _interval_of(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: interval((row.get("values") or {}).get(name), (row.get("spread") or {}).get(name))


def _test_of(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: number((row.get("test") or {}).get(name))


def _recipe(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return row.get("recipe") or {}


def _setting_of(
    part: Callable[[Mapping[str, Any]], Mapping[str, Any]], name: str
) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: shown(settings[name]) if name in (settings := part(row)) else ""


def _wrapped(line: str, width: int) -> list[str]:
    """The line in parts of at most `width` characters, broken at blanks only, so a longer word stays whole."""
    return textwrap.wrap(line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
