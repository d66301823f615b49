"""How much a candidate may be expected to add to a front: exact expected hypervolume improvement.

Costs are known before training, so only trained objectives are random. The space that no point of the front
dominates is cut into boxes that do not overlap; over a box the improvement is a product of one factor an objective, and
what is expected of a product of independent factors is the product of what is expected of each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autokd.pareto import Floats, non_dominated

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def nodes(mean: Floats, deviation: Floats) -> Floats:
    """Values that stand for normal variables, shape (variables, 15); a function of them has its mean at `expected`."""
    return np.asarray(mean)[:, None] + np.asarray(deviation)[:, None] * _NODES


def expected(values: Floats) -> Floats:
    """What is expected of a function of normal variables, from its values at their `nodes`, shape (variables,)."""
    return np.asarray(values @ _WEIGHTS)


def expected_improvement(candidates: list[Floats], front: Floats, reference: Floats) -> Floats:
    """Expected gain in hypervolume by each candidate, shape (candidates,).

    Args:
        candidates: for each objective the losses, shape (candidates,) where they are known, else of shape (candidates,
            15): the losses at the `nodes` of what is random.
        front: losses, shape (points, objectives); dominated points are no harm.
        reference: shape (objectives,); improvement counts up to it.

    Source: Emmerich et al. (2011), https://doi.org/10.1109/CEC.2011.5949880; a box decomposition by slices.
    """
    inside = front[(front < reference).all(axis=1)]
    low, high = free_boxes(inside[non_dominated(inside)], reference)
    gain = np.ones((len(candidates[0]), len(low)))
    for objective, losses in enumerate(candidates):
        levels, place = np.unique([low[:, objective], high[:, objective]], return_inverse=True)
        room = _expected_room(levels, losses)
        below, above = np.reshape(place, (2, -1))
        gain *= room[:, above] - room[:, below]
    return np.asarray(gain.sum(axis=1))


def free_boxes(front: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """The region below the reference that no point dominates, as disjoint boxes: low and high, (boxes, objectives).

    Low ends may be -inf. By slices along the last objective, each cut in the same way in one objective less.

    Args:
        front: points better than the reference, none dominated by another.
        reference: shape (objectives,), one objective or more.
    """
    if len(reference) == 1:
        return np.array([[-np.inf]]), np.array([[min(reference[0], front.min(initial=np.inf))]])
    order = front[np.argsort(front[:, -1], kind="stable")]
    edges = np.concatenate([[-np.inf], order[:, -1], reference[-1:]])
    low, high = [], []
    for i in np.flatnonzero(np.diff(edges) > 0):
        flat = order[:i, :-1]
        below, above = free_boxes(flat[non_dominated(flat)], reference[:-1])
        low.append(np.column_stack([below, np.full(len(below), edges[i])]))
        high.append(np.column_stack([above, np.full(len(above), edges[i + 1])]))
    return np.concatenate(low), np.concatenate(high)


def _expected_room(levels: Floats, losses: Floats) -> NDArray[np.float64]:
    """How far losses stay below each level, on average; 0 at -inf; shape (candidates, levels)."""
    room = np.zeros((len(losses), len(levels)))
    for i in np.flatnonzero(np.isfinite(levels)):
        spare = np.maximum(levels[i] - losses, 0.0)
        room[:, i] = spare if losses.ndim == 1 else expected(spare)
    return room
