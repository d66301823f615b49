"""Where the first weights of students come from, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autokd.types import SCRATCH

SHARED = "Fresh seeds of one student share these weights, so its spread does not show how much they matter."
"""What must be known of an interval of a student that did not begin from scratch."""

_MOST_LAYERS = 6


def with_starts(front: Mapping[str, Any]) -> Mapping[str, Any]:
    """The front with a start in each recipe, if any of its students did not begin from scratch."""
    members = front["front"]
    if not any("start" in (member.get("recipe") or {}) for member in members):
        return front
    return {**front, "front": [{**each, "recipe": {**each["recipe"], "start": start_of(each)}} for each in members]}


def start_of(member: Mapping[str, Any]) -> str:
    """Where the first weights of a student come from."""
    return str((member.get("recipe") or {}).get("start", SCRATCH))


def share_taken(start: Mapping[str, Any]) -> float:
    """The share of its parameters that a student took over, 0 .. 1."""
    counts = start["parameters"]
    return (counts["whole"] + counts["cut"]) / max(1, sum(counts.values()))


def starts_lines(front: Mapping[str, Any]) -> list[str]:
    """A line for each start of the students of a front besides scratch, and one on what their intervals leave out."""
    begun: dict[str, list[Mapping[str, Any]]] = {}
    for member in front["front"]:
        if member.get("start"):
            begun.setdefault(start_of(member), []).append(member)
    lines = []
    for start, members in begun.items():
        shares = sorted(share_taken(member["start"]) for member in members)
        some = " to ".join(dict.fromkeys(f"{share:.0%}" for share in (shares[0], shares[-1])))
        lines.append(
            f"start {start}: {len(members)} of {len(front['front'])} students began with weights from elsewhere, which "
            f"are {some} of their parameters."
        )
    return [*lines, SHARED] if lines else []


def taken_words(start: Mapping[str, Any]) -> str:
    """What a student took over, in a sentence without a beginning: "120 of 130 parameters (100 whole, ...)"."""
    counts, layers = start["parameters"], start["layers"]
    taken = counts["whole"] + counts["cut"]
    parts = [f"{counts['whole']:,} in whole tensors"] if counts["whole"] else []
    parts += [f"{counts['cut']:,} as the leading part of larger ones"] if counts["cut"] else []
    new = f"; {counts['new']:,} are new, in {_listed(layers['new'])}" if counts["new"] else ""
    return f"{taken:,} of {sum(counts.values()):,} parameters ({', '.join(parts)}){new}"


def _listed(layers: list[str]) -> str:
    rest = len(layers) - _MOST_LAYERS
    return ", ".join(layers[:_MOST_LAYERS]) + (f" and {rest} more layers" if rest > 0 else "")
