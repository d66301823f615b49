"""The charts of a front as plain data for plotly.js: the main objective against each of the others."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from typing import Any

from autokd.front.axes import is_log, known, main_objective, steps
from autokd.front.words import architecture, compact, heading, interval

# Okabe and Ito's colours, which colour-blind readers can tell apart, and which are legible on light and dark pages.
_FRONT, _TEACHER, _TRIALS = "#0072b2", "#d55e00", "#8c8c8c"
_BASELINES = ("#e69f00", "#009e73", "#cc79a7", "#56b4e9")


def charts(front: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A chart for each objective but the main one: a `title`, and plotly's `data` and `layout`.

    All texts are escaped, because plotly interprets some HTML in labels.

    Args:
        front: plain data, as `front --json` prints it.
        trials: `trial`, `state`, `values`, `arch`, `recipe` of each trial. Complete trials are shown behind the front.
    """
    main = main_objective(front["objectives"])
    return [_chart(front, trials, other, main) for other in front["objectives"] if other["name"] != main["name"]]


def _chart(
    front: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any]
) -> dict[str, Any]:
    objectives, teacher = front["objectives"], front.get("teacher")
    complete = [trial for trial in trials if trial["state"] == "complete"]
    traces = [_points("other trials", complete, objectives, x, y, color=_TRIALS, size=6, opacity=0.5)]
    for (name, baseline), color in zip((front.get("baselines") or {}).items(), cycle(_BASELINES), strict=False):
        label = f"baseline {name}"
        traces.append(_points(label, baseline["front"], objectives, x, y, color=color, size=9, symbol="diamond"))
        traces.append(_stairs(label, baseline["front"], x, y, color=color, dash="dot"))
    if teacher:
        shown = {"trial": "teacher", **teacher}
        traces.append(_points("teacher", [shown], objectives, x, y, color=_TEACHER, size=13, symbol="star"))
    traces.append(_stairs("front", front["front"], x, y, color=_FRONT, dash="solid"))
    traces.append(_points("front", front["front"], objectives, x, y, color=_FRONT, size=11, spread=True))
    traces = [trace for trace in traces if trace["x"]]
    costs = [value for trace in traces for value in trace["x"]]
    return {
        "title": f"{heading(y)} against {heading(x)}",
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": escape(heading(x))}, "type": "log" if is_log(costs) else "linear"},
            "yaxis": {"title": {"text": escape(heading(y))}},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            "margin": {"l": 60, "r": 16, "t": 24, "b": 56},
            "hovermode": "closest",
        },
    }


def _points(
    name: str,
    members: Sequence[Mapping[str, Any]],
    objectives: Sequence[Mapping[str, Any]],
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    *,
    color: str,
    size: int,
    symbol: str = "circle",
    opacity: float = 1.0,
    spread: bool = False,
) -> dict[str, Any]:
    both = known(members, x, y)
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name),
        "x": [member["values"][x["name"]] for member in both],
        "y": [member["values"][y["name"]] for member in both],
        "text": [_hover(name, member, objectives) for member in both],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": color, "size": size, "symbol": symbol, "opacity": opacity},
    }
    for axis, objective in (("x", x), ("y", y)) if spread else ():
        errors = [(member.get("spread") or {}).get(objective["name"]) or 0.0 for member in both]
        if any(errors):
            trace[f"error_{axis}"] = {"array": errors, "thickness": 1.2, "width": 3}
    return trace


def _stairs(
    name: str,
    members: Sequence[Mapping[str, Any]],
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    *,
    color: str,
    dash: str,
) -> dict[str, Any]:
    """The best y that is reached at each x, by these two objectives alone."""
    xs, ys = steps(members, x, y)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(name),
        "x": xs,
        "y": ys,
        "line": {"shape": "hv", "color": color, "dash": dash, "width": 1.5},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _hover(name: str, member: Mapping[str, Any], objectives: Sequence[Mapping[str, Any]]) -> str:
    values, spread = member.get("values") or {}, member.get("spread") or {}
    lines = [f"{heading(each)}: {interval(values.get(each['name']), spread.get(each['name']))}" for each in objectives]
    for settings in (member.get("recipe"), architecture(member)):
        lines += textwrap.wrap(compact(settings or {}), 60)
    title = str(member["trial"]) if name == "teacher" else f"trial {member['trial']} ({name})"
    return "<br>".join([f"<b>{escape(title)}</b>", *map(escape, lines)])
