"""The ideal and the worst value of a trained objective that does not declare them, from right and blind answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from autokd.errors import FOREIGN, InfeasibleError, InputError
from autokd.heads import blind_answer, right_answers
from autokd.objectives.measuring import measured
from autokd.types import Evaluation, Head, Objective


def find_ends(objective: Objective, evaluation: Evaluation, learnt: Tensor) -> tuple[float, float]:
    """The ideal value of a trained objective, and the worst value that counts.

    The worst value is the objective's bound, or else the declared one. If there is neither, it is the score of the best
    answer that ignores the input, such as the classes' shares among the training labels, or the means of values. If
    that score is no finite number, or no worse than the ideal (such an answer may be well calibrated), the worst value
    is the score of random answers.

    The ideal value is the declared one, or the score of right answers. If right answers to the targets are not known,
    the ideal is 0 for a minimised objective and 1 for a maximised one, as long as this is better than the worst value.
    Otherwise it is better than the worst value by as much as the worst value differs from 0, and by 1 at least.

    Args:
        objective: the objective.
        evaluation: the evaluation on validation; only the shape of its outputs matters.
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
                f"objectives.{objective.name}: neither constant nor random answers score a finite number that is worse "
                "than the score of right answers, so AutoKD cannot tell which values count. Declare ideal= and worst= "
                "in its Objective"
            )
    if not math.isfinite(ideal):
        plain = 1.0 if objective.direction == "maximize" else 0.0
        ideal = plain if sign * (worst - plain) > 0 else worst - sign * max(abs(worst), 1.0)
    return ideal, worst


def _score(objective: Objective, evaluation: Evaluation, outputs: Tensor | None) -> float:
    """The score of these outputs; NaN if they cannot be measured."""
    if outputs is None:
        return math.nan
    try:
        return measured(objective, replace(evaluation, outputs=outputs))
    except FOREIGN:  # an objective may raise anything on answers that no student would give
        return math.nan


def _right(evaluation: Evaluation) -> Tensor | None:
    """The outputs that answer every row with its target; None if these are not known."""
    head, targets = evaluation.head, evaluation.targets
    try:
        if head is None:
            return right_answers(targets, evaluation.outputs.shape[1])
        return head.in_units(head.right(targets))
    except InfeasibleError:
        return None


def _unseeing(evaluation: Evaluation, learnt: Tensor) -> Iterator[Tensor]:
    """Outputs that ignore the input: the best outputs that are the same for every row, if known, and random ones."""
    head, rows = evaluation.head, len(evaluation.outputs)
    shape = evaluation.outputs.shape[1:] if head is None else head.shape
    with suppress(InfeasibleError):
        best = blind_answer(learnt, shape[0]) if head is None else head.blind(learnt)
        yield _in_units(head, best.expand(rows, *shape).clone())
    yield _in_units(head, torch.randn(rows, *shape, generator=torch.Generator().manual_seed(0)))


def _in_units(head: Head | None, outputs: Tensor) -> Tensor:
    return outputs if head is None else head.in_units(outputs)
