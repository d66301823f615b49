"""The answers of a trained student on a split, and the trained objectives of these answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from autokd.distill import predict
from autokd.errors import FOREIGN, AutoKDError, ObjectiveError, named
from autokd.heads import apart, by_head, heads_of
from autokd.objectives.measuring import measured
from autokd.objectives.resampling import resampled_error
from autokd.types import Evaluation, share_error

if TYPE_CHECKING:
    from autokd.trial.training import Context


def evaluate(context: Context, student: nn.Module, split: str) -> dict[str, float]:
    """The trained objectives of a student on a split.

    Raises:
        FloatingPointError: an output is NaN.
    """
    return evaluate_outputs(context, finite_outputs(context, student, split), split)


def finite_outputs(context: Context, student: nn.Module, split: str) -> Tensor:
    """The outputs of a student on a split, row by row.

    Raises:
        FloatingPointError: an output is NaN.
    """
    outputs = predict(student, context.data, context.task.splits[split])
    if outputs.isnan().any():
        raise FloatingPointError(f"outputs on {split} are NaN")
    return outputs


def evaluate_outputs(context: Context, outputs: Tensor, split: str) -> dict[str, float]:
    """The trained objectives of outputs on a split, row by row, shape (rows, num_outputs).

    Raises:
        ObjectiveError: an objective raises an error, or gives no number.
    """
    evaluations = as_evaluations(context, outputs, split)
    values = {}
    for objective in (objective for objective in context.objectives if objective.trained):
        try:
            values[objective.name] = measured(objective, evaluations[objective.head])
        except (AutoKDError, FloatingPointError, MemoryError):
            raise
        except FOREIGN as error:  # a plug-in may raise anything
            words = f"objective '{objective.name}' raised {named(error)}"
            raise ObjectiveError(words) from error
    return values


def as_evaluations(context: Context, outputs: Tensor, split: str) -> dict[str, Evaluation]:
    """What trained objectives read, by head: outputs on a split, with the targets and the teacher's answers there.

    If a task has several heads, each evaluation has only the rows of which its head knows a target.
    """
    rows, heads = context.task.splits[split], heads_of(context.task)
    answers = context.answers[0][rows]
    given, taught = apart(outputs, heads), apart(answers, heads)
    targets = by_head(context.task.targets(rows), heads)
    found = {}
    for name, head in heads.items():
        student, wanted, teacher = head.in_units(given[name]), targets[name], head.in_units(taught[name])
        if len(heads) > 1:
            known = head.known(wanted)
            student, wanted, teacher = student[known], wanted[known], teacher[known]
        found[name] = Evaluation(student, wanted, teacher, head)
    return found


def standard_errors(context: Context, outputs: Tensor, values: Mapping[str, float]) -> dict[str, float]:
    """The standard errors of trained objectives on validation, by the objective's own formula or by drawing rows anew.

    Objectives that are shares of rows are left out, because their errors follow from the values.
    """
    evaluations = as_evaluations(context, outputs, "validation")
    rows = len(context.task.splits["validation"])
    return {
        o.name: resampled_error(o, evaluations[o.head])
        if o.standard_error is None
        else o.standard_error(values[o.name], rows)
        for o in context.objectives
        if o.trained and o.standard_error is not share_error
    }
