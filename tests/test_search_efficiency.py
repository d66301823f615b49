"""The script that compares searches on tables scales and measures them, runs its cells once and names missing ones."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from autokd.errors import InputError

sys.path.insert(0, str(ROOT))
from studies.claims import search_efficiency, warm_start
from studies.claims.tables import Table, read_table, share

WIDTHS, OPS = [8, 16, 32.5], ["skip", "conv 3x3"]


def write_table(folder: Path, *, rungs: bool = False, extra: tuple[dict[str, str], ...] = ()) -> Path:
    """Six architectures; accuracy grows with width, latency too, and the operation costs without giving anything."""
    columns = ["width", "op", "accuracy", "latency_ms", *(["accuracy@1", "accuracy@3"] if rungs else [])]
    path = folder / "tiny.csv.gz"
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for i, width in enumerate(WIDTHS):
            for j, op in enumerate(OPS):
                row = {"width": f"{width:.1f}", "op": op, "accuracy": 50 + 10 * i, "latency_ms": 1 + i + j}
                writer.writerow(row | ({"accuracy@1": 10 + i, "accuracy@3": 30 + i} if rungs else {}))
        writer.writerows(extra)
    objectives = {
        "accuracy": {"direction": "maximize", "trained": True},
        "latency_ms": {"direction": "minimize", "trained": False},
    }
    (folder / "tiny.json").write_text(
        json.dumps({"parameters": {"width": WIDTHS, "op": OPS}, "objectives": objectives})
    )
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["search_efficiency.py", *map(str, arguments)])
    search_efficiency.main()


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return read_table(write_table(tmp_path))


def test_the_best_of_each_objective_is_zero_and_the_percentile_on_its_bad_side_is_one(table: Table) -> None:
    assert table.losses.min(axis=0).tolist() == [0, 0]
    accuracy = np.array([50, 50, 60, 60, 70, 70])
    assert table.losses[:, 0] == pytest.approx((70 - accuracy) / (70 - np.percentile(accuracy, 0.1)))
    latency = np.array([1, 2, 2, 3, 3, 4])
    assert table.losses[:, 1] == pytest.approx((latency - 1) / (np.percentile(latency, 99.9) - 1))


def test_the_whole_table_has_all_of_the_hypervolume_and_nothing_has_none(table: Table) -> None:
    rows = range(len(table.codes))
    assert share(table, rows, range(1, 7), [0, 6]) == {"0": 0, "6": pytest.approx(1)}


def test_the_share_grows_with_what_was_tried_by_then(table: Table) -> None:
    front = [table.row({"width": width, "op": "skip"}) for width in WIDTHS]
    shares = share(table, front, [1, 2, 3.5], [1, 2, 3, 4])
    assert shares["1"] <= shares["2"] == shares["3"] < shares["4"] == pytest.approx(1)


def test_a_row_that_lacks_an_objective_is_left_out(tmp_path: Path) -> None:
    extra = ({"width": "8", "op": "skip", "accuracy": "", "latency_ms": "0.1"},)
    assert len(read_table(write_table(tmp_path, extra=extra)).codes) == 6


def test_what_is_no_table_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no table"):
        read_table(tmp_path / "none.csv.gz")
    extra = ({"width": "9", "op": "skip", "accuracy": "1", "latency_ms": "1"},)
    with pytest.raises(InputError, match="'9' is none of"):
        read_table(write_table(tmp_path, extra=extra))


def test_earlier_rungs_are_scaled_as_the_last_one(tmp_path: Path) -> None:
    table = read_table(write_table(tmp_path, rungs=True))
    assert list(table.rungs) == [1, 3, 9]
    assert (table.rungs[1][:, 0] > table.rungs[3][:, 0]).all()
    assert table.rungs[1][:, 1].tolist() == table.losses[:, 1].tolist()


@pytest.mark.slow
def test_a_finished_cell_is_not_run_again_and_one_that_went_too_short_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cells.jsonl"
    arguments = ["--table", write_table(tmp_path), "--samplers", "random", "--json", out]

    def ran() -> list[tuple[int, int]]:
        return [(cell["seed"], cell["evaluations"]) for cell in map(json.loads, out.read_text().splitlines())]

    run(monkeypatch, *arguments, "--seeds", 1, "--evaluations", 25)
    run(monkeypatch, *arguments, "--seeds", 2, "--evaluations", 25)
    assert ran() == [(0, 25), (1, 25)]
    assert "missing cells: none" in capsys.readouterr().out
    run(monkeypatch, *arguments, "--seeds", 1, "--evaluations", 50)
    assert ran() == [(0, 25), (1, 25), (0, 50)]


def test_missing_cells_and_how_to_get_them_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--table", write_table(tmp_path), "--json", tmp_path / "cells.jsonl", "--seeds", 2]
    run(monkeypatch, *arguments, "--samplers", "random,morea", "--minutes", 0)
    printed = capsys.readouterr().out
    assert "missing cells: tiny random 0, tiny morea 0, tiny random 1, tiny morea 1" in printed
    assert "morea needs an environment of its own" in printed


def test_slow_samplers_run_few_seeds_and_evaluations_and_those_for_rungs_need_rungs(tmp_path: Path) -> None:
    table = read_table(write_table(tmp_path))
    cells = search_efficiency.wanted([table], ["gp", "random", "moasha"], 20, 500)
    assert {many for (_, sampler, _), many in cells.items() if sampler == "gp"} == {100}
    assert [[key[1] for key in cells].count(name) for name in ("gp", "random", "moasha")] == [3, 20, 0]
    with_rungs = read_table(write_table(tmp_path, rungs=True))
    assert len(search_efficiency.wanted([with_rungs], ["moasha"], 20, 500)) == 20


@pytest.mark.slow
def test_a_peer_in_a_process_of_its_own_finds_the_front_of_a_tiny_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cells.jsonl"
    arguments = ["--table", write_table(tmp_path), "--json", out, "--seeds", 1, "--evaluations", 50]
    run(monkeypatch, *arguments, "--samplers", "random,nsga2,tpe")
    cells = [json.loads(line) for line in out.read_text().splitlines()]
    assert [cell["share"]["50"] for cell in cells] == [pytest.approx(1)] * 3
    assert [cell["repeats"] for cell in cells] == [44] * 3
    assert "plotly" in out.with_suffix(".html").read_text()


def test_a_warm_start_is_compared_with_a_search_anew_and_a_seed_is_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warm_start, "MARKS", (10,))
    table, cells = write_table(tmp_path), tmp_path / "warm.jsonl"
    arguments = ["--earlier", table, "--table", table, "--trials", 3, "--seeds", 1, "--json", cells]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["warm_start.py", *map(str, arguments)])
        warm_start.main()
    said = capsys.readouterr().out
    (cell,) = map(json.loads, cells.read_text().splitlines())
    assert cell["from"]["10"] == cell["anew"]["10"] == pytest.approx(1)  # all six architectures
    assert "missing seeds: none" in said
