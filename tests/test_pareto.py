from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autokd import pareto
from autokd.types import Objective

REFERENCE = 10.0


def _points(low: int = 1, high: int = 9, objectives: tuple[int, int] = (2, 4)) -> st.SearchStrategy[pareto.Floats]:
    """Small whole numbers, so that ties and repeated points are common."""
    shapes = st.tuples(st.integers(low, high), st.integers(*objectives))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.integers(0, 9).map(float)))


def _dominates(one: pareto.Floats, other: pareto.Floats) -> bool:
    return bool((one <= other).all() and (one < other).any())


def _by_inclusion_and_exclusion(points: pareto.Floats, reference: float) -> float:
    total = 0.0
    for size in range(1, len(points) + 1):
        for subset in combinations(points, size):
            corner = np.max(subset, axis=0)
            total += (-1) ** (size + 1) * float(np.prod(np.maximum(reference - corner, 0.0)))
    return total


def _nothing(*_: object) -> float:
    return 0.0


def test_losses_negate_what_is_maximised_and_leave_the_absent_unknown() -> None:
    objectives = [
        Objective("accuracy", "maximize", "", True, _nothing),
        Objective("parameters", "minimize", "", False, _nothing),
    ]
    found = pareto.as_losses([{"accuracy": 0.9, "parameters": 10}, {"parameters": 20}], objectives)
    np.testing.assert_array_equal(found, [[-0.9, 10.0], [np.nan, 20.0]])
    assert pareto.as_losses([], objectives).shape == (0, 2)


@given(_points())
@settings(deadline=None)
def test_the_front_is_what_no_point_dominates(points: pareto.Floats) -> None:
    expected = [not any(_dominates(other, point) for other in points) for point in points]
    assert pareto.non_dominated(points).tolist() == expected


def test_equal_points_are_both_on_the_front_and_nan_never() -> None:
    points = np.array([[1.0, 2.0], [1.0, 2.0], [np.nan, 0.0], [0.0, np.nan]])
    assert pareto.non_dominated(points).tolist() == [True, True, False, False]


@given(_points(high=8))
@settings(deadline=None)
def test_hypervolume_is_inclusion_and_exclusion_of_boxes(points: pareto.Floats) -> None:
    reference = np.full(points.shape[1], 8.0)  # some points lie beyond it
    assert pareto.hypervolume(points, reference) == pytest.approx(_by_inclusion_and_exclusion(points, 8.0))


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_hypervolume_agrees_with_counting_random_points(objectives: int) -> None:
    generator = np.random.default_rng(0)
    points = generator.random((20, objectives))
    darts = generator.random((100_000, objectives))
    hit = np.zeros(len(darts), dtype=bool)
    for point in points:
        hit |= (darts >= point).all(axis=1)
    assert pareto.hypervolume(points, np.ones(objectives)) == pytest.approx(hit.mean(), abs=0.006)


def test_hypervolume_of_one_point_is_its_box() -> None:
    assert pareto.hypervolume(np.array([[1.0, 2.0, 3.0]]), np.array([3.0, 5.0, 7.0])) == 24.0


def test_hypervolume_of_nothing_is_zero() -> None:
    assert pareto.hypervolume(np.zeros((0, 3)), np.ones(3)) == 0.0
    assert pareto.hypervolume(np.array([[1.0, 0.0], [np.nan, 0.0]]), np.ones(2)) == 0.0


@given(_points(low=2))
@settings(deadline=None)
def test_another_point_never_lowers_the_hypervolume(points: pareto.Floats) -> None:
    reference = np.full(points.shape[1], REFERENCE)
    fewer = pareto.hypervolume(points[1:], reference)
    assert pareto.hypervolume(points, reference) >= fewer - 1e-9 * fewer


def test_the_knee_is_farthest_below_the_line_through_the_ends() -> None:
    points = np.array([[0.0, 100.0], [0.2, 20.0], [0.6, 10.0], [1.0, 0.0]])
    assert pareto.knee(points) == 1


def test_the_lowest_index_wins_a_tied_knee() -> None:
    assert pareto.knee(np.array([[4.0, 0.0], [1.0, 1.0], [0.0, 4.0], [1.0, 1.0]])) == 1
    assert pareto.knee(np.array([[1.0, 1.0]])) == 0


def test_a_cost_stated_twice_does_not_move_the_knee() -> None:
    points = np.array([[0.0, 100.0], [0.2, 35.0], [0.45, 20.0], [1.0, 0.0]])
    assert pareto.knee(points[:, [0, 1, 1]]) == pareto.knee(points) == 1


@given(_points(), st.integers(0, 3), st.sampled_from([0.5, 2.0, 1024.0]))
@settings(deadline=None)
def test_the_knee_is_on_the_front_whatever_the_units(points: pareto.Floats, which: int, unit: float) -> None:
    chosen = pareto.knee(points)
    assert pareto.non_dominated(points)[chosen]
    scales = np.where(np.arange(points.shape[1]) == which, unit, 1.0)
    assert pareto.knee(points * scales) == chosen


@given(_points())
@settings(deadline=None)
def test_all_the_weight_on_one_objective_picks_its_best(points: pareto.Floats) -> None:
    for which in range(points.shape[1]):
        weights = np.eye(points.shape[1])[which]
        chosen = pareto.weighted(points, weights)
        assert points[chosen, which] == points[:, which].min()
        assert pareto.non_dominated(points)[chosen]


def test_weights_reach_a_point_where_the_front_bends_inwards() -> None:
    points = np.array([[0.0, 1.0], [0.6, 0.6], [1.0, 0.0]])
    assert pareto.weighted(points, np.array([1.0, 1.0])) == 1


@given(_points(), st.floats(0, 3), st.floats(0, 3))
@settings(deadline=None)
def test_more_doubt_never_takes_a_point_away_from_the_front(points: pareto.Floats, k: float, more: float) -> None:
    errors = np.full_like(points, 0.5)
    near = pareto.near_front(points, errors, k)
    assert (near >= pareto.non_dominated(points)).all()
    assert (pareto.near_front(points, errors, k + more) >= near).all()


@given(_points())
@settings(deadline=None)
def test_without_doubt_near_is_on_the_front(points: pareto.Floats) -> None:
    expected = pareto.non_dominated(points).tolist()
    assert pareto.near_front(points, np.zeros_like(points)).tolist() == expected
    assert pareto.near_front(points, np.ones_like(points), k=0.0).tolist() == expected


def test_near_means_within_two_standard_errors() -> None:
    points = np.array([[0.10, 100.0], [0.13, 100.0], [0.16, 100.0], [np.nan, 1.0]])
    assert pareto.near_front(points, np.array([0.02, 0.0])).tolist() == [True, True, False, False]


@given(_points())
@settings(deadline=None)
def test_choosing_needs_a_point_without_nan(points: pareto.Floats) -> None:
    assume(points.shape[1] > 1)
    unknown = np.full_like(points, np.nan)
    with pytest.raises(ValueError, match="no point without NaN"):
        pareto.knee(unknown)
    with pytest.raises(ValueError, match="no point without NaN"):
        pareto.weighted(unknown, np.ones(points.shape[1]))
