"""Whether a teacher has anything to teach."""

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
        split: which rows; reading `test` is the caller's to record.

    Returns:
        NaN where the split is empty or a row of it has no answer.
    """
    rows = task.splits[split]
    given = outputs[0, rows]
    if not len(rows) or bool(torch.isnan(given).any()):
        return math.nan
    return task.score(given, task.targets(rows))


def refuse_unanswered(outputs: Tensor, task: Task, objectives: Iterable[Objective]) -> None:
    """Refuses objectives that compare with the teacher where it does not answer all of validation.

    Raises:
        InputError: one cannot be measured on validation without the teacher's answers.
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
    except ObjectiveError:  # it gives no number with them either, which is said where it is measured
        return False
    except FOREIGN:  # whatever a plug-in raises on NaN
        return True
    return not math.isfinite(value)


def refuse_chance(score: float, task: Task) -> None:
    """Raises InputError, with both figures, if a teacher's validation score is not above chance; NaN passes."""
    if score <= task.chance:
        raise InputError(
            f"the teacher scores {score:.3f} on validation, and {task.chance:.3f} takes no look at the input: it has "
            "nothing to teach. Train it longer, or check its classes' order and how the task normalises inputs"
        )
