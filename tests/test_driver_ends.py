"""Objectives may have any range: the hypervolume has the right reference, and the sampler does not see units."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import small_run, small_study

from autokd.driver import load_front, search_study
from autokd.errors import InputError
from autokd.pareto import hypervolume, scaled_hypervolume
from autokd.record import read_trials
from autokd.types import Objective, share_error

OBJECTIVES = """
from autokd.objectives import quality
from autokd.types import Objective, share_error


def made(name, direction, measure, trained=True, **ends):
    return Objective(name, direction, "", trained=trained, measure=measure, **ends)


def weights(student, inputs):
    return float(sum(each.numel() for each in student.parameters()))


percent = made("percent", "minimize", lambda e: 100 * quality.error(e))
good_percent = made("good_percent", "maximize", lambda e: 100 * quality.accuracy(e))
likelihood = made("likelihood", "maximize", lambda e: -quality.nll(e))
far = made("far", "minimize", lambda e: 50 + quality.nll(e))
sixty_fourths = made("sixty_fourths", "minimize", lambda e: 64 * quality.error(e), ideal=0.0, worst=64.0)
room = made("room", "maximize", lambda s, i: 1e6 - weights(s, i), trained=False)
below = made("below", "minimize", lambda s, i: weights(s, i) - 1e6, trained=False)
share = made("share", "maximize", lambda s, i: weights(s, i) / 1e9, trained=False)
exchanged = made("exchanged", "maximize", quality.accuracy, ideal=0.0, worst=1.0)
"""
TWO = (Objective("score", "maximize", "", True, float), Objective("cost", "minimize", "", False, float))  # type: ignore[arg-type]
numbers = st.floats(-1e6, 1e6)
pairs = st.fixed_dictionaries({"score": numbers, "cost": numbers})


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(OBJECTIVES)
    return str(path)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 10_000)), min_size=1, max_size=6))
def test_the_hypervolume_of_a_share_and_a_cost_is_what_it_was_to_the_bit(values: list[tuple[float, int]]) -> None:
    points = np.array([[1 - score, cost / 5000] for score, cost in values])
    named = [{"score": score, "cost": cost} for score, cost in values]
    found = scaled_hypervolume(named, TWO, ideal={"score": 1, "cost": 0}, worst={"score": 0, "cost": 5000})
    assert found == hypervolume(points, np.ones(2))


def test_the_log_says_from_where_to_where_the_hypervolume_counts(
    tmp_path: Path, own: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "autokd"):
        small_run(tmp_path, objectives={"accuracy": {}, "nll": {}, f"{own}:percent": {"bound": 60}, "parameters": {}})
    said = [message for message in caplog.messages if "the hypervolume counts" in message]
    assert said == [
        "For nll the hypervolume counts from 0 (its ideal) to 2.303 (the score of answers that ignore the input).",
        "For percent the hypervolume counts from 0 (the score of right answers) to 60 (its bound).",
    ]


@given(st.lists(pairs, max_size=6), pairs, pairs)
def test_the_hypervolume_is_within_0_and_1_whatever_the_values_and_the_ends(
    values: list[Mapping[str, float]], ideal: Mapping[str, float], worst: Mapping[str, float]
) -> None:
    assert 0 <= scaled_hypervolume(values, TWO, ideal=ideal, worst=worst) <= 1


def test_the_hypervolume_is_full_at_the_ideal_and_nothing_at_the_reference() -> None:
    ends = {"ideal": {"score": 100, "cost": 0}, "worst": {"score": 10, "cost": 50}}
    found = [
        scaled_hypervolume([{"score": score, "cost": cost}], TWO, **ends)
        for score, cost in [(100, 0), (55, 0), (55, 25), (120, -3), (10, 0), (5, 0), (90, 60)]
    ]
    assert found == [1, 0.5, 0.25, 1, 0, 0, 0]


def test_an_objective_that_cannot_vary_counts_in_full() -> None:
    ends = {"ideal": {"score": 1, "cost": 7}, "worst": {"score": 0, "cost": 7}}
    assert scaled_hypervolume([{"score": 0.5, "cost": 7}], TWO, **ends) == 0.5
    assert scaled_hypervolume([{"score": 0.5, "cost": 7.1}], TWO, **ends) == 0


def test_ends_are_declared_measured_or_sampled(tmp_path: Path, own: str) -> None:
    names = ["room", "below", "share", "percent", "good_percent", "sixty_fourths"]
    run = small_run(
        tmp_path, objectives={"accuracy": {}, "nll": {"bound": 2}, **{f"{own}:{name}": {} for name in names}}
    )
    ideal, worst = run.ideal, run.worst
    assert (ideal["accuracy"], worst["accuracy"], ideal["nll"], worst["nll"]) == (1, 0, 0, 2)
    assert (ideal["sixty_fourths"], worst["sixty_fourths"]) == (0, 64)
    assert (ideal["percent"], ideal["good_percent"]) == (0, 100)
    assert worst["percent"] == pytest.approx(100 - worst["good_percent"])
    assert 80 < worst["percent"] < 95
    assert 1e6 < ideal["room"] < 1.1e6
    assert (worst["room"], ideal["share"], worst["share"]) == (0, 1, 0)
    assert -1.1e6 < ideal["below"] < worst["below"] < 0


@pytest.mark.parametrize("name", ["nll", "percent", "good_percent", "likelihood", "far"])
def test_objectives_of_any_range_have_a_hypervolume_and_a_spread(name: str, tmp_path: Path, own: str) -> None:
    objective = name if name == "nll" else f"{own}:{name}"
    few = {"budget.reseeds": 0, "budget.trials": 2, "scheduler": "none"}
    front = search_study(small_study(objectives={objective: {}, "parameters": {}}, **few), run=tmp_path / "run")
    assert 0 < front.hypervolume <= 1
    best = max(
        front, key=lambda student: student.values[name] * (1 if front.objectives[0]["direction"] == "maximize" else -1)
    )
    assert front.standard_error == best.spread[name] > 0
    assert load_front(tmp_path / "run") == front


def test_the_noise_floor_is_that_of_the_objective_by_which_the_report_compares(tmp_path: Path) -> None:
    few = {"budget.reseeds": 0, "budget.trials": 2, "scheduler": "none"}
    study = small_study(objectives={"parameters": {}, "nll": {}, "accuracy": {}}, **few)
    front = search_study(study, run=tmp_path / "run")
    best = max(student.values["accuracy"] for student in front)
    assert front.standard_error == share_error(best, front.validation_labels)


@pytest.mark.slow
def test_the_sampler_proposes_the_same_in_any_unit(tmp_path: Path, own: str) -> None:
    changes = {"budget.trials": 14, "budget.reseeds": 0, "budget.rungs": [1, 3]}
    found = []
    for objective in ("error", f"{own}:sixty_fourths"):
        folder = tmp_path / str(len(found))
        front = search_study(small_study(objectives={objective: {}, "parameters": {}}, **changes), run=folder)
        trials = read_trials(folder)
        found.append(([(trial.arch, trial.recipe, trial.state) for trial in trials], front.hypervolume))
    assert found[0][0] == found[1][0]
    assert found[0][1] == pytest.approx(found[1][1])


def test_a_run_of_before_counts_from_1_or_0(tmp_path: Path, own: str) -> None:
    objectives = {f"{own}:good_percent": {}, "parameters": {}}
    few = {"budget.reseeds": 0, "budget.trials": 2}
    search_study(small_study(objectives=objectives, **few), run=tmp_path / "run")
    path = tmp_path / "run" / "study.json"
    setup: dict[str, Any] = json.loads(path.read_text())
    del setup["ideal_point"]
    setup["reference_point"]["good_percent"] = 0.0
    path.write_text(json.dumps(setup))
    (tmp_path / "run" / "front.json").unlink()
    front = load_front(tmp_path / "run")
    assert front.reference["good_percent"] == 0
    assert 0 < front.hypervolume <= 1


def test_ends_that_are_exchanged_are_refused_before_anything_is_written(tmp_path: Path, own: str) -> None:
    with pytest.raises(InputError, match=r"exchanged: its ideal is 0 and its worst value 1, but larger is better"):
        small_run(tmp_path, objectives={f"{own}:exchanged": {}, "parameters": {}})
    assert not (tmp_path / "run").exists()
