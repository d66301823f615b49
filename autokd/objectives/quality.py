"""How good a trained student's answers are, measured on one `Evaluation`.

Outputs are logits, shape (rows, num_outputs); targets are labels, int64, shape (rows,). The answer to a row is the
class with the largest output, the first of equal ones. Outputs that hold NaN are refused with `InfeasibleError`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from autokd.errors import InfeasibleError
from autokd.types import Evaluation


def accuracy(evaluation: Evaluation) -> float:
    """The fraction of rows that are answered with their label."""
    return _fraction(_answers(evaluation) == evaluation.targets)


def error(evaluation: Evaluation) -> float:
    """The fraction of rows that are answered with another class than their label."""
    return 1.0 - accuracy(evaluation)


def agreement(evaluation: Evaluation) -> float:
    """The fraction of rows that are answered as the teacher answers them, right or wrong.

    Raises:
        InfeasibleError: the teacher has no answer to some rows, or the outputs hold NaN.
    """
    if evaluation.teacher.isnan().any():
        raise InfeasibleError("the teacher has no answer to some of these rows, so agreement cannot be measured")
    return _fraction(_answers(evaluation) == evaluation.teacher.argmax(1))


def balanced_accuracy(evaluation: Evaluation) -> float:
    """The fraction of a class's rows that are answered right, averaged over the classes that the targets hold."""
    counts = _confusion(evaluation)
    rows = counts.sum(1)
    return float((counts.diagonal()[rows > 0] / rows[rows > 0]).mean())


def f1(evaluation: Evaluation) -> float:
    """The F1 score of a class, averaged over the classes that the targets or the answers hold.

    The F1 score is 2 * hits / (rows with this label + rows with this answer).
    """
    counts = _confusion(evaluation)
    rows = counts.sum(0) + counts.sum(1)
    return float((2 * counts.diagonal()[rows > 0] / rows[rows > 0]).mean())


def ece(evaluation: Evaluation, *, bins: int = 15) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over bins, weighed by their rows.

    Args:
        evaluation: the confidence of an answer is its probability at temperature 1.
        bins: the number of bins, of equal width over confidences 0 .. 1. A confidence on an edge belongs to the lower
            bin.

    Source: Guo et al. (2017), https://arxiv.org/abs/1706.04599, equation 3.
    """
    right = (_answers(evaluation) == evaluation.targets).double()
    confidence = evaluation.outputs.double().softmax(1).amax(1)
    bin_of = (confidence * bins).ceil().long() - 1
    gaps = torch.zeros(bins, dtype=torch.double).index_add_(0, bin_of, right - confidence)
    return float(gaps.abs().sum() / len(right))


def nll(evaluation: Evaluation) -> float:
    """The mean negative log-probability of the label at temperature 1, in nats."""
    return float(F.cross_entropy(evaluation.outputs.double(), evaluation.targets))


def _answers(evaluation: Evaluation) -> Tensor:
    if evaluation.outputs.isnan().any():
        raise InfeasibleError("the student's outputs hold NaN: its training diverged; try a lower learning rate")
    return evaluation.outputs.argmax(1)


def _confusion(evaluation: Evaluation) -> Tensor:
    """The number of rows by (label, answer), float64, shape (num_outputs, num_outputs)."""
    num_outputs = evaluation.outputs.shape[1]
    cells = evaluation.targets * num_outputs + _answers(evaluation)
    return cells.bincount(minlength=num_outputs**2).view(num_outputs, num_outputs).double()


def _fraction(rows: Tensor) -> float:
    return float(rows.double().mean())
