"""How probable it is that a student is trained to the end, judged by what became of those that were begun.

A scheduler stops students, and trainings fail or diverge. What they would have added to the front is then never seen: a
sampler that goes by that alone proposes their like for ever.

What this costs on the two tables of digits (`studies/claims/early_stopping.py`; share of the true front's volume after
270 / 540 / 1,080 epochs, means of 10 seeds): with chances .970 / .978 / .984 and .959 / .969 / .980, without them
.970 / .980 / .984 and .958 / .971 / .983, with standard errors of .003 / .001 / .001 and .004 / .003 / .002. So two of
six figures are lower by one to two standard errors, and the others within one. Left out:
- the gain times the chance, not by the epoch: .973 / .979 / .984 and .967 / .969 / .983 on 4 seeds, on which this form
  has .973 / .981 / .985 and .974 / .979 / .985;
- what became of near students, weighed by their distance, as the chance: as good on the tables (6 seeds), but where
  everyone in a region was stopped it proposed up to 39 students there in a row, and this form 13 at most (60 proposals
  for each of the three regions in `tests/test_chances.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autokd.pareto import Floats

if TYPE_CHECKING:
    from autokd.samplers.surrogate import Surrogate

_COST_OF_A_STOP = 1 / 9


class Chances:
    """The chance to be trained to the end: 1 for everyone while everyone was, else by a Gaussian process.

    The process is told 1 for a student that was trained to the end and 0 for any other. It expects of a student a
    chance within some deviation; counted is the mean of what lies within 0 and 1. So even where everyone was stopped
    a student unlike the others has a chance, and the more of a kind were stopped, the less has the next of that kind.

    Args:
        surrogate: of what became of students.
        features: of students that have ended, shape (students, columns).
        to_the_end: which of them were trained to the end, shape (students,).
    """

    def __init__(self, surrogate: Surrogate, features: Floats, to_the_end: NDArray[np.bool_]) -> None:
        told = features, to_the_end.astype(float), np.zeros(len(features))
        self._process = None if to_the_end.all() else surrogate.fit(*told)

    def __call__(self, features: Floats) -> Floats:
        """The chance of students, shape (students,), 0 .. 1."""
        if self._process is None:
            return np.ones(len(features))
        mean, deviation = self._process(features)
        return _expected_above(mean, deviation) - _expected_above(mean - 1, deviation)


def worth(chances: Floats) -> Floats:
    """What an epoch gains that is spent on a student with a chance, over what it would if the chance were 1.

    A student that is stopped costs less than one that is not: a ninth of it, as with the first of the default rungs.
    """
    return chances / (_COST_OF_A_STOP + (1 - _COST_OF_A_STOP) * chances)


def _expected_above(mean: Floats, deviation: Floats) -> Floats:
    """What is expected of the part above 0 of normal variables."""
    from scipy.special import ndtr  # slow to import, and not wanted before a student was stopped

    away = mean / deviation
    return np.asarray(mean * ndtr(away) + deviation * np.exp(-(away**2) / 2) / np.sqrt(2 * np.pi))
