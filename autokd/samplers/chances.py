"""How probable it is that a student is trained to the end, learnt from what became of earlier students.

A scheduler stops students, and some trainings fail or diverge. Nobody then learns what these students would have added
to the front. A sampler that looked only at the expected gain would propose similar students again and again.

We measured what the chances cost on the two tables of digits with `studies/claims/early_stopping.py`. The figures are
shares of the true front's volume after 270 / 540 / 1,080 epochs, means of 10 seeds. With chances the search reaches
.970 / .978 / .984 on the first table and .959 / .969 / .980 on the second. Without them it reaches .970 / .980 / .984
and .958 / .971 / .983. The standard errors are .003 / .001 / .001 and .004 / .003 / .002. So two of the six figures are
lower by one to two standard errors, and the others agree within one. We tried two other forms and left them out:

- The gain times the chance, without dividing by the expected epochs, reached .973 / .979 / .984 and .967 / .969 / .983
  on 4 seeds. On the same seeds this form reaches .973 / .981 / .985 and .974 / .979 / .985.
- As the chance, the mean of what became of nearby students, weighed by their distance. This was as good on the tables
  (6 seeds). But where every student of a region was stopped, it proposed up to 39 students there in a row, and this
  form proposes at most 13 (60 proposals for each of the three regions in `tests/test_chances.py`).
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
    """The chance of a student to be trained to the end: 1 while no student was stopped, else from a Gaussian process.

    The process learns the label 1 for a student that was trained to the end and 0 for any other. For a new student it
    predicts a mean and a deviation. The chance is the mean of that normal variable clipped to 0 .. 1. So a student that
    is unlike the others has a chance even if all of them were stopped, and the more students of a kind were stopped,
    the smaller is the chance of the next one.

    Args:
        surrogate: the Gaussian process that learns these labels.
        features: features of students that have ended, shape (students, columns).
        to_the_end: which of them were trained to the end, shape (students,).
    """

    def __init__(self, surrogate: Surrogate, features: Floats, to_the_end: NDArray[np.bool_]) -> None:
        told = features, to_the_end.astype(float), np.zeros(len(features))
        self._process = None if to_the_end.all() else surrogate.fit(*told)

    def __call__(self, features: Floats) -> Floats:
        """The chance of each student, shape (students,), 0 .. 1."""
        if self._process is None:
            return np.ones(len(features))
        mean, deviation = self._process(features)
        return _expected_above(mean, deviation) - _expected_above(mean - 1, deviation)


def worth(chances: Floats) -> Floats:
    """The gain per epoch of students with these chances, relative to students that are certain to reach the end.

    A stopped student is taken to cost a ninth of a full training, as at the first of the default rungs.
    """
    return chances / (_COST_OF_A_STOP + (1 - _COST_OF_A_STOP) * chances)


def _expected_above(mean: Floats, deviation: Floats) -> Floats:
    """The expected value of max(variable, 0) for normal variables."""
    from scipy.special import ndtr  # slow to import, and not needed before a student was stopped

    away = mean / deviation
    return np.asarray(mean * ndtr(away) + deviation * np.exp(-(away**2) / 2) / np.sqrt(2 * np.pi))
