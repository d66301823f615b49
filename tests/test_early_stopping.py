"""The script that measures what early stopping saves: what a cell is, what is run again, what is said to be missing."""

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


def test_finished_cells_are_not_run_again_and_missing_ones_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def run_cell(key: tuple[str, str, str, int], table: Table, python: str) -> dict[str, object]:
        ran.append(key)
        return {"key": list(key), "curve": [[27.0, 0.5 + 0.1 * key[3]]]}

    monkeypatch.setattr(script, "run_cell", run_cell)
    out = tmp_path / "cells.jsonl"
    run(monkeypatch, "--json", out, "--seeds", 1, "--schedulers", "none")
    run(monkeypatch, "--json", out, "--seeds", 2, "--schedulers", "none,moasha")
    assert ran == [(name, "random", "none", seed) for seed in range(2) for name in script.NAMES]
    assert [json.loads(line)["key"] for line in out.read_text().splitlines()] == [list(key) for key in ran]
    printed = capsys.readouterr().out
    assert "moasha needs an environment of its own" in printed
    assert "missing cells: digits_labels random moasha 0, digits_noise random moasha 0" in printed
