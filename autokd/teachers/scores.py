"""The score of a teacher, which tells whether it has anything to teach."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from autokd.errors import FOREIGN, InputError, ObjectiveError
from autokd.heads import blind_scores, by_head, heads_of, scores
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


def scores_and_chances(outputs: Tensor, task: Task) -> dict[str, tuple[float, float]]:
    """The score of a teacher's answers on validation, and that of an answer that does not look at the input, by head.

    A score is NaN where the teacher does not answer all rows.
    """
    heads = heads_of(task)
    if len(heads) == 1:
        return {name: (teacher_score(outputs, task), task.chance) for name in heads}
    rows = task.splits["validation"]
    targets, given = task.targets(rows), outputs[0, rows]
    found = dict.fromkeys(heads, math.nan) if bool(given.isnan().any()) else scores(given, targets, heads)
    chances = blind_scores(targets, heads)
    return {name: (found[name], chances[name]) for name in heads}


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
    head = heads_of(task)[objective.head]
    targets = by_head(task.targets(task.splits["validation"]), heads_of(task))[objective.head]
    targets = targets[head.known(targets)]
    blank = torch.full((len(targets), *head.shape), math.nan)
    try:
        value = measured(
            objective, Evaluation(head.in_units(torch.zeros_like(blank)), targets, head.in_units(blank), head)
        )
    except ObjectiveError:  # it gives no number with answers either; measuring it says so
        return False
    except FOREIGN:  # whatever a plug-in raises on NaN
        return True
    return not math.isfinite(value)


def refuse_chance(outputs: Tensor, task: Task) -> None:
    """Refuses a teacher whose answers on validation score no better than answers that do not look at the input.

    A teacher that does not answer all rows there passes.

    Raises:
        InputError: the teacher has nothing to teach in some head; the message has both figures.
    """
    for name, (score, chance) in scores_and_chances(outputs, task).items():
        if score <= chance:
            of_head = f" of '{name}'" if name else ""
            raise InputError(
                f"the teacher scores {score:.3f} on validation{of_head}, and an answer that does not look at the input "
                f"scores {chance:.3f}: the teacher has nothing to teach. Train it longer, or check "
                f"{_doubted(task, name)} and how the task normalises inputs"
            )


def _doubted(task: Task, name: str) -> str:
    """What may be wrong with answers that are no better than chance."""
    is_values = heads_of(task)[name].kind == "values"
    return "the unit of its answers" if is_values else "the order of its classes"
