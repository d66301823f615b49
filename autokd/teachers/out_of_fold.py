"""A classifier that AutoKD fits. No row is answered by a model that has seen the row's label."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from autokd.errors import InputError, said
from autokd.teachers.answers import logits_of_probabilities, refuse_rows
from autokd.types import Task

_LOG = logging.getLogger("autokd")


@dataclass(frozen=True)
class OutOfFoldTeacher:
    """A classifier of scikit-learn that is fitted when it is first asked.

    A classifier that was fitted on a row answers that row with its label, and not with what the classifier knows: the
    answers of a forest on its own rows are one-hot. So the labelled rows are cut into folds, each with its share of
    every class. A row of a fold is answered by a model that was fitted on the other folds. All other rows are answered
    by a model that was fitted on every labelled row, which is the model that the user asked for.

    Args:
        name: what tables call the teacher.
        digest: the digest of everything from which the classifier is fitted.
        estimator: the unfitted classifier, with its seed.
        task: gives the rows and their labels.
        folds: the number of parts into which the labelled rows are cut, >= 2; there are fewer parts if no class has so
            many rows.
        seed: the seed of the cut.
    """

    name: str
    digest: str
    estimator: Any
    task: Task
    folds: int
    seed: int

    def outputs(self, inputs: Tensor) -> Tensor:
        """log(max(p, 1e-7)) of the probabilities from the model that was fitted on every labelled row.

        Its shape is (batch, num_outputs).
        """
        return logits_of_probabilities(self._probabilities(-1, inputs))

    def answers(self, task: Task, rows: Tensor, view: int) -> Tensor:
        """The same by row number, and out of fold; a view of a row belongs to the row's fold.

        Raises:
            InputError: the classifier cannot be fitted, or an answer is not finite.
        """
        inputs, folds = task.inputs(rows, view), self._fold_of[rows]
        given = torch.empty(len(rows), task.num_outputs, dtype=torch.float64)
        for fold in folds.unique().tolist():
            given[folds == fold] = self._probabilities(fold, inputs[folds == fold])
        refuse_rows(self.name, rows[given.isnan().any(dim=1)], view)
        return logits_of_probabilities(given)

    def _probabilities(self, fold: int, inputs: Tensor) -> Tensor:
        model = self._model(fold)
        return probabilities(model, inputs, [int(number) for number in model.classes_], self.task.num_outputs)

    @cached_property
    def _fold_of(self) -> Tensor:
        """The number of the fold of each row of the task; -1 for a row that has no label to fit on."""
        task = self.task
        rows = labelled_rows(task)
        labels = task.targets(rows).numpy()
        counts = np.bincount(labels, minlength=task.num_outputs)
        folds = min(self.folds, int(counts.max(initial=0)))
        if folds < 2:
            raise InputError(
                f"teacher {self.name} cannot be fitted: no class has two labelled training rows, so no row can be "
                "answered by a model that learned from another row of its class; give more labels, or a fitted "
                "classifier"
            )
        names = getattr(task, "class_names", range(task.num_outputs))
        scarce = [f"'{names[each]}' ({counts[each]})" for each in np.flatnonzero(counts < folds)]
        if scarce:
            _LOG.warning(
                "The teacher is fitted out of fold in %d folds; these classes have fewer labelled training rows: %s. "
                "Its answers on those rows know little of their classes.",
                folds,
                ", ".join(scarce),
            )
        cut = StratifiedKFold(folds, shuffle=True, random_state=self.seed)
        found = torch.full((task.num_rows,), -1)
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # the log names scarce classes above
            for number, (_, held_out) in enumerate(cut.split(np.zeros(len(labels)), labels)):
                found[rows[torch.from_numpy(held_out)]] = number
        return found

    @cached_property
    def _models(self) -> dict[int, Any]:
        """The models that were fitted so far, by the fold that was left out; model -1 was fitted on every row."""
        return {}

    def _model(self, fold: int) -> Any:
        if fold not in self._models:
            rows = labelled_rows(self.task)
            self._models[fold] = self._fit(rows[self._fold_of[rows] != fold], without=fold)
        return self._models[fold]

    def _fit(self, rows: Tensor, *, without: int) -> Any:
        purpose = f", to answer the rows of fold {without + 1}" if without >= 0 else ""
        _LOG.info("Fitting the teacher, %s, on %s rows%s.", self.name, f"{len(rows):,}", purpose)
        inputs, labels = self.task.inputs(rows).flatten(1).numpy(), self.task.targets(rows).numpy()
        try:
            return clone(self.estimator).fit(inputs, labels)
        except (TypeError, ValueError) as error:
            raise InputError(f"teacher {self.name} cannot be fitted: {said(error)}") from error


def labelled_rows(task: Task) -> Tensor:
    """The numbers of the rows on which AutoKD fits a teacher: all training rows that have labels.

    Those whose labels are hidden from students are among them.
    """
    rows = torch.cat([task.splits[split] for split in ("train", "transfer", "reserve")])
    return rows[task.targets(rows) >= 0]


def probabilities(classifier: Any, inputs: Tensor, columns: Sequence[int], num_outputs: int) -> Tensor:
    """The probabilities that a classifier gives for flattened inputs, by class number; 0 for a class it never saw.

    Args:
        classifier: a fitted classifier with `predict_proba`.
        inputs: the batch, shape (batch, ...).
        columns: the class number for each column of `predict_proba`.
        num_outputs: the number of classes.

    Returns:
        float64, shape (batch, num_outputs).
    """
    given = torch.as_tensor(classifier.predict_proba(inputs.flatten(1).numpy()), dtype=torch.float64)
    found = given.new_zeros(len(given), num_outputs)
    found[:, list(columns)] = given
    return found
