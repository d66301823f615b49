"""Architectures that cannot be saved, and errors without a message, cost their own trial and are named."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import torch
from small import small_driver, small_run

from autokd.driver import load_front
from autokd.errors import InfeasibleError
from autokd.record import read_trials
from autokd.trial import checked

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


LEAVING = """
import signal
import sys

import torch
from torch import nn

LEFT = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "recursion": lambda: sys.setrecursionlimit(120),
    "timer": lambda: signal.setitimer(signal.ITIMER_REAL, 0.3),
    "handler": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN) if IN_MAIN() else None,
    "threads": lambda: torch.set_num_threads(2),
}


def IN_MAIN():
    import threading

    return threading.current_thread() is threading.main_thread()


class Leaves(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how, self.linear = how, nn.Linear(64, 10)

    def forward(self, x):
        if self.training and self.how in LEFT:
            LEFT[self.how]()
        return self.linear(x.flatten(1))


def suggest(trial):
    return {"how": trial.suggest_categorical("how", [*(f"plain {i}" for i in range(4)), *LEFT])}


def build(arch, task):
    network = Leaves(arch["how"])
    if arch["how"] in LEFT:
        LEFT[arch["how"]]()
    return network
"""


def test_what_a_student_changes_in_its_process_reaches_no_other_student(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(LEAVING)
    before = _state()
    run = small_run(
        tmp_path,
        space=str(tmp_path / "space.py"),
        sampler="random",
        scheduler="none",
        **{"budget.trials": 10, "budget.rungs": [1, 2], "budget.reseeds": 0},
    )
    driver = small_driver(run)
    while (stretch := driver.propose()) is not None:
        queue = [stretch]
        while queue:
            each = queue.pop()
            queue += driver.advance(each.trial, run.context.run(each))
    driver.record.close()
    ended = {trial.arch["how"]: trial for trial in read_trials(run.folder) if trial.arch}
    plain = {how: trial.state for how, trial in ended.items() if how.startswith("plain")}
    assert set(plain.values()) == {"complete"}
    assert _state() == before


def _state() -> tuple[object, ...]:
    modes = (torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads())
    left = signal.getitimer(signal.ITIMER_REAL)[0]
    return (*modes, sys.getrecursionlimit(), signal.getsignal(signal.SIGTERM), left)
