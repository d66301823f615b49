"""How much a candidate is expected to add to a front: exact expected hypervolume improvement.

Costs are known before training, so only trained objectives are random. The space that no point of the front
dominates is cut into boxes that do not overlap. Within a box, the improvement is a product with one factor for each
objective. The factors are independent, so the expected product is the product of the expected factors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autokd.pareto import Floats, non_dominated

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def nodes(mean: Floats, deviation: Floats) -> Floats:
    """Quadrature nodes of normal variables, shape (variables, 15); `expected` averages a function over them."""
    return np.asarray(mean)[:, None] + np.asarray(deviation)[:, None] * _NODES


def expected(values: Floats) -> Floats:
    """The expected value of a function of normal variables, from its values at their `nodes`, shape (variables,)."""
    return np.asarray(values @ _WEIGHTS)


Boxes = tuple[Floats, Floats]
"""Low and high ends of boxes, each of shape (boxes, objectives)."""


def expected_improvement(candidates: list[Floats], free: Boxes) -> Floats:
    """Expected gain in hypervolume by each candidate, shape (candidates,).

    Args:
        candidates: the losses of each objective: shape (candidates,) where they are known, and shape (candidates, 15)
            where they are random, as values at the `nodes`.
        free: the region that can still be gained, as `free_boxes` gives it for the front so far.

    Source: Emmerich et al. (2011), https://doi.org/10.1109/CEC.2011.5949880; a box decomposition by slices.
    """
    low, high = free
    gain = np.ones((len(candidates[0]), len(low)))
    for objective, losses in enumerate(candidates):
        levels, place = np.unique([low[:, objective], high[:, objective]], return_inverse=True)
        room = _expected_room(levels, losses)
        below, above = np.reshape(place, (2, -1))
        gain *= room[:, above] - room[:, below]
    return np.asarray(gain.sum(axis=1))


def free_boxes(points: Floats, worst: Floats) -> Boxes:
    """The region below the worst point that no point dominates, as boxes that do not overlap.

    Low ends may be -inf. The region is cut into slices along the last objective, and each slice is cut in the same way
    with one objective less. A box that goes on in the next slice is joined with its continuation.

    Args:
        points: losses, shape (points, objectives), one objective or more; some may be dominated.
        worst: shape (objectives,).
    """
    if len(worst) == 1:
        return np.array([[-np.inf]]), np.array([[min(worst[0], points.min(initial=np.inf))]])
    front = points[(points < worst).all(axis=1)]
    if len(worst) > 2:
        front = front[non_dominated(front)]
    order = front[np.argsort(front[:, -1], kind="stable")]
    edges = np.concatenate([[-np.inf], order[:, -1], worst[-1:]])
    slices = np.flatnonzero(np.diff(edges) > 0)
    if len(worst) == 2:
        least = np.minimum.accumulate([worst[0], *order[:, 0]])
        low = np.column_stack([np.full(len(slices), -np.inf), edges[slices]])
        return low, np.column_stack([least[slices], edges[slices + 1]])
    cut = [free_boxes(order[:i, :-1], worst[:-1]) for i in slices]
    counts = [len(below) for below, _ in cut]
    low = np.column_stack([np.concatenate([below for below, _ in cut]), np.repeat(edges[slices], counts)])
    high = np.column_stack([np.concatenate([above for _, above in cut]), np.repeat(edges[slices + 1], counts)])
    return _joined(low, high)


def _joined(low: Floats, high: Floats) -> Boxes:
    """The same region, where boxes that touch in the last objective and agree in all others are joined."""
    sides = np.concatenate([low[:, :-1], high[:, :-1]], axis=1)
    order = np.lexsort([low[:, -1], *sides.T])
    low, high, sides = low[order], high[order], sides[order]
    apart = (sides[1:] != sides[:-1]).any(axis=1) | (high[:-1, -1] != low[1:, -1])
    first, last = np.append(True, apart), np.append(apart, True)
    return low[first], np.column_stack([high[first, :-1], high[last, -1]])


def _expected_room(levels: Floats, losses: Floats) -> NDArray[np.float64]:
    """How far losses stay below each level on average, shape (candidates, levels); 0 for a level of -inf."""
    room = np.zeros((len(losses), len(levels)))
    for i in np.flatnonzero(np.isfinite(levels)):
        spare = np.maximum(levels[i] - losses, 0.0)
        room[:, i] = spare if losses.ndim == 1 else expected(spare)
    return room
