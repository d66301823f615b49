"""The script that measures how a search grows: what it counts, that a cell runs, what is said to be missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from claims import load_claim
from conftest import ROOT

growth = load_claim("growth")

FIGURES = dict.fromkeys(("proposal_seconds", "front_seconds", "pick_seconds", "report_seconds"), 0.1)
FIGURES |= {"search_mb": 400.0, "report_mb": 300.0}


def test_a_proposal_is_what_lies_between_two_of_the_last_hundred_trials() -> None:
    marks = [(begun, 0.01 * min(begun, 400) + 0.5 * max(begun - 400, 0)) for begun in range(1, 501)]
    assert growth.per_proposal(marks) == pytest.approx(0.5)
    assert growth.per_proposal([*marks, (500, 999.0)]) == pytest.approx(0.5)
    assert growth.per_proposal(marks[:11]) == pytest.approx(0.01)


def test_finished_cells_are_not_run_again_and_missing_ones_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def run_cell(table: Path, trials: int, sampler: str) -> dict[str, Any]:
        ran.append(trials)
        return {"trials": trials, "sampler": sampler, **FIGURES}

    monkeypatch.setattr(growth, "run_cell", run_cell)
    words = ["growth.py", "--table", "t.csv.gz", "--out", str(tmp_path / "cells.jsonl")]
    for trials, minutes in (("20", "1"), ("20,40", "1"), ("20,80", "-1")):
        monkeypatch.setattr(sys, "argv", [*words, "--trials", trials, "--minutes", minutes])
        growth.main()
    assert ran == [20, 40]
    assert [json.loads(line)["trials"] for line in (tmp_path / "cells.jsonl").read_text().splitlines()] == ran
    assert "missing cells: 80" in capsys.readouterr().out


@pytest.mark.slow
def test_a_cell_runs() -> None:
    found = growth.run_cell(ROOT / "studies" / "tables" / "digits_labels.csv.gz", 12, "random")
    assert 0 < found["proposal_seconds"] < 1
    assert found["front_seconds"] > 0
    assert found["search_mb"] >= found["front_mb"]  # of which a forked process has what its parent had
    assert "random" in growth.table_of([found])
