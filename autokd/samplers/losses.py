"""What training gives: as far as it is known, and as it is expected of students that were not trained."""

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
"""Features of students, shape (students, columns), their losses at full training and the doubt about these."""


class LossModel:
    """What is expected of students in one objective, learnt from these and from those of an earlier search.

    Square roots of losses are modelled, within a range; an earlier search has a range of its own. A student that is
    worth nothing and far from the others besides, as a network that stays at chance level, would stretch the range in
    which these are told apart. Such failures are left out of it, and where there are any, a second process says how
    probable one is.

    Args:
        surrogate: of losses.
        failures: of which students fail.
        now: students of this search.
        earlier: those of an earlier one; none of them, or of `now`, is fine, but not of both.
        worst: a loss as great as this, or greater, is worth nothing.
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

        A failure is told as 1, any other as 0; what is expected to come out at .3 is as probable as not. Of hundreds
        of candidates the one that looks least like a failure is proposed, so that the middle would hope for too much:
        with .5 the first two NAS tables had .986 and .993 of the volume after 50 trainings, with .3 .987 and .994 (12
        seeds), without a word on failures .983 and .989.
        """
        if self._failing is None:
            return np.ones(len(features))
        from scipy.special import ndtr  # slow to import, and not wanted before students have failed

        mean, deviation = self._failing(features)
        return np.asarray(ndtr((_AS_PROBABLE_AS_NOT - mean) / deviation))

    def suppose(self, features: Floats) -> Floats:
        """The losses expected of students, which are taken for true from now on."""
        mean, _ = self._process(features)
        self._process = self._process.supposing(features)
        return _unrooted(mean, *self._range)

    def nodes(self, features: Floats, *, bold: bool) -> Floats:
        """What stands for the losses, as `improvement.nodes` gives it; `bold` counts luck, or twice the doubt."""
        mean, deviation = self._process(features)
        if bold:
            deviation = np.maximum(_BOLD * deviation, np.hypot(deviation, self._process.noise))
        return _unrooted(nodes(mean, deviation), *self._range)


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
    ridge = max(float(away @ away) / len(pairs), 1e-12)  # as one more pair with slope 1
    slope = 1 + float(away @ (after - after.mean() - away)) / (float(away @ away) + ridge)
    left = after - after.mean() - slope * away
    return centre + gain + slope * (values - centre), float(np.sqrt((left @ left + ridge) / len(pairs)))


def _failed(losses: Floats, worst: float) -> NDArray[np.bool_]:
    """Which are worth nothing, and three times as far above the least as three in four are; less is a near miss.

    With every loss from `worst` on a failure, a search that asks for more accuracy than most students have ends far
    lower (.66 for .91 of the volume after 50 trainings of NAS-Bench-201 with a bound of 92 %, 8 seeds): near misses
    say where it is better.
    """
    if not len(losses):
        return np.zeros(0, dtype=bool)
    low = losses.min()
    return np.asarray((losses >= worst) & (losses > low + _FAR * (np.quantile(losses, 0.75) - low)))


def _range(losses: Floats) -> tuple[float, float]:
    """The least, and how far above it nine in ten are."""
    low = float(losses.min())
    return low, (float(np.quantile(losses, 0.9)) - low) or 1.0


def _rooted(losses: Floats, doubt: Floats, low: float, span: float) -> tuple[Floats, Floats]:
    root = np.sqrt(np.maximum((losses - low) / span, 0) + _ROOT_OFFSET)
    return root, doubt / span / (2 * root)


def _unrooted(roots: Floats, low: float, span: float) -> Floats:
    return np.asarray(low + span * (np.maximum(roots, 0.0) ** 2 - _ROOT_OFFSET))
