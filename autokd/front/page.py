"""A front as a notebook shows it: the picture, and a table of the students."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from autokd.front.figure import svg_element
from autokd.front.words import MARK, compact, heading, interval, marked_trial, number, split_common, tested_names


def front_page(front: Mapping[str, Any]) -> str:
    """The picture, if matplotlib is installed, and the table, as HTML that loads nothing. Every name is escaped.

    Args:
        front: plain data, as `front --json` prints it.
    """
    members, objectives, tested = front["front"], front["objectives"], tested_names(front)
    recipes, archs = (split_common([member[part] for member in members]) for part in ("recipe", "arch"))
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


def _below(front: Mapping[str, Any], *common: str) -> Sequence[str]:
    """The lines below the table: what the students share, and what the mark means."""
    lines = [f"{front['study']}: a front of {len(front['front'])} students{'' if front['final'] else ', so far'}."]
    if any(common):
        lines.append(f"All with {' '.join(filter(None, common))}.")
    if any(member["within_noise"] for member in front["front"]):
        lines.append(f"{MARK} marks a student whose advantages over another student are within the spread.")
    return lines
