"""Signs that a teacher of classes may have little to teach. AutoKD reports them, and the search goes on."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autokd.heads import heads_of
from autokd.teachers.scores import scores_and_chances, teacher_score
from autokd.types import Task

_ROWS = 1000
"""The largest number of rows of a split that are looked at."""

_PIXELS = 32
"""Larger images are reduced to so many pixels a side for the linear model."""

_STEPS = 100
"""The number of steps in which the linear model is fitted."""


def doubts(outputs: Tensor, task: Task) -> list[str]:
    """Sentences that say why a teacher may have little to teach; most often there are none.

    The mean entropy of its answers on training rows is compared with that on validation rows. Its score on validation
    is compared with that of an answer that does not look at the input, and with that of a linear model.

    Args:
        outputs: as `open_outputs` gives them, shape (views, num_rows, num_outputs).
        task: gives targets and the score. If it has other heads than one of classes, the scores alone are compared; if
            its own targets are not classes, the list is empty.
    """
    heads = heads_of(task)
    if len(heads) > 1 or next(iter(heads.values())).kind not in ("", "classes"):
        return _hardly_above_chance(outputs, task)
    targets = task.targets(task.splits["validation"])
    score = teacher_score(outputs, task)
    if targets.dtype != torch.int64 or targets.ndim != 1 or task.num_outputs < 2 or not 0 <= score <= 1:
        return []
    error = math.sqrt(max(score * (1 - score), 0.0) / len(targets))
    found = _of_entropy(outputs[0], task)
    if score < task.chance + max(2 * error, 0.05 * (1 - task.chance)):
        found.append(
            f"it scores {score:.3f} on validation, hardly above {task.chance:.3f}, the score of an answer that does "
            "not look at the input"
        )
    linear = linear_score(task)
    if score < linear:
        found.append(
            f"it scores {score:.3f} on validation, below a linear model on the same labels, which scores {linear:.3f}"
        )
    return found


def _hardly_above_chance(outputs: Tensor, task: Task) -> list[str]:
    """A sentence for each head whose score lies less than a twentieth above chance, of what lies between it and 1."""
    return [
        f"it scores {score:.3f} on validation{name and f' of {name}'}, hardly above {chance:.3f}, the score of an "
        "answer that does not look at the input"
        for name, (score, chance) in scores_and_chances(outputs, task).items()
        if score < chance + 0.05 * (1 - chance)
    ]


def linear_score(task: Task) -> float:
    """The validation score of a logistic regression on the labels of training rows; NaN if there are too few labels.

    The model is fitted to at most 1,000 rows, on images of at most 32 pixels a side or on which tokens a text has, by
    Newton steps with the bound of the curvature in place of the curvature. scikit-learn has such a model, too, but its
    import takes a second, which would delay the start of every search. If the reading of rows is searched, the model
    sees the last choice of each setting.

    Source: Boehning (1992), Multinomial logistic regression algorithm, https://doi.org/10.1007/BF00048682.
    """
    readings = getattr(task, "readings", {})
    if readings:
        seen: Any = task
        task = seen.seen_through({name: choices[-1] for name, choices in readings.items()})
    rows = torch.cat([task.splits[split] for split in ("train", "transfer", "reserve")])
    rows = _some(rows[task.targets(rows) >= 0])
    if len(rows) < 2 * task.num_outputs:
        return math.nan
    x, y = _seen(task, rows), F.one_hot(task.targets(rows), task.num_outputs).float()
    center = x.mean(dim=0)
    x -= center
    basis = torch.linalg.qr(x.T).Q if x.shape[1] > len(x) else None  # more features than rows tell nothing more
    x = torch.cat([x if basis is None else x @ basis, torch.ones(len(x), 1)], dim=1)
    factor = torch.linalg.cholesky(x.T @ x / 2 + torch.eye(x.shape[1]))
    weights = torch.zeros(x.shape[1], task.num_outputs)
    for _ in range(_STEPS):
        slope = x.T @ ((x @ weights).softmax(dim=1) - y) + weights
        weights -= torch.cholesky_solve(slope, factor)
    slopes = weights[:-1] if basis is None else basis @ weights[:-1]
    validation = task.splits["validation"]
    answers = [(_seen(task, part) - center) @ slopes + weights[-1] for part in validation.split(_ROWS)]
    return task.score(torch.cat(answers), task.targets(validation))


def _of_entropy(answers: Tensor, task: Task) -> list[str]:
    """A sentence if the teacher is much surer of training rows than of validation rows, or much less sure."""
    training = torch.cat([task.splits[split] for split in ("train", "transfer", "reserve")])
    own, others = _entropies(answers[_some(training)]), _entropies(answers[_some(task.splits["validation"])])
    if min(len(own), len(others)) < 2:
        return []
    difference = float(others.mean() - own.mean())
    error = math.sqrt(float(own.var() / len(own) + others.var() / len(others)))
    larger, smaller = max(own.mean(), others.mean()), min(own.mean(), others.mean())
    if smaller > larger / 2 or abs(difference) < max(3 * error, 0.05):
        return []
    on_training, on_validation = f"{own.mean():.2f} nats", f"{others.mean():.2f} nats"
    if difference > 0:
        return [
            f"its answers are much surer on training rows (mean entropy {on_training}) than on validation rows "
            f"({on_validation}). On rows that it was trained on, a teacher repeats the labels and adds little. Give a "
            "teacher that was not trained on them, or an unfitted classifier of scikit-learn, which AutoKD asks out of "
            "fold"
        ]
    return [
        f"its answers are much surer on validation rows (mean entropy {on_validation}) than on training rows "
        f"({on_training}). It may have been trained on the validation rows, and then its score there says little"
    ]


def _entropies(answers: Tensor) -> Tensor:
    """The entropies of the answers to rows that are answered, in nats, shape (rows,)."""
    logs = answers[~answers.isnan().any(dim=1)].double().log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1)


def _some(rows: Tensor) -> Tensor:
    """At most `_ROWS` of these rows, evenly spaced."""
    return rows[torch.linspace(0, len(rows) - 1, _ROWS).long()] if len(rows) > _ROWS else rows


def _seen(task: Task, rows: Tensor) -> Tensor:
    """The features that the linear model sees of these rows, shape (rows, features)."""
    x = task.inputs(rows)
    vocabulary = getattr(task, "vocabulary", 0)
    if vocabulary:
        return torch.zeros(len(x), vocabulary).scatter_(1, x, 1.0)[:, 1:]
    if x.ndim == 4 and max(x.shape[2:]) > _PIXELS:
        x = F.adaptive_avg_pool2d(x, _PIXELS)
    return x.flatten(1)
