"""How good a trained student's answers are, measured on one `Evaluation`.

The answer to a question is the class with the largest output, the first of equal ones. A row is one question for its
class; a head of labels asks one question for each known label, and a head of positions one at each place that counts.
Outputs that hold NaN are refused with `InfeasibleError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from autokd.errors import InfeasibleError
from autokd.heads import Labels
from autokd.types import Evaluation


def accuracy(evaluation: Evaluation) -> float:
    """The fraction of questions that are answered right: of rows, known labels, or places that count."""
    answers, targets = _answers(evaluation)
    return _fraction(answers == targets)


def error(evaluation: Evaluation) -> float:
    """The fraction of questions that are answered wrong."""
    return 1.0 - accuracy(evaluation)


def agreement(evaluation: Evaluation) -> float:
    """The fraction of questions that are answered as the teacher answers them, right or wrong.

    Raises:
        InfeasibleError: the teacher has no answer to some rows, or the outputs hold NaN.
    """
    if evaluation.teacher.isnan().any():
        raise InfeasibleError("the teacher has no answer to some of these rows, so agreement cannot be measured")
    return _fraction(_answers(evaluation)[0] == _questions(evaluation, evaluation.teacher)[0].argmax(1))


def balanced_accuracy(evaluation: Evaluation) -> float:
    """The fraction of a class's rows that are answered right, averaged over the classes that the targets hold."""
    counts = _confusion(evaluation)
    rows = counts.sum(1)
    return float((counts.diagonal()[rows > 0] / rows[rows > 0]).mean())


def f1(evaluation: Evaluation) -> float:
    """The F1 score of a class, averaged over the classes that the targets or the answers hold.

    The F1 score is 2 * hits / (questions with this class + questions with this answer). Of labels, it is that of a
    label holding, averaged over the labels that hold for some row or are answered so.
    """
    if isinstance(evaluation.head, Labels):
        values = [_f1_of_label(answers > 0, holds) for answers, holds in _label_columns(evaluation)]
        defined = [value for value in values if value is not None]
        return sum(defined) / len(defined) if defined else 0.0
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
    answers, targets = _answers(evaluation)
    right = (answers == targets).double()
    confidence = _questions(evaluation, evaluation.outputs)[0].double().softmax(1).amax(1)
    bin_of = (confidence * bins).ceil().long() - 1
    gaps = torch.zeros(bins, dtype=torch.double).index_add_(0, bin_of, right - confidence)
    return float(gaps.abs().sum() / len(right))


def nll(evaluation: Evaluation) -> float:
    """The mean negative log-probability of the right class at temperature 1, in nats."""
    outputs, targets = _questions(evaluation, evaluation.outputs)
    return float(F.cross_entropy(outputs.double(), targets))


def miou(evaluation: Evaluation) -> float:
    """Intersection over union of a class, averaged over the classes that the targets or the answers hold.

    It is hits / (questions with this class + questions with this answer - hits), scikit-learn's macro Jaccard score.
    """
    counts = _confusion(evaluation)
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return float((counts.diagonal()[union > 0] / union[union > 0]).mean())


def mcc(evaluation: Evaluation) -> float:
    """Matthews' correlation of answers and classes: 1 if all are right, and 0 if answers or classes are all the same.

    Source: Gorodkin (2004), https://doi.org/10.1016/j.compbiolchem.2004.09.006, equation 8.
    """
    counts = _confusion(evaluation)
    wanted, given, rows = counts.sum(1), counts.sum(0), counts.sum()
    covariance = counts.trace() * rows - wanted @ given
    spread = (rows**2 - wanted @ wanted) * (rows**2 - given @ given)
    return float(covariance / spread.sqrt()) if spread > 0 else 0.0


def auc(evaluation: Evaluation) -> float:
    """The area under the ROC curve, by scikit-learn, averaged over labels, or over classes against all others.

    Labels or classes that hold for all rows or for none have no such area, and are left out.
    """
    from sklearn.metrics import roc_auc_score

    return _averaged(evaluation, roc_auc_score)


def average_precision(evaluation: Evaluation) -> float:
    """The average precision, by scikit-learn, averaged over labels, or over classes against all others.

    Labels or classes that hold for all rows or for none are left out.
    """
    from sklearn.metrics import average_precision_score

    return _averaged(evaluation, average_precision_score)


def rmse(evaluation: Evaluation) -> float:
    """The root of the mean squared error in the user's unit, by scikit-learn, averaged over values."""
    from sklearn.metrics import root_mean_squared_error

    return _of_values(evaluation, root_mean_squared_error)


def mae(evaluation: Evaluation) -> float:
    """The mean absolute error in the user's unit, by scikit-learn, averaged over values."""
    from sklearn.metrics import mean_absolute_error

    return _of_values(evaluation, mean_absolute_error)


def r2(evaluation: Evaluation) -> float:
    """The coefficient of determination, by scikit-learn, averaged over values: 1 if all are right, 0 for the mean."""
    from sklearn.metrics import r2_score

    return _of_values(evaluation, r2_score)


def _questions(evaluation: Evaluation, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of all known questions, shape (questions, classes), and their classes."""
    if outputs is evaluation.outputs:
        _refuse_nan(outputs)
    return (
        (outputs, evaluation.targets)
        if evaluation.head is None
        else evaluation.head.as_classes(outputs, evaluation.targets)
    )


def _answers(evaluation: Evaluation) -> tuple[Tensor, Tensor]:
    """The answered class of each known question, and the right one."""
    outputs, targets = _questions(evaluation, evaluation.outputs)
    return outputs.argmax(1), targets


def _refuse_nan(outputs: Tensor) -> None:
    if outputs.isnan().any():
        raise InfeasibleError("the student's outputs hold NaN: its training diverged; try a lower learning rate")


def _confusion(evaluation: Evaluation) -> Tensor:
    """The number of questions by (class, answer), float64, shape (classes, classes)."""
    outputs, targets = _questions(evaluation, evaluation.outputs)
    classes = outputs.shape[1]
    cells = targets * classes + outputs.argmax(1)
    return cells.bincount(minlength=classes**2).view(classes, classes).double()


def _label_columns(evaluation: Evaluation) -> Iterator[tuple[Tensor, Tensor]]:
    """For each label, its logits and whether it holds, on the rows where this is known."""
    _refuse_nan(evaluation.outputs)
    for outputs, targets in zip(evaluation.outputs.unbind(1), evaluation.targets.unbind(1), strict=True):
        there = ~targets.isnan()
        yield outputs[there], targets[there] > 0.5


def _columns(evaluation: Evaluation) -> Iterator[tuple[Tensor, Tensor]]:
    """For each label or class, a number that grows with its probability, and whether it holds."""
    if isinstance(evaluation.head, Labels):
        yield from _label_columns(evaluation)
        return
    outputs, targets = _questions(evaluation, evaluation.outputs)
    for number, probabilities in enumerate(outputs.double().softmax(1).T):
        yield probabilities, targets == number


def _averaged(evaluation: Evaluation, score: Callable[..., float]) -> float:
    """The mean of a score of (whether it holds, number) over the labels or classes that hold for some rows only."""
    found = [
        float(score(holds.numpy(), numbers.numpy()))
        for numbers, holds in _columns(evaluation)
        if bool(holds.any()) and not bool(holds.all())
    ]
    if not found:
        raise InfeasibleError("no label or class holds for some of these rows and not for others")
    return sum(found) / len(found)


def _f1_of_label(answered: Tensor, holds: Tensor) -> float | None:
    """The F1 score of one label; None if it neither holds for a row nor is answered."""
    rows = int(answered.sum()) + int(holds.sum())
    return 2 * int((answered & holds).sum()) / rows if rows else None


def _of_values(evaluation: Evaluation, score: Callable[..., float]) -> float:
    """The mean of a score of (targets, answers) over values, each on the rows where it is known."""
    _refuse_nan(evaluation.outputs)
    found = []
    outputs, targets = (each.double().reshape(len(each), -1) for each in (evaluation.outputs, evaluation.targets))
    for given, wanted in zip(outputs.unbind(1), targets.unbind(1), strict=True):
        there = ~wanted.isnan()
        if bool(there.any()):
            found.append(float(score(wanted[there].numpy(), given[there].numpy())))
    return sum(found) / len(found)


def _fraction(questions: Tensor) -> float:
    return float(questions.double().mean())
