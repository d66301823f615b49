"""The front as a table, as text and as CSV; and how numbers and settings are written everywhere."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

MARK = "~"
"""Stands behind the trial of a student whose advantages over another one are within the spread."""

PLAIN_WIDTH = 120
"""Characters a line where nothing says how wide the reader's screen is."""

_GAP = 3
_NARROWEST = 16


def front_table(front: Mapping[str, Any], *, width: int = PLAIN_WIDTH) -> Table:
    """A row for each member of the front, in the order given, and one for the teacher where it is known.

    What all recipes have in common stands in the caption, once.

    Args:
        front: as `front --json` prints it. Needed: `objectives`, and `front` whose members have `trial` and
            `values`; shown where given: a member's `spread`, `test`, `recipe` and `arch`, and `teacher`.
        width: characters a line; recipes and architectures are cut or left out to fit, numbers never.
    """
    members, teacher = front["front"], front.get("teacher")
    common, recipes = split_recipes([member.get("recipe") or {} for member in members])
    rows = [_numbers(front, member) for member in members]
    if teacher:
        rows.append(_numbers(front, {"trial": "teacher", **teacher}))
    names = ["trial", *map(heading, front["objectives"]), *(f"test {name}" for name in tested_names(front))]
    settings = {"recipe": recipes, "architecture": [member.get("arch") or {} for member in members]}
    texts = {name: [*map(compact, column), ""] for name, column in settings.items() if any(column)}

    caption = Text(f"all with {compact(common)}") if common else None
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    widths = [max(len(cell) for cell in [name, *(row[i] for row in rows)]) for i, name in enumerate(names)]
    room = width - sum(widths) - _GAP * len(widths)
    while texts and room // len(texts) - _GAP < _NARROWEST:
        texts.popitem()
    for name, needed in zip(names, widths, strict=True):
        table.add_column(Text(name), justify="right", min_width=needed, no_wrap=True)
    for name in texts:
        table.add_column(name, max_width=room // len(texts) - _GAP, overflow="ellipsis", no_wrap=True)
    for i, row in enumerate(rows):
        cells = [*row, *(column[i] for column in texts.values())]
        table.add_row(*map(Text, cells), end_section=i == len(members) - 1)
    return table


def front_text(front: Mapping[str, Any], *, width: int = PLAIN_WIDTH) -> str:
    """The same table as plain text, without colour, lines of at most `width` characters."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(front_table(front, width=width))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def print_front(front: Mapping[str, Any]) -> None:
    """Prints the table to stdout with what it rests on and how the baselines did; plain where it is piped."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(front_table(front, width=console.width))
    else:
        print(front_text(front), end="")
    for line in summary(front):
        console.print(line, markup=False, soft_wrap=True)


def summary(front: Mapping[str, Any]) -> list[str]:
    """Lines about a front of `Front.to_dict`: what was tried, what the numbers rest on, the baselines."""
    tally = ", ".join(f"{count} {state}" for state, count in front["trials"].items() if count)
    labels, error = front["validation_labels"], front["standard_error"]
    reads = "once" if front["test_reads"] == 1 else f"{front['test_reads']} times"
    lines = [
        f"{front['study']}: {tally or 'nothing tried yet'}; {front['epochs_spent']:,} epochs",
        f"chosen on {labels:,} validation labels (standard error {error:.2g}); test split read {reads}"
        if labels
        else "looked up in a table: no label was counted, and nothing was trained",
        f"hypervolume {number(front['hypervolume'])}",
    ]
    marked = sum(bool(member.get("within_noise")) for member in front["front"])
    if marked:
        lines.append(
            f"{MARK} marks a student that has nothing over another one but what is within the spread "
            f"({marked} of {len(front['front'])}); pick leaves it out"
        )
    if front["teacher"].get("note"):
        lines.append(f"teacher: {front['teacher']['note']}")
    for name, baseline in front["baselines"].items():
        volume, epochs, all_epochs = number(baseline["hypervolume"]), baseline["epochs_spent"], front["epochs_spent"]
        share = f" ({epochs / all_epochs:.0%} of the search's)" if all_epochs else ""
        lines.append(f"baseline {name}: hypervolume {volume} after {epochs:,} epochs{share}")
    return [*lines, front["note"]] if front["note"] else lines


def front_csv(front: Mapping[str, Any]) -> str:
    """A line for each member: its trial, whether it is within noise, its numbers and settings, then the architecture.

    The numbers are every value, spread and test value, as exact as JSON's, and the settings those of the recipe; what
    is not known is empty.
    """
    names = [objective["name"] for objective in front["objectives"]]
    settings = list(dict.fromkeys(name for member in front["front"] for name in member.get("recipe") or {}))
    rows = [
        {
            "trial": member["trial"],
            **{name: member["values"].get(name) for name in names},
            **{f"spread.{name}": (member.get("spread") or {}).get(name) for name in names},
            **{f"test.{name}": (member.get("test") or {}).get(name) for name in tested_names(front)},
            **{f"recipe.{name}": (member.get("recipe") or {}).get(name) for name in settings},
            "within_noise": bool(member.get("within_noise")),
            "arch": json.dumps(member.get("arch") or {}),
        }
        for member in front["front"]
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["trial", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def heading(objective: Mapping[str, Any]) -> str:
    """An objective's name, with its unit where the name does not already end in it."""
    name, unit = objective["name"], objective.get("unit") or ""
    return f"{name} ({unit})" if unit and not name.endswith(f"_{unit.lower()}") else str(name)


def tested_names(front: Mapping[str, Any]) -> list[str]:
    """Names of the objectives of which any member of the front has a test value, in the study's order."""
    found = {name for member in front["front"] for name in member.get("test") or {}}
    return [objective["name"] for objective in front["objectives"] if objective["name"] in found]


def split_recipes(
    recipes: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all recipes have in common, and what remains of each; one alone has nothing in common."""
    names = list(dict.fromkeys(name for recipe in recipes for name in recipe))
    same = {
        name: recipes[0][name]
        for name in names
        if len(recipes) > 1 and all(name in recipe and recipe[name] == recipes[0].get(name) for recipe in recipes)
    }
    return same, [{name: recipe[name] for name in recipe if name not in same} for recipe in recipes]


def number(value: float | None) -> str:
    """Three significant digits, whole from 100 up, with thousands separators; a dash for what is not known."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def interval(value: float | None, spread: float | None) -> str:
    """A number with its spread, where there is one."""
    return f"{number(value)} ±{spread:.2g}" if spread else number(value)


def marked_trial(member: Mapping[str, Any]) -> str:
    """A member's trial, with a mark where all that it has over another member is within the spread."""
    return f"{member['trial']} {MARK}" if member.get("within_noise") else str(member["trial"])


def compact(settings: Mapping[str, Any]) -> str:
    """Settings on one line, `name=value`; floats to three digits, nested ones as JSON."""
    return " ".join(f"{name}={_value(value)}" for name, value in settings.items())


def _numbers(front: Mapping[str, Any], member: Mapping[str, Any]) -> list[str]:
    values, spread, test = (member.get(name) or {} for name in ("values", "spread", "test"))
    names = [objective["name"] for objective in front["objectives"]]
    shown = [interval(values.get(name), spread.get(name)) for name in names]
    return [marked_trial(member), *shown, *(number(test.get(name)) for name in tested_names(front))]


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
