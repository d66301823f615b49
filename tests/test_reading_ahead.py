"""The script that times an epoch which is read ahead: a cell trains in three ways, and the table has their ratios."""

from __future__ import annotations

from pathlib import Path

import pytest
from claims import load_claim

from autokd.tasks import task as in_memory

claim = load_claim("reading_ahead")


def test_a_cell_trains_in_three_ways_by_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "SIDE", 8)
    monkeypatch.setattr(claim, "BATCH", 8)
    monkeypatch.setitem(claim.NETWORKS, "mlp", (*claim.NETWORKS["mlp"][:2], 2))
    limit = in_memory.WHOLE_BYTES
    cell = claim.run_cell(("mlp", 40, 0), tmp_path, turns=2)
    assert list(cell["seconds"]) == ["memory", "read ahead", "no thread"]
    for clocks in cell["seconds"].values():
        assert [len(seconds) for seconds in clocks.values()] == [2, 2, 2]
        assert min(min(seconds) for seconds in clocks.values()) > 0
    assert limit == in_memory.WHOLE_BYTES
    assert "mlp" in claim.table([cell])


def test_a_row_has_the_median_ratio_to_memory_with_its_spread() -> None:
    def seconds(factor: float) -> dict[str, list[float]]:
        return {clock: [0.01 * factor, 0.02 * factor, 0.03 * factor] for clock in claim.CLOCKS}

    ways = {"memory": seconds(1), "read ahead": seconds(1.1), "no thread": seconds(1.5)}
    cells = [{"network": "mlp", "photos": 5000, "repeat": i, "seconds": ways} for i in range(2)]
    rows = [line.split() for line in claim.table(cells).splitlines()[1:]]
    assert ["mlp", "5,000", "2", "read", "ahead", "wall", "22.00", "1.100", "1.100-1.100", "1.100-1.100"] in rows
    assert ["mlp", "5,000", "2", "no", "thread", "process", "30.00", "1.500", "1.500-1.500", "1.500-1.500"] in rows
    assert len(rows) == 9
