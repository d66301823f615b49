"""The chance of being trained to the end, and the law that the sampler does not propose one kind for ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from test_samplers import ACCURACY, REFERENCE, SIZE, accuracy, costs, students, suggest

from autokd.record import TrialRecord
from autokd.samplers import CostAwareSampler
from autokd.samplers.chances import Chances, worth
from autokd.samplers.surrogate import Surrogate

PLACES = np.linspace(0, 1, 21)[:, None]
"""Students in a space of one number."""
Stops = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]


def chances(to_the_end: Mapping[float, bool]) -> np.ndarray[Any, Any]:
    """The chance at each of `PLACES`, where students at these places were trained to the end or were not."""
    features = np.array([*to_the_end])[:, None]
    return Chances(Surrogate([(0, 1)], [[0]], seed=0), features, np.array([*to_the_end.values()]))(PLACES)


def search(
    stops: Stops,
    *,
    proposals: int,
    reason: str = "stopped early at epoch 1",
    state: TrialState = TrialState.PRUNED,
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What the sampler proposes where a student is ended after its first epoch if `stops` says so."""
    asked = students(suggest), lambda reading, arch: costs(arch)
    sampler = CostAwareSampler(*asked, (ACCURACY, SIZE), worst=REFERENCE, exact=8, seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    proposed = []
    for _ in range(proposals):
        trial = study.ask()
        arch, recipe = suggest(trial)
        proposed.append((arch, recipe))
        size, reached = costs(arch)["size"], accuracy(arch, recipe)
        trial.set_user_attr("proposal", {"arch": arch, "recipe": recipe, "costs": {"size": size}})
        if stops(arch, recipe):
            if state == TrialState.PRUNED:
                trial.set_user_attr("epoch 1", {"accuracy": reached - 0.1})
            trial.set_user_attr(
                "outcome", {"state": "pruned" if state == TrialState.PRUNED else "failed", "reason": reason}
            )
            study.tell(trial, state=state)
        else:
            trial.set_user_attr("epoch 1", {"accuracy": reached - 0.1})
            trial.set_user_attr("epoch 3", {"accuracy": reached})
            study.tell(trial, [reached, size])
    return proposed


def longest(told: list[bool]) -> int:
    """How many in a row are True at most."""
    return max(map(len, "".join("x" if each else " " for each in told).split()), default=0)


def cells(arch: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    return arch["kind"] == "cells"


def wide(arch: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    return arch["width"] >= 6


def hot(arch: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    return recipe["temperature"] > 2.5


def everyone(arch: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    return True


def nobody(arch: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    return False


def test_while_everyone_is_trained_to_the_end_everyone_has_that_chance_and_a_gain_counts_in_full() -> None:
    assert (chances({0.1: True, 0.5: True}) == 1).all()
    assert (worth(np.ones(3)) == 1).all()


def test_a_gain_counts_less_the_smaller_the_chance_and_nothing_without_one() -> None:
    counted = worth(np.array([0.0, 0.01, 0.1, 0.5, 1.0]))
    assert counted[0] == 0
    assert (np.diff(counted) > 0).all()
    assert counted[1] == pytest.approx(0.083, abs=0.001)  # .01 of the gain at .12 of the epochs


def test_the_more_of_a_kind_are_stopped_the_less_is_the_chance_of_the_next() -> None:
    others = {0.0: True, 0.1: True, 0.2: True}
    near = [chances(others | dict.fromkeys(np.linspace(0.7, 0.8, n).tolist(), False))[15] for n in (1, 3, 10, 30)]
    assert (np.diff(near) < 0).all()
    assert near[-1] < 0.05


def test_where_everyone_was_stopped_those_unlike_them_have_the_greatest_chance() -> None:
    found = chances({0.0: False, 0.05: False, 0.1: False})
    assert (found > 0).all()
    assert found[-1] > 3 * found[1]


def test_what_a_limit_ended_and_what_is_under_way_says_nothing_of_chances() -> None:
    def said(state: str, reason: str = "", rungs: dict[int, dict[str, float]] | None = None) -> bool | None:
        return TrialRecord(0, state=state, reason=reason, rungs=rungs or {}).to_the_end

    assert said("running") is None
    assert said("pruned", "the time limit was reached") is None
    assert said("pruned", "the budget of epochs was used up") is None
    assert said("infeasible", "parameters misses its bound by 3") is None
    assert said("duplicate") is None
    assert said("pruned", "stopped early at epoch 3") is False
    assert said("failed", "RuntimeError") is False
    assert said("complete") is True
    assert said("infeasible", "accuracy misses its bound by .1", {27: {"accuracy": 0.5}}) is True


@pytest.mark.slow
@pytest.mark.parametrize("stops", [cells, wide, hot])
def test_a_region_in_which_everyone_is_stopped_is_left_and_the_rest_is_searched(stops: Stops) -> None:
    inside = [stops(*proposal) for proposal in search(stops, proposals=32)]
    assert longest(inside) <= 16


@pytest.mark.slow
def test_where_everyone_is_stopped_no_neighbourhood_is_proposed_for_ever() -> None:
    proposed = search(everyone, proposals=28)
    kinds = [(arch["kind"], arch["width"], tuple(arch.get("ops", ()))) for arch, _ in proposed]
    assert len(set(kinds[8:])) >= 15


@pytest.mark.slow
def test_a_region_in_which_every_training_fails_is_left() -> None:
    failing = search(hot, proposals=28, reason="RuntimeError", state=TrialState.FAIL)
    assert longest([hot(*proposal) for proposal in failing]) <= 16


@pytest.mark.slow
def test_where_nobody_is_stopped_proposals_are_those_of_a_sampler_that_knows_no_chances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proposed = search(nobody, proposals=14)
    monkeypatch.setattr("autokd.samplers.outlook.worth", lambda chances: 1.0)
    assert search(nobody, proposals=14) == proposed
