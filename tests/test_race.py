"""The script of the race between AutoKD and plain Optuna reads its cells rightly, and each of its arms runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from claims import load_claim

race = load_claim("race")


def cell(arm: str, *trials: tuple[float, float, int]) -> dict[str, Any]:
    return {
        "task": "digits",
        "arm": arm,
        "seed": 0,
        "seconds": 60.0,
        "bound": 1000,
        "setup": "digits",
        "teacher": 0.99,
        "machine": "2 cores",
        "begun": len(trials),
        "first_begun": 1.0,
        "trials": trials,
        "test": {"500": 0.8, "1500": None, "5000": None},
    }


def test_the_curve_is_the_share_of_the_box_that_was_dominated_by_then() -> None:
    steps = race.curve(cell("autokd", (5, 0.5, 500), (9, 0.4, 600), (20, 0.9, 900)))
    assert steps == [(0, 0), (5, pytest.approx(0.25)), (9, pytest.approx(0.25)), (20, pytest.approx(0.29))]
    assert race.volume_after(steps, 4.9) == 0
    assert race.volume_after(steps, 5) == pytest.approx(0.25)
    assert race.time_to(steps, 0.25) == 5
    assert race.time_to(steps, 0.3) == math.inf


def test_the_ratio_is_of_the_times_at_which_both_had_what_the_rival_ended_with() -> None:
    rival = cell("tpe", (10, 0.2, 500), (40, 0.5, 500), (50, 0.3, 500))
    assert "median 0.250; by seed 0.250" in race.table([cell("autokd", (10, 0.6, 500)), rival])
    assert "median > 1; by seed never (> 1)" in race.table([cell("autokd", (10, 0.4, 500)), rival])


@pytest.mark.slow
@pytest.mark.parametrize("arm", race.ARMS)
def test_an_arm_runs_until_its_seconds_are_over(arm: str, tmp_path: Path) -> None:
    found = race.run_cell(arm, race.race_study("digits", seed=0), seconds=3, folder=tmp_path)
    assert all(at <= 3 for at, _, _ in found["trials"])
    race.write_plot([found], tmp_path / "race.html")
    assert arm in race.table([found])
    log = (tmp_path / "digits-0" / f"{arm}.log").read_text()
    assert "Error" not in log, log
