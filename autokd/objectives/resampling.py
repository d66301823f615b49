"""The standard error of an objective without a formula for it: the objective is measured on resampled rows."""

from __future__ import annotations

import math
from statistics import stdev

import torch

from autokd.errors import FOREIGN
from autokd.objectives.measuring import measured
from autokd.types import Evaluation, Objective

_RESAMPLES = 50
_MOST_ROWS = 10_000


def resampled_error(objective: Objective, evaluation: Evaluation) -> float:
    """The standard deviation of the objective over 50 samples of rows, drawn with replacement; the same each time.

    If there are more than 10,000 rows, each sample has 10,000, and the deviation is scaled to all rows. A sample on
    which the objective cannot be measured, such as one that lacks a class, is left out. If fewer than two samples
    remain, the result is 0.

    Source: Efron (1979), https://doi.org/10.1214/aos/1176344552.
    """
    generator, rows = torch.Generator().manual_seed(0), len(evaluation.targets)
    size, values = min(rows, _MOST_ROWS), []
    for _ in range(_RESAMPLES if rows else 0):
        drawn = torch.randint(rows, (size,), generator=generator)
        parts = (evaluation.outputs[drawn], evaluation.targets[drawn], evaluation.teacher[drawn])
        sample = Evaluation(*parts, evaluation.head)
        try:
            values.append(measured(objective, sample))
        except FOREIGN:  # the objective works on all rows; a plug-in may raise anything on a sample
            continue
    finite = [value for value in values if math.isfinite(value)]
    return stdev(finite) * math.sqrt(size / rows) if len(finite) > 1 else 0.0
