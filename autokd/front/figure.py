"""A picture of a front by matplotlib: the main objective against the others, with the teacher and the baselines."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autokd import pareto
from autokd.errors import InputError, printable, said, shortened
from autokd.files import write_bytes
from autokd.front.axes import is_log, known, main_objective, steps
from autokd.front.objectives import as_objectives, refuse_unknown
from autokd.front.words import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class _Colours:
    ink: str
    paper: str
    front: str
    teacher: str
    baselines: tuple[str, ...]


# Okabe and Ito's blue and orange, which colour-blind readers can tell apart, and lighter ones for dark pages.
_LIGHT = _Colours("#24292f", "#ffffff", "#0072b2", "#d55e00", ("#6e7781", "#a8b0b8"))
_DARK = _Colours("#e6edf3", "#0d1117", "#56b4e9", "#f0934e", ("#9da7b1", "#69727d"))
_MARKERS = ("s", "D", "^", "v")
"""Markers of the baselines."""

_STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so a picture is the same everywhere
    "font.size": 11,
    "svg.fonttype": "path",  # the file needs no font on the reader's machine
    "svg.hashsalt": "autokd",  # the same front gives the same bytes
}
_PANEL = (3.6, 3.3)
"""Width and height of a panel in inches. Its text can still be read if two panels together are 400 pixels wide."""

_LONGEST_LABEL = 60
_DOTS_PER_INCH = 200
_NO_METADATA: dict[str, dict[str, None]] = {
    ".svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    ".png": dict.fromkeys(("Software",)),
}
"""Leaves out what matplotlib would write about itself and the time, for each suffix that can be drawn."""


def write_figure(
    front: Mapping[str, Any], out: str | Path, *, x: str | None = None, y: str | None = None, dark: bool = False
) -> None:
    """Writes a picture with a panel for each pair of objectives. A file is replaced once the new one is complete.

    The same front gives the same bytes. An SVG holds its text as outlines and loads nothing.

    Args:
        front: plain data, as `front --json` prints it.
        out: a name that ends in .svg or .png.
        x: the objective of the horizontal axis. If None, each objective but that of the vertical axis has a panel.
        y: the objective of the vertical axis. If None, it is the first that is maximised, else the first.
        dark: whether the picture is for a dark page: light ink, and no background.

    Raises:
        InputError: matplotlib is not installed, there is nothing to draw, an objective or the suffix is unknown, or the
            file cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() not in _NO_METADATA:
        raise InputError(f"cannot draw '{out}': give a name that ends in {' or '.join(_NO_METADATA)}")
    picture = _picture(front, panels(front, x, y), out.suffix.lower(), dark=dark)
    try:
        write_bytes(out, picture)
    except OSError as error:
        reason = (error.strerror or said(error)).lower()
        raise InputError(f"cannot write '{out}': {reason}; name a file in a folder you can write") from error


def svg_element(front: Mapping[str, Any]) -> str:
    """The picture as an SVG element of a page; "" if it cannot be drawn or matplotlib is not installed."""
    if find_spec("matplotlib") is None or not front["front"] or len(front["objectives"]) < 2:
        return ""
    try:
        text = _picture(front, panels(front, None, None), ".svg", dark=False).decode()
    except InputError:  # the numbers are shown in any case
        return ""
    return text[text.index("<svg") :]


def panels(front: Mapping[str, Any], x: str | None, y: str | None) -> list[tuple[Mapping[str, str], Mapping[str, str]]]:
    """The pairs of objectives to draw: that of the horizontal axis and that of the vertical axis.

    Raises:
        InputError: matplotlib is not installed, an objective is unknown, or there is nothing to draw.
    """
    if find_spec("matplotlib") is None:
        raise InputError("a picture needs matplotlib; run: pip install 'autokd[plot]'")
    objectives = front["objectives"]
    refuse_unknown([name for name in (x, y) if name is not None], objectives)
    if not front["front"]:
        raise InputError("the front is empty, so there is nothing to draw; no student was trained to the end yet")
    if len(objectives) < 2:
        raise InputError(f"the study has one objective, {objectives[0]['name']}, and a picture shows two")
    if x is not None and x == y:
        raise InputError(f"a picture shows two objectives, and '{x}' was given for both axes")
    others = [objective for objective in objectives if objective["name"] != x]
    up = main_objective(others) if y is None else next(each for each in objectives if each["name"] == y)
    return [(each, up) for each in objectives if (each["name"] == x if x is not None else each is not up)]


def draw(ax: Axes, front: Mapping[str, Any], x: Mapping[str, str], y: Mapping[str, str], *, dark: bool) -> None:
    """Draws one objective of a front against another, without a legend.

    Students are dots with their spreads. A dot is hollow if the student's advantages over another one are within the
    spread. The line shows the best value that is reached at each cost, and a few trials are labelled. The teacher is a
    star if its cost is known, and otherwise a dashed line. Baselines are grey.

    Args:
        ax: the axes to draw into.
        front: plain data, as `front --json` prints it.
        x: the objective of the horizontal axis.
        y: the objective of the vertical axis.
        dark: whether the colours are for a dark page.
    """
    colours = _DARK if dark else _LIGHT
    _dress(ax, x, y, colours)
    costs: list[float] = []
    looks = zip(cycle(colours.baselines), cycle(_MARKERS), strict=False)
    for (name, baseline), (colour, marker) in zip(front["baselines"].items(), looks, strict=False):
        rivals = known(baseline["front"], x, y)
        costs += [member["values"][x["name"]] for member in rivals]
        _stairs(ax, rivals, x, y, color=colour, linestyle=":", linewidth=1.4, zorder=2)
        _dots(ax, rivals, x, y, _label(f"baseline {name}"), colour, zorder=2, fmt=marker, markersize=4.5)
    level = (front["teacher"].get("values") or {}).get(y["name"])
    if known([front["teacher"]], x, y):
        costs.append(front["teacher"]["values"][x["name"]])
        _dots(ax, [front["teacher"]], x, y, "teacher", colours.teacher, zorder=5, fmt="*", markersize=13)
    elif level is not None:
        ax.axhline(level, color=colours.teacher, linestyle="--", linewidth=1.5, zorder=1, label="teacher")
    members = known(front["front"], x, y)
    costs += [member["values"][x["name"]] for member in members]
    _stairs(ax, members, x, y, color=colours.front, linewidth=1.8, zorder=3)
    clear = [member for member in members if not member.get("within_noise")]
    noisy = [member for member in members if member.get("within_noise")]
    _dots(ax, clear, x, y, "front", colours.front, zorder=5)
    _dots(ax, noisy, x, y, "within noise", colours.front, zorder=4, markerfacecolor=colours.paper)
    _name_some(ax, clear or members, x, y, colours)
    _scale(ax, costs)


def legend(at: Axes | Figure, ax: Axes, *, dark: bool, **place: Any) -> None:
    """Adds a legend of what `draw` drew into `ax`, with the front first.

    Args:
        at: the axes or the figure that gets the legend.
        ax: the axes whose entries it lists.
        dark: whether the colours are for a dark page.
        place: where the legend is put, as keyword arguments of matplotlib.
    """
    handles, labels = ax.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: (labels[i] != "front", labels[i] != "within noise"))
    made = at.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        frameon=False,
        labelcolor=(_DARK if dark else _LIGHT).ink,
        **place,
    )
    for text in made.get_texts():  # dollar signs in a name are not mathematics
        text.set_parse_math(False)


def _picture(
    front: Mapping[str, Any], pairs: Sequence[tuple[Mapping[str, str], Mapping[str, str]]], suffix: str, *, dark: bool
) -> bytes:
    import matplotlib.style
    import numpy as np
    from matplotlib.figure import Figure

    across = min(len(pairs), 2)
    down = -(-len(pairs) // across)
    size = (_PANEL[0] * across + (1.2 if across == 1 else 0), _PANEL[1] * down)
    try:
        with matplotlib.style.context(["default", _STYLE]), np.errstate(over="raise"), io.BytesIO() as file:
            figure = Figure(figsize=size, layout="constrained", dpi=_DOTS_PER_INCH)
            axes = figure.subplots(down, across, sharey=True, squeeze=False).flatten()
            for ax, pair in zip(axes, pairs, strict=False):
                draw(ax, front, *pair, dark=dark)
            for i, ax in enumerate(axes):
                ax.set_visible(i < len(pairs))
                ax.yaxis.label.set_visible(i % across == 0)  # the panels of a row share the label
            legend(figure, axes[0], dark=dark, loc="outside upper center", ncols=2 * across, handletextpad=0.4)
            with warnings.catch_warnings(action="ignore", category=UserWarning):
                figure.savefig(file, format=suffix[1:], transparent=dark, metadata=_NO_METADATA[suffix])
            return file.getvalue()
    except (ArithmeticError, ValueError) as error:  # of values at the ends of what a float can be
        raise InputError(f"the front cannot be drawn ({said(error)}): its values span more than axes can") from error


def _dress(ax: Axes, x: Mapping[str, str], y: Mapping[str, str], colours: _Colours) -> None:
    """Labels the axes and draws them in thin lines of the page's ink."""
    ax.set_xlabel(_label(heading(x)), color=colours.ink, parse_math=False)
    ax.set_ylabel(_label(heading(y)), color=colours.ink, parse_math=False)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(colours.ink)
    ax.tick_params(colors=colours.ink, which="both")
    ax.grid(color=colours.ink, alpha=0.13, linewidth=0.8)
    ax.set_axisbelow(True)


def _label(text: str) -> str:
    return shortened(printable(text), _LONGEST_LABEL)


def _stairs(
    ax: Axes, members: Sequence[Mapping[str, Any]], x: Mapping[str, str], y: Mapping[str, str], **look: Any
) -> None:
    ax.step(*steps(members, x, y), where="post", **look)


def _dots(
    ax: Axes,
    members: Sequence[Mapping[str, Any]],
    x: Mapping[str, str],
    y: Mapping[str, str],
    label: str,
    colour: str,
    **look: Any,
) -> None:
    """Draws a dot for each member, with bars for known spreads. Without members the legend gets no entry."""
    if not members:
        return
    xs, ys = ([member["values"][each["name"]] for member in members] for each in (x, y))
    spreads = ([_spread(member, each["name"]) for member in members] for each in (x, y))
    across, up = (each if any(each) else None for each in spreads)
    look = {"fmt": "o", "markersize": 6, "elinewidth": 1.2, "linestyle": "none", "ecolor": (colour, 0.55), **look}
    ax.errorbar(xs, ys, xerr=across, yerr=up, label=label, color=colour, **look)


def _spread(member: Mapping[str, Any], name: str) -> float:
    """A member's spread in one objective; 0 if there is none that can be drawn."""
    spread = (member.get("spread") or {}).get(name) or 0.0
    return spread if math.isfinite(spread) and spread > 0 else 0.0


def _name_some(
    ax: Axes,
    members: Sequence[Mapping[str, Any]],
    x: Mapping[str, str],
    y: Mapping[str, str],
    colours: _Colours,
) -> None:
    """Labels three dots with their trial numbers: the best, the cheapest, and the knee between the two."""
    losses = pareto.as_losses([member["values"] for member in members], as_objectives([x, y]))
    for i in dict.fromkeys((int(losses[:, 1].argmin()), pareto.knee(losses), int(losses[:, 0].argmin()))):
        member = members[i]
        ax.annotate(
            str(member["trial"]),
            (member["values"][x["name"]], member["values"][y["name"]]),
            xytext=(5, -13),
            textcoords="offset points",
            color=colours.ink,
            fontsize="small",
            zorder=6,
        )


def _scale(ax: Axes, costs: Sequence[float]) -> None:
    """Sets the ticks of the horizontal axis, like 500, 2k and 10M, and a log scale where `is_log` asks for one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if is_log(costs):
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(costs) < 300 * min(costs) else (1,)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.locator_params(axis="x", nbins=5)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
