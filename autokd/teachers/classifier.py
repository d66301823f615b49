"""scikit-learn classifiers as teachers.

A fitted classifier is used as it is. AutoKD fits an unfitted one, and asks it out of fold.
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
"""The number of parts into which AutoKD cuts the rows on which it fits a classifier."""


@dataclass(frozen=True)
class ClassifierTeacher:
    """A fitted classifier with `predict_proba`, which is asked with flattened inputs.

    Args:
        name: what tables call the teacher.
        digest: the digest of the classifier.
        classifier: a classifier of scikit-learn, or one with the same methods.
        columns: the task's class number for each column of `predict_proba`.
    """

    name: str
    digest: str
    classifier: Any
    columns: tuple[int, ...]

    def outputs(self, inputs: Tensor) -> Tensor:
        """log(max(p, 1e-7)) of the classifier's probabilities, shape (batch, num_outputs)."""
        return logits_of_probabilities(probabilities(self.classifier, inputs, self.columns, len(self.columns)))


def from_sklearn(spec: SklearnSection, task: Task, *, seed: int) -> Teacher:
    """The classifier that `spec.sklearn` names or makes.

    Raises:
        InputError: the reference or its arguments cannot be used, or `from_classifier` refuses the classifier.
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
    return from_classifier(found, task, seed=seed, folds=spec.folds)


def from_classifier(classifier: Any, task: Task, *, seed: int, folds: int = FOLDS) -> Teacher:
    """A classifier as a teacher.

    AutoKD copies an unfitted classifier, and fits the copy on all labelled training rows when it is first asked. Of a
    fitted search, such as `GridSearchCV`, the best estimator that it found is used.

    Args:
        classifier: has `predict_proba`, with one column for each class.
        task: gives the rows to fit on, and the names of the classes.
        seed: the seed of the folds, and of each `random_state` in the classifier that is None.
        folds: see `OutOfFoldTeacher`; a fitted classifier does not use it.

    Raises:
        InputError: the classifier has no `predict_proba`, cannot be copied, or its classes are not the task's.
    """
    name = type(classifier).__name__
    if not hasattr(classifier, "predict_proba"):
        scores = ", and its decision_function does not give probabilities" * hasattr(classifier, "decision_function")
        raise InputError(
            f"teacher {name} has no predict_proba{scores}; give a classifier that has one, such as "
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
    # The digest is of what the classifier is fitted from, because fits on several threads differ in their last bits.
    made_of = [_digest(name, classifier), task.digest, str(seed), sklearn.__version__, f"{folds} folds"]
    return OutOfFoldTeacher(name, digest_of(*made_of), fresh, task, folds, seed)


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
    except TypeError:  # an object without `fit` is used as it is
        return True
    return True
