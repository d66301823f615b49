"""Data frames hold the students of a front and the trials of a run."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT
from small import small_driver, small_run
from test_front import POINTS, front_of, noisy_front

import autokd
from autokd.errors import InputError
from autokd.record import read_trials

RUN = ROOT / "tests" / "data" / "run_v0"


def test_a_front_is_a_frame_of_its_students_in_order() -> None:
    frame = front_of(*POINTS).to_dataframe()
    columns = "trial accuracy parameters seeds within_noise spread.accuracy recipe.alpha arch.width"
    assert list(frame.columns) == columns.split()
    assert frame["trial"].tolist() == [0, 1, 2, 3]
    assert frame["accuracy"].tolist() == [0.95, 0.94, 0.80, 0.60]
    assert frame["arch.width"].tolist() == [4, 5, 6, 7]


def test_nested_settings_have_dots_and_lists_stay_lists() -> None:
    first, *others = noisy_front().front
    arch = {"stages": [1, 2], "head": {"width": 8}}
    frame = replace(noisy_front(), front=[replace(first, arch=arch), *others]).to_dataframe()
    assert frame["arch.stages"][0] == [1, 2]
    assert frame["arch.head.width"][0] == 8
    assert frame["arch.head.width"].isna().tolist() == [False, True, True]


def test_a_front_without_students_is_a_frame_without_rows() -> None:
    frame = front_of().to_dataframe()
    assert len(frame) == 0
    assert {"trial", "accuracy", "parameters"} <= set(frame.columns)


def test_the_trials_of_a_run_are_a_frame_of_what_is_recorded_of_them() -> None:
    frame, trials = autokd.trials_dataframe(RUN), read_trials(RUN)
    objectives = ["accuracy", "parameters"]
    assert list(frame.columns)[:7] == ["trial", "state", "epochs", "seconds", "reason", *objectives]
    assert frame["trial"].tolist() == [trial.number for trial in trials]
    assert frame["state"].tolist() == [trial.state for trial in trials]
    assert frame["epochs"].tolist() == [trial.epoch for trial in trials]
    for row, trial in zip(frame.to_dict("records"), trials, strict=True):
        assert {name: row[name] for name in trial.values} == trial.values
        assert {name: row[f"recipe.{name}"] for name in trial.recipe} == trial.recipe
    assert (frame["seconds"] > 0).all()


def test_a_running_trial_is_in_the_frame_without_what_is_not_known_of_it(tmp_path: Path) -> None:
    driver = small_driver(small_run(tmp_path))
    try:
        before = autokd.trials_dataframe(tmp_path / "run")
        assert (len(before), str(before["accuracy"].dtype)) == (0, "float64")
        assert driver.propose() is not None
        frame = autokd.trials_dataframe(tmp_path / "run")
    finally:
        driver.record.close()
    assert frame["state"].tolist() == ["running"]
    assert frame["epochs"].tolist() == [0]
    assert frame[["accuracy", "seconds"]].isna().all(axis=None)
    assert frame["parameters"][0] > 0


def test_a_folder_that_is_no_run_has_no_frame(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run"):
        autokd.trials_dataframe(tmp_path)


def test_without_pandas_a_frame_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for make in (front_of(*POINTS).to_dataframe, lambda: autokd.trials_dataframe(RUN)):
        with pytest.raises(InputError, match=r"needs pandas; run: pip install 'autokd\[pandas\]'"):
            make()
