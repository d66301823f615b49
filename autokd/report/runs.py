"""How each run in a folder stands, for `autokd runs`. Reading runs needs neither torch nor code that a run names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from autokd.driver import load_front
from autokd.errors import AutoKDError, InputError, said
from autokd.front.words import number
from autokd.record import is_held

_MARKS = ("study.json", "record.db", "front.json")
"""A folder that has one of these files counts as a run."""

_HEADINGS = ("run", "state", "trials", "front", "hypervolume", "best", "last change")


def find_runs(folder: Path) -> list[Path]:
    """The run folders in a folder, sorted by name, or the folder itself if it is a run.

    Raises:
        InputError: the folder does not exist or cannot be read.
    """
    if is_run(folder):
        return [folder]
    try:
        return [each for each in sorted(folder.iterdir()) if is_run(each)]
    except FileNotFoundError:
        raise InputError(
            f"there is no folder {folder}; give the folder that holds your runs, or begin one with `autokd search`"
        ) from None
    except OSError as error:
        raise InputError(
            f"{folder} cannot be read ({error.strerror or said(error)}); give the folder that holds your runs"
        ) from error


def is_run(folder: Path) -> bool:
    """Whether a folder holds files of a run, damaged or not."""
    return any(os.path.lexists(folder / name) for name in _MARKS)


def run_state(run: Path) -> dict[str, Any]:
    """How a run stands, as plain data.

    Returns:
        `run`, the folder; `state`: `running`, `finished`, `stopped`, or `unreadable`; `changed`: when a file of the run
        was last written, in ISO 8601; `problem`: why the run cannot be read now, or "". A readable run also has
        `study`, `trials` (counts by state), `front` (number of students), `hypervolume`, and `best`: the `objective`,
        `value` and `trial` of the best student in the first objective, or None if the front is empty.
    """
    found = {"run": str(run), "changed": _changed(run)}
    try:
        front = load_front(run)
    except (AutoKDError, OSError) as error:
        if is_held(run):
            return {**found, "state": "running", "problem": "a search is still preparing this run"}
        reason = str(error) if isinstance(error, AutoKDError) else said(error)
        return {**found, "state": "unreadable", "problem": reason}
    state = "running" if is_held(run) else "finished" if front.final else "stopped"
    best = None
    if len(front):  # its first student is the best on the first objective
        student, objective = front.front[0], front.objectives[0]["name"]
        best = {"objective": objective, "value": student.values[objective], "trial": student.trial}
    return {
        **found,
        "state": state,
        "problem": "",
        "study": front.study,
        "trials": front.trials,
        "front": len(front),
        "hypervolume": front.hypervolume,
        "best": best,
    }


def runs_lines(states: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table with a line for each run of `run_state`. A run that cannot be read has the reason in place of numbers."""
    rows = [_HEADINGS, *(_row(state) for state in states if not state["problem"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    widths[0] = max(len(name) for name in [_HEADINGS[0], *(_name(state) for state in states)])
    lines = [_line(_HEADINGS, widths)] if len(rows) > 1 else []
    for state in states:
        if state["problem"]:
            lines.append(f"{_name(state):{widths[0]}s}  {state['state']}: {state['problem']}")
        else:
            lines.append(_line(_row(state), widths))
    return lines


def _row(state: Mapping[str, Any]) -> tuple[str, ...]:
    best, ended = state["best"], sum(n for kind, n in state["trials"].items() if kind not in ("running", "duplicate"))
    return (
        _name(state),
        state["state"],
        f"{ended:,}",
        f"{state['front']:,}",
        number(state["hypervolume"]),
        f"{best['objective']} {number(best['value'])}" if best else "none yet",
        state["changed"][:16].replace("T", " "),
    )


def _name(state: Mapping[str, Any]) -> str:
    return Path(state["run"]).name or str(state["run"])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:{width}s}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _changed(run: Path) -> str:
    """The time when a file of the run was last written, in local time; "" if none can be accessed."""
    times = []
    for name in (*_MARKS, "record.db-wal"):
        try:
            times.append((run / name).lstat().st_mtime)
        except OSError:
            continue
    return datetime.fromtimestamp(max(times)).astimezone().isoformat(timespec="seconds") if times else ""
