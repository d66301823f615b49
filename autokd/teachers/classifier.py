"""scikit-learn classifiers as teachers: fitted ones as they are, others fitted here and asked out of fold."""

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
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from autokd.errors import FOREIGN, InputError, said
from autokd.registry import resolve
from autokd.study.teacher import SklearnSection
from autokd.teachers.answers import logits_of_probabilities
from autokd.teachers.files import digest_of
from autokd.teachers.out_of_fold import OutOfFoldTeacher, probabilities
from autokd.types import Task, Teacher

FOLDS = 5
"""Into how many parts the rows are cut on which an unfitted classifier is fitted."""


@dataclass(frozen=True)
class ClassifierTeacher:
    """A fitted classifier with `predict_proba`, asked with flattened inputs.

    Args:
        name: for tables.
        digest: of the classifier.
        classifier: scikit-learn's, or one that looks like it.
        columns: the task's class number of each of its columns.
    """

    name: str
    digest: str
    classifier: Any
    columns: tuple[int, ...]

    def outputs(self, inputs: Tensor) -> Tensor:
        """log(max(p, 1e-7)), shape (batch, num_outputs)."""
        return logits_of_probabilities(probabilities(self.classifier, inputs, self.columns, len(self.columns)))


def from_sklearn(spec: SklearnSection, task: Task, *, seed: int) -> Teacher:
    """The classifier that `spec.sklearn` names or makes.

    Raises:
        InputError: the reference or its arguments do not do, or as `from_classifier`.
    """
    if Path(spec.sklearn).suffix in (".pkl", ".pickle", ".joblib"):
        raise InputError(
            f"teacher '{spec.sklearn}' refused: loading a pickle can run code. Name the classifier as 'module:attr', "
            "or save its predict_proba as .npy and write 'outputs: file.npy'"
        )
    found = resolve("teachers", spec.sklearn)
    if callable(found):
        try:
            found = found(**spec.args)
        except FOREIGN as error:
            raise InputError(f"teacher '{spec.sklearn}' with args {spec.args} cannot be made: {said(error)}") from error
    return from_classifier(found, task, seed=seed, folds=spec.folds)


def from_classifier(classifier: Any, task: Task, *, seed: int, folds: int = FOLDS) -> Teacher:
    """A classifier as teacher; one that is not fitted is copied, and fitted on all labelled training rows when asked.

    A fitted search, as `GridSearchCV`, stands for the best estimator that it found.

    Args:
        classifier: has `predict_proba`, one column a class.
        task: gives the rows to fit on, and the names of classes.
        seed: of the folds, and of each `random_state` in it that is None.
        folds: see `OutOfFoldTeacher`; of no account where it comes fitted.

    Raises:
        InputError: it has no `predict_proba`, cannot be copied, or its classes are not the task's.
    """
    name = type(classifier).__name__
    if not hasattr(classifier, "predict_proba"):
        scores = ", and what its decision_function gives are no probabilities" * hasattr(
            classifier, "decision_function"
        )
        raise InputError(
            f"teacher {name} has no predict_proba{scores}; give a classifier that has, such as "
            f"sklearn.calibration.CalibratedClassifierCV({name}(...))"
        )
    if _fitted(classifier):
        classifier = getattr(classifier, "best_estimator_", classifier)
        columns = _columns(name, list(getattr(classifier, "classes_", range(task.num_outputs))), task)
        return ClassifierTeacher(name, _digest(name, classifier), classifier, columns)
    try:
        fresh = clone(classifier)
        states = {key: value for key, value in fresh.get_params().items() if key.endswith("random_state")}
        fresh.set_params(**{key: seed for key, value in states.items() if value is None})
    except (TypeError, ValueError) as error:
        raise InputError(f"teacher {name} cannot be fitted: {said(error)}") from error
    # By what it is fitted from: fits on several threads differ in their last bits.
    made_of = [_digest(name, classifier), task.digest, str(seed), sklearn.__version__, f"{folds} folds"]
    return OutOfFoldTeacher(name, digest_of(*made_of), fresh, task, folds, seed)


def _columns(name: str, classes: Sequence[Any], task: Task) -> tuple[int, ...]:
    """The task's class number of each class of a classifier: by name, else by number."""
    names = [_class_name(each) for each in classes]
    known = [str(each) for each in getattr(task, "class_names", range(task.num_outputs))]
    by_name = tuple(known.index(each) for each in names) if sorted(names) == sorted(known) else None
    numbered = np.array_equal(np.sort(np.asarray(classes)), np.arange(task.num_outputs))
    by_number = tuple(int(each) for each in classes) if numbered else None
    if by_name and by_number and by_name != by_number:
        raise InputError(
            f"teacher {name} was fitted on the numbers 0 to {len(names) - 1}, which may be the names of the classes of "
            f"task '{task.name}' or their positions, and these differ (class number 0 is '{known[0]}'); fit it on texts"
        )
    found = by_name or by_number
    if found is None:
        raise InputError(
            f"teacher {name} knows {len(names)} classes ({_some(names)}), task '{task.name}' has {task.num_outputs} "
            f"({_some(known)}); fit it on labels that are these names, or the numbers 0 to {task.num_outputs - 1}"
        )
    return found


def _class_name(label: Any) -> str:
    """As a task names a class: whole numbers without a fraction."""
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return str(label)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + ("..." if len(names) > 5 else "")


def _digest(name: str, classifier: Any) -> str:
    try:
        try:
            return str(joblib.hash(classifier))
        except ValueError:  # joblib fails on the masked arrays that a fitted search inside it keeps
            return hashlib.sha256(pickle.dumps(classifier)).hexdigest()
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(
            f"teacher {name} has no digest: a part of it cannot be pickled ({said(error)}); use functions of a "
            "module in place of lambdas"
        ) from error


def _fitted(classifier: Any) -> bool:
    try:
        check_is_fitted(classifier)
    except NotFittedError:
        return False
    except TypeError:  # it has no `fit`: it came as it is
        return True
    return True
