"""Whether a teacher has anything to teach."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autokd.errors import InputError
from autokd.types import Task


def teacher_score(outputs: Tensor, task: Task, split: str = "validation") -> float:
    """The task's score of a teacher's answers on a split, unaugmented.

    Args:
        outputs: as `open_outputs` gives them, shape (views, num_rows, num_outputs).
        task: gives targets and the score.
        split: which rows; reading `test` is the caller's to record.

    Returns:
        NaN where the split is empty or a row of it has no answer.
    """
    rows = task.splits[split]
    given = outputs[0, rows]
    if not len(rows) or bool(torch.isnan(given).any()):
        return math.nan
    return task.score(given, task.targets(rows))


def refuse_chance(score: float, task: Task) -> None:
    """Raises InputError, with both figures, if a teacher's validation score is not above chance; NaN passes."""
    if score <= task.chance:
        raise InputError(
            f"the teacher scores {score:.3f} on validation, and {task.chance:.3f} takes no look at the input: it has "
            "nothing to teach. Train it longer, or check its classes' order and how the task normalises inputs"
        )
