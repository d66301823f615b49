"""How numbers and settings are written everywhere: in tables, in the report, in figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

MARK = "~"
"""Stands behind the trial of a student whose advantages over another one are within the spread."""


def heading(objective: Mapping[str, Any]) -> str:
    """An objective's name, with its unit where the name does not already end in it."""
    name, unit = objective["name"], objective.get("unit") or ""
    return f"{name} ({unit})" if unit and not name.endswith(f"_{unit.lower()}") else str(name)


def tested_names(front: Mapping[str, Any]) -> list[str]:
    """Names of the objectives of which any member of the front has a test value, in the study's order."""
    found = {name for member in front["front"] for name in member.get("test") or {}}
    return [objective["name"] for objective in front["objectives"] if objective["name"] in found]


def split_common(
    given: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all settings have in common, and what remains of each; those of one alone have nothing in common."""
    names = list(dict.fromkeys(name for each in given for name in each))
    same = {
        name: given[0][name]
        for name in names
        if len(given) > 1 and all(name in each and each[name] == given[0].get(name) for each in given)
    }
    return same, [{name: each[name] for name in each if name not in same} for each in given]


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
    return " ".join(f"{name}={shown(value)}" for name, value in settings.items())


def shown(value: Any) -> str:
    """One setting: floats to three digits, nested ones as JSON."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
