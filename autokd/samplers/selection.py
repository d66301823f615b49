"""Which students of a long search a model learns from, since its cost grows with the cube of their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autokd.pareto import Floats, non_dominated


def chosen(losses: Floats, always: NDArray[np.bool_], number: int) -> NDArray[np.int64]:
    """Indices of `number` students in their order: half are nearest to the front, half are spread over the others.

    The model must tell which of the students near the front are better. The others keep it from expecting much where
    nothing good was found. The distance from the front is the smallest improvement in all objectives at once, each
    scaled to its range on the front, after which no student dominates this one.

    Args:
        losses: as far as they are known, shape (students, objectives); NaN where a loss is not known.
        always: which students are chosen in any case, in addition to `number`; shape (students,).
        number: how many students to choose, 2 or more.
    """
    wanted = always.copy()
    known = np.flatnonzero(~always & np.isfinite(losses).all(axis=1))
    near = known[np.argsort(_from_front(losses[known]), kind="stable")]
    wanted[near[: number // 2]] = True
    left = np.flatnonzero(~wanted)
    places = np.linspace(0, len(left) - 1, min(number - number // 2, len(left)))
    wanted[left[np.round(places).astype(int)]] = True
    return np.flatnonzero(wanted)


def _from_front(losses: Floats) -> Floats:
    """The distance of each student from the front, as a share of the front's ranges, shape (students,)."""
    front = losses[non_dominated(losses)]
    span = np.ptp(front, axis=0) if len(front) else np.ones(losses.shape[1])
    scaled, best = losses / np.where(span > 0, span, 1.0), front / np.where(span > 0, span, 1.0)
    beaten = np.zeros(len(losses))
    for member in best:
        np.maximum(beaten, (scaled - member).min(axis=1), out=beaten)
    return beaten
