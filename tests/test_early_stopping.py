"""The script that measures what early stopping saves counts epochs, runs its cells and names missing ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from claims import load_claim
from conftest import ROOT

sys.path.insert(0, str(ROOT))
from autokd.pareto import non_dominated
from studies.claims.tables import Table, read_table

script = load_claim("early_stopping")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["early_stopping.py", *map(str, arguments)])
    script.main()


@pytest.fixture(scope="module")
def table() -> Table:
    return read_table(script.TABLES / "digits_labels.csv.gz")


def test_the_real_search_is_counted_in_epochs_of_all_students(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "EPOCHS", 100)
    trained = script.searched(table, 0, sampler="random", scheduler="none")
    assert trained[0][1] == 27
    assert {spent for _, spent in trained} <= {27, 54, 81}
    stopping = script.searched(table, 0, sampler="random", scheduler="halving")
    assert all(spent <= 100 and spent not in (27, 54) for _, spent in stopping)


def test_foresight_trains_in_full_what_extends_the_front(table: Table) -> None:
    trained = script.foresight(table, 0)
    rows = [row for row, _ in trained]
    assert all(non_dominated(table.losses[rows[: i + 1]])[i] for i in range(len(rows)))
    assert np.diff([0, *(spent for _, spent in trained)]).min() >= 27
    assert trained[-1][1] <= script.EPOCHS


def test_epochs_are_read_off_the_curve() -> None:
    cell = {"curve": [[27.0, 0.5], [60.0, 0.8], [90.0, 0.8]]}
    assert [script.reached_by(cell, epochs) for epochs in (26, 27, 60, 1000)] == [0.0, 0.5, 0.8, 0.8]
    assert [script.epochs_to(cell, level) for level in (0.5, 0.7, 0.9)] == [27, 60, np.inf]


def test_a_cell_runs_once_and_missing_ones_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "EPOCHS", 54)
    out = tmp_path / "cells.jsonl"
    run(monkeypatch, "--json", out, "--seeds", 1, "--schedulers", "none")
    before = out.read_text()
    cells = [json.loads(line) for line in before.splitlines()]
    assert [cell["key"] for cell in cells] == [[name, "random", "none", 0] for name in script.NAMES]
    assert all(spent in (27, 54) and 0 < share < 1 for cell in cells for spent, share in cell["curve"])
    run(monkeypatch, "--json", out, "--seeds", 1, "--schedulers", "none,moasha")
    assert out.read_text() == before
    printed = capsys.readouterr().out
    assert "moasha needs an environment of its own" in printed
    assert "missing cells: digits_labels random moasha 0, digits_noise random moasha 0" in printed
