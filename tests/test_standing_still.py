"""The script that looks for searches that stand still counts repetitions, runs its cells and names missing ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from claims import load_claim

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


@pytest.mark.slow
def test_a_cell_runs_once_and_missing_ones_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "EPOCHS", 54)
    out = tmp_path / "new" / "cells.jsonl"
    run(monkeypatch, "--out", out, "--seeds", 1)
    (cell,) = map(json.loads, out.read_text().splitlines())
    assert cell["curve"][-1][2] > 0
    assert cell["students"] >= cell["in_full"] >= 1
    run(monkeypatch, "--out", out, "--seeds", 2, "--minutes", -1)
    assert [json.loads(line) for line in out.read_text().splitlines()] == [cell]
    assert "missing seeds: 1" in capsys.readouterr().out
