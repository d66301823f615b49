"""Which students train on: each function here makes a scheduler for a study's objectives and rungs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from autokd import pareto
from autokd.errors import InputError
from autokd.types import Objective, Point, Scheduler

_COMPANY = 27
"""This many students of similar cost are compared: enough for a third of a third, and few of all in a long search."""


def halving(objectives: Sequence[Objective], rungs: Sequence[int]) -> Scheduler:
    """Multi-objective successive halving at equal cost: after rung i the best rungs[i] / rungs[i + 1] train on.

    A point is compared with the 27 points at its rung whose costs are nearest, itself included. Another point is ahead
    if it dominates this one, or dominates it in the trained objectives alone. The point trains on if fewer points are
    ahead than the share allows. It also trains on if no point at the rung dominates it, because the search is for a
    front.

    As long as the share of the points at the rung is less than one, points wait for others. Otherwise the first point
    would train on whatever its values, and a sampler that learns from complete trials would imitate it. From then on
    each point is judged once, as soon as it arrives, against the points that have reached the rung by then. With costs
    alone (epoch 0) and after the last rung every point trains on. A point with a NaN never does.

    Args:
        objectives: the study's objectives. Nearness of costs is by rank in each cost, so scales do not matter.
        rungs: epochs at which to judge, rising; the last is the full budget.

    Raises:
        InputError: rungs do not rise from 1 or more.

    We tried the following on both tables of digits (`studies/tables/`) at equal epochs (6 to 20 seeds) and left it out:

    - The share of all points, ordered by front and then by crowding distance (NSGA-II). If a sampler proposes many
      students of one size, they lie on as many fronts and hardly one of them trains on. Our own sampler, with eight
      first students, then took 1,125 and 1,086 epochs to the level that it now reaches after 867 and 777 (with random
      proposals 1,401 and 1,182, now 1,491 and 1,401).
    - The 12, 18, 40 or 60 nearest points instead of 27: the same or a little worse.
    - The share without the front: far worse. The front without the share: worse at the end, because early accuracies
      are noisy.
    - The share by distance from the best point at no greater cost: like the order of NSGA-II.
    - All points within a slack of the best point at no greater cost: the wider the slack, the slower.
    - By what a point alone adds to the hypervolume: better in the first 300 epochs, slower from then on.
    - By expected hypervolume improvement at known cost, of values extrapolated from this rung, for each remaining
      epoch: the same on one table, a quarter fewer epochs on the other with random proposals, worse on both with TPE.
    - Pausing instead of stopping, and going on with the best paused students: the same.
    - One Gaussian process over all rungs, which begins or continues the student that promises most hypervolume for an
      epoch: the same (simulated with our sampler, 8 seeds: 732 to 939 epochs to that level). Accuracy at the first rung
      says little about recipes: a model of it for all 1,920 recipes leads to that level after 28 full trainings on one
      table, and not within 60 on the other.

    With random proposals there is little to gain. A scheduler that knew beforehand which students will extend the front
    would save a seventh of the epochs on one table and none on the other (`studies/claims/early_stopping.py`).

    Source: asynchronous successive halving, Li et al. (2020), https://arxiv.org/abs/1810.05934, section 3.2, with
    stopping instead of pausing. Here students are compared at equal cost, where early accuracies are comparable.
    """
    kept = dict(_rising_pairs(rungs))
    is_trained = np.array([objective.trained for objective in objectives], dtype=bool)

    def share(epoch: int, points: int) -> int:
        return points * epoch // kept[epoch]

    def advance(point: Point, peers: Sequence[Point]) -> bool | None:
        if _unknown(point):
            return False
        if point.epoch not in kept:
            return True
        # A peer may be the same trial with other values. The point counts with the values given.
        others = [peer.values for peer in peers if peer.trial != point.trial]
        losses = pareto.as_losses([point.values, *others], objectives)
        losses = losses[~np.isnan(losses).any(axis=1)]
        if share(point.epoch, len(losses)) < 1:
            return None
        dominating = _dominating_first(losses)
        if not dominating.any():
            return True
        ahead = dominating | _dominating_first(losses[:, is_trained])
        company = _nearest_first(losses[:, ~is_trained])
        return bool(ahead[company].sum() < share(point.epoch, int(company.sum())))

    return advance


def _dominating_first(points: pareto.Floats) -> NDArray[np.bool_]:
    """Which points dominate the first, shape (points,)."""
    return np.asarray((points <= points[0]).all(axis=1) & (points < points[0]).any(axis=1))


def _nearest_first(costs: pareto.Floats) -> NDArray[np.bool_]:
    """Which points are among the 27 nearest to the first, by their ranks in each cost, shape (points,); ties count."""
    places = np.apply_along_axis(_ranks, 0, costs) if costs.size else costs
    away = np.abs(places - places[0]).max(axis=1, initial=0.0)
    return np.asarray(away <= np.sort(away)[:_COMPANY][-1])


def _ranks(values: pareto.Floats) -> pareto.Floats:
    """The rank of each value, 1 for the lowest; equal values share the mean of theirs.

    SciPy has this, too, but importing `scipy.stats` takes as long as training a small student.
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place])


def everyone(objectives: Sequence[Objective], rungs: Sequence[int]) -> Scheduler:
    """No early stopping: every student without a NaN trains to the full budget."""

    def advance(point: Point, peers: Sequence[Point]) -> bool:
        return not _unknown(point)

    return advance


def _rising_pairs(rungs: Sequence[int]) -> list[tuple[int, int]]:
    """Each rung with the next one."""
    pairs = list(pairwise(rungs))
    if not rungs or rungs[0] < 1 or any(low >= high for low, high in pairs):
        raise InputError(f"rungs {list(rungs)}: give epochs that rise from 1 or more, e.g. [3, 9, 27]")
    return pairs


def _unknown(point: Point) -> bool:
    return any(math.isnan(value) for value in point.values.values())
