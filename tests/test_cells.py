"""The file of finished cells of a measurement: it grows by a line for each cell and survives an interruption."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

from conftest import ROOT

sys.path.insert(0, str(ROOT))
from studies.claims.cells import Cell, append_cell, read_cells, run_missing


def square(number: int) -> Cell | None:
    return {"number": number, "square": number**2} if number >= 0 else None


def squares(*wanted: int, path: Path, end: float = math.inf) -> tuple[list[int], list[int]]:
    """The squares that are known afterwards, and the numbers whose squares are missing."""
    cells = read_cells(path)
    missing = run_missing(wanted, cells, path, key=lambda cell: cell["number"], run=square, end=end)
    assert read_cells(path) == cells
    return [cell["square"] for cell in cells], [*missing]


def test_a_finished_cell_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cells.jsonl"
    assert squares(3, path=path) == ([9], [])
    append_cell(path, {"number": 4, "square": "from an earlier run"})
    assert squares(3, 4, 5, path=path) == ([9, "from an earlier run", 25], [])


def test_a_cell_that_cannot_be_run_or_for_which_no_time_is_left_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    assert squares(2, -1, 3, path=path) == ([4, 9], [-1])
    assert squares(2, 4, path=path, end=time.monotonic()) == ([4, 9], [4])


def test_a_line_that_was_not_finished_is_left_out_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    squares(2, 3, path=path)
    path.write_text(path.read_text()[:-9])
    assert squares(2, 3, 4, path=path) == ([4, 9, 16], [])
