"""Cells of a measurement: each finished cell is a line of a file, so that a script which was stopped can go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

Cell = dict[str, Any]
Key = TypeVar("Key")
"""What tells one cell from the others, such as (task, seed)."""


def read_cells(path: Path) -> list[Cell]:
    """The finished cells in a file, in order; a line that a killed script did not finish is left out."""
    cells = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            cells.append(json.loads(line))
        except ValueError:
            continue
    return cells


def append_cell(path: Path, cell: Cell) -> None:
    """Adds a line to a file, which is made with its folder where it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.seek(max(file.seek(0, 2) - 1, 0))
        unfinished = file.read() not in (b"", b"\n")
        file.write(b"\n" * unfinished + json.dumps(cell).encode() + b"\n")


def run_missing(
    wanted: Iterable[Key],
    cells: list[Cell],
    path: Path,
    *,
    key: Callable[[Cell], Key],
    run: Callable[[Key], Cell | None],
    end: float,
) -> Sequence[Key]:
    """Runs the cells that are wanted and not yet finished, in order, as long as time allows.

    Args:
        wanted: the keys of the cells.
        cells: the finished cells; each new one is added.
        path: the file of the finished cells, to which each new one is appended at once.
        key: gives the key of a cell.
        run: runs one cell; it returns None where the cell cannot be run now.
        end: the time on the clock of `time.monotonic` after which no cell begins.

    Returns:
        the keys of the cells that are still missing.
    """
    known = [key(cell) for cell in cells]
    missing = []
    for each in wanted:
        if each in known:
            continue
        cell = run(each) if time.monotonic() < end else None
        if cell is None:
            missing.append(each)
        else:
            cells.append(cell)
            append_cell(path, cell)
    return missing
