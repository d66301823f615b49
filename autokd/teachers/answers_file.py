"""Answers computed elsewhere as a teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import InputError, said
from autokd.npy import open_npy
from autokd.study.teacher import OutputsSection
from autokd.teachers.answers import AS_LOGITS, refuse_rows
from autokd.teachers.files import digest_of, existing_file, file_digest
from autokd.types import Task


@dataclass(frozen=True)
class AnswersFile:
    """Answers computed elsewhere, by row number of the task.

    Args:
        name: for tables.
        digest: of the file and what it gives.
        array: shape (views, first rows of the task, num_outputs); rows of NaN have no answer.
        gives: `logits` or `probabilities`.
    """

    name: str
    digest: str
    array: NDArray[Any]
    gives: str

    def outputs(self, inputs: Tensor) -> Tensor:
        """Raises InputError: a file answers rows of its task, not inputs."""
        raise InputError(f"teacher '{self.name}' is a file of answers and cannot answer new inputs")

    def answers(self, task: Task, rows: Tensor, view: int) -> Tensor:
        """What the file says of these rows; NaN past its end.

        Raises:
            InputError: a row is partly NaN, or infinite.
        """
        given = torch.full((len(rows), task.num_outputs), math.nan)
        there = rows < self.array.shape[1]
        given[there] = torch.from_numpy(self.array[view, rows[there].numpy()].astype(np.float32))
        unusable = ~torch.isfinite(given).all(dim=1) & ~torch.isnan(given).all(dim=1)
        refuse_rows(self.name, rows[unusable], view)
        return AS_LOGITS[self.gives](given)


def from_outputs(spec: OutputsSection, task: Task) -> AnswersFile:
    """A mapped file of answers.

    Raises:
        InputError: the file cannot be read or has another shape than the task's rows, views and classes.
    """
    path = existing_file(spec.outputs, [".npy"])
    try:
        array = open_npy(path)
    except (OSError, ValueError) as error:
        raise InputError(f"teacher {path} is no file of numbers ({said(error)}); write it with numpy.save") from None
    views = array[None] if array.ndim == 2 else array
    if views.ndim != 3 or views.dtype.kind != "f":
        raise InputError(
            f"teacher {path} holds {array.dtype} of shape {array.shape}; "
            f"give floats of shape (rows, {task.num_outputs}) or (views, rows, {task.num_outputs})"
        )
    if views.shape[2] != task.num_outputs:
        raise InputError(
            f"teacher {path} answers with {views.shape[2]} classes, task '{task.name}' has {task.num_outputs}"
        )
    if views.shape[0] != task.views:
        raise InputError(
            f"teacher {path} has answers for {views.shape[0]} views, task '{task.name}' has {task.views}; "
            f"set the task's views to {views.shape[0]}, or answer every view of its inputs"
        )
    if views.shape[1] > task.num_rows:
        raise InputError(
            f"teacher {path} answers {views.shape[1]} rows, task '{task.name}' has {task.num_rows}; "
            "answers go by the task's row numbers"
        )
    return AnswersFile(path.stem, digest_of(file_digest(path), spec.gives), views, spec.gives)
