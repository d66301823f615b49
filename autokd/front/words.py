"""How numbers and settings are written everywhere: in tables, in the report, in figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from autokd.types import choices_of

MARK = "~"
"""Marks the trial of a student whose advantages over another one are within the spread."""


def heading(objective: Mapping[str, Any]) -> str:
    """An objective's name, with its unit unless the name already ends in the unit."""
    name, unit = objective["name"], objective.get("unit") or ""
    return f"{name} ({unit})" if unit and not name.endswith(f"_{unit.lower()}") else str(name)


def tested_names(front: Mapping[str, Any]) -> list[str]:
    """The names of the objectives for which a member of the front has a test value, in the study's order."""
    found = {name for member in front["front"] for name in member.get("test") or {}}
    return [objective["name"] for objective in front["objectives"] if objective["name"] in found]


def architecture(member: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture of a student, after what the search picked of its reading, such as `reading.size`."""
    return choices_of(member.get("reading") or {}, member.get("arch") or {})


def split_common(
    given: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings that all have in common, and what remains of each; a single one has nothing in common."""
    names = list(dict.fromkeys(name for each in given for name in each))
    same = {
        name: given[0][name]
        for name in names
        if len(given) > 1 and all(name in each and each[name] == given[0].get(name) for each in given)
    }
    return same, [{name: each[name] for name in each if name not in same} for each in given]


def number(value: float | None) -> str:
    """A number with three significant digits; whole from 100 up, with thousands separators; a dash if not known."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def interval(value: float | None, spread: float | None) -> str:
    """A number with its spread, if there is one."""
    return f"{number(value)} ±{spread:.2g}" if spread else number(value)


def marked_trial(member: Mapping[str, Any]) -> str:
    """A member's trial, with a mark if its advantages over another member are all within the spread."""
    return f"{member['trial']} {MARK}" if member.get("within_noise") else str(member["trial"])


def compact(settings: Mapping[str, Any]) -> str:
    """Settings on one line as `name=value`; floats have three digits, and nested settings are written as JSON."""
    return " ".join(f"{name}={shown(value)}" for name, value in settings.items())


def shown(value: Any) -> str:
    """The value of one setting; a float has three digits, and a nested value is written as JSON."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
