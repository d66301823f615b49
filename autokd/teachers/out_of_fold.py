"""A model of scikit-learn that AutoKD fits. No row is answered by a model that has seen the row's target."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold
from torch import Tensor

from autokd.errors import InputError, said
from autokd.teachers.answers import refuse_rows
from autokd.teachers.estimator_answers import (
    cleaned_rows,
    encoded_rows,
    estimator_answers,
    estimator_rows_at_once,
    fitting_targets,
    reads_table,
)
from autokd.types import Head, Task

_LOG = logging.getLogger("autokd")


@dataclass(frozen=True)
class OutOfFoldTeacher:
    """A model of scikit-learn that is fitted when it is first asked.

    A model that was fitted on a row answers that row with its label, and not with what the model knows: the answers of
    a forest on its own rows are one-hot. So the labelled rows are cut into folds, each with its share of every class,
    and rows of one group stay together. A row of a fold is answered by a model that was fitted on the other folds. All
    other rows are answered by a model that was fitted on every labelled row, which is the model that the user asked
    for.

    Args:
        name: what tables call the teacher.
        digest: the digest of everything from which the model is fitted.
        estimator: the unfitted model, with its seed.
        task: gives the rows and their labels.
        head: what its answers mean.
        folds: the number of parts into which the labelled rows are cut, >= 2; there are fewer parts if no class has so
            many rows.
        seed: the seed of the cut.
    """

    name: str
    digest: str
    estimator: Any
    task: Task
    head: Head
    folds: int
    seed: int

    @property
    def rows_at_once(self) -> int:
        """The number of rows in one question."""
        return estimator_rows_at_once(self.task)

    def outputs(self, inputs: Tensor) -> Tensor:
        """The answers of the model that was fitted on every labelled row, shape (batch, num_outputs).

        This is for a task whose rows are no table.
        """
        return self._of(-1, inputs.flatten(1).numpy())

    def answers(self, task: Task, rows: Tensor, view: int) -> Tensor:
        """The same by row number, and out of fold; a view of a row belongs to the row's fold.

        Raises:
            InputError: the model cannot be fitted, or an answer is not finite.
        """
        folds = self._fold_of[rows]
        given = torch.empty(len(rows), task.num_outputs)
        for fold in folds.unique().tolist():
            chosen = rows[folds == fold]
            self._model(fold)
            read = encoded_rows if fold in self._read_encoded else cleaned_rows
            given[folds == fold] = self._of(fold, read(task, chosen, view))
        refuse_rows(self.name, rows[given.isnan().any(dim=1)], view)
        return given

    def _of(self, fold: int, x: Any) -> Tensor:
        model, head = self._model(fold), self.head
        classes = [] if head.kind in ("labels", "values") else [int(number) for number in model.classes_]
        return estimator_answers(model, x, head, classes, len(head.names) or self.task.num_outputs)

    @cached_property
    def _fold_of(self) -> Tensor:
        """The number of the fold of each row of the task; -1 for a row that has no label to fit on."""
        rows = self._rows
        found = torch.full((self.task.num_rows,), -1)
        targets = self.task.targets(rows)
        cuts = self._cut_classes if self.head.kind not in ("labels", "values") else self._cut_values
        groups = getattr(self.task, "groups", None)
        for number, held_out in enumerate(cuts(targets, None if groups is None else groups[rows].numpy())):
            found[rows[torch.from_numpy(held_out)]] = number
        return found

    def _cut_classes(self, targets: Tensor, groups: NDArray[Any] | None) -> list[NDArray[np.int64]]:
        """The positions of the rows in each fold, with each class in proportion."""
        labels = targets.numpy()
        counts = np.bincount(labels, minlength=self.task.num_outputs)
        folds = min(self.folds, int(counts.max(initial=0)), *self._groups_in(groups))
        if folds < 2:
            raise InputError(
                f"teacher {self.name} cannot be fitted: no class has two labelled training rows, so no row can be "
                "answered by a model that learned from another row of its class; give more labels, or a fitted "
                "classifier"
            )
        names = getattr(self.task, "class_names", range(self.task.num_outputs))
        scarce = [f"'{names[each]}' ({counts[each]})" for each in np.flatnonzero(counts < folds)]
        if scarce:
            _LOG.warning(
                "The teacher is fitted out of fold in %d folds; these classes have fewer labelled training rows: %s. "
                "Its answers on those rows know little of their classes.",
                folds,
                ", ".join(scarce),
            )
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        cut = kind(folds, shuffle=True, random_state=self.seed)
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # the log names scarce classes above
            return [held_out for _, held_out in cut.split(np.zeros(len(labels)), labels, groups)]

    def _cut_values(self, targets: Tensor, groups: NDArray[Any] | None) -> list[NDArray[np.int64]]:
        """The positions of the rows in each fold."""
        folds = min(self.folds, len(targets), *self._groups_in(groups))
        if folds < 2:
            raise InputError(
                f"teacher {self.name} cannot be fitted: {len(targets)} labelled training rows cannot be answered by a "
                "model that learned from others; give more rows with targets, or a fitted model"
            )
        cut = GroupKFold(folds) if groups is not None else KFold(folds, shuffle=True, random_state=self.seed)
        return [held_out for _, held_out in cut.split(np.zeros(len(targets)), groups=groups)]

    def _groups_in(self, groups: NDArray[Any] | None) -> list[int]:
        return [] if groups is None else [len(np.unique(groups))]

    @cached_property
    def _rows(self) -> Tensor:
        """The numbers of the rows on which the model is fitted: all training rows that have all of their targets.

        Those whose labels are hidden from students are among them.
        """
        rows = torch.cat([self.task.splits[split] for split in ("train", "transfer", "reserve")])
        return rows[torch.from_numpy(fitting_targets(self.head, self.task.targets(rows))[1])]

    @cached_property
    def _models(self) -> dict[int, Any]:
        """The models that were fitted so far, by the fold that was left out; model -1 was fitted on every row."""
        return {}

    @cached_property
    def _read_encoded(self) -> set[int]:
        """The models, by the fold that was left out, that read the features of a table and not its columns."""
        return set()

    def _model(self, fold: int) -> Any:
        if fold not in self._models:
            rows = self._rows
            self._models[fold] = self._fit(rows[self._fold_of[rows] != fold], without=fold)
        return self._models[fold]

    def _fit(self, rows: Tensor, *, without: int) -> Any:
        purpose = f", to answer the rows of fold {without + 1}" if without >= 0 else ""
        _LOG.info("Fitting the teacher, %s, on %s rows%s.", self.name, f"{len(rows):,}", purpose)
        y = fitting_targets(self.head, self.task.targets(rows))[0]
        try:
            return clone(self.estimator).fit(cleaned_rows(self.task, rows), y)
        except (TypeError, ValueError) as error:
            model = self._fitted_encoded(rows, y) if reads_table(self.task) else None
            if model is None:
                raise InputError(f"teacher {self.name} cannot be fitted: {said(error).rstrip('.')}") from error
            _LOG.log(
                logging.DEBUG if self._read_encoded else logging.INFO,
                "The teacher, %s, cannot read the columns as they are (%s), so it reads the features of students.",
                self.name,
                said(error).rstrip("."),
            )
            self._read_encoded.add(without)
            return model

    def _fitted_encoded(self, rows: Tensor, y: NDArray[Any]) -> Any:
        """The model fitted on the features of a table; None if it cannot be fitted on them either."""
        try:
            return clone(self.estimator).fit(encoded_rows(self.task, rows), y)
        except (TypeError, ValueError):
            return None
