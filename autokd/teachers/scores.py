"""The score of a teacher, which tells whether it has anything to teach."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from autokd.errors import FOREIGN, InputError, ObjectiveError
from autokd.objectives.measuring import measured
from autokd.types import Evaluation, Objective, Task


def teacher_score(outputs: Tensor, task: Task, split: str = "validation") -> float:
    """The task's score of a teacher's answers on a split, unaugmented.

    Args:
        outputs: as `open_outputs` gives them, shape (views, num_rows, num_outputs).
        task: gives targets and the score.
        split: the split whose rows count; a caller that reads `test` must record the read.

    Returns:
        the score; NaN if the split is empty, or if one of its rows has no answer.
    """
    rows = task.splits[split]
    given = outputs[0, rows]
    if not len(rows) or bool(torch.isnan(given).any()):
        return math.nan
    return task.score(given, task.targets(rows))


def refuse_unanswered(outputs: Tensor, task: Task, objectives: Iterable[Objective]) -> None:
    """Refuses objectives that compare with the teacher if the teacher does not answer all validation rows.

    Raises:
        InputError: an objective cannot be measured on validation without the teacher's answers.
    """
    unanswered = int(outputs[0, task.splits["validation"]].isnan().any(dim=1).sum())
    if not unanswered:
        return
    for objective in (objective for objective in objectives if compares_with_teacher(objective, task)):
        raise InputError(
            f"objectives.{objective.name} compares with the teacher, which has no answers for {unanswered} rows of "
            "validation; answer them, too, or leave the objective out"
        )


def compares_with_teacher(objective: Objective, task: Task) -> bool:
    """Whether an objective cannot be measured without the teacher's answers."""
    if not objective.trained:
        return False
    targets = task.targets(task.splits["validation"])
    blank = torch.full((len(targets), task.num_outputs), math.nan)
    try:
        value = measured(objective, Evaluation(torch.zeros_like(blank), targets, blank))
    except ObjectiveError:  # it gives no number with answers either; measuring it says so
        return False
    except FOREIGN:  # whatever a plug-in raises on NaN
        return True
    return not math.isfinite(value)


def refuse_chance(score: float, task: Task) -> None:
    """Raises InputError, with both figures, if a teacher's validation score is not above chance; NaN passes."""
    if score <= task.chance:
        raise InputError(
            f"the teacher scores {score:.3f} on validation, and an answer that does not look at the input scores "
            f"{task.chance:.3f}: the teacher has nothing to teach. Train it longer, or check the order of its classes "
            "and how the task normalises inputs"
        )
