"""Architectures that cannot be saved, and errors without a message, cost their own trial and are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import small_driver, small_run

from autokd.driver import load_front
from autokd.errors import InfeasibleError
from autokd.record import read_trials
from autokd.trial.training import checked

SPACE = """
from torch import nn

ODD = {"inf": float("inf"), "nan": float("nan"), "nested": [], "long": "x" * 200_000}
for _ in range(900):
    ODD["nested"] = [ODD["nested"]]
ODD["itself"] = [1]
ODD["itself"].append(ODD["itself"])


WELL = [f"well {i}" for i in range(10)]


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def suggest(trial):
    how = trial.suggest_categorical("how", [*WELL, *ODD, "mute", "empty", "talks", "colours"])
    return {"how": how, "value": ODD.get(how)}


def build(arch, task):
    if arch["how"] == "mute":
        raise MuteError
    if arch["how"] == "empty":
        raise OSError
    if arch["how"] == "talks":
        raise ValueError("y" * 5_000_000)
    if arch["how"] == "colours":
        raise ValueError("\\x1b[31m \\ud800")
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""
SUGGESTED = "cannot be built: the space's suggest returned "
REASONS = {
    "inf": f"{SUGGESTED}{{'how': 'inf', 'value': inf}}, which JSON cannot hold (",
    "nan": f"{SUGGESTED}{{'how': 'nan', 'value': nan}}, which JSON cannot hold (",
    "nested": f"{SUGGESTED}more than 50 levels of dicts and lists",
    "itself": f"{SUGGESTED}more than 50 levels of dicts and lists",
    "long": f"{SUGGESTED}200,028 characters, more than 100,000",
    "mute": "raised MuteError",
    "empty": "raised OSError",
    "talks": "raised ValueError: yyyy",
    "colours": "raised ValueError: \\x1b[31m \\ud800",
}


def test_a_number_that_json_cannot_hold_makes_no_architecture() -> None:
    for value in (10**5000, -(10**5000), float("-inf"), [[[float("nan")]]]):
        with pytest.raises(InfeasibleError, match="which JSON cannot hold"):
            checked({"width": [value]})


def test_what_cannot_be_kept_or_said_costs_its_own_trial_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(SPACE)
    fixed = {"alpha": 0.5, "temperature": 4.0, "method": "kd", "lr": 0.01}
    overrides = {"space": str(tmp_path / "space.py"), "recipe": fixed, "budget.trials": 50}
    run = small_run(tmp_path, **overrides)
    driver = small_driver(run)
    for how in ("well 0", *REASONS, "well 1"):
        driver.record.enqueue({"how": how})
    students = [driver.propose(), driver.propose()]
    driver.record.close()
    assert [student and student.arch["how"] for student in students] == ["well 0", "well 1"]
    reasons = [trial.reason for trial in read_trials(run.folder) if trial.state == "failed"]
    assert [
        (reason, how) for reason, how in zip(reasons, REASONS, strict=True) if not reason.startswith(REASONS[how])
    ] == []
    assert max(map(len, reasons)) < 400
    load_front(run.folder)
