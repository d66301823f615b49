"""One pass of a teacher over a task, batch by batch, into a file that says what is done."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import InputError
from autokd.teachers.answers import ask
from autokd.types import Task, Teacher

Told = Callable[[int, int], None]
"""Told how many of how many questions are answered."""

_TRAINING = ("train", "transfer", "reserve")
_LOG = logging.getLogger("autokd")


def questions(task: Task, splits: Sequence[str]) -> str:
    """How many rows of these splits a teacher is asked about, in words: `1,797 images`."""
    training = sum(len(task.splits[split]) for split in splits if split in _TRAINING)
    rows = sum(len(task.splits[split]) for split in splits)
    views = f" ({training:,} of them in {task.views} views)" if training and task.views > 1 else ""
    return f"{rows:,} {'images' if len(task.input_shape) == 3 else 'rows'}{views}"


def answer(
    outputs: NDArray[Any],
    teacher: Teacher,
    task: Task,
    splits: Sequence[str],
    batch_size: int,
    reason: str,
    told: Told,
) -> int:
    """Fills in these splits in all views they need, but for batches that are answered in full, and counts the asked.

    NaN stands where nothing was answered, so that the file itself says what is done: after a crash of the machine, too,
    of which no part that was not written can look answered.
    """
    batches = [
        (split, view, batch)
        for split in splits
        for view in range(task.views if split in _TRAINING else 1)
        for batch in task.splits[split].split(batch_size)
        if len(batch)
    ]
    open_ones = [(split, view, batch) for split, view, batch in batches if np.isnan(outputs[view, batch.numpy()]).any()]
    total, left = (sum(len(batch) for *_, batch in each) for each in (batches, open_ones))
    kept = f" {total - left:,} of {total:,} answers are there already." if left < total else ""
    _LOG.info("Asking the teacher, %s, about %s (%s).%s", teacher.name, questions(task, splits), reason, kept)
    done = total - left
    told(done, total)
    for _, view, batch in open_ones:
        outputs[view, batch.numpy()] = ask(teacher, task, batch, view).numpy()
        done += len(batch)
        told(done, total)
    for split in splits:
        rows = task.splits[split]
        for view in range(task.views if split in _TRAINING else 1):
            _judge_unanswered(teacher, split, rows[torch.from_numpy(np.isnan(outputs[view, rows.numpy()]).any(axis=1))])
    return left


def write_nan(path: Path, shape: tuple[int, ...]) -> None:
    """An array of NaN by ordinary writes, so that a full disk is an error here and no crash in a mapped page later."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        row = np.full(shape[2], np.nan, dtype="<f4").tobytes()
        for _ in range(shape[0] * shape[1]):
            file.write(row)
        file.flush()
        os.fsync(file.fileno())


def reopened(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, Any] | None:
    """What a pass that was interrupted has written; None where there is nothing of this shape."""
    try:
        outputs = np.lib.format.open_memmap(path, mode="r+")
    except (OSError, ValueError, EOFError):
        return None
    return outputs if outputs.shape == shape and outputs.dtype == np.float32 else None


def _judge_unanswered(teacher: Teacher, split: str, rows: Tensor) -> None:
    """Rows without an answer are an error where students learn, and said elsewhere."""
    if not len(rows):
        return
    if split in _TRAINING:
        raise InputError(
            f"teacher '{teacher.name}' has no answers for {len(rows)} rows of {split} (the first: {int(rows[0])}); "
            "students learn from these: answer them too"
        )
    _LOG.warning(
        "teacher '%s' has no answers for %d rows of %s: its score and agreement there are not available",
        teacher.name,
        len(rows),
        split,
    )
