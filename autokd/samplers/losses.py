"""The losses that training leads to: known ones, and predictions for students that were not trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autokd.pareto import Floats
from autokd.record import TrialRecord
from autokd.samplers.improvement import nodes

if TYPE_CHECKING:
    from autokd.samplers.surrogate import Surrogate

_ROOT_OFFSET = 0.08
_OWN_RANGE = 4
_FAR, _AS_PROBABLE_AS_NOT, _BOLD = 3, 0.3, 2

Sample = tuple[Floats, Floats, Floats]
"""Features of students, shape (students, columns), their losses at full training, and the deviations of these."""


class LossModel:
    """Predicts the loss of students in one objective, learnt from this search and from an earlier one.

    The model works on square roots of losses, scaled by a range. An earlier search has a range of its own. A student
    whose loss is worth nothing and far above all others, such as a network that stays at chance level, would stretch
    the range until the others can hardly be told apart. Such failures are left out, and if there are any, a second
    process predicts how probable a failure is.

    Args:
        surrogate: the Gaussian process of the losses.
        failures: the Gaussian process that tells which students fail.
        now: the students of this search.
        earlier: the students of an earlier search. Either `now` or `earlier` may be empty, but not both.
        worst: a loss of this or more is worth nothing.
    """

    def __init__(self, surrogate: Surrogate, failures: Surrogate, now: Sample, earlier: Sample, worst: float) -> None:
        failed = [_failed(losses, worst) for _, losses, _ in (now, earlier)]
        labels = np.concatenate(failed).astype(float)
        told = np.concatenate([now[0], earlier[0]]), labels, np.zeros(len(labels))
        self._failing = failures.fit(*told) if labels.any() else None
        (rows, losses, doubts), (old_rows, old_losses, old_doubts) = (
            (x[~without], y[~without], z[~without]) for (x, y, z), without in zip((now, earlier), failed, strict=True)
        )
        self._range = _range(losses if len(losses) >= _OWN_RANGE or not len(old_losses) else old_losses)
        old_range = _range(old_losses) if len(old_losses) else self._range
        known = rows, *_rooted(losses, doubts, *self._range)
        old = old_rows, *_rooted(old_losses, old_doubts, *old_range)
        self._process = surrogate.fit(*(np.concatenate(parts) for parts in zip(known, old, strict=True)))

    def works(self, features: Floats) -> Floats:
        """How probable it is that students do not fail, shape (students,), 0 .. 1.

        The process learns the label 1 for a failure and 0 for any other student. A student with a predicted mean of .3
        counts as equally likely to fail or not. Since the best of hundreds of candidates is proposed, a threshold of .5
        would be too hopeful. With .5 a search reached .986 and .993 of the volume of the first two NAS tables after 50
        trainings, with .3 it reached .987 and .994 (12 seeds), and without modelling failures .983 and .989.
        """
        if self._failing is None:
            return np.ones(len(features))
        from scipy.special import ndtr  # slow to import, and not needed before students have failed

        mean, deviation = self._failing(features)
        return np.asarray(ndtr((_AS_PROBABLE_AS_NOT - mean) / deviation))

    def suppose(self, features: Floats) -> Floats:
        """The predicted losses of students. From now on the model treats these predictions as observed."""
        mean, _ = self._process(features)
        self._process = self._process.supposing(features)
        return _unrooted(mean, *self._range)

    def nodes(self, features: Floats, *, bold: bool) -> Floats:
        """The predicted losses at the nodes of `improvement.nodes`.

        If `bold`, the deviation includes the noise of a single training, or is doubled where that is more.
        """
        mean, deviation = self._process(features)
        if bold:
            deviation = np.maximum(_BOLD * deviation, np.hypot(deviation, self._process.noise))
        return _unrooted(nodes(mean, deviation), *self._range)


def extrapolated(records: Sequence[TrialRecord], name: str) -> tuple[Floats, Floats]:
    """Each trial's value at full training, and the standard deviation of that guess; NaN where nothing is known.

    A fully trained trial keeps its value. A trial that stopped at an earlier rung is assumed to gain what others gained
    that passed the same rung and trained to the end. The gain comes from least squares over these, with the slope drawn
    towards 1. If there are none, the trial keeps its value, and the deviation is that of all known values.
    """
    last = max((record.epoch for record in records), default=0)
    values = [{epoch: rung[name] for epoch, rung in record.rungs.items() if name in rung} for record in records]
    final, doubt = np.full(len(records), np.nan), np.zeros(len(records))
    known = [value for row in values for value in row.values()]
    spread = float(np.std(known)) if known else 0.0
    reached = np.array([max(row, default=0) for row in values])
    for epoch in set(reached.tolist()) - {0}:
        those = np.flatnonzero(reached == epoch)
        here = np.array([values[k][epoch] for k in those])
        pairs = [(row[epoch], row[last]) for row in values if epoch in row and last in row]
        if epoch == last:
            final[those] = here
        else:
            final[those], doubt[those] = _gained(here, np.array(pairs)) if pairs else (here, spread)
    return final, doubt


def _gained(values: Floats, pairs: Floats) -> tuple[Floats, float]:
    before, after = pairs.T
    centre, gain = before.mean(), after.mean() - before.mean()
    away = before - centre
    ridge = max(float(away @ away) / len(pairs), 1e-12)  # acts like one more pair with slope 1
    slope = 1 + float(away @ (after - after.mean() - away)) / (float(away @ away) + ridge)
    left = after - after.mean() - slope * away
    return centre + gain + slope * (values - centre), float(np.sqrt((left @ left + ridge) / len(pairs)))


def _failed(losses: Floats, worst: float) -> NDArray[np.bool_]:
    """Which losses are failures: `worst` or more, and over three times as far above the lowest as the 75 % quantile.

    A loss of `worst` or more that is nearer than that is a near miss, and near misses tell the model where it gets
    better. If every loss from `worst` on counted as a failure, a search with a bound that most students break would end
    far lower: .66 instead of .91 of the volume after 50 trainings of NAS-Bench-201 with a bound of 92 %, 8 seeds.
    """
    if not len(losses):
        return np.zeros(0, dtype=bool)
    low = losses.min()
    return np.asarray((losses >= worst) & (losses > low + _FAR * (np.quantile(losses, 0.75) - low)))


def _range(losses: Floats) -> tuple[float, float]:
    """The lowest loss, and how far above it the 90 % quantile is."""
    low = float(losses.min())
    return low, (float(np.quantile(losses, 0.9)) - low) or 1.0


def _rooted(losses: Floats, doubt: Floats, low: float, span: float) -> tuple[Floats, Floats]:
    root = np.sqrt(np.maximum((losses - low) / span, 0) + _ROOT_OFFSET)
    return root, doubt / span / (2 * root)


def _unrooted(roots: Floats, low: float, span: float) -> Floats:
    return np.asarray(low + span * (np.maximum(roots, 0.0) ** 2 - _ROOT_OFFSET))
