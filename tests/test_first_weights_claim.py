"""The script that measures starts from a teacher chooses rates by validation, and compares arms seed by seed."""

from __future__ import annotations

from typing import Any

import pytest
from claims import load_claim

claim = load_claim("first_weights")

TEACHER, SCRATCH = "three layers, teacher", "three layers, scratch"


def cell(arm: str, seed: int, lr: float, validation: float, test: float) -> dict[str, Any]:
    found = {"data": "trec6", "arm": arm, "lr": lr, "seed": seed, "epochs": 3, "seconds": 80.0, "parameters": 1000}
    return found | {"validation": validation, "test": test}


def test_seed_0_tries_all_rates_and_other_seeds_the_best_one_on_validation() -> None:
    lrs = claim.ARMS[SCRATCH].lrs
    keys = claim.wanted([], "trec6", SCRATCH, 3)
    assert keys == [("trec6", SCRATCH, lr, 0) for lr in lrs]
    cells = [cell(SCRATCH, 0, lrs[0], 0.8, 0.9), cell(SCRATCH, 0, lrs[1], 0.9, 0.8)]
    later = [key for key in claim.wanted(cells, "trec6", SCRATCH, 3) if key[3]]
    assert later == [("trec6", SCRATCH, lrs[1], 1), ("trec6", SCRATCH, lrs[1], 2)]


def test_students_that_are_compared_differ_in_one_thing() -> None:
    for first, second in claim.PAIRS:
        one, other = claim.ARMS[first], claim.ARMS[second]
        same = [one.picked == other.picked, one.start == other.start, one.alpha == other.alpha]
        assert same.count(False) == 1 or "CNN" in second


def test_the_table_compares_arms_seed_by_seed() -> None:
    low, high = claim.ARMS[SCRATCH].lrs
    (only,) = claim.ARMS[TEACHER].lrs
    cells = [
        cell(SCRATCH, 0, low, 0.5, 0.99),  # not the best on validation
        cell(SCRATCH, 0, high, 0.6, 0.7),
        cell(SCRATCH, 1, high, 0.6, 0.8),
        cell(TEACHER, 0, only, 0.6, 0.8),
        cell(TEACHER, 1, only, 0.6, 1.0),
        cell(TEACHER, 2, only, 0.6, 0.0),  # without its pair
    ]
    lines = claim.table(cells, {"trec6": {"tf-idf": {"validation": 0.8, "test": 0.89}}}).splitlines()
    said = [" ".join(line.split()) for line in lines]
    assert f"{SCRATCH} 2 0.001 3 80 1,000 0.750 +- 0.071" in said
    assert "tf-idf 0.890" in said
    assert f"{TEACHER} - {SCRATCH} +0.150 +- 0.071" in said


def test_the_recipe_of_an_arm_has_its_start_and_alpha() -> None:
    recipe = claim.recipe_of(claim.ARMS["three layers, teacher, alpha 0"], 3e-4, 4)
    assert (recipe.start, recipe.alpha, recipe.lr, recipe.epochs) == ("teacher", 0.0, pytest.approx(3e-4), 4)
