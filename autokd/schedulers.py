"""Who trains on: each function here makes a scheduler for a study's objectives and rungs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from autokd import pareto
from autokd.errors import InputError
from autokd.types import Objective, Point, Scheduler


def halving(objectives: Sequence[Objective], rungs: Sequence[int]) -> Scheduler:
    """Multi-objective successive halving: after rung i the best rungs[i] / rungs[i + 1] train on.

    Points at one rung are ordered by non-dominated rank, then by the room around them within their rank
    (crowding), then by trial number; the first floor(points * rungs[i] / rungs[i + 1]) go on. So does every
    point that none dominates, the best on each trained objective among them: a front is what is searched, and
    the share alone left it thin (on the digits study, hypervolume .65 after 120 trials with the share alone, .82
    after 60 with these, for half as many epochs again; one seed each).

    While the share is less than one, points wait for company: the first to come would else train on whatever it
    is worth, and a sampler that learns from complete trials would take after it. From then on each point is
    judged at once, and once, against those that have reached the rung by then. With costs alone (epoch 0) and
    after the last rung everyone goes on; a point with a NaN never does.

    Args:
        objectives: the study's; values count in units of their range at the rung, so scales do not matter.
        rungs: epochs at which to judge, rising; the last is the full budget.

    Raises:
        InputError: rungs do not rise from 1 or more.

    Tried on both tables of digits (`studies/tables/`) at equal epochs (6 to 20 seeds, random and mostly TPE too)
    and left out as none was better on both:
    - the front alone: early accuracies are noisy, which the share makes up for; without it the end is lower;
    - the share by distance from the best at no greater cost instead of front and room: the same;
    - all within a slack of the best at no greater cost: slower the wider it is;
    - by what a point alone adds to the hypervolume: better in the first 300 epochs, slower from then on;
    - by expected hypervolume improvement at known cost, of values extrapolated from this rung, for each epoch to come:
      the same on one table, a quarter fewer epochs on the other with random proposals, lower on both with TPE;
    - pausing instead of stopping, and going on with the best of the paused: the same.
    There is little room: who knew beforehand which students will extend the front would save a seventh of the epochs on
    one table and none on the other (`studies/claims/early_stopping.py`).

    Source: asynchronous successive halving, Li et al. (2020), https://arxiv.org/abs/1810.05934, section
    3.2, stopping instead of pausing; several objectives as in Schmucker et al. (2021),
    https://arxiv.org/abs/2106.12639, with NSGA-II's order.
    """
    kept = dict(_rising_pairs(rungs))

    def advance(point: Point, peers: Sequence[Point]) -> bool | None:
        if _unknown(point):
            return False
        if point.epoch not in kept:
            return True
        # Later entries win: the point as given, whatever a peer says of the same trial.
        known = {peer.trial: peer for peer in [*peers, point] if not _unknown(peer)}
        trials = sorted(known)
        keep = len(trials) * point.epoch // kept[point.epoch]
        if keep < 1:
            return None
        place = trials.index(point.trial)
        losses = pareto.as_losses([known[trial].values for trial in trials], objectives)
        ranks = pareto.ranks(losses)
        left = keep - int((ranks < ranks[place]).sum())
        if ranks[place] == 0 or left <= 0:
            return bool(ranks[place] == 0)
        alike = np.flatnonzero(ranks == ranks[place])
        loneliest = np.argsort(-pareto.crowding(losses[alike]), kind="stable")  # ties: in the order of trials
        return bool(place in alike[loneliest[:left]])

    return advance


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
