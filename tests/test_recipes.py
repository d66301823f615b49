"""The first students of a search have recipes that the field recommends, within the bounds that a user sets."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from autokd.samplers import CostAwareSampler
from autokd.samplers.draw import Draw, holds
from autokd.samplers.recipes import has_recipe, recommended
from autokd.study.recipe import Range, RecipeSpace
from autokd.types import Objective

ACCURACY = Objective("accuracy", "maximize", "", True, measure=float)  # type: ignore[arg-type]
SIZE = Objective("size", "minimize", "", False, measure=float)  # type: ignore[arg-type]
LOG_RATE = FloatDistribution(1e-3, 3e-2, log=True)


def searched(recipe: RecipeSpace, *, students: int, starts: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The parameters of the first students of a search that is told no values."""

    def suggest(trial: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        arch = {"width": trial.suggest_int("width", 1, 100)}
        picked = vars(recipe.suggest(trial, epochs=9))
        return {}, arch, {**picked, "start": trial.suggest_categorical("recipe.start", starts) if starts else "scratch"}

    def costs(_: Mapping[str, Any], arch: Mapping[str, Any]) -> dict[str, float]:
        return {"size": float(arch["width"])}

    sampler = CostAwareSampler(
        suggest, costs, (ACCURACY, SIZE), worst={"accuracy": 0.0, "size": 100.0}, exact=8, seed=0
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(students):
        trial = study.ask()
        _, arch, picked = suggest(trial)
        trial.set_user_attr("proposal", {"arch": arch, "recipe": picked, "costs": costs({}, arch)})
    return [trial.params for trial in study.trials]


def test_the_first_five_students_have_recommended_recipes_and_are_spread_over_the_costs() -> None:
    found = searched(RecipeSpace(), students=5)
    recipes = {(each["recipe.temperature"], each["recipe.alpha"]) for each in found}
    assert recipes == {(2.0, 0.9), (1.0, 1.0)}
    assert {each["recipe.method"] for each in found} == {"kd"}
    assert all(0.015 < each["recipe.lr"] < 0.025 for each in found)
    middle, largest, smallest, larger, smaller = (each["width"] for each in found)
    assert smallest < smaller < middle < larger < largest


def test_the_smallest_of_the_first_students_has_the_lowest_temperature() -> None:
    smallest = min(searched(RecipeSpace(), students=5), key=lambda each: each["width"])
    assert (smallest["recipe.temperature"], smallest["recipe.alpha"]) == (1.0, 1.0)


def test_the_bounds_of_a_study_hold_for_recommended_recipes() -> None:
    narrow = RecipeSpace(
        temperature=Range(low=6, high=10), alpha=(0.0, 0.3), method=("dist", "dkd"), lr=Range(low=1e-5, high=1e-4)
    )
    for each in searched(narrow, students=5):
        assert each["recipe.temperature"] == 6
        assert each["recipe.alpha"] == 0.3
        assert each["recipe.method"] in ("dist", "dkd")
        assert 7e-5 < each["recipe.lr"] < 1e-4


def test_each_start_meets_each_recommended_recipe_and_the_teachers_weights_come_first() -> None:
    found = searched(RecipeSpace(), students=4, starts=("scratch", "teacher"))
    assert [each["recipe.start"] for each in found] == ["teacher", "scratch", "scratch", "teacher"]
    assert len({(each["recipe.start"], each["recipe.alpha"]) for each in found}) == 4


def test_layers_that_were_trained_get_a_small_learning_rate_and_in_turn_a_large_one() -> None:
    found = searched(RecipeSpace(), students=4, starts=("scratch", "teacher"))
    small, large = 1e-3 * 30**0.25, 1e-3 * 30**0.875
    assert [each["recipe.lr"] for each in found] == pytest.approx([small, large, large, large])


def test_first_students_that_are_alike_but_for_the_recipe_are_all_proposed() -> None:
    fixed = RecipeSpace(temperature=1.0, alpha=1.0, method="kd", lr=(0.01, 0.02))
    found = [str(each) for each in searched(fixed, students=5)]
    assert len(set(found)) == 5


@given(
    distribution=st.one_of(
        st.just(CategoricalDistribution((0.5, 2.0, 8.0))),
        st.just(CategoricalDistribution(("kd", "dist"))),
        st.builds(lambda low, width: FloatDistribution(low, low + width), st.floats(0.01, 10), st.floats(0.01, 10)),
        st.builds(
            lambda low, ratio: FloatDistribution(low, low * ratio, log=True), st.floats(1e-6, 1), st.floats(1.1, 1e4)
        ),
        st.builds(
            lambda low, step, steps: FloatDistribution(low, round(low + step * steps, 2), step=step),
            st.sampled_from([0.0, 0.1, 0.3]),
            st.sampled_from([0.05, 0.1, 0.2]),
            st.integers(1, 20),
        ),
        st.builds(lambda low, width: IntDistribution(low, low + width), st.integers(1, 9), st.integers(1, 9)),
    ),
    name=st.sampled_from(["recipe.temperature", "recipe.alpha", "recipe.lr"]),
    place=st.integers(0, 5),
)
def test_a_recommended_number_can_be_suggested_wherever_a_number_can(
    distribution: BaseDistribution, name: str, place: int
) -> None:
    wish: Any = recommended(place)[name]
    numeric = not isinstance(distribution, CategoricalDistribution) or 2.0 in distribution.choices
    assert holds(distribution, wish(distribution)) == numeric


def test_the_learning_rate_is_in_the_upper_part_of_its_range() -> None:
    wish: Any = recommended(0)["recipe.lr"]
    assert wish(LOG_RATE) == pytest.approx(0.0196, abs=1e-4)
    assert wish(FloatDistribution(0.0, 0.08)) == pytest.approx(0.07)
    assert wish(CategoricalDistribution((0.03, 0.001, 0.01))) == 0.03


def test_a_wish_may_pick_a_value_from_the_distribution() -> None:
    draw = Draw(Random(0), {"width": lambda distribution: distribution.high, "kind": lambda _: "absent"})
    assert draw.suggest_int("width", 1, 9) == 9
    assert draw.suggest_categorical("kind", ["plain", "cells"]) in ("plain", "cells")


def test_a_space_without_a_recipe_has_none() -> None:
    assert not has_recipe({"width": 3, "recipe_of_the_space": 1})
    assert has_recipe({"width": 3, "recipe.lr": 0.01})
