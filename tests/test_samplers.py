"""The default sampler knows costs before training, and it proposes nothing that it may not propose."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from small import small_study

from autokd import search_study
from autokd.errors import InputError
from autokd.pareto import hypervolume
from autokd.record import TrialRecord, read_trials
from autokd.samplers import CostAwareSampler
from autokd.samplers.draw import Draw, draw_from, holds, nearby
from autokd.samplers.features import Encoding
from autokd.samplers.improvement import expected, expected_improvement, free_boxes, nodes
from autokd.samplers.losses import extrapolated
from autokd.samplers.surrogate import Surrogate
from autokd.study import make_sampler
from autokd.types import Objective


def objective(name: str, direction: str, *, trained: bool = False, bound: float | None = None) -> Objective:
    return Objective(name, direction, "", trained, measure=float, bound=bound)  # type: ignore[arg-type]


ACCURACY, SMOOTHNESS, SIZE, DELAY = (
    objective("accuracy", "maximize", trained=True),
    objective("smoothness", "maximize", trained=True),
    objective("size", "minimize"),
    objective("delay", "minimize"),
)
REFERENCE = {"accuracy": 0.0, "smoothness": 0.0, "size": 110.0, "delay": 10.0}


def suggest(trial: optuna.Trial) -> tuple[dict[str, Any], dict[str, Any]]:
    """A space with choices that depend on others, and a recipe."""
    arch: dict[str, Any] = {"kind": trial.suggest_categorical("kind", ["plain", "cells"])}
    arch["width"] = trial.suggest_int("width", 1, 10)
    if arch["kind"] == "cells":
        arch["ops"] = [trial.suggest_categorical(f"op{i}", ["none", "conv", "skip"]) for i in range(2)]
    return arch, {"temperature": trial.suggest_float("recipe.temperature", 1, 8, log=True)}


def students(space: Any) -> Any:
    """The function that suggests students of a space, with nothing searched of how rows are read."""
    return lambda trial: ({}, *space(trial))


def costs(arch: Mapping[str, Any]) -> dict[str, float]:
    convolutions = Counter(arch.get("ops", ())).get("conv", 0)
    return {"size": arch["width"] ** 2 + 2.0 * convolutions, "delay": arch["width"] / 2 + convolutions}


def accuracy(arch: Mapping[str, Any], recipe: Mapping[str, Any]) -> float:
    better = 0.1 * Counter(arch.get("ops", ())).get("conv", 0) - 0.02 * abs(math.log(recipe["temperature"] / 4))
    return 0.5 + 0.03 * arch["width"] + better


def tell(study: optuna.Study, trial: optuna.Trial, objectives: tuple[Objective, ...], *, end: bool = True) -> None:
    """What the driver would record of a trial: its proposal, and, at the `end`, the values."""
    arch, recipe = suggest(trial)
    known = {o.name: value for o in objectives for name, value in costs(arch).items() if name == o.name}
    trial.set_user_attr("proposal", {"arch": arch, "recipe": recipe, "costs": known})
    if end:
        reached = {"accuracy": accuracy(arch, recipe), "smoothness": recipe["temperature"] / 8}
        trained = {o.name: reached[o.name] for o in objectives if o.trained}
        trial.set_user_attr("epoch 1", trained)
        values = known | trained
        study.tell(trial, [values[o.name] for o in objectives])


def new_study(
    objectives: tuple[Objective, ...], *, exact: float = 8, seed: int = 0, space: Any = suggest
) -> optuna.Study:
    known = {o.name: REFERENCE[o.name] if o.bound is None else o.bound for o in objectives}

    def priced(reading: Mapping[str, Any], arch: Mapping[str, Any]) -> dict[str, float]:
        return {name: value for name, value in costs(arch).items() if name in known}

    sampler = CostAwareSampler(students(space), priced, objectives, worst=known, exact=exact, seed=seed)
    return optuna.create_study(directions=[o.direction for o in objectives], sampler=sampler)


def front_of(study: optuna.Study) -> float:
    losses = np.array([[-t.values[0], t.values[1]] for t in study.trials])
    return float(hypervolume(losses, np.array([0.0, 110.0])))


def test_a_conditional_space_with_a_recipe_is_searched_better_than_at_random() -> None:
    reached = []
    for sampler in (None, optuna.samplers.RandomSampler(seed=0)):
        study = new_study((ACCURACY, SIZE))
        if sampler is not None:
            study.sampler = sampler
        for _ in range(30):
            tell(study, study.ask(), (ACCURACY, SIZE))
        reached.append(front_of(study))
    assert reached[0] > reached[1]


@pytest.mark.parametrize(
    "objectives", [(ACCURACY, SIZE), (SIZE, ACCURACY, DELAY), (ACCURACY,), (ACCURACY, SIZE, SMOOTHNESS, DELAY)]
)
@pytest.mark.parametrize("exact", [3, math.inf])
def test_one_to_four_objectives_and_no_student_twice(objectives: tuple[Objective, ...], exact: float) -> None:
    study = new_study(objectives, exact=exact)
    for _ in range(14):
        tell(study, study.ask(), objectives)
    proposals = [str(t.user_attrs["proposal"]) for t in study.trials]
    assert len(set(proposals)) == 14


def test_what_is_under_way_is_not_proposed_again_and_counts() -> None:
    study = new_study((ACCURACY, SIZE))
    for _ in range(10):
        tell(study, study.ask(), (ACCURACY, SIZE))
    for _ in range(4):
        tell(study, study.ask(), (ACCURACY, SIZE), end=False)
    pending = [str(t.user_attrs["proposal"]) for t in study.trials[10:]]
    assert len(set(pending)) == 4
    widths = {t.user_attrs["proposal"]["arch"]["width"] for t in study.trials[10:]}
    assert len(widths) > 1  # one alone would promise little once its like are on the way


def test_bounds_are_kept_when_nothing_is_left_to_gain() -> None:
    bounded = objective("size", "minimize", bound=50.0)

    def wide(trial: optuna.Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"width": trial.suggest_int("width", 1, 200), "kind": trial.suggest_categorical("kind", "abc")}, {}

    sampler = CostAwareSampler(
        students(wide),
        lambda reading, arch: {"size": arch["width"]},
        (ACCURACY, bounded),
        worst=REFERENCE | {"size": 50},
        exact=3,
        seed=0,
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(40):
        trial = study.ask()
        arch, _ = wide(trial)
        trial.set_user_attr("proposal", {"arch": arch, "recipe": {}, "costs": {"size": arch["width"]}})
        trial.set_user_attr("epoch 1", {"accuracy": 0.9})
        study.tell(trial, [0.9, arch["width"]])
    assert max(t.params["width"] for t in study.trials) <= 50


def test_bounds_on_costs_are_kept() -> None:
    bounded = objective("size", "minimize", bound=30.0)
    study = new_study((ACCURACY, bounded), exact=6)
    for _ in range(16):
        tell(study, study.ask(), (ACCURACY, bounded))
    sizes = [t.user_attrs["proposal"]["costs"]["size"] for t in study.trials]
    assert max(sizes) <= 30


def test_a_space_of_a_few_choices_is_proposed_in_full_before_anything_is_repeated() -> None:
    def few(trial: optuna.Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"width": trial.suggest_categorical("width", [*range(1, 11)])}, {}

    study = new_study((ACCURACY, SIZE), space=few)
    for number in range(12):
        trial = study.ask()
        arch, recipe = few(trial)
        trial.set_user_attr("proposal", {"arch": arch, "recipe": recipe, "costs": {"size": costs(arch)["size"]}})
        trial.set_user_attr("epoch 1", {"accuracy": 0.1 + arch["width"] / 100})
        study.tell(trial, [0.1 + arch["width"] / 100, costs(arch)["size"]])
        if number == 9:
            assert sorted(t.params["width"] for t in study.trials) == [*range(1, 11)]


def test_a_space_that_raises_for_some_draws_is_searched() -> None:
    def picky(trial: optuna.Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        arch, recipe = suggest(trial)
        if arch["width"] % 2:
            raise ValueError("even widths only")
        return arch, recipe

    study = new_study((ACCURACY, SIZE), space=picky)
    for _ in range(12):
        tell(study, study.ask(), (ACCURACY, SIZE))
    assert {t.params["width"] % 2 for t in study.trials} == {0}


def test_the_same_seed_proposes_the_same() -> None:
    asked = []
    for _ in range(2):
        study = new_study((ACCURACY, SIZE), seed=5)
        for _ in range(11):
            tell(study, study.ask(), (ACCURACY, SIZE))
        asked.append([t.params for t in study.trials])
    assert asked[0] == asked[1]


def test_it_is_the_default_of_a_real_search_with_early_stopping(tmp_path: Path) -> None:
    front = search_study(small_study(**{"budget.trials": 14}), run=tmp_path / "run")
    trials = read_trials(tmp_path / "run")
    assert len(front) >= 1
    assert not [t for t in trials if t.state == "duplicate"]
    assert {t.state for t in trials} >= {"complete", "pruned"}


def test_trainings_that_diverged_teach_nothing_and_stop_nothing() -> None:
    study = new_study((ACCURACY, SIZE))
    for number in range(14):
        trial = study.ask()
        tell(study, trial, (ACCURACY, SIZE), end=False)
        if number < 10:
            trial.set_user_attr("epoch 1", {"accuracy": math.nan})
            trial.set_user_attr("outcome", {"state": "pruned", "reason": "diverged"})
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    assert len({str(t.user_attrs["proposal"]) for t in study.trials}) == 14


def test_settings_are_refused() -> None:
    with pytest.raises(InputError, match=r"sampler\.pool: autokd has no settings; write sampler: autokd"):
        make_sampler({"name": "autokd", "pool": 3}, 0)


def test_expected_improvement_is_the_mean_of_what_hypervolume_gains() -> None:
    generator = np.random.default_rng(0)
    front, reference = generator.uniform(0, 1, (6, 3)), np.array([1.0, 1.1, 0.9])
    mean, deviation = np.array([0.3, 0.6]), np.array([0.1, 0.2])
    cost = generator.uniform(0, 0.8, (2, 2))
    found = expected_improvement([nodes(mean, deviation), cost[:, 0], cost[:, 1]], free_boxes(front, reference))
    before = hypervolume(front, reference)
    for i in range(2):
        drawn = [[v, *cost[i]] for v in generator.normal(mean[i], deviation[i], 4000)]
        gains = [hypervolume(np.vstack([front, point]), reference) - before for point in drawn]
        assert found[i] == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / 60 + 0.002)
    assert expected(nodes(mean, deviation) ** 2) == pytest.approx(mean**2 + deviation**2)


def test_improvement_without_a_front_is_the_room_up_to_the_reference() -> None:
    certain = [np.array([0.25]), np.array([0.5])]
    assert expected_improvement(certain, free_boxes(np.empty((0, 2)), np.ones(2))) == pytest.approx(0.75 * 0.5)


def test_the_surrogate_learns_a_smooth_function_and_is_surest_where_it_was_told() -> None:
    x = np.linspace(0, 1, 12)[:, None]
    predict = Surrogate([(0, 1)], [[0]], seed=0).fit(x, np.sin(3 * x[:, 0]), np.zeros(12))
    mean, deviation = predict(np.array([[0.5], [3.0]]))
    assert mean[0] == pytest.approx(math.sin(1.5), abs=0.05)
    assert deviation[0] < deviation[1]


def test_a_trial_stopped_early_is_taken_to_gain_as_others_did() -> None:
    full = [TrialRecord(i, {}, rungs={1: {"a": 0.1 * i}, 3: {"a": 0.1 * i + 0.2}}) for i in range(4)]
    value, doubt = extrapolated([*full, TrialRecord(9, {}, rungs={1: {"a": 0.25}}), TrialRecord(10, {})], "a")
    assert value[4] == pytest.approx(0.45)
    assert value[:4] == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert doubt[:4] == pytest.approx(0)
    assert doubt[4] < 0.1
    assert math.isnan(value[5])


@pytest.mark.parametrize(
    "distribution",
    [
        CategoricalDistribution(["a", None, 3, True]),
        IntDistribution(2, 11, step=3),
        IntDistribution(1, 100, log=True),
        FloatDistribution(0.1, 10, log=True),
        FloatDistribution(0, 1, step=0.25),
        FloatDistribution(-1, 1),
        IntDistribution(4, 4),
    ],
)
def test_draws_and_neighbours_stay_within_a_distribution(distribution: Any) -> None:
    generator = Random(0)
    for _ in range(50):
        value = draw_from(distribution, generator)
        assert holds(distribution, value)
        wished = nearby({"x": value}, {"x": distribution}, 1, generator)
        assert "x" not in wished or holds(distribution, wished["x"])


def test_a_neighbour_at_an_end_of_a_grid_is_the_end_itself_after_any_number_of_moves() -> None:
    generator, alphas = Random(0), FloatDistribution(0, 1, step=0.05)
    found = [0.5]
    for _ in range(1000):
        found.append(nearby({"x": found[-1]}, {"x": alphas}, 1, generator).get("x", found[-1]))
    assert 0.0 in found
    assert 1.0 in found
    assert all(0.04 < value < 0.96 for value in found if value not in (0.0, 1.0))


def test_a_draw_takes_wishes_that_are_possible_and_draws_the_rest() -> None:
    draw = Draw(Random(0), {"kind": "cells", "width": 99, "op0": "skip", "other": 1})
    arch, _ = suggest(draw)  # type: ignore[arg-type]
    assert (arch["kind"], arch["ops"][0]) == ("cells", "skip")
    assert 1 <= arch["width"] <= 10
    assert "other" not in draw.params


def test_features_tell_absent_parameters_and_counts_of_like_choices() -> None:
    ops = CategoricalDistribution(["none", "conv"])
    both = ({"op0": "conv", "op1": "none"}, {"op0": ops, "op1": ops})
    swapped = ({"op0": "none", "op1": "conv"}, {"op0": ops, "op1": ops})
    one = ({"op0": "conv", "n": 4}, {"op0": ops, "n": IntDistribution(1, 8)})
    encoding = Encoding([both, swapped, one])
    first, second, third = encoding.encode([both, swapped, one])
    assert len(encoding.groups) == len(encoding.names) + 1  # the counts
    counts = slice(*encoding.groups[-1])
    assert np.array_equal(first[counts], second[counts])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, third)
