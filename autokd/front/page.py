"""A front as it is shown where Python shows a value: a table of the students, in a notebook with the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from autokd.errors import printable
from autokd.front.figure import svg_element
from autokd.front.starts import starts_lines, with_starts
from autokd.front.words import (
    MARK,
    architecture,
    compact,
    heading,
    interval,
    marked_trial,
    number,
    split_common,
    tested_names,
)

_ROWS = 20
"""Students in a table of text: as the values of a front are printed among other things, a long one is cut."""


def front_lines(front: Mapping[str, Any]) -> str:
    """A line of what it is, and a table of the students and the teacher, as text without control characters.

    Args:
        front: as `front --json` prints it.
    """
    members = front["front"]
    teacher = [{"trial": "teacher", **front["teacher"]}] if front["teacher"] else []
    names, tested = [objective["name"] for objective in front["objectives"]], tested_names(front)
    rows = [["trial", *map(heading, front["objectives"]), *(f"test {name}" for name in tested)]]
    for each in [*members[:_ROWS], *teacher]:
        values, spreads, tests = (each.get(part) or {} for part in ("values", "spread", "test"))
        cells = [
            *(interval(values.get(name), spreads.get(name)) for name in names),
            *(number(tests.get(n)) for n in tested),
        ]
        rows.append([marked_trial(each), *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    more = [f"and {len(members) - _ROWS} more students"] if len(members) > _ROWS else []
    table = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return printable("\n".join([_title(front), *(table if members else []), *more]))


def front_page(front: Mapping[str, Any]) -> str:
    """The picture, if matplotlib is installed, and the table, as HTML that loads nothing. Every name is escaped.

    Args:
        front: plain data, as `front --json` prints it.
    """
    front = with_starts(front)
    members, objectives, tested = front["front"], front["objectives"], tested_names(front)
    recipes = split_common([member["recipe"] for member in members])
    archs = split_common([architecture(member) for member in members])
    rows = [
        _row(
            marked_trial(member),
            *(interval(member["values"].get(o["name"]), member["spread"].get(o["name"])) for o in objectives),
            *(number(member["test"].get(name)) for name in tested),
            compact(recipe),
            compact(arch),
        )
        for member, recipe, arch in zip(members, recipes[1], archs[1], strict=True)
    ]
    teacher = front["teacher"]
    if teacher:
        values = (number((teacher.get("values") or {}).get(o["name"])) for o in objectives)
        tests = (number((teacher.get("test") or {}).get(name)) for name in tested)
        rows.append(_row("teacher", *values, *tests, teacher.get("name", ""), ""))
    names = ["trial", *map(heading, objectives), *(f"test {name}" for name in tested), "recipe", "architecture"]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return "\n".join(
        [
            '<div style="max-width: 60em">',
            _picture(front),
            f'<div style="overflow-x: auto"><table><thead><tr>{head}</tr></thead><tbody>',
            *rows,
            "</tbody></table></div>",
            *(f"<p>{escape(line)}</p>" for line in _below(front, compact(recipes[0]), compact(archs[0]))),
            "</div>",
        ]
    )


def _picture(front: Mapping[str, Any]) -> str:
    svg = svg_element(front).replace("<svg ", '<svg style="background: #fff; max-width: 100%; height: auto" ', 1)
    return f"<div>{svg}</div>" if svg else ""


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _title(front: Mapping[str, Any]) -> str:
    count = len(front["front"])
    students = "1 student" if count == 1 else f"{count} students"
    return f"{front['study']}: a front of {students}{'' if front['final'] else ', so far'}"


def _below(front: Mapping[str, Any], *common: str) -> Sequence[str]:
    """The lines below the table: what the students share, and what the mark means."""
    lines = [f"{_title(front)}."]
    if any(common):
        lines.append(f"All with {' '.join(filter(None, common))}.")
    if any(member["within_noise"] for member in front["front"]):
        lines.append(f"{MARK} marks a student whose advantages over another student are within the spread.")
    return [*lines, *starts_lines(front)]
