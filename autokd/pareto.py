"""Which points are best when several losses are minimised at once, and how good a whole front is.

Every function takes losses: an array of shape (points, objectives) where smaller is better, as `losses`
makes it from values. A point dominates another if it is nowhere worse and somewhere better. Equal points do
not dominate each other, so all of them are on the front; a point with a NaN dominates nothing and is never
on the front.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from autokd.types import Objective

Floats = NDArray[np.float64]


def as_losses(values: Sequence[Mapping[str, float]], objectives: Sequence[Objective]) -> Floats:
    """Values as losses, shape (len(values), len(objectives)): maximised ones negated, absent ones NaN."""
    signs = np.array([-1.0 if objective.direction == "maximize" else 1.0 for objective in objectives])
    columns = [[row.get(objective.name, np.nan) for row in values] for objective in objectives]
    return np.array(columns, dtype=np.float64).reshape(len(objectives), len(values)).T * signs


def non_dominated(points: Floats) -> NDArray[np.bool_]:
    """Which points are on the front, shape (points,)."""
    known = ~np.isnan(points).any(axis=1)
    return known & ~_beaten(points, points)


def fronts(points: Floats) -> Iterator[NDArray[np.int64]]:
    """The front, then the front of the points it leaves, and so on: indices of each, rising.

    Points with a NaN are on none. A front is only looked for when it is asked for: by one sweep with two objectives,
    with more by one pass over the points left for each of its members.

    Source: non-dominated sorting, Deb et al. (2002), https://doi.org/10.1109/4235.996017, section III-A.
    """
    left = np.flatnonzero(~np.isnan(points).any(axis=1))
    places = np.array([np.unique(column, return_inverse=True)[1] for column in points[left].T])
    left = left[np.argsort(places.sum(axis=0)) if len(places) > 2 else np.lexsort(places)]
    while left.size:
        front = (_passed if len(places) > 2 else _swept)(points[left])
        yield np.sort(left[front])
        left = left[~front]


def _swept(points: Floats) -> NDArray[np.bool_]:
    """Which points are on the front, of points in two objectives sorted by the second, then by the first."""
    lowest = np.minimum.accumulate(points[:, 0])
    begins = np.r_[True, (points[1:] != points[:-1]).any(axis=1)]
    lower = np.r_[True, points[1:, 0] < lowest[:-1]]
    return lower[np.flatnonzero(begins)[np.cumsum(begins) - 1]]  # equal points as the first of them


def _passed(points: Floats) -> NDArray[np.bool_]:
    """Which points are on the front, of points so sorted that nobody is dominated by one who comes later."""
    front, rest = np.zeros(len(points), dtype=np.bool_), np.arange(len(points))
    while rest.size:
        best = points[rest[0]]
        front[rest[(points[rest] == best).all(axis=1)]] = True
        rest = rest[(points[rest] < best).any(axis=1)]
    return front


def crowding(points: Floats) -> Floats:
    """Room around each point among the others, >= 0, shape (points,); infinite at either end of an objective.

    The sum over objectives of the gap between the next smaller and the next larger value, in units of that
    objective's range, so that neither units nor the order of points matter; an objective in which all are
    equal adds nothing. Points must be finite. Source: as in `fronts`, section III-B; there ties are broken
    by position.
    """
    room = np.zeros(len(points))
    for column in points.T:
        distinct, place = np.unique(column, return_inverse=True)
        if distinct.size > 1:
            gaps = np.full(distinct.size, np.inf)
            gaps[1:-1] = (distinct[2:] - distinct[:-2]) / (distinct[-1] - distinct[0])
            room += gaps[place]
    return room


def hypervolume(points: Floats, reference: Floats) -> float:
    """The volume that points dominate up to a reference point, exactly; >= 0.

    Points that are not better than the reference in every objective, or hold a NaN, add nothing. By slices
    along the last objective down to two, which are swept: below 10 ms for 60 points in three objectives,
    and about as many times more as there are points for each objective after that.

    Args:
        points: losses, shape (points, objectives), two objectives or more.
        reference: losses a little worse than any point worth counting, shape (objectives,).

    Source: Zitzler and Thiele (1999), https://doi.org/10.1109/4235.797969; slices as in While et al. (2006),
    https://doi.org/10.1109/TEVC.2005.851275.
    """
    inside = points[(points < reference).all(axis=1)]
    front = inside[non_dominated(inside)]
    front = front[np.lexsort(front.T)]
    if front.size == 0:
        return 0.0
    thickness = np.diff(front[:, -1], append=reference[-1])
    if front.shape[1] == 2:
        lowest = np.minimum.accumulate(front[:, 0])
        return float(thickness @ (reference[0] - lowest))
    cuts = np.flatnonzero(thickness > 0)
    return sum(float(thickness[i]) * hypervolume(front[: i + 1, :-1], reference[:-1]) for i in cuts)


def knee(points: Floats) -> int:
    """Index of the front's point farthest below the plane through its extremes; the lowest wins ties.

    Losses are scaled to 0 .. 1 over the front first. With two objectives the plane is the line through the
    two ends. With more, extremes may coincide (the smallest network is the fastest, too): the plane is then
    the one that treats such objectives alike, so that two costs which move together do not count twice.

    Raises:
        ValueError: no row is without NaN.

    Source: Das (1999), Structural Optimization 18, pages 107 to 115: the bulge above the hull of the
    extremes.
    """
    front, scaled = _scaled_front(points)
    extremes = [np.lexsort((scaled.sum(axis=1), column))[0] for column in scaled.T]
    normal = np.linalg.lstsq(scaled[extremes], np.ones(len(extremes)), rcond=None)[0]
    return int(front[np.argmin(scaled @ np.maximum(normal, 0.0))])


def weighted(points: Floats, weights: Floats | Sequence[float]) -> int:
    """Index of the front's point whose largest weighted loss is smallest (Chebyshev).

    Losses are scaled to 0 .. 1 over the front first. Unlike a weighted sum, this can choose every point of
    a front, also where the front bends inwards. Ties go to the smallest weighted sum, then to the lowest
    index.

    Args:
        points: losses, shape (points, objectives).
        weights: >= 0, shape (objectives,); twice the weight allows half the loss.

    Raises:
        ValueError: no row is without NaN.
    """
    front, scaled = _scaled_front(points)
    terms = scaled * np.asarray(weights)
    return int(front[np.lexsort((front, terms.sum(axis=1), terms.max(axis=1)))[0]])


def near_front(points: Floats, standard_errors: Floats, k: float = 2.0) -> NDArray[np.bool_]:
    """Which points would be on the front if their losses were k standard errors smaller, shape (points,).

    Args:
        points: losses, shape (points, objectives).
        standard_errors: >= 0, of the shape of points or of a row; 0 for what is known exactly.
        k: how many standard errors of doubt to allow, >= 0; 0 gives the front.
    """
    return ~_beaten(points - k * standard_errors, points) & ~np.isnan(points).any(axis=1)


def _beaten(points: Floats, others: Floats) -> NDArray[np.bool_]:
    """Which points any of others dominates, shape (points,)."""
    no_worse = np.ones((len(points), len(others)), dtype=np.bool_)
    better = np.zeros_like(no_worse)
    for mine, theirs in zip(points.T, others.T, strict=True):
        no_worse &= theirs <= mine[:, None]
        better |= theirs < mine[:, None]
    return np.any(no_worse & better, axis=1)


def _scaled_front(points: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Indices of the points on the front, and their losses scaled to 0 .. 1; 0 where all are equal."""
    front = np.flatnonzero(non_dominated(points))
    if front.size == 0:
        raise ValueError("no point without NaN to choose from")
    lowest, span = points[front].min(axis=0), np.ptp(points[front], axis=0)
    return front, (points[front] - lowest) / np.where(span > 0, span, 1.0)
