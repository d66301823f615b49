"""Who trains on: each function here makes a scheduler for a study's objectives and rungs."""

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
"""So many students of like cost are compared: enough for a third of a third, and few of all in a long search."""


def halving(objectives: Sequence[Objective], rungs: Sequence[int]) -> Scheduler:
    """Multi-objective successive halving at equal cost: after rung i the best rungs[i] / rungs[i + 1] train on.

    A point is compared with the 27 points at its rung whose costs are nearest, itself among them: it goes on if fewer
    than the share of them are ahead, those that dominate it or are better by what training gives alone. So does every
    point that none at the rung dominates: a front is what is searched.

    While the share of those at the rung is less than one, points wait for company: the first to come would else train
    on whatever it is worth, and a sampler that learns from complete trials would take after it. From then on each
    point is judged at once, and once, against those that have reached the rung by then. With costs alone (epoch 0)
    and after the last rung everyone goes on; a point with a NaN never does.

    Args:
        objectives: the study's; costs are near by their places in the order of each cost, so scales do not matter.
        rungs: epochs at which to judge, rising; the last is the full budget.

    Raises:
        InputError: rungs do not rise from 1 or more.

    Tried on both tables of digits (`studies/tables/`) at equal epochs (6 to 20 seeds) and left out:
    - the share of all points, ordered by front and then by the room in it (NSGA-II): where a sampler proposes many of
      one size they lie on as many fronts and hardly one goes on; to the level that our own sampler, with eight first
      students, now reaches after 867 and 777 epochs it then took 1,125 and 1,086 (random proposals: 1,401 and 1,182,
      now 1,491 and 1,401);
    - the 12, 18, 40 or 60 nearest: as 27 or a little worse;
    - the share without the front: far lower; the front without the share: early accuracies are noisy, lower at the end;
    - the share by distance from the best at no greater cost: as NSGA-II's order;
    - all within a slack of the best at no greater cost: slower the wider it is;
    - by what a point alone adds to the hypervolume: better in the first 300 epochs, slower from then on;
    - by expected hypervolume improvement at known cost, of values extrapolated from this rung, for each epoch to come:
      the same on one table, a quarter fewer epochs on the other with random proposals, lower on both with TPE;
    - pausing instead of stopping, and going on with the best of the paused: the same;
    - one Gaussian process over all rungs, by which what promises most hypervolume an epoch is begun or goes on
      (simulated with our sampler, 8 seeds: 732 to 939 epochs to that level): the same. Accuracy at the first rung says
      little of recipes: all 1,920 of them, modelled, lead there after 28 full trainings on one table, not in 60 on
      the other.
    With random proposals there is little room: who knew beforehand which students will extend the front would save a
    seventh of the epochs on one table and none on the other (`studies/claims/early_stopping.py`).

    Source: asynchronous successive halving, Li et al. (2020), https://arxiv.org/abs/1810.05934, section
    3.2, stopping instead of pausing; here at equal cost, since early accuracies are comparable there.
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
        # A peer may be the same trial with other values: the point counts as given.
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
    """Which are as near to the first as its company is, by their places in the order of each cost, shape (points,)."""
    from scipy.stats import rankdata  # slow to import, and not wanted before there is company

    places = rankdata(costs, axis=0)
    away = np.abs(places - places[0]).max(axis=1, initial=0.0)
    return np.asarray(away <= np.sort(away)[:_COMPANY][-1])


def everyone(objectives: Sequence[Objective], rungs: Sequence[int]) -> Scheduler:
    """No early stopping: whoever has no NaN trains on to the full budget."""

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
