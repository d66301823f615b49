from __future__ import annotations

import dataclasses
from typing import Any

import optuna
import pytest

from autokd.study import (
    Study,
    baseline_study,
    changed_keys,
    dump,
    make_sampler,
    resolve_objectives,
    resolve_space,
)
from autokd.types import Objective, Recipe


class Space:
    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        return {"width": trial.suggest_int("width", 1, 4)}

    def build(self, arch: dict[str, Any], task: object) -> Any:
        return arch["width"]


SPACE = Space()


def _share(evaluation: object, *, least: float = 0.0) -> float:
    return least


def _size(student: object, inputs: object, unit: float = 1.0) -> float:
    return unit


share = Objective("share", "maximize", "", trained=True, measure=_share)
size = Objective("size", "minimize", "", trained=False, measure=_size, settings={"unit": 2.0})


def make(**changes: Any) -> Study:
    return Study(**{"name": "small", "task": "digits", "teacher": "teacher:made", "space": SPACE, **changes})


def draw(study: Study, trials: int, sampler: optuna.samplers.BaseSampler) -> list[tuple[Recipe, dict[str, Any]]]:
    search = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    drawn = []
    for number in range(trials):
        trial = search.ask()
        drawn.append((study.recipe.suggest(trial, epochs=27), trial.params))
        search.tell(trial, [number % 7, number % 5])
    return drawn


@pytest.mark.parametrize("name", ["tpe", "random", "nsga2", "nsga3", "gp", "qmc", "TPESampler"])
def test_samplers_repeat_themselves_for_a_seed(name: str) -> None:
    study = make(recipe={"method": ["kd", "dist"], "temperature": 2.0})
    first, second = (draw(study, 4, make_sampler(name, 7)) for _ in range(2))
    assert first == second


def test_tpe_learns_jointly_unless_told_otherwise() -> None:
    assert make_sampler("tpe", 0)._multivariate is True
    assert make_sampler({"name": "tpe", "multivariate": False, "n_startup_trials": 3}, 0)._multivariate is False


def test_objectives_carry_bounds_and_settings() -> None:
    study = make(objectives={f"{__name__}:share": {"least": 0.5}, f"{__name__}:size": {"bound": 3}})
    first, second = resolve_objectives(study)
    assert (first.name, first.bound, first.settings) == ("share", None, {"least": 0.5})
    assert second == dataclasses.replace(size, bound=3)


def test_a_space_may_be_listed_architectures() -> None:
    archs = [{"width": 2}, {"width": 3}]
    space = resolve_space(make(space={"space": f"{__name__}:SPACE", "archs": archs}))
    search = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.suggest(search.ask()) for _ in range(20)]
    assert all(arch in archs for arch in drawn)
    assert all(arch in drawn for arch in archs)
    assert space.build({"width": 3}, None) == 3  # type: ignore[arg-type]


def test_baselines_are_the_study_with_keys_overridden() -> None:
    mine = {"hard": {"budget.trials": 20}, "mine": {"recipe.lr": 0.5}}
    study = make(baselines=mine)
    hard = baseline_study(study, "hard", stage=0, epochs=300)
    assert (hard.name, hard.recipe.alpha, hard.budget.trials, hard.budget.epochs) == ("small-hard", 0, 20, 300)
    assert hard.baselines == {}
    assert baseline_study(study, "mine", stage=0, epochs=300).recipe.lr == 0.5
    assert changed_keys(dump(study), dump(hard)) == ["name", "recipe.alpha"]  # rivals may change


def test_sequential_searches_recipes_on_the_architectures_it_found_first() -> None:
    study = make(baselines=["sequential"])
    first = baseline_study(study, "sequential", stage=0, epochs=300)
    assert (first.recipe.alpha, first.recipe.temperature, first.recipe.method) == (0.9, 4.0, "kd")
    second = baseline_study(study, "sequential", stage=1, epochs=300, archs=[{"width": 2}])
    assert first.budget.epochs == second.budget.epochs == 150
    assert second.recipe == study.recipe
    assert second.space == {"space": SPACE, "archs": [{"width": 2}]}
