"""Models of scikit-learn as teachers: classifiers and regressors.

A fitted model is used as it is. AutoKD fits an unfitted one, and asks it out of fold.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from autokd.errors import FOREIGN, InputError, said
from autokd.registry import resolve
from autokd.study.teacher import SklearnSection
from autokd.teachers.answers import refuse_rows
from autokd.teachers.estimator_answers import (
    estimator_answers,
    estimator_rows_at_once,
    only_head,
    raw_rows,
    refuse_kind,
)
from autokd.teachers.files import digest_of
from autokd.teachers.out_of_fold import OutOfFoldTeacher
from autokd.types import Head, Task, Teacher

FOLDS = 5
"""The number of parts into which AutoKD cuts the rows on which it fits a model."""


@dataclass(frozen=True)
class FittedTeacher:
    """A model that a user fitted. It reads flattened inputs, or the rows of a table as the data have them.

    Args:
        name: what tables call the teacher.
        digest: the digest of the model.
        model: a model of scikit-learn, or one with the same methods.
        head: what its answers mean.
        columns: the task's class number for each column of `predict_proba`.
        rows_at_once: the number of rows in one question.
    """

    name: str
    digest: str
    model: Any
    head: Head
    columns: tuple[int, ...]
    rows_at_once: int

    def outputs(self, inputs: Tensor) -> Tensor:
        """The answers on a batch of inputs, shape (batch, num_outputs); for a task whose rows are no table."""
        return self._of(inputs.flatten(1).numpy())

    def answers(self, task: Task, rows: Tensor, view: int) -> Tensor:
        """The answers on rows of the task, shape (len(rows), num_outputs).

        Raises:
            InputError: the model needs a column that the table lacks, or an answer is not finite.
        """
        given = self._of(self._in_its_order(raw_rows(task, rows, view)))
        refuse_rows(self.name, rows[~torch.isfinite(given).all(dim=1)], view)
        return given

    def _of(self, x: Any) -> Tensor:
        return estimator_answers(self.model, x, self.head, self.columns, len(self.head.names) or len(self.columns))

    def _in_its_order(self, x: Any) -> Any:
        """The columns of a table that the model was fitted on, in the order that it knows."""
        names = getattr(self.model, "feature_names_in_", None)
        if names is None and hasattr(x, "columns") and hasattr(self.model, "n_features_in_"):
            raise InputError(
                f"teacher {self.name} was fitted on an array, which does not tell which columns of the table it reads; "
                "fit it on a DataFrame"
            )
        if names is None or not hasattr(x, "columns"):
            return x
        if lacking := [str(name) for name in names if name not in x.columns]:
            raise InputError(
                f"teacher {self.name} was fitted on column '{lacking[0]}', which the table lacks, has as a target, or "
                "has outside of the teacher's reading; fit it on the other columns, or write what it reads as teacher: "
                "{sklearn: ..., reading: {columns: [...]}}"
            )
        return x[list(names)]


def from_sklearn(spec: SklearnSection, task: Task, *, seed: int) -> Teacher:
    """The model that `spec.sklearn` names or makes.

    Raises:
        InputError: the reference or its arguments cannot be used, or `from_estimator` refuses the model.
    """
    if Path(spec.sklearn).suffix in (".pkl", ".pickle", ".joblib"):
        raise InputError(
            f"teacher '{spec.sklearn}' is refused, because loading a pickle can run code. Name the classifier as "
            "'module:attr', or save its predict_proba as .npy and write 'outputs: file.npy'"
        )
    found = resolve("teachers", spec.sklearn)
    if callable(found):
        try:
            found = found(**spec.args)
        except FOREIGN as error:
            raise InputError(f"teacher '{spec.sklearn}' with args {spec.args} cannot be made: {said(error)}") from error
    return from_estimator(found, task, seed=seed, folds=spec.folds)


def from_estimator(model: Any, task: Task, *, seed: int, folds: int = FOLDS) -> Teacher:
    """A model of scikit-learn as a teacher.

    AutoKD copies an unfitted model, and fits the copy on all labelled training rows when it is first asked. Of a
    fitted search, such as `GridSearchCV`, the best estimator that it found is used.

    Args:
        model: for classes, a classifier with `predict_proba`, with one column for each class; for labels, one with
            several outputs; for values, a regressor that answers in the user's unit.
        task: gives the rows to fit on, and the names of the classes.
        seed: the seed of the folds, and of each `random_state` in the model that is None.
        folds: see `OutOfFoldTeacher`; a fitted model does not use it.

    Raises:
        InputError: the model cannot answer the task's head, cannot be copied, or its classes are not the task's.
    """
    name = type(model).__name__
    head = only_head(name, task)
    refuse_kind(name, model, head)
    if _fitted(model):
        model = getattr(model, "best_estimator_", model)
        classes = range(task.num_outputs) if head.kind in ("labels", "values") else None
        columns = tuple(classes or _columns(name, list(getattr(model, "classes_", range(task.num_outputs))), task))
        return FittedTeacher(name, _digest(name, model), model, head, columns, estimator_rows_at_once(task))
    try:
        fresh = clone(model)
        states = {key: value for key, value in fresh.get_params().items() if key.endswith("random_state")}
        fresh.set_params(**{key: seed for key, value in states.items() if value is None})
    except (TypeError, ValueError) as error:
        raise InputError(f"teacher {name} cannot be fitted: {said(error)}") from error
    # The digest is of what the model is fitted from, because fits on several threads differ in their last bits.
    made_of = [_digest(name, model), task.digest, str(seed), sklearn.__version__, f"{folds} folds"]
    return OutOfFoldTeacher(name, digest_of(*made_of), fresh, task, head, folds, seed)


def _columns(name: str, classes: Sequence[Any], task: Task) -> tuple[int, ...]:
    """The task's class number for each class of a classifier, found by name or else by number."""
    names = [_class_name(each) for each in classes]
    known = [str(each) for each in getattr(task, "class_names", range(task.num_outputs))]
    by_name = tuple(known.index(each) for each in names) if sorted(names) == sorted(known) else None
    numbered = np.array_equal(np.sort(np.asarray(classes)), np.arange(task.num_outputs))
    by_number = tuple(int(each) for each in classes) if numbered else None
    if by_name and by_number and by_name != by_number:
        raise InputError(
            f"teacher {name} was fitted on the numbers 0 to {len(names) - 1}, which may be the names of the classes of "
            f"task '{task.name}' or their positions, and these differ (class number 0 is '{known[0]}'); fit it on the "
            "class names as texts"
        )
    found = by_name or by_number
    if found is None:
        raise InputError(
            f"teacher {name} knows {len(names)} classes ({_some(names)}), but task '{task.name}' has "
            f"{task.num_outputs} ({_some(known)}); fit it on the names of the task's classes, or on the numbers 0 to "
            f"{task.num_outputs - 1}"
        )
    return found


def _class_name(label: Any) -> str:
    """The name of a class as a task writes it: a whole number has no fraction."""
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return str(label)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + ("..." if len(names) > 5 else "")


def _digest(name: str, model: Any) -> str:
    try:
        try:
            return str(joblib.hash(model))
        except ValueError:  # joblib fails on the masked arrays that a fitted search inside it keeps
            return hashlib.sha256(pickle.dumps(model)).hexdigest()
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(
            f"teacher {name} has no digest: a part of it cannot be pickled ({said(error)}); use functions of a "
            "module in place of lambdas"
        ) from error


def _fitted(model: Any) -> bool:
    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    except TypeError:  # an object without `fit` is used as it is
        return True
    return True
