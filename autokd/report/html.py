"""The report: one HTML file that holds everything it shows and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from autokd import pareto
from autokd.errors import InputError, said
from autokd.files import write_bytes
from autokd.front import as_objectives
from autokd.front.axes import main_objective
from autokd.front.starts import start_of, starts_lines, taken_words, with_starts
from autokd.front.words import architecture, compact, heading, interval, marked_trial, number, tested_names
from autokd.report.comparison import gains
from autokd.report.figures import charts


def write_report(data: Mapping[str, Any], out: Path) -> None:
    """Writes the report of a search. An existing file is replaced once the new one is complete.

    Names and settings are escaped. A content security policy lets the page run its own two scripts and load nothing.
    The tables need no JavaScript, but the charts do.

    Args:
        data: `front`, as `front --json` prints it. The other keys are optional: `trials` (`trial`, `state`, `reason`,
            `arch`, `recipe`, `values`, `epochs` of each), `importance` (by objective, by parameter, 0 .. 1), `study`
            (settings), `environment`.
        out: the HTML file.

    Raises:
        InputError: plotly is not installed, or the file cannot be written.
    """
    page = render(_finite(data))
    try:
        write_bytes(out, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        reason = (error.strerror or said(error)).lower()
        raise InputError(f"cannot write the report '{out}': {reason}; name a file in a folder you can write") from error


def render(data: Mapping[str, Any]) -> str:
    """The page of `write_report` as text. Numbers must be finite or None."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise InputError("the report needs plotly; run: pip install 'autokd[report]'") from None
    front, trials = with_starts(data["front"]), data.get("trials") or []
    folder = files("autokd.report")
    scripts = [get_plotlyjs(), folder.joinpath("report.js").read_text(encoding="utf-8")]
    assert not any("</script" in script.lower() or "\r" in script for script in scripts)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "number": number,
        "architecture": architecture,
        "compact": compact,
        "heading": heading,
        "marked_trial": marked_trial,
        "text": _text,
        "datum": _datum,
        "start_of": start_of,
        "taken_words": taken_words,
    }
    return environment.from_string(folder.joinpath("report.html").read_text(encoding="utf-8")).render(
        front=front,
        main=main_objective(front["objectives"]),
        choices=_choices(front),
        tested=tested_names(front),
        starts=starts_lines(front),
        trials=trials,
        charts=charts(front, trials),
        comparisons={
            name: gains(front, baseline["front"], front["standard_error"] or 0.0)
            for name, baseline in front["baselines"].items()
        },
        importance=_importance(data.get("importance") or {}),
        study=data.get("study") or {},
        environment=data.get("environment") or {},
        interval=interval,
        style=Markup(folder.joinpath("report.css").read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
        script_hashes=[_source_hash(script) for script in scripts],
    )


def _choices(front: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The members to look at first: the best in the main objective, and the knee. Neither of them is within noise."""
    members, objectives = [each for each in front["front"] if not each.get("within_noise")], front["objectives"]
    if not members:
        return []
    main = main_objective(objectives)
    losses = pareto.as_losses([member["values"] for member in members], as_objectives(objectives))
    column = [objective["name"] for objective in objectives].index(main["name"])
    best, knee = members[int(losses[:, column].argmin())], members[pareto.knee(losses)]
    return [(f"best {main['name']}", best), ("knee", knee)]


def _importance(importance: Mapping[str, Mapping[str, float]]) -> list[tuple[str, dict[str, float]]]:
    """A row for each parameter. The most important one over all objectives comes first."""
    names = dict.fromkeys(name for shares in importance.values() for name in shares)
    rows = [(name, {objective: shares.get(name) or 0.0 for objective, shares in importance.items()}) for name in names]
    return sorted(rows, key=lambda row: -sum(row[1].values()))


def _finite(value: Any) -> Any:
    """The same plain data with None in place of NaN and infinities, which JSON lacks."""
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1, default=str)


def _datum(value: float | None) -> str:
    """The key by which a table is sorted. Unknown values come last."""
    return "" if value is None else repr(value)


def _source_hash(script: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
