"""The script on early recipes reads hypervolumes off its cells, runs each cell once and names missing ones."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from claims import load_claim

from autokd import objectives
from autokd.samplers import cost_aware

script = load_claim("recipe_early")

CELL = {"key": ["digits", "autokd", 0], "students": [[3.0, 27, 0.5, 20_000], [9.0, 60, 0.8, 310]]}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe_early.py", *map(str, arguments)])
    script.main()


def test_the_hypervolume_is_over_the_logarithm_of_the_parameters() -> None:
    assert script.reached(CELL, seconds=2.0) == 0
    assert script.reached(CELL, seconds=9.0) == pytest.approx(0.8)
    middle = round(math.sqrt(310 * 20_000))
    half = {**CELL, "students": [[1.0, 27, 0.5, middle]]}
    assert script.reached(half, epochs=27) == pytest.approx(0.25, abs=1e-3)
    assert script.reached(half, epochs=26) == 0


def test_arms_switch_off_what_the_default_sampler_does_and_switch_it_on_again() -> None:
    with script.switched("before"):
        assert cost_aware.recommended(0) == {}
        assert not objectives.parameters.by_ratio
    with script.switched("autokd"):
        assert cost_aware.recommended(0)
        assert objectives.parameters.by_ratio


@pytest.mark.slow
def test_a_cell_runs_once_and_missing_ones_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "MARKS", (1, 2, 3))
    out = tmp_path / "new" / "cells.jsonl"
    run(monkeypatch, "--json", out, "--tasks", "digits", "--arms", "random", "--seeds", 1)
    (cell,) = map(json.loads, out.read_text().splitlines())
    assert cell["key"] == ["digits", "random", 0]
    run(monkeypatch, "--json", out, "--tasks", "digits", "--arms", "random", "--seeds", 2, "--minutes", -1)
    assert [json.loads(line) for line in out.read_text().splitlines()] == [cell]
    assert "missing cells: digits random 1" in capsys.readouterr().out
