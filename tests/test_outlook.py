"""What the model of the default sampler expects of candidates, while it is reused between two fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from autokd.pareto import Floats, non_dominated
from autokd.record import TrialRecord, canonical
from autokd.samplers import outlook as selection_of
from autokd.samplers.draw import draw_from
from autokd.samplers.features import Encoding
from autokd.samplers.losses import LossModel, Sample
from autokd.samplers.outlook import Candidate, Outlook
from autokd.samplers.surrogate import Process, Surrogate
from autokd.types import Objective

OBJECTIVES = (
    Objective("accuracy", "maximize", "", True, measure=float),  # type: ignore[arg-type]
    Objective("size", "minimize", "", False, measure=float),  # type: ignore[arg-type]
)
REFERENCE = {"accuracy": 0.0, "size": 20.0}
NARROW: dict[str, BaseDistribution] = {
    "width": IntDistribution(1, 10),
    "op": CategoricalDistribution(["conv", "skip"]),
    "recipe.temperature": FloatDistribution(1, 8, log=True),
}
WIDE = NARROW | {"op": CategoricalDistribution(["conv", "pool", "skip"])}


def students(space: dict[str, BaseDistribution], number: int, *, seed: int) -> list[Candidate]:
    random, found = Random(seed), []
    for _ in range(number):
        params: dict[str, Any] = {name: draw_from(distribution, random) for name, distribution in space.items()}
        found.append(Candidate(canonical(params), params, space, params))
    return found


def trained(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same, trained in full: wider is better, and so is a convolution."""
    found = []
    for number, each in enumerate(candidates):
        width = each.params["width"]
        accuracy = 0.5 + 0.03 * width + 0.1 * (each.params["op"] == "conv")
        costs, rungs = {"size": float(width)}, {1: {"accuracy": accuracy}}
        record = TrialRecord(number, arch=each.arch, costs=costs, rungs=rungs, state="complete")
        found.append(dataclasses.replace(each, record=record))
    return found


def sizes(candidates: Sequence[Candidate]) -> dict[str, dict[str, float]]:
    return {each.arch_key: {"size": float(each.params["width"])} for each in candidates}


def test_learning_tells_what_each_candidate_promises() -> None:
    history, candidates = trained(students(NARROW, 8, seed=0)), students(NARROW, 30, seed=1)
    outlook, asked = Outlook(OBJECTIVES, REFERENCE, seed=0), sizes([*history, *candidates])
    gain = outlook.learn(history, candidates, asked)
    assert gain == pytest.approx(outlook.improvement(candidates, asked))
    assert gain.max() > 0


def test_all_are_learnt_from_up_to_500_and_200_of_more_with_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def fit(surrogate: Surrogate, features: Floats, *others: Floats) -> Process:
        told.append(len(features))
        return fit_as_ever(surrogate, features, *others)

    fit_as_ever = Surrogate.fit
    monkeypatch.setattr(Surrogate, "fit", fit)
    everyone, candidates = trained(students(NARROW, 502, seed=0)), students(NARROW, 30, seed=1)
    everyone[7] = dataclasses.replace(everyone[7], record=TrialRecord(7, arch=everyone[7].arch))
    asked = sizes([*everyone, *candidates])
    for history in (everyone[:500], everyone):
        outlook = Outlook(OBJECTIVES, REFERENCE, seed=0)
        gain = outlook.learn(history, candidates, asked)
        assert gain == pytest.approx(outlook.improvement(candidates, asked))
    assert told == [499, 200]


def test_the_front_of_a_long_search_is_that_of_all_students(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_of, "_LEARNT_FROM", 4)
    draw = np.random.default_rng(0)
    history = [
        dataclasses.replace(
            each, record=TrialRecord(i, arch=each.arch, costs={"size": s}, rungs={1: {"accuracy": s / 20}})
        )
        for i, (each, s) in enumerate(zip(students(NARROW, 600, seed=0), draw.uniform(0, 20, 600), strict=True))
    ]
    for each in history:
        each.record.state = "complete"  # type: ignore[union-attr]
    outlook, candidates = Outlook(OBJECTIVES, REFERENCE, seed=0), students(NARROW, 5, seed=1)
    outlook.learn(history, candidates, {each.arch_key: each.record.costs for each in history} | sizes(candidates))  # type: ignore[union-attr]
    losses = np.array([[-each.values["accuracy"], each.values["size"]] for each in history])
    front = losses[non_dominated(losses)]
    assert len(front) == 600
    assert {tuple(row) for row in front} == {tuple(row) for row in outlook._front}


def test_what_was_encoded_before_is_encoded_anew_where_a_choice_has_come() -> None:
    history, candidates = trained(students(NARROW, 8, seed=0)), students(WIDE, 30, seed=1)
    asked = sizes([*history, *candidates])
    experienced, fresh = Outlook(OBJECTIVES, REFERENCE, seed=0), Outlook(OBJECTIVES, REFERENCE, seed=0)
    experienced.learn(history, students(NARROW, 30, seed=2), asked | sizes(students(NARROW, 30, seed=2)))
    assert np.array_equal(experienced.learn(history, candidates, asked), fresh.learn(history, candidates, asked))


def test_encodings_are_equal_where_they_make_the_same_columns() -> None:
    narrow = Encoding([(each.params, each.distributions) for each in students(NARROW, 4, seed=0)])
    same = Encoding([(each.params, each.distributions) for each in students(dict(NARROW), 9, seed=1)])
    wide = Encoding([(each.params, each.distributions) for each in students(WIDE, 4, seed=0)])
    assert narrow == same
    assert narrow != wide
    assert (narrow.columns, wide.columns) == (6, 7)


PLACES = np.linspace(0, 1, 12)[:, None]
"""Students in a space of one number."""
NOBODY: Sample = (np.zeros((0, 1)), np.zeros(0), np.zeros(0))


def loss_model(losses: Sequence[float], *, at: Sequence[int], worst: float, earlier: Sample = NOBODY) -> LossModel:
    surrogate, failures = (Surrogate([(0, 1)], [[0]], seed=0) for _ in range(2))
    return LossModel(surrogate, failures, (PLACES[at], np.array(losses), np.zeros(len(at))), earlier, worst)


def test_a_student_that_fails_changes_nothing_in_what_is_expected_of_others_but_how_probable_failing_is() -> None:
    losses, places = [0.02, 0.03, 0.03, 0.05, 0.06, 0.07, 0.08], [0, 1, 2, 3, 5, 6, 7]
    with_failures = loss_model([*losses, 0.9, 0.9], at=[*places, 9, 11], worst=0.9)
    without = loss_model(losses, at=places, worst=0.9)
    assert np.array_equal(with_failures.nodes(PLACES, bold=False), without.nodes(PLACES, bold=False))
    assert (without.works(PLACES) == 1).all()
    works = with_failures.works(PLACES)
    assert works[4] > 0.9
    assert works[10] < 0.1


def test_to_be_bold_is_to_hope_for_more() -> None:
    model = loss_model([0.02, 0.03, 0.05, 0.07, 0.08], at=[0, 1, 3, 5, 6], worst=0.9)
    careful, bold = (np.ptp(model.nodes(PLACES, bold=each), axis=1) for each in (False, True))
    assert (bold > 1.5 * careful).all()


def test_students_that_miss_what_is_asked_for_by_little_have_not_failed() -> None:
    model = loss_model([0.02, 0.03, 0.05, 0.07, 0.08], at=[0, 1, 3, 5, 6], worst=0.025)
    assert (model.works(PLACES) == 1).all()


def test_students_fail_only_where_some_do_not() -> None:
    model = loss_model([0.9, 0.9, 0.9], at=[0, 4, 9], worst=0.9)
    assert (model.works(PLACES) == 1).all()
    assert model.suppose(PLACES[:1]) == pytest.approx(0.9, abs=0.05)


def test_failures_of_an_earlier_search_count_as_well() -> None:
    earlier = PLACES[[0, 2, 4, 5, 6, 10]], np.array([0.1, 0.12, 0.15, 0.17, 0.2, 0.9]), np.zeros(6)
    model = loss_model([0.02, 0.03, 0.05, 0.07], at=[1, 3, 5, 6], worst=0.9, earlier=earlier)
    assert model.works(PLACES)[10] < 0.1
    assert loss_model([], at=[], worst=0.9, earlier=earlier).works(PLACES)[10] < 0.1


@pytest.mark.parametrize(("by_ratio", "widths"), [(True, (8, 4, 2, 1)), (False, (8, 6, 4, 2))])
def test_sizes_are_compared_by_their_ratio_and_other_costs_by_their_difference(
    by_ratio: bool, widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_accuracy(_: LossModel, features: Floats, *, bold: bool) -> Floats:
        return np.full((len(features), 15), -0.99)

    monkeypatch.setattr(LossModel, "nodes", one_accuracy)
    objectives = OBJECTIVES[0], dataclasses.replace(OBJECTIVES[1], by_ratio=by_ratio)
    everyone = [
        Candidate(canonical(params), params, NARROW, params)
        for params in ({"width": width, "op": "skip", "recipe.temperature": 1.0} for width in (10, *widths))
    ]
    outlook = Outlook(objectives, REFERENCE, seed=0)
    gain = outlook.learn(trained(everyone[:1]), everyone[1:], sizes(everyone))
    assert np.diff(gain) == pytest.approx(np.diff(gain)[0])
    assert np.diff(gain)[0] > 0
