"""Searches on Ray have the trials and numbers of other searches, with one Tune trial for each trial of the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import needs
from small import small_driver, small_run, small_study

from autokd.driver import search_study
from autokd.front import Front
from autokd.record import read_trials

pytestmark = needs("ray")

OPTIONS: dict[str, Any] = {"sampler": "random", "scheduler": "none"}


def search(folder: Path, **overrides: Any) -> Front:
    return search_study(small_study(**overrides), run=folder)


def students(folder: Path) -> list[tuple[Any, ...]]:
    return [(t.arch, t.recipe, t.costs, t.rungs, t.state) for t in read_trials(folder)]


@pytest.mark.usefixtures("ray_here")
def test_the_list_of_trials_and_every_number_are_the_same_on_ray(tmp_path: Path) -> None:
    here = search(tmp_path / "here", **OPTIONS)
    there = search(tmp_path / "there", executor="ray", workers=2, **OPTIONS)
    assert students(tmp_path / "there") == students(tmp_path / "here")
    assert list(there) == list(here)  # fresh seeds and the test split included


@pytest.mark.usefixtures("ray_here")
def test_what_tune_shows_is_what_the_record_says_row_for_row(tmp_path: Path) -> None:
    from autokd.ray_tune.cluster import connected

    run = small_run(tmp_path, executor="ray", workers=2, **{"budget.trials": 12})
    driver = small_driver(run)
    try:
        with connected(run.context.study) as cluster:
            ended, grid = cluster.tune(run, driver, seconds=None, notify=lambda message: None)
    finally:
        driver.record.close()
    trained = {trial.number: trial for trial in read_trials(run.folder) if trial.rungs}
    assert ended == "12 trials are done"
    assert {trial.state for trial in trained.values()} == {"complete", "pruned"}  # some of them waited for company
    assert grid.num_errors == 0
    rows = {row.config["trial"]: row.metrics for row in grid}
    assert len(grid) == len(rows) == len(trained)
    for number, trial in trained.items():
        shown = {name: rows[number][name] for name in trial.values}
        assert shown == trial.values
        assert rows[number]["training_iteration"] == trial.epoch


SPACE = """
import os
import signal
import time

from torch import nn


def suggest(trial):
    return {"how": trial.suggest_categorical("how", ["well", "raises", "killed", "hangs"])}


def build(arch, task):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), Odd(arch["how"]))


class Odd(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        if self.training and self.how == "raises":
            raise ValueError("as it was told")
        if self.training and self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.training and self.how == "hangs":
            time.sleep(600)
        return x
"""


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_whatever_goes_wrong_on_ray_is_recorded_with_its_reason_and_costs_no_other_trial(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(SPACE)
    front = search(
        tmp_path / "run",
        **OPTIONS,
        executor={"name": "ray", "max_failures": 1, "workers": 2},
        space=str(tmp_path / "space.py"),
        recipe={"alpha": 0.5, "temperature": 4.0, "method": "kd", "lr": 0.01},
        **{"budget.trials": 4, "budget.reseeds": 0, "budget.trial_minutes": 0.5},
    )
    trials = [trial for trial in read_trials(tmp_path / "run") if trial.state != "duplicate"]
    assert {(trial.arch or {})["how"]: (trial.state, trial.reason) for trial in trials} == {
        "well": ("complete", ""),
        "raises": ("failed", "raised ValueError: as it was told"),
        "killed": ("failed", "the worker process died"),
        "hangs": ("failed", "timed out: a stretch took more than 0.5 minutes"),
    }
    assert front.trials["failed"] == 3


@pytest.mark.usefixtures("ray_here")
def test_when_the_time_is_over_nothing_begins_and_nothing_is_left_running(tmp_path: Path) -> None:
    from autokd.ray_tune.cluster import connected

    run = small_run(tmp_path, executor="ray", workers=2)
    begun = small_driver(run)
    begun.propose()
    begun.record.close()
    driver = small_driver(run)
    try:
        with connected(run.context.study) as cluster:
            ended, grid = cluster.tune(run, driver, seconds=0.0, notify=lambda message: None)
    finally:
        driver.record.close()
    assert ended == "the time limit was reached"
    assert len(grid) == 0
    assert [(trial.state, trial.reason) for trial in read_trials(run.folder)] == [("pruned", ended)]
