"""What the default sampler's model expects of candidates, from one look around to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from autokd.record import TrialRecord, canonical
from autokd.samplers.draw import draw_from
from autokd.samplers.features import Encoding
from autokd.samplers.outlook import Candidate, Outlook
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
