"""The front as a table, in text and as CSV, and the lines below it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autokd.errors import printable
from autokd.front.starts import starts_lines, with_starts
from autokd.front.words import MARK, number, tested_names
from autokd.report.columns import columns_that_fit, front_columns, lines_below
from autokd.report.encoding import writable

PLAIN_WIDTH = 120
"""Characters per line if the width of the reader's screen is not known."""


def front_table(front: Mapping[str, Any], *, width: int = PLAIN_WIDTH, encoding: str = "utf-8") -> Table:
    """A table with a row for each member of the front, in the given order, and one for the teacher if there is one.

    Args:
        front: plain data, as `front --json` prints it. It must have `objectives`, and `front` whose members have
            `trial` and `values`. A member's `spread`, `test`, `recipe` and `arch`, and `teacher`, are optional.
        width: characters per line. No text is cut; a column for which there is no room is left out.
        encoding: the encoding of the output.
    """
    shown, _ = columns_that_fit(front_columns(front, encoding), width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for column in shown:
        words = Text("\n".join(column.name.split()))
        table.add_column(words, justify="right" if column.number else "left", no_wrap=True, vertical="bottom")
    for i, cells in enumerate(zip(*(column.cells for column in shown), strict=True)):
        table.add_row(*map(Text, cells), end_section=i == len(front["front"]) - 1)
    return table


def front_text(front: Mapping[str, Any], *, width: int = PLAIN_WIDTH, encoding: str = "utf-8") -> str:
    """The same table as plain text without colour, and below it the settings that have no column."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(front_table(front, width=width, encoding=encoding))
    lines = [*capture.get().splitlines(), *lines_below(front, width=width, encoding=encoding)]
    return "\n".join(writable(line.rstrip(), encoding) for line in lines) + "\n"


def print_front(front: Mapping[str, Any]) -> None:
    """Prints the table to stdout, with lines on its evidence and on the baselines. Piped output is plain."""
    console = Console(highlight=False)
    encoding = console.encoding
    if console.is_terminal:
        console.print(front_table(front, width=console.width, encoding=encoding))
        below = lines_below(front, width=console.width, encoding=encoding)
    else:
        print(front_text(front, encoding=encoding), end="")
        below = []
    for line in [*below, *summary(front)]:
        console.print(writable(line, encoding), markup=False, soft_wrap=True)


def summary(front: Mapping[str, Any]) -> list[str]:
    """The lines below a front, as `Front.to_dict` gives it: the trials, the evidence for the numbers, the baselines."""
    tally = ", ".join(f"{count} {state}" for state, count in front["trials"].items() if count)
    labels, error = front["validation_labels"], front["standard_error"]
    reads = "once" if front["test_reads"] == 1 else f"{front['test_reads']} times"
    lines = [
        f"{front['study']}: {tally or 'no trial has begun yet'}; {front['epochs_spent']:,} epochs were trained.",
        f"Students were compared on {labels:,} validation labels (standard error {error:.2g}). "
        f"The test split was read {reads}."
        if labels
        else "All values were looked up in a table, and nothing was trained.",
        f"The hypervolume of the front is {number(front['hypervolume'])}.",
    ]
    marked = sum(bool(member.get("within_noise")) for member in front["front"])
    if marked:
        lines.append(
            f"{MARK} marks a student whose only advantages over another student are smaller than the spread "
            f"({marked} of {len(front['front'])}). `autokd pick` leaves such students out."
        )
    if front["teacher"].get("note"):
        lines.append(f"teacher: {front['teacher']['note']}")
    lines += starts_lines(front)
    for name, baseline in front["baselines"].items():
        volume, epochs, all_epochs = number(baseline["hypervolume"]), baseline["epochs_spent"], front["epochs_spent"]
        share = f" ({epochs / all_epochs:.0%} of the search's)" if all_epochs else ""
        lines.append(f"baseline {name}: hypervolume {volume} after {epochs:,} epochs{share}.")
    lines += front.get("reasons", [])
    return [*lines, front["note"]] if front["note"] else lines


def front_csv(front: Mapping[str, Any]) -> str:
    """A CSV line for each member: trial, numbers, recipe, reading, whether it is within noise, and architecture.

    The numbers are all values, spreads and test values, as exact as in JSON. Unknown ones are empty. A text that a
    spreadsheet would take for a formula gets an apostrophe in front.
    """
    front = with_starts(front)
    names = [objective["name"] for objective in front["objectives"]]
    settings = list(dict.fromkeys(name for member in front["front"] for name in member.get("recipe") or {}))
    readings = list(dict.fromkeys(name for member in front["front"] for name in member.get("reading") or {}))
    rows = [
        {
            "trial": member["trial"],
            **{name: member["values"].get(name) for name in names},
            **{f"spread.{name}": (member.get("spread") or {}).get(name) for name in names},
            **{f"test.{name}": (member.get("test") or {}).get(name) for name in tested_names(front)},
            **{f"recipe.{name}": (member.get("recipe") or {}).get(name) for name in settings},
            **{f"reading.{name}": (member.get("reading") or {}).get(name) for name in readings},
            "within_noise": bool(member.get("within_noise")),
            "arch": json.dumps(member.get("arch") or {}),
        }
        for member in front["front"]
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, rows[0] if rows else ["trial", *names]))
    writer.writerows(map(_cell, row.values()) for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A value for a spreadsheet. A text that begins with =, +, - or @ gets an apostrophe, or it would be a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
