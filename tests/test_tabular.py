"""The script that sets students beside gradient boosting names the losers, and a cell runs from table to ONNX file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from claims import load_claim

tabular = load_claim("tabular")


def cell(seed: int, *, student: float, onnx: float) -> dict[str, Any]:
    """A cell whose teacher has a score of 0.9 and takes 10 ms."""
    times = {"teacher": 10.0, "network": 1.0, "onnx": onnx}
    return {
        "table": "t",
        "way": "fitted",
        "seed": seed,
        "score": "r2",
        "teacher": 0.9,
        "student": student,
        "parameters": 100,
        "ms": {"1": times, "1000": times},
    }


def test_a_student_loses_by_its_score_or_by_its_time() -> None:
    assert tabular.lost(cell(0, student=0.885, onnx=2.4)) == []
    assert tabular.lost(cell(0, student=0.875, onnx=2.4)) == ["r2 0.875 beside the teacher's 0.900"]
    assert tabular.lost(cell(0, student=0.95, onnx=3.0)) == [
        "onnx 1 takes 0.30 of the teacher's time",
        "onnx 1000 takes 0.30 of the teacher's time",
    ]


def test_the_report_has_the_spread_over_seeds_and_names_each_loser() -> None:
    said = tabular.report([cell(0, student=0.92, onnx=1.0), cell(1, student=0.86, onnx=2.0)])
    row = said.splitlines()[2].split("  ")
    assert [part.strip() for part in row if part][2:5] == ["2", "0.900 +- 0.000", "0.890 +- 0.042"]
    assert "-0.010 +- 0.042" in said
    assert "0.150 (0.200)" in said
    assert said.splitlines()[-2:] == [
        "losers: 1 of 2 cells",
        "  t, fitted, seed 1: r2 0.860 beside the teacher's 0.900",
    ]


@pytest.mark.slow
def test_a_cell_scores_the_exported_file_beside_the_teacher_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "BOUND", 5.0)
    table = replace(tabular.tables(None)["friedman"], rungs=(2,))
    cell = tabular.run_cell(table, ("friedman", "out of fold", 0), 2)
    assert cell["teacher"] == pytest.approx(cell["teacher_of_search"], abs=1e-6)
    assert 0 < cell["student"] <= 1
    assert set(tabular.ratios(cell)) == {"network 1", "network 1000", "onnx 1", "onnx 1000"}
