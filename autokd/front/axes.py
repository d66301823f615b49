"""What a picture of a front shows, whichever library draws it: its objectives, its scale, and the line of the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_LOG_FROM = 5.0
"""A cost is drawn on a log scale if its largest value is more than this many times its smallest."""


def main_objective(objectives: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The main objective: the first that is maximised, else the first."""
    return next((each for each in objectives if each["direction"] == "maximize"), objectives[0])


def is_log(values: Sequence[float]) -> bool:
    """Whether values are drawn on a log scale: all of them are positive, and they span more than a factor of five."""
    return bool(values) and min(values) > 0 and max(values) > _LOG_FROM * min(values)


def known(members: Sequence[Mapping[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The members that have a finite value of both objectives."""
    values = [[(member.get("values") or {}).get(each["name"]) for each in (x, y)] for member in members]
    return [
        member
        for member, both in zip(members, values, strict=True)
        if all(value is not None and math.isfinite(value) for value in both)
    ]


def steps(
    members: Sequence[Mapping[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any]
) -> tuple[list[float], list[float]]:
    """The corners of a staircase: the best y that is reached at each x, by these two objectives alone."""
    x_sign, y_sign = (-1 if each["direction"] == "maximize" else 1 for each in (x, y))
    corners: list[tuple[float, float]] = []
    pairs = [(member["values"][x["name"]], member["values"][y["name"]]) for member in known(members, x, y)]
    for x_value, y_value in sorted(pairs, key=lambda pair: (x_sign * pair[0], y_sign * pair[1])):
        if not corners or y_sign * y_value < y_sign * corners[-1][1]:
            corners.append((x_value, y_value))
    return [corner[0] for corner in corners], [corner[1] for corner in corners]
