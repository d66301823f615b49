"""The answers of a trained student on a split, and the trained objectives of these answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from autokd.distill import predict
from autokd.errors import FOREIGN, AutoKDError, ObjectiveError, named
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
    evaluation = as_evaluation(context, outputs, split)
    values = {}
    for objective in (objective for objective in context.objectives if objective.trained):
        try:
            values[objective.name] = measured(objective, evaluation)
        except (AutoKDError, FloatingPointError, MemoryError):
            raise
        except FOREIGN as error:  # a plug-in may raise anything
            words = f"objective '{objective.name}' raised {named(error)}"
            raise ObjectiveError(words) from error
    return values


def as_evaluation(context: Context, outputs: Tensor, split: str) -> Evaluation:
    """What trained objectives read: outputs on a split, with the targets and the teacher's answers there."""
    rows = context.task.splits[split]
    return Evaluation(outputs, context.task.targets(rows), context.teacher[0][rows])


def standard_errors(context: Context, outputs: Tensor, values: Mapping[str, float]) -> dict[str, float]:
    """The standard errors of trained objectives on validation, by the objective's own formula or by drawing rows anew.

    Objectives that are shares of rows are left out, because their errors follow from the values.
    """
    evaluation = as_evaluation(context, outputs, "validation")
    rows = len(context.task.splits["validation"])
    return {
        o.name: resampled_error(o, evaluation) if o.standard_error is None else o.standard_error(values[o.name], rows)
        for o in context.objectives
        if o.trained and o.standard_error is not share_error
    }
