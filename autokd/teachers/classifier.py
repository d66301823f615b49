"""scikit-learn classifiers as teachers."""

from __future__ import annotations

import pickle
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

from autokd.errors import InputError
from autokd.registry import resolve
from autokd.study.teacher import SklearnSection
from autokd.teachers.answers import logits_of_probabilities
from autokd.teachers.files import digest_of, one_line
from autokd.types import Task


@dataclass(frozen=True)
class ClassifierTeacher:
    """A fitted classifier with `predict_proba`, asked with flattened inputs.

    Args:
        name: for tables.
        digest: of the classifier, or of what it was fitted from.
        classifier: scikit-learn's, or one that looks like it.
    """

    name: str
    digest: str
    classifier: Any

    def outputs(self, inputs: Tensor) -> Tensor:
        """log(max(p, 1e-7)), shape (batch, classes of the classifier)."""
        return logits_of_probabilities(torch.as_tensor(self.classifier.predict_proba(inputs.flatten(1).numpy())))


def from_sklearn(spec: SklearnSection, task: Task, *, seed: int) -> ClassifierTeacher:
    """The classifier that `spec.sklearn` names or makes, fitted here if it was not.

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
        except Exception as error:
            raise InputError(
                f"teacher '{spec.sklearn}' with args {spec.args} cannot be made: {one_line(error)}"
            ) from error
    return from_classifier(found, task, seed=seed)


def from_classifier(classifier: Any, task: Task, *, seed: int) -> ClassifierTeacher:
    """A classifier as teacher; one that is not fitted is copied and fitted on all training rows.

    Args:
        classifier: has `predict_proba`, one column a class.
        task: gives the rows to fit on.
        seed: its `random_state`, where it has one that is None.

    Raises:
        InputError: it has no `predict_proba`, cannot be fitted, or its classes are not 0 .. num_outputs - 1.
    """
    name = type(classifier).__name__
    if not hasattr(classifier, "predict_proba"):
        raise InputError(f"teacher {name} has no predict_proba; give a classifier that has (for SVC: probability=True)")
    try:
        digest = str(joblib.hash(classifier))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(
            f"teacher {name} has no digest: a part of it cannot be pickled ({one_line(error)}); use functions of a "
            "module in place of lambdas"
        ) from error
    if not _fitted(classifier):
        # By what it is fitted from: fits on several threads differ in their last bits.
        digest = digest_of(digest, task.digest, str(seed), sklearn.__version__)
        classifier = _fit(classifier, task, seed)
    classes = getattr(classifier, "classes_", np.arange(task.num_outputs))
    if not np.array_equal(classes, np.arange(task.num_outputs)):
        raise InputError(
            f"teacher {name} knows {len(classes)} classes ({', '.join(map(str, classes[:5]))}...), task "
            f"'{task.name}' has {task.num_outputs}, numbered from 0; fit it on those"
        )
    return ClassifierTeacher(name, digest, classifier)


def training_rows(task: Task) -> Tensor:
    """Row numbers a teacher of ours learns from: all training rows, those whose labels students do not see too."""
    return torch.cat([task.splits[split] for split in ("train", "transfer", "reserve")])


def _fit(classifier: Any, task: Task, seed: int) -> Any:
    rows = training_rows(task)
    try:
        fresh = clone(classifier)
        if fresh.get_params().get("random_state", seed) is None:
            fresh.set_params(random_state=seed)
        return fresh.fit(task.inputs(rows).flatten(1).numpy(), task.targets(rows).numpy())
    except (TypeError, ValueError) as error:
        raise InputError(f"teacher {type(classifier).__name__} cannot be fitted: {one_line(error)}") from error


def _fitted(classifier: Any) -> bool:
    try:
        check_is_fitted(classifier)
    except NotFittedError:
        return False
    except TypeError:  # it has no `fit`: it came as it is
        return True
    return True
