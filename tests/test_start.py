"""The script that measures how soon a search trains shows its cells, names missing ones, and a cell runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from claims import load_claim
from command_line import STUDY

start = load_claim("start")


def test_a_row_has_median_and_range_of_a_tasks_repeats() -> None:
    cells = [{"task": "digits", "repeat": i, "begun": i + 1.0, "result": i + 2.5} for i in range(3)]
    row = start.table([*cells, {"task": "fashion", "repeat": 0, "begun": 7.0, "result": 8.0}]).splitlines()[1]
    assert row.split() == ["digits", "3", "2.00", "(1.00-3.00)", "3.50", "(2.50-4.50)"]


def test_a_task_whose_data_are_not_there_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "TASKS", ("fashion",))
    gone = str(tmp_path / "gone.npz")
    words = ["start.py", "--out", str(tmp_path / "cells.jsonl"), "--repeats", "1", "--fashion", gone]
    monkeypatch.setattr("sys.argv", words)
    start.main()
    assert f"missing cells: {{'fashion, 0': '{gone} cannot be read" in capsys.readouterr().out


@pytest.mark.slow
def test_a_cell_runs_and_leaves_no_worker(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(STUDY | {"executor": "processes"}))
    found = start.run_cell(study)
    assert 0 < found["begun"] <= found["result"]
