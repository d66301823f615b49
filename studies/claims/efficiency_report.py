"""A table of medians and quartiles over the cells of `search_efficiency.py`, and a plot of the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MARKS = (25, 50, 100, 200, 500)
Cell = Mapping[str, Any]


def summary(cells: Sequence[Cell]) -> str:
    """Median and quartiles of HV/HV* at the marks, repeats, and seconds per proposal, for each table and sampler."""
    lines = []
    for table, by_sampler in _by_table(cells).items():
        marks = "".join(f"{mark:>20}" for mark in MARKS)
        lines += [f"{table}: HV/HV*, median [quartiles]", f"  {'':12}seeds{marks}   repeats  s/proposal"]
        for sampler, of in by_sampler.items():
            entries = "".join(_entry([cell["share"].get(str(mark)) for cell in of]) for mark in MARKS)
            repeats = np.median([cell["repeats"] / cell["proposals"] for cell in of])
            seconds = np.median([cell["seconds_per_proposal"] for cell in of])
            lines.append(f"  {sampler:12}{len(of):5}{entries}{repeats:10.1%}{seconds:12.4f}")
        lines.append("")
    return "\n".join(lines)


def draw(cells: Sequence[Cell], out: Path) -> None:
    """Draws medians over evaluations, with quartiles as bands, in one HTML file that loads nothing from elsewhere."""
    from plotly.colors import qualitative  # from the extra `report`, which the table does not need
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    tables = _by_table(cells)
    samplers = list(dict.fromkeys(sampler for of in tables.values() for sampler in of))
    figure = make_subplots(len(tables), 1, subplot_titles=[*tables], vertical_spacing=0.2 / len(tables))
    named = set()
    for row, by_sampler in enumerate(tables.values(), 1):
        for sampler, of in by_sampler.items():
            color = qualitative.Dark24[samplers.index(sampler) % len(qualitative.Dark24)]
            steps = sorted({int(step) for cell in of for step in cell["share"]})
            shares = [[cell["share"][str(step)] for cell in of if str(step) in cell["share"]] for step in steps]
            low, middle, high = np.transpose([np.percentile(each, (25, 50, 75)) for each in shares])
            shared = {"legendgroup": sampler, "name": sampler, "mode": "lines"}
            band = {"showlegend": False, "hoverinfo": "skip", "fill": "toself", "fillcolor": color, "opacity": 0.12}
            around = [*steps, *reversed(steps)], [*low, *reversed(high)]
            figure.add_trace(Scatter(x=around[0], y=around[1], line={"width": 0}, **shared, **band), row, 1)
            line = Scatter(x=steps, y=middle, line={"color": color}, showlegend=sampler not in named, **shared)
            figure.add_trace(line, row, 1)
            named.add(sampler)
    figure.update_xaxes(type="log", title="evaluations")
    figure.update_yaxes(title="HV/HV*, median and quartiles")
    figure.update_layout(height=480 * len(tables), template="plotly_white")
    figure.write_html(out, include_plotlyjs=True)


def _by_table(cells: Sequence[Cell]) -> dict[str, dict[str, list[Cell]]]:
    """The cells of each table and sampler, in the order in which these first occur."""
    tables: dict[str, dict[str, list[Cell]]] = {}
    for cell in cells:
        tables.setdefault(cell["table"], {}).setdefault(cell["sampler"], []).append(cell)
    return tables


def _entry(shares: Sequence[float | None]) -> str:
    known = [each for each in shares if each is not None]
    if not known:
        return f"{'-':>20}"
    low, middle, high = np.percentile(known, (25, 50, 75))
    return f"{f'{middle:.3f} [{low:.3f} {high:.3f}]':>20}"
