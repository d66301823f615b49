"""The script that looks for searches that stand still: what it counts, that a cell runs, what is said to be missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claims import load_claim
from small import small_study

script = load_claim("standing_still")

CELL = {"curve": [[0, 0.0, 0.0], [100, 1.0, 0.7], [300, 2.0, 0.8]], "seconds": 3.0, "students": 9, "in_full": 2}
CELL |= {"in_a_row": 3, "repetitions": 2, "stopped_repetitions": 1}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["standing_still.py", *map(str, arguments)])
    script.main()


def test_a_repetition_is_nearly_equal_to_an_earlier_student_that_was_stopped() -> None:
    places = np.array([[0.0], [0.9], [0.1], [0.8], [0.2]])
    assert script.repetitions(places, [True, False, False, True, True]) == [False, False, True, False, True]
    assert script.in_a_row([True, False, True, True, False]) == 2
    assert script.in_a_row([]) == 0


def test_the_hypervolume_is_read_off_the_curve() -> None:
    assert [script.reached(CELL, epochs) for epochs in (99, 100, 299, 1000)] == [0.0, 0.7, 0.7, 0.8]


def test_finished_cells_are_not_run_again_and_missing_ones_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def run_cell(answers: Path, seed: int) -> dict[str, Any]:
        ran.append(seed)
        return {"seed": seed, **CELL}

    monkeypatch.setattr(script, "run_cell", run_cell)
    monkeypatch.setattr(script, "write_answers", lambda path: path.write_bytes(b""))
    out = tmp_path / "cells.jsonl"
    run(monkeypatch, "--out", out, "--seeds", 1)
    run(monkeypatch, "--out", out, "--seeds", 2)
    run(monkeypatch, "--out", out, "--seeds", 3, "--minutes", -1)
    assert ran == [0, 1]
    assert [json.loads(line)["seed"] for line in out.read_text().splitlines()] == ran
    assert "missing seeds: 2" in capsys.readouterr().out


@pytest.mark.slow
def test_a_cell_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(script, "study", lambda teacher, seed: small_study(**{"budget.trials": 8, "seed": seed}))
    found = script.run_cell(tmp_path / "answers.npy", 3)
    assert found["seed"] == 3
    assert found["curve"][-1][2] > 0
    assert found["students"] >= found["in_full"] >= 1
    assert "mean" in script.table([found])
