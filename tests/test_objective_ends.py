"""Ideal and worst values of objectives that do not declare them, and standard errors that have no formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autokd import objectives
from autokd.errors import InputError
from autokd.objectives import quality
from autokd.objectives.ends import find_ends
from autokd.objectives.resampling import resampled_error
from autokd.types import Evaluation, Objective, share_error

LEARNT = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
TARGETS = torch.tensor([0] * 40 + [1] * 40 + [2] * 20)


def evaluation(targets: Tensor = TARGETS, num_outputs: int = 3) -> Evaluation:
    outputs, teacher = torch.randn(2, len(targets), num_outputs, generator=torch.Generator().manual_seed(0))
    return Evaluation(outputs, targets, teacher)


def goal(measure: Callable[..., float], direction: Any = "maximize", **changes: Any) -> Objective:
    return Objective("goal", direction, "", True, measure, **changes)


def correlation(given: Evaluation) -> float:
    right = torch.nn.functional.one_hot(given.targets, given.outputs.shape[1]).flatten().float()
    return float(torch.corrcoef(torch.stack([given.outputs.softmax(1).flatten(), right]))[0, 1])


def test_the_worst_log_likelihood_is_that_of_the_shares_of_the_training_labels() -> None:
    blind = -(0.4 * math.log(0.5) + 0.4 * math.log(0.3) + 0.2 * math.log(0.2))
    assert find_ends(objectives.nll, evaluation(), LEARNT) == (0.0, pytest.approx(blind))
    ideal, worst = find_ends(goal(lambda given: -quality.nll(given)), evaluation(), LEARNT)
    assert (ideal, worst) == (pytest.approx(0, abs=1e-6), pytest.approx(-blind))


def test_a_class_without_training_rows_does_not_make_the_worst_infinite() -> None:
    _, worst = find_ends(objectives.nll, evaluation(), torch.tensor([0, 0, 1, 1]))
    assert 0 < worst < 5


@given(st.floats(1e-3, 1e6), st.floats(-1e3, 1e3))
def test_ends_have_the_unit_of_their_objective(unit: float, shift: float) -> None:
    of_error = goal(lambda given: unit * quality.error(given) + shift, "minimize")
    of_accuracy = goal(lambda given: unit * quality.accuracy(given) + shift)
    assert find_ends(of_error, evaluation(), LEARNT) == pytest.approx((shift, unit * 0.6 + shift))
    assert find_ends(of_accuracy, evaluation(), LEARNT) == pytest.approx((unit + shift, unit * 0.4 + shift))


def test_numbers_are_answered_blindly_with_their_means() -> None:
    learnt, targets = torch.tensor([[1.0, 10.0], [3.0, 30.0]]), torch.tensor([[0.0, 20.0], [4.0, 20.0]])

    def rmse(given: Evaluation) -> float:
        return float((given.outputs - given.targets).square().mean().sqrt())

    assert find_ends(goal(rmse, "minimize"), evaluation(targets, 2), learnt) == pytest.approx((0.0, math.sqrt(2)))


def test_what_constant_answers_do_not_score_random_ones_do() -> None:
    ideal, worst = find_ends(goal(correlation), evaluation(), LEARNT)
    assert ideal == pytest.approx(1)
    assert abs(worst) < 0.2


def test_where_constant_answers_are_ideal_random_ones_are_the_worst() -> None:
    targets = torch.arange(90) % 3
    ideal, worst = find_ends(goal(quality.ece, "minimize"), evaluation(targets), targets)
    assert ideal < 1e-6
    assert worst > 0.05


@pytest.mark.parametrize(("direction", "ends"), [("minimize", (0.0, 7.0)), ("maximize", (14.0, 7.0))])
def test_an_ideal_that_cannot_be_measured_lies_beyond_the_worst(direction: str, ends: tuple[float, float]) -> None:
    targets = torch.zeros(5, 7, 2)  # no one knows what answers these
    assert find_ends(goal(lambda _: 7.0, direction), evaluation(targets, 3), targets) == ends


def test_what_is_declared_is_not_measured_and_a_bound_stands_for_the_worst() -> None:
    def refuse(_: Evaluation) -> float:
        raise AssertionError

    declared = goal(refuse, ideal=3.0, worst=-2.0)
    assert find_ends(declared, evaluation(), LEARNT) == (3.0, -2.0)
    assert find_ends(replace(declared, bound=1.0), evaluation(), LEARNT) == (3.0, 1.0)
    assert find_ends(goal(quality.accuracy, bound=0.9), evaluation(), LEARNT) == (1.0, 0.9)


def test_an_objective_whose_worst_cannot_be_found_is_asked_to_declare_it() -> None:
    with pytest.raises(InputError, match=r"objectives\.goal: .* Declare ideal= and worst= in its Objective"):
        find_ends(goal(lambda _: math.nan), evaluation(), LEARNT)


@pytest.mark.parametrize("rows", [200, 20_000])
def test_the_resampled_error_of_a_share_is_the_binomial_one(rows: int) -> None:
    given = evaluation(torch.arange(rows) % 3)
    share = quality.accuracy(given)
    assert resampled_error(objectives.accuracy, given) == pytest.approx(share_error(share, rows), rel=0.3)


def test_the_resampled_error_is_the_same_each_time_and_has_the_unit_of_its_objective() -> None:
    first = resampled_error(objectives.nll, evaluation())
    assert first == resampled_error(objectives.nll, evaluation()) > 0
    assert resampled_error(goal(lambda given: -50 * quality.nll(given)), evaluation()) == pytest.approx(50 * first)


def test_samples_that_cannot_be_measured_are_left_out_of_the_resampled_error() -> None:
    def needs_the_rare(given: Evaluation) -> float:
        if not (given.targets == 1).any():
            raise ValueError("no row of the rare class")
        return quality.accuracy(given)

    rare = evaluation(torch.tensor([0] * 40 + [1]), 2)
    assert resampled_error(goal(needs_the_rare), rare) > 0
    assert resampled_error(goal(lambda _: math.nan), rare) == 0
    assert resampled_error(objectives.nll, evaluation(torch.empty(0, dtype=torch.long))) == 0


def test_the_standard_error_of_a_share_is_binomial_and_that_of_no_rows_is_zero() -> None:
    assert share_error(0.9, 400) == pytest.approx(math.sqrt(0.9 * 0.1 / 400))
    assert share_error(1.0, 400) == share_error(0.5, 0) == 0


def test_shares_of_rows_have_a_formula_and_what_weighs_rows_otherwise_is_resampled() -> None:
    trained = [each for each in vars(objectives).values() if isinstance(each, Objective) and each.trained]
    shares = {each.name for each in trained if each.standard_error is not None}
    assert shares == {"accuracy", "error", "agreement"}
