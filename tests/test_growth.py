"""The script that measures how a search grows times proposals, runs its cells and names missing ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from claims import load_claim
from conftest import ROOT

growth = load_claim("growth")


def test_a_proposal_is_what_lies_between_two_of_the_last_hundred_trials() -> None:
    marks = [(begun, 0.01 * min(begun, 400) + 0.5 * max(begun - 400, 0)) for begun in range(1, 501)]
    assert growth.per_proposal(marks) == pytest.approx(0.5)
    assert growth.per_proposal([*marks, (500, 999.0)]) == pytest.approx(0.5)
    assert growth.per_proposal(marks[:11]) == pytest.approx(0.01)


@pytest.mark.slow
def test_a_cell_runs_once_and_missing_ones_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = ROOT / "studies" / "tables" / "digits_labels.csv.gz", tmp_path / "cells.jsonl"
    words = ["growth.py", "--table", str(table), "--sampler", "random", "--out", str(out)]
    for trials, minutes in (("12", "1"), ("12,24", "-1")):
        monkeypatch.setattr(sys, "argv", [*words, "--trials", trials, "--minutes", minutes])
        growth.main()
    (found,) = map(json.loads, out.read_text().splitlines())
    assert (found["trials"], found["sampler"]) == (12, "random")
    assert 0 < found["proposal_seconds"] < 1
    assert found["front_seconds"] > 0
    assert found["search_mb"] >= found["front_mb"]  # a forked process has the memory of its parent
    assert "missing cells: 24" in capsys.readouterr().out
