from __future__ import annotations

from itertools import combinations
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autokd import pareto
from autokd.types import Objective

REFERENCE = 10.0
CROWDED = [
    (0.981, 0.0458, 10082),
    (0.979, 0.0260, 8294),
    (0.977, 0.0247, 5482),
    (0.975, 0.0156, 6160),
    (0.970, 0.0244, 2138),
    (0.968, 0.0151, 3985),
    (0.963, 0.0151, 1660),
    (0.946, 0.0149, 1135),
    (0.929, 0.0148, 910),
    (0.868, 0.0145, 760),
    (0.854, 0.0244, 390),
    (0.667, 0.0150, 310),
]
"""Accuracy, latency and parameters of students of which the smallest is nearly the fastest."""


def _points(low: int = 1, high: int = 9, objectives: tuple[int, int] = (2, 4)) -> st.SearchStrategy[pareto.Floats]:
    """Small whole numbers, so that ties and repeated points are common."""
    shapes = st.tuples(st.integers(low, high), st.integers(*objectives))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.integers(0, 9).map(float)))


def _scaled(points: pareto.Floats) -> pareto.Floats:
    span = np.ptp(points, axis=0)
    return np.asarray((points - points.min(axis=0)) / np.where(span > 0, span, 1.0))


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


def test_the_knee_loses_little_of_anything_where_the_extremes_nearly_coincide() -> None:
    accuracy, latency_ms, parameters = np.array(CROWDED).T
    chosen = pareto.knee(np.stack([-accuracy, latency_ms, parameters], axis=1))
    assert 0.93 <= accuracy[chosen] <= 0.965
    assert parameters[chosen] < 2300


@given(_points())
@settings(deadline=None)
def test_the_knee_has_the_smallest_largest_loss(points: pareto.Floats) -> None:
    members = np.flatnonzero(pareto.non_dominated(points))
    chosen = pareto.knee(points)
    assert chosen in members
    largest = _scaled(points[members]).max(axis=1)
    assert largest[members.tolist().index(chosen)] == pytest.approx(largest.min())


def test_the_lowest_index_wins_between_equal_points_only() -> None:
    assert pareto.knee(np.array([[4.0, 0.0], [1.0, 1.0], [0.0, 4.0], [1.0, 1.0]])) == 1
    assert pareto.knee(np.array([[1.0, 1.0]])) == 0
    assert pareto.knee(np.array([[4.0, 0.0], [0.0, 4.0]])) == 1
    assert pareto.knee(np.array([[0.0, 4.0], [4.0, 0.0]])) == 0


@given(_points(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_points_does_not_move_the_knee(points: pareto.Floats, random: Random) -> None:
    order = random.sample(range(len(points)), len(points))
    np.testing.assert_array_equal(points[order][pareto.knee(points[order])], points[pareto.knee(points)])


@given(_points(), st.integers(0, 3), st.floats(1e-3, 1e3), st.floats(-100, 100))
@settings(deadline=None)
def test_units_do_not_move_the_knee(points: pareto.Floats, which: int, unit: float, shift: float) -> None:
    changed = points.copy()
    changed[:, which % points.shape[1]] *= unit
    changed[:, which % points.shape[1]] += shift
    assert pareto.knee(changed) == pareto.knee(points)


@given(_points(), st.integers(0, 3), st.floats(1e-3, 1e3), st.floats(-100, 100))
@settings(deadline=None)
def test_an_objective_stated_twice_does_not_move_the_knee(
    points: pareto.Floats, which: int, unit: float, shift: float
) -> None:
    again = points[:, which % points.shape[1]] * unit + shift
    assert pareto.knee(np.column_stack([points, again])) == pareto.knee(points)


def test_an_objective_stated_twice_counts_once_where_largest_losses_tie() -> None:
    points = np.array([[0.0, 4.0, 4.0], [2.0, 1.0, 2.0], [2.0, 2.0, 0.0], [4.0, 0.0, 1.0]])
    assert pareto.knee(points) == 2
    assert pareto.knee(points[:, [0, 1, 1, 1, 2]]) == pareto.knee(points[:, [2, 2, 0, 1]]) == 2


@given(
    arrays(np.float64, st.tuples(st.integers(2, 9), st.integers(2, 4)), elements=st.floats(0.01, 1)),
    st.integers(0, 8),
    arrays(np.float64, 4, elements=st.floats(-1, 1)),
    st.floats(0, 0.5),
)
@settings(deadline=None)
def test_a_move_of_one_point_moves_the_worst_loss_of_the_knee_by_at_most_twice_as_much(
    points: pareto.Floats, which: int, direction: pareto.Floats, size: float
) -> None:
    front = points / points.sum(axis=1, keepdims=True)
    assume((np.ptp(front, axis=0) > 0).all())
    before = _scaled(front)
    after = before.copy()
    after[which % len(points)] += size * direction[: points.shape[1]]
    assume(pareto.non_dominated(after).all())
    worst = before[pareto.knee(before)].max(), _scaled(after)[pareto.knee(after)].max()
    assert abs(worst[1] - worst[0]) <= size / (1 - size) + 1e-9 <= 2 * size + 2e-9


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


def test_students_whose_only_advantage_is_latency_within_its_spread_are_marked() -> None:
    latency = np.linspace(0.0145, 0.0160, 20)
    accuracy = np.linspace(0.80, 0.97, 20)  # the slower, the better
    points, spreads = np.stack([-accuracy, latency], axis=1), np.full((20, 2), [0.004, 0.0017])
    assert pareto.within_spread(points, spreads).tolist() == [True] * 19 + [False]
    smaller = np.column_stack([points, np.arange(20.0)])  # each better one has more parameters, which are exact
    assert not pareto.within_spread(smaller, np.column_stack([spreads, np.zeros(20)])).any()
    fast = np.vstack([points, [-0.7, 0.012]])  # is faster by more than the spread
    assert pareto.within_spread(fast, np.vstack([spreads, spreads[:1]])).tolist() == [True] * 19 + [False, False]


def test_of_students_that_do_not_differ_the_better_in_the_first_objective_stays() -> None:
    points = np.array([[0.10, 1.5], [0.11, 1.4], [0.12, 1.3]])
    assert pareto.within_spread(points, np.full_like(points, 0.5)).tolist() == [False, True, True]
    assert pareto.within_spread(points[::-1], np.full_like(points, 0.5)).tolist() == [True, True, False]


def test_a_student_stays_whose_rival_is_marked_itself_and_is_not_as_good_as_the_one_that_stays() -> None:
    points = np.array([[0.3, 0.0], [0.2, 0.9], [0.1, 1.8]])  # slower by less than the spread, each than the one before
    assert pareto.within_spread(points, np.full_like(points, [0.0, 1.0])).tolist() == [False, True, False]


def _real(one: pareto.Floats, other: pareto.Floats, spreads: pareto.Floats) -> bool:
    return bool((other - one > spreads.max(axis=0)).any())


@st.composite
def _noisy(draw: st.DrawFn, objectives: tuple[int, int] = (2, 4)) -> tuple[pareto.Floats, pareto.Floats]:
    points = draw(_points(objectives=objectives))
    points = points[pareto.non_dominated(points)]
    return points, draw(arrays(np.float64, points.shape, elements=st.sampled_from([0.0, 1.0, 2.5])))


@given(_noisy(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_every_marked_point_has_an_unmarked_one_over_which_it_has_no_real_advantage(
    noisy: tuple[pareto.Floats, pareto.Floats], random: Random
) -> None:
    points, spreads = noisy
    marked = pareto.within_spread(points, spreads)
    assert not marked.all()
    for i in np.flatnonzero(marked):
        assert any(not _real(points[i], points[k], spreads[[i, k]]) for k in np.flatnonzero(~marked))
    order = random.sample(range(len(points)), len(points))
    assert pareto.within_spread(points[order], spreads[order]).tolist() == marked[order].tolist()
    units = 2.0 ** np.arange(points.shape[1])
    assert pareto.within_spread(points * units + 1, spreads * units).tolist() == marked.tolist()
    assert not pareto.within_spread(points, np.zeros_like(spreads)).any()


@given(_noisy(objectives=(2, 2)), st.sampled_from([0.0, 1.0, 2.5]), st.sampled_from([0.0, 1.0, 2.5]))
@settings(deadline=None)
def test_unmarked_points_have_a_real_advantage_over_each_other(
    noisy: tuple[pareto.Floats, pareto.Floats], first: float, second: float
) -> None:
    points, spreads = noisy[0], np.full_like(noisy[1], [first, second])
    unmarked = np.flatnonzero(~pareto.within_spread(points, spreads))
    for i, k in combinations(unmarked, 2):
        same = (points[i] == points[k]).all()
        assert same or (_real(points[i], points[k], spreads[:1]) and _real(points[k], points[i], spreads[:1]))


@given(_points())
@settings(deadline=None)
def test_choosing_needs_a_point_without_nan(points: pareto.Floats) -> None:
    assume(points.shape[1] > 1)
    unknown = np.full_like(points, np.nan)
    with pytest.raises(ValueError, match="no point without NaN"):
        pareto.knee(unknown)
    with pytest.raises(ValueError, match="no point without NaN"):
        pareto.weighted(unknown, np.ones(points.shape[1]))


@given(_points(), st.data())
@settings(deadline=None)
def test_the_front_of_a_front_and_of_new_members_is_the_front_of_them_all(
    points: pareto.Floats, data: st.DataObject
) -> None:
    objectives = [Objective(f"cost_{i}", "minimize", "", trained=False, measure=float) for i in range(points.shape[1])]
    members = [SimpleNamespace(values={o.name: x for o, x in zip(objectives, row, strict=True)}) for row in points]
    cut = data.draw(st.integers(0, len(members)))
    whole = pareto.undominated(members, objectives)
    parts = pareto.undominated([*pareto.undominated(members[:cut], objectives), *members[cut:]], objectives)
    assert [id(member) for member in parts] == [id(member) for member in whole]
    assert len(whole) == pareto.non_dominated(points).sum()
