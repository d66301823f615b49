"""What training gives: as far as it is known, and as it is expected of students that were not trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autokd.pareto import Floats
from autokd.record import TrialRecord
from autokd.samplers.improvement import nodes
from autokd.samplers.surrogate import Surrogate

_ROOT_OFFSET = 0.08
_OWN_RANGE = 4


Sample = tuple[Floats, Floats, Floats]
"""Features of students, shape (students, columns), their losses at full training and the doubt about these."""


class LossModel:
    """What is expected of students in one objective, learnt from these and from those of an earlier search.

    Square roots of losses are modelled, within a range; an earlier search has a range of its own.
    """

    def __init__(self, surrogate: Surrogate, now: Sample, earlier: Sample) -> None:
        self._surrogate = surrogate
        (rows, losses, doubts), (old_rows, old_losses, old_doubts) = now, earlier
        self._range = _range(losses if len(losses) >= _OWN_RANGE or not len(old_losses) else old_losses)
        old_range = _range(old_losses) if len(old_losses) else self._range
        known = rows, *_rooted(losses, doubts, *self._range)
        old = old_rows, *_rooted(old_losses, old_doubts, *old_range)
        self._fit([np.concatenate(parts) for parts in zip(known, old, strict=True)])

    def suppose(self, features: Floats) -> Floats:
        """The losses expected of students, which are taken for true from now on."""
        mean, _ = self._predict(features)
        supposed = features, mean, np.zeros(len(mean))
        self._fit([np.concatenate(parts) for parts in zip(self._known, supposed, strict=True)])
        return _unrooted(mean, *self._range)

    def nodes(self, features: Floats, *, training: bool) -> Floats:
        """What stands for the losses, as `improvement.nodes` gives it; see `Surrogate.fit` for `training`."""
        return _unrooted(nodes(*self._predict(features, training=training)), *self._range)

    def _fit(self, known: Sequence[Floats]) -> None:
        self._known = known
        self._predict = self._surrogate.fit(*known)


def extrapolated(records: Sequence[TrialRecord], name: str) -> tuple[Floats, Floats]:
    """Each trial's value at full training, and the standard deviation of that guess; NaN where nothing is known.

    What was trained in full is as it is. A trial stopped at an earlier rung is taken to gain as those did that went
    through the same rung and on to the end: by least squares over them, with the slope drawn towards 1; where there
    were none, it keeps its value, in doubt by as much as values spread.
    """
    last = max((record.epoch for record in records), default=0)
    values = [{epoch: rung[name] for epoch, rung in record.rungs.items() if name in rung} for record in records]
    final, doubt = np.full(len(records), np.nan), np.zeros(len(records))
    known = [value for row in values for value in row.values()]
    spread = float(np.std(known)) if known else 0.0
    ends = {
        epoch: [(row[epoch], row[last]) for row in values if epoch in row and last in row]
        for epoch in {epoch for row in values for epoch in row}
    }
    for k, row in enumerate(values):
        if not row:
            continue
        epoch = max(row)
        final[k] = row[epoch]
        if epoch < last:
            pairs = ends[epoch]
            final[k], doubt[k] = _gained(row[epoch], np.array(pairs)) if pairs else (row[epoch], spread)
    return final, doubt


def _gained(value: float, pairs: Floats) -> tuple[float, float]:
    before, after = pairs.T
    centre, gain = before.mean(), after.mean() - before.mean()
    away = before - centre
    ridge = max(float(away @ away) / len(pairs), 1e-12)  # as one more pair with slope 1
    slope = 1 + float(away @ (after - after.mean() - away)) / (float(away @ away) + ridge)
    left = after - after.mean() - slope * away
    return centre + gain + slope * (value - centre), float(np.sqrt((left @ left + ridge) / len(pairs)))


def _range(losses: Floats) -> tuple[float, float]:
    """The least, and how far above it nine in ten are."""
    low = float(losses.min())
    return low, (float(np.quantile(losses, 0.9)) - low) or 1.0


def _rooted(losses: Floats, doubt: Floats, low: float, span: float) -> tuple[Floats, Floats]:
    root = np.sqrt(np.maximum((losses - low) / span, 0) + _ROOT_OFFSET)
    return root, doubt / span / (2 * root)


def _unrooted(roots: Floats, low: float, span: float) -> Floats:
    return np.asarray(low + span * (np.maximum(roots, 0.0) ** 2 - _ROOT_OFFSET))
