"""Where the search beats a baseline, and whether by more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autokd.front.axes import main_objective


@dataclass(frozen=True)
class Gain:
    """The search compared with one member of a baseline's front.

    Args:
        rival: the member of the baseline's front.
        own: the best member of the search's front that costs no more in any other objective; None if there is none.
        gain: how much better `own` is in the main objective, positive if it is better; None if there is no `own`.
        verdict: `better`, `worse`, `within noise`, or `nothing as cheap`.
    """

    rival: Mapping[str, Any]
    own: Mapping[str, Any] | None
    gain: float | None
    verdict: str


def gains(front: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]], noise: float) -> list[Gain]:
    """A comparison for each rival, in the rivals' order: what the search offers at no greater cost.

    Args:
        front: plain data, as `front --json` prints it.
        rivals: a baseline's front.
        noise: one standard error of the main objective. A gain within two standard errors counts as noise.
    """
    main = main_objective(front["objectives"])
    sign = 1.0 if main["direction"] == "maximize" else -1.0
    others = [each for each in front["objectives"] if each["name"] != main["name"]]
    found = []
    for rival in rivals:
        cheap = [member for member in front["front"] if all(_no_worse(member, rival, each) for each in others)]
        own = max(cheap, key=lambda member: sign * member["values"][main["name"]], default=None)
        if own is None:
            found.append(Gain(rival, None, None, "nothing as cheap"))
            continue
        gain = sign * (own["values"][main["name"]] - rival["values"][main["name"]])
        verdict = "within noise" if abs(gain) <= 2 * noise else "better" if gain > 0 else "worse"
        found.append(Gain(rival, own, gain, verdict))
    return found


def _no_worse(member: Mapping[str, Any], rival: Mapping[str, Any], objective: Mapping[str, Any]) -> bool:
    own, other = member["values"][objective["name"]], rival["values"][objective["name"]]
    return bool(own >= other if objective["direction"] == "maximize" else own <= other)
