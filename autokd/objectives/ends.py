"""The ends of a trained objective where it does not declare them: what right answers score, and what blind ones do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from autokd.errors import FOREIGN, InputError
from autokd.objectives.measuring import measured
from autokd.types import Evaluation, Objective

_CERTAIN = 20.0
"""The logit of a right answer, against 0 for all others: certain, and its probabilities still have logarithms."""
_RARE = 0.5
"""How many rows a class counts for that no training row has, so that its probability has a logarithm."""


def find_ends(objective: Objective, evaluation: Evaluation, learnt: Tensor) -> tuple[float, float]:
    """The ideal value of a trained objective and the worst one that counts.

    The worst is its bound, or declared, or what the best answer that does not look at the input scores: for classes
    their shares among the training labels, for numbers their means. Where this is no number, or no worse than the ideal
    (it is well calibrated, say), it is what random answers score. The ideal is declared, or what right answers score.
    For targets of which the right answer is not known, it is 0 of what is minimised and 1 of what is maximised, as long
    as these are better than the worst; else it is as far beyond the worst as that is from 0.

    Args:
        objective: the objective.
        evaluation: on validation; its outputs say only how many there are.
        learnt: the targets of the training rows.

    Raises:
        InputError: the worst value cannot be found.
    """
    sign = -1.0 if objective.direction == "maximize" else 1.0
    ideal = objective.ideal if objective.ideal is not None else _score(objective, evaluation, _right(evaluation))
    stated = objective.worst if objective.bound is None else objective.bound
    if stated is not None:
        worst = stated
    else:
        blind = (_score(objective, evaluation, outputs) for outputs in _unseeing(evaluation, learnt))
        sound = (score for score in blind if math.isfinite(score) and not sign * (score - ideal) <= 0)
        worst = next(sound, math.nan)
        if math.isnan(worst):
            raise InputError(
                f"objectives.{objective.name}: neither constant nor random answers give a finite number that is worse "
                "than that of right answers, so it is not known from where a value counts; declare ideal= and worst= "
                "in its Objective"
            )
    if not math.isfinite(ideal):
        plain = 1.0 if objective.direction == "maximize" else 0.0
        ideal = plain if sign * (worst - plain) > 0 else worst - sign * max(abs(worst), 1.0)
    return ideal, worst


def _score(objective: Objective, evaluation: Evaluation, outputs: Tensor | None) -> float:
    """What such outputs score; NaN where they cannot be measured."""
    if outputs is None:
        return math.nan
    try:
        return measured(objective, replace(evaluation, outputs=outputs))
    except FOREIGN:  # whatever an objective raises on answers that no student would give
        return math.nan


def _right(evaluation: Evaluation) -> Tensor | None:
    """The outputs that answer every row with its target; None where it is not known what these are."""
    targets, outputs = evaluation.targets, evaluation.outputs
    if _are_classes(targets):
        return _CERTAIN * F.one_hot(targets, outputs.shape[1]).float()
    return targets.float() if targets.shape == outputs.shape else None


def _unseeing(evaluation: Evaluation, learnt: Tensor) -> Iterator[Tensor]:
    """Outputs that do not look at the input: the same for every row as far as it is known how, and random ones."""
    rows, num_outputs = evaluation.outputs.shape
    if _are_classes(learnt):
        counts = learnt.bincount(minlength=num_outputs).float().clamp(min=_RARE)
        yield (counts / counts.sum()).log().expand(rows, num_outputs).clone()
    elif learnt.shape[1:] == (num_outputs,):
        yield learnt.float().nanmean(0).expand(rows, num_outputs).clone()
    yield torch.randn(rows, num_outputs, generator=torch.Generator().manual_seed(0))


def _are_classes(targets: Tensor) -> bool:
    return targets.ndim == 1 and not targets.is_floating_point() and bool((targets >= 0).all())
