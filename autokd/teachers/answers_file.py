"""A teacher whose answers were computed elsewhere and lie in a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import InputError, said
from autokd.heads import heads_of
from autokd.npy import open_npy
from autokd.study.teacher import OutputsSection
from autokd.teachers.answers import as_outputs, refuse_rows
from autokd.teachers.files import digest_of, existing_file, file_digest
from autokd.types import Task


@dataclass(frozen=True)
class AnswersFile:
    """Answers that were computed elsewhere, by row number of the task.

    Args:
        name: what tables call the teacher.
        digest: the digest of the file and of `gives`.
        array: the answers to the first rows of the task, shape (views, rows, num_outputs); a row of NaN has no answer.
            Values are in the user's unit.
        gives: what the numbers are, `logits` or `probabilities`.
    """

    name: str
    digest: str
    array: NDArray[Any]
    gives: str

    def outputs(self, inputs: Tensor) -> Tensor:
        """Raises InputError: a file answers rows of its task, not inputs."""
        raise InputError(f"teacher '{self.name}' is a file of answers and cannot answer new inputs")

    def answers(self, task: Task, rows: Tensor, view: int) -> Tensor:
        """The answers of the file to these rows; NaN for rows past its end.

        Raises:
            InputError: a row is NaN in part, or holds infinity.
        """
        given = torch.full((len(rows), task.num_outputs), math.nan)
        there = rows < self.array.shape[1]
        given[there] = torch.from_numpy(self.array[view, rows[there].numpy()].astype(np.float32))
        unusable = ~torch.isfinite(given).all(dim=1) & ~torch.isnan(given).all(dim=1)
        refuse_rows(self.name, rows[unusable], view)
        return as_outputs(given, self.gives, heads_of(task))


def _is_of_classes(task: Task) -> bool:
    return all(head.kind in ("", "classes") for head in heads_of(task).values())


def from_outputs(spec: OutputsSection, task: Task) -> AnswersFile:
    """The teacher of a memory-mapped file of answers.

    Raises:
        InputError: the file cannot be read, or its shape does not fit the task's rows, views and classes.
    """
    path = existing_file(spec.outputs, [".npy"])
    try:
        array = open_npy(path)
    except (OSError, ValueError) as error:
        raise InputError(f"teacher {path} is not a file of numbers ({said(error)}); write it with numpy.save") from None
    views = array[None] if array.ndim == 2 else array
    if views.ndim != 3 or views.dtype.kind != "f":
        raise InputError(
            f"teacher {path} holds {array.dtype} of shape {array.shape}; "
            f"give floats of shape (rows, {task.num_outputs}) or (views, rows, {task.num_outputs})"
        )
    if views.shape[2] != task.num_outputs:
        raise InputError(
            f"teacher {path} answers with {views.shape[2]} classes, but task '{task.name}' has {task.num_outputs}; "
            "give answers for the task's classes"
            if _is_of_classes(task)
            else f"teacher {path} answers with {views.shape[2]} numbers for each row, but task '{task.name}' has "
            f"{task.num_outputs}; give one number for each output of its heads ({', '.join(heads_of(task))})"
        )
    if views.shape[0] != task.views:
        raise InputError(
            f"teacher {path} has answers for {views.shape[0]} views, but task '{task.name}' has {task.views}; "
            f"set the task's views to {views.shape[0]}, or answer every view of its inputs"
        )
    if views.shape[1] > task.num_rows:
        raise InputError(
            f"teacher {path} answers {views.shape[1]} rows, but task '{task.name}' has {task.num_rows}; "
            "each row of the file must answer the row of the task that has the same number"
        )
    return AnswersFile(path.stem, digest_of(file_digest(path), spec.gives), views, spec.gives)
