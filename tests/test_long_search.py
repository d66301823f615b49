"""The script that asks what a long search loses by learning from a part of its record."""

from __future__ import annotations

import pytest
from claims import load_claim
from conftest import ROOT

from autokd.samplers import outlook

long_search = load_claim("long_search")


def test_the_table_shows_the_mean_difference_with_its_error() -> None:
    cells = [
        {"table": "t", "seed": seed, "part": {"500": 0.9, "750": 0.95}, "all": {"500": 0.9, "750": 0.94 + seed / 100}}
        for seed in (0, 1)
    ]
    row = long_search.table_of(cells, 750).splitlines()[1]
    assert " ".join(row.split()) == "t 2 0.9000 0.9500 ± 0.0000 0.9450 ± 0.0050 0.00500 ± 0.00500"


@pytest.mark.slow
def test_both_ways_go_on_from_one_beginning_and_the_sampler_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_search, "BEGINNING", 12)
    monkeypatch.setattr(outlook, "_ALL_LEARNT_FROM", 12)
    monkeypatch.setattr(outlook, "_LEARNT_FROM", 4)
    table = long_search.read_table(ROOT / "studies" / "tables" / "digits_labels.csv.gz")
    cell = long_search.run_cell(table, 0, 20)
    assert cell["part"]["12"] == cell["all"]["12"]
    assert cell["part"]["20"] >= cell["part"]["12"]
    assert outlook._ALL_LEARNT_FROM == 12
