"""What models of scikit-learn are fitted on, and how their predictions become answers of a head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import InputError
from autokd.heads import heads_of
from autokd.readings import Columns
from autokd.teachers.answers import logits_of_probabilities
from autokd.types import Head, Task

_LEAST = 1e-7
"""The smallest probability of a label, so that its logit stays finite."""


def only_head(name: str, task: Task) -> Head:
    """The head of a task that a model of scikit-learn answers.

    Args:
        name: the name of the teacher, for the message.
        task: has one head.

    Raises:
        InputError: the task has several heads, or classes at positions.
    """
    heads = heads_of(task)
    if len(heads) > 1:
        example = ", ".join(f"{head}: {{sklearn: ...}}" for head in heads)
        raise InputError(
            f"teacher {name} is one model, but task '{task.name}' has the heads {', '.join(heads)}; write a model for "
            f"each, as in teacher: {{heads: {{{example}}}}}"
        )
    (head,) = heads.values()
    if head.kind == "positions":
        raise InputError(
            f"teacher {name} is a model of scikit-learn, which does not answer classes at positions; give a network, "
            "or a file of answers"
        )
    return head


def reads_table(task: Task) -> bool:
    """Whether the rows of a task are those of a table."""
    return isinstance(getattr(task, "reading", None), Columns)


def reads_raw(task: Task) -> bool:
    """Whether models of scikit-learn read the rows of a task as the data have them: those of a table, and texts."""
    return reads_table(task) or bool(getattr(task, "vocabulary", 0) and hasattr(task, "raw"))


def estimator_rows_at_once(task: Task) -> int:
    """The number of rows in one question: many for raw rows, as each question has a fixed price of milliseconds."""
    return 8_192 if reads_raw(task) else 256


def encoded_rows(task: Task, rows: Tensor, view: int = 0) -> NDArray[np.float32]:
    """Flattened inputs as students read them, shape (rows, features)."""
    return task.inputs(rows, view).flatten(1).numpy()


def raw_rows(task: Task, rows: Tensor, view: int = 0) -> Any:
    """Rows of a table and texts as the data have them, for a model that a user fitted; otherwise flattened inputs.

    Args:
        task: has the rows.
        rows: the numbers of the rows.
        view: the augmentation of inputs; raw rows have one view only.
    """
    whole: Any = task
    return whole.raw(rows) if reads_raw(task) else encoded_rows(task, rows, view)


def cleaned_rows(task: Task, rows: Tensor, view: int = 0) -> Any:
    """The same with the numbers of a table as float64, and its categories in the dtype `category` of pandas."""
    table: Any = task
    return table.reading.cleaned(table.raw(rows)) if reads_table(task) else raw_rows(task, rows, view)


def fitting_targets(head: Head, targets: Tensor) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The targets as scikit-learn takes them, and which rows have all of them: it fits no row with an unknown one."""
    if head.kind == "labels":
        complete = ~targets.isnan().any(dim=1).numpy()
        return targets.nan_to_num().long().numpy(), complete
    if head.kind == "values":
        complete = ~targets.isnan().any(dim=1).numpy()
        return (targets[:, 0] if targets.shape[1] == 1 else targets).double().numpy(), complete
    return targets.numpy(), (targets >= 0).numpy()


def estimator_answers(model: Any, x: Any, head: Head, columns: Sequence[int], num_outputs: int) -> Tensor:
    """The answers of a fitted model on rows, as outputs of the head, float32, shape (rows, num_outputs).

    Args:
        model: has `predict_proba` for classes and labels, and `predict` for values, which it gives in the user's unit.
        x: what the model reads.
        head: what the answers mean.
        columns: the class number for each column of `predict_proba`; a class that the model never saw has
            probability 0.
        num_outputs: the number of classes, labels or values.
    """
    if head.kind == "values":
        predicted = torch.as_tensor(np.asarray(model.predict(x)), dtype=torch.float64)
        return head.from_units(predicted.reshape(len(predicted), -1))
    given = model.predict_proba(x)
    if head.kind == "labels":
        return _of_labels(model, given, num_outputs)
    found = torch.zeros(len(x), num_outputs, dtype=torch.float64)
    found[:, list(columns)] = torch.as_tensor(given, dtype=torch.float64)
    return logits_of_probabilities(found)


def refuse_kind(name: str, model: Any, head: Head) -> None:
    """Refuses a model that cannot answer a head.

    Raises:
        InputError: the model has no probabilities where the head needs them, or is no regressor where it needs one.
    """
    from sklearn.base import is_classifier, is_regressor

    if head.kind == "values":
        if not hasattr(model, "predict") or is_classifier(model):
            raise InputError(
                f"teacher {name} is no regressor, and the task has {head.kind}; give a regressor, or write heads: "
                "classes in the task"
            )
    elif is_regressor(model):
        raise InputError(
            f"teacher {name} is a regressor, and the task has {head.kind or 'classes'}; give a classifier, or write "
            "heads: values in the task"
        )
    elif not hasattr(model, "predict_proba"):
        scores = ", and its decision_function does not give probabilities" * hasattr(model, "decision_function")
        raise InputError(
            f"teacher {name} has no predict_proba{scores}; give a classifier that has one, such as "
            f"sklearn.calibration.CalibratedClassifierCV({name}(...))"
        )


def _of_labels(model: Any, given: Any, num_outputs: int) -> Tensor:
    """Logits from the probabilities that labels hold: one array, or for each label an array of its two classes."""
    if isinstance(given, list):
        given = np.stack([_holds(each, classes) for each, classes in zip(given, model.classes_, strict=True)], axis=1)
    found = torch.as_tensor(np.asarray(given), dtype=torch.float64)
    if found.shape[1:] != (num_outputs,):
        raise InputError(
            f"teacher {type(model).__name__} gives probabilities of shape {tuple(found.shape)} for {num_outputs} "
            "labels; wrap the model in sklearn.multioutput.MultiOutputClassifier"
        )
    return found.clamp(_LEAST, 1 - _LEAST).logit().float()


def _holds(given: NDArray[Any], classes: Sequence[Any]) -> NDArray[Any]:
    """The probability that a label holds; a model that saw it only hold, or only not hold, has one class."""
    found = [column for column, each in enumerate(classes) if int(each) == 1]
    return given[:, found[0]] if found else np.zeros(len(given))
