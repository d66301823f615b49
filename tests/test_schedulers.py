from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from autokd.errors import InputError
from autokd.pareto import as_losses, non_dominated
from autokd.schedulers import _ranks, everyone, halving
from autokd.types import Objective, Point


def _nothing(*_: object) -> float:
    return 0.0


OBJECTIVES = [
    Objective("accuracy", "maximize", "", True, _nothing),
    Objective("parameters", "minimize", "", False, _nothing),
    Objective("latency_ms", "minimize", "ms", False, _nothing),
]
RUNGS = [3, 9, 27]


def _point(trial: int, accuracy: float, parameters: float, latency: float = 1.0, epoch: int = 3) -> Point:
    values = {"accuracy": accuracy, "parameters": parameters, "latency_ms": latency}
    return Point(trial, epoch, values)


def _kept(points: list[Point]) -> set[int]:
    scheduler = halving(OBJECTIVES, RUNGS)
    return {point.trial for point in points if scheduler(point, points)}


def _answer(point: Point, peers: list[Point]) -> bool | None:
    return halving(OBJECTIVES, RUNGS)(point, peers)


coarse = st.integers(0, 6).map(float)
populations = st.lists(st.tuples(coarse, coarse, coarse), min_size=3, max_size=25).map(
    lambda rows: [_point(i, *row) for i, row in enumerate(rows)]
)


@given(populations, st.randoms())
@settings(deadline=None)
def test_order_of_peers_does_not_matter(points: list[Point], random: Random) -> None:
    shuffled = random.sample(points, len(points))
    assert _kept(shuffled) == _kept(points)


@given(populations, st.sampled_from([0.125, 0.5, 4.0, 1024.0]), st.sampled_from([0.25, 2.0, 64.0]))
@settings(deadline=None)
def test_units_of_objectives_do_not_matter(points: list[Point], first: float, second: float) -> None:
    scaled = [
        _point(p.trial, first * p.values["accuracy"], second * p.values["parameters"], p.values["latency_ms"])
        for p in points
    ]
    assert _kept(scaled) == _kept(points)


@given(populations)
@settings(deadline=None)
def test_the_best_accuracy_always_survives(points: list[Point]) -> None:
    best = max(point.values["accuracy"] for point in points)
    assert best in {point.values["accuracy"] for point in points if point.trial in _kept(points)}


def _ahead(other: Point, point: Point) -> bool:
    """Whether a student is better, or as good at costs that are nowhere higher and somewhere lower."""
    ours, theirs = point.values, other.values
    costs = [theirs[name] - ours[name] for name in ("parameters", "latency_ms")]
    cheaper = max(costs) <= 0 and min(costs) < 0
    return theirs["accuracy"] > ours["accuracy"] or (theirs["accuracy"] == ours["accuracy"] and cheaper)


@given(populations)
@settings(deadline=None)
def test_few_points_are_all_compared_and_a_third_of_them_or_the_front_goes_on(points: list[Point]) -> None:
    front = non_dominated(as_losses([point.values for point in points], OBJECTIVES))
    for point, undominated in zip(points, front, strict=True):
        ahead = sum(_ahead(other, point) for other in points)
        assert _answer(point, points) is bool(undominated or ahead < len(points) // 3)


@given(populations)
@settings(deadline=None)
def test_nobody_goes_on_before_a_point_that_dominates_it(points: list[Point]) -> None:
    kept = _kept(points)
    for better in points:
        for worse in points:
            gains = [
                better.values["accuracy"] - worse.values["accuracy"],
                worse.values["parameters"] - better.values["parameters"],
                worse.values["latency_ms"] - better.values["latency_ms"],
            ]
            if min(gains) >= 0 and max(gains) > 0 and worse.trial in kept:
                assert better.trial in kept


def test_points_wait_until_a_third_of_them_is_one() -> None:
    points = [_point(i, 0.9 - 0.1 * i, 100.0 + i) for i in range(3)]
    assert _answer(points[0], points[:1]) is None
    assert [_answer(point, points[:2]) for point in points[:2]] == [None, None]
    assert [_answer(point, points) for point in points] == [True, False, False]


def test_a_dominated_latecomer_stops() -> None:
    peers = [_point(0, 0.9, 100.0), _point(1, 0.8, 200.0), _point(2, 0.7, 300.0)]
    assert _answer(peers[1], peers) is False


def test_a_smaller_student_beats_an_equally_accurate_one() -> None:
    points = [_point(i, 0.9, 100.0 * (i + 1)) for i in range(6)]
    assert _kept(points) == {0, 1}


def test_a_crowd_of_one_size_is_judged_among_itself() -> None:
    crowd = [_point(i, 0.9 + 0.001 * (i % 20), 1000.0 - i // 20) for i in range(60)]
    others = [_point(100 + i, 0.95 + 0.001 * (i % 9), 3000.0 + i) for i in range(27)]
    kept = {trial for trial in _kept([*crowd, *others]) if trial < 100}
    assert kept >= {18, 19, *range(34, 40), *range(54, 60)}
    assert not kept & {*range(10), *range(20, 30), *range(40, 50)}


def test_students_of_the_same_cost_are_compared_however_many_they_are() -> None:
    points = [_point(i, 0.9 + 0.001 * i, 1000.0) for i in range(60)]
    assert _kept(points) == set(range(40, 60))


def test_costs_alone_stop_nobody() -> None:
    scheduler = halving(OBJECTIVES, RUNGS)
    points = [Point(i, 0, {"parameters": float(i), "latency_ms": 1.0}) for i in range(9)]
    assert all(scheduler(point, points) for point in points)


def test_everyone_goes_on_after_the_last_rung() -> None:
    points = [_point(i, 0.9 - 0.1 * i, 100.0, epoch=27) for i in range(9)]
    assert _kept(points) == set(range(9))


def test_a_nan_never_goes_on_and_counts_for_nobody() -> None:
    points = [_point(0, math.nan, 1.0), *(_point(i, 0.5, 100.0 * i) for i in range(1, 4))]
    assert _kept(points) == {1}
    assert _answer(points[1], points[:3]) is None
    assert _answer(points[0], points[:1]) is False


def test_the_point_need_not_be_among_its_peers() -> None:
    peers = [_point(0, 0.9, 100.0), _point(2, 0.7, 300.0)]
    assert _answer(_point(1, 0.8, 200.0), peers) is False
    assert _answer(_point(1, 0.95, 200.0), peers) is True


def test_the_share_that_goes_on_is_that_of_the_rungs() -> None:
    scheduler = halving(OBJECTIVES, [10, 20, 80])
    tenth = [_point(i, 0.9 - 0.01 * i, 100.0 + i, epoch=10) for i in range(8)]
    twentieth = [_point(i, 0.9 - 0.01 * i, 100.0 + i, epoch=20) for i in range(8)]
    assert sum(bool(scheduler(point, tenth)) for point in tenth) == 4
    assert sum(bool(scheduler(point, twentieth)) for point in twentieth) == 2


@pytest.mark.parametrize("rungs", [[], [0, 3], [3, 3], [9, 3]])
def test_rungs_that_do_not_rise_are_refused(rungs: list[int]) -> None:
    with pytest.raises(InputError, match=r"rungs .* rise from 1 or more"):
        halving(OBJECTIVES, rungs)


def test_without_a_scheduler_everyone_but_nan_goes_on() -> None:
    scheduler = everyone(OBJECTIVES, RUNGS)
    points = [_point(0, 0.1, 100.0), _point(1, 0.9, 1.0), _point(2, math.nan, 1.0)]
    assert [scheduler(point, points) for point in points] == [True, True, False]


@given(st.lists(st.sampled_from([1.0, 2.0, 2.5, 7.0, 1e9]), min_size=1, max_size=40))
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    assert _ranks(np.array(values)).tolist() == rankdata(values).tolist()
