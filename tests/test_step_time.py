"""The script that compares the time of a step with that of another checkout shows its cells, and a cell runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from claims import load_claim
from conftest import ROOT

step_time = load_claim("step_time")


def test_a_row_has_the_median_ratio_of_turns_with_its_spread_and_whether_the_values_agree() -> None:
    seconds = {"here": [0.0011, 0.0022, 0.0033], "there": [0.001, 0.002, 0.003]}
    cells = [{"network": "310 parameters", "batch": 64, "repeat": i, "same": i == 0, **seconds} for i in range(2)]
    row = step_time.table(cells).splitlines()[1]
    assert row.split() == [
        "310",
        "parameters",
        "64",
        "2",
        "2.200",
        "2.000",
        "1.100",
        "1.100-1.100",
        "1.100-1.100",
        "NO",
    ]


def test_a_folder_that_is_no_checkout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["step_time.py", "--against", str(tmp_path)])
    with pytest.raises(SystemExit):
        step_time.main()
    assert "is no checkout of AutoKD" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cell_trains_the_same_student_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_time, "EPOCHS", 1)
    cell = step_time.run_cell(ROOT, ("310 parameters", 128, 0), turns=2)
    assert cell["same"]
    assert min(cell["here"] + cell["there"]) > 0
    assert len(cell["here"]) == len(cell["there"]) == 2
