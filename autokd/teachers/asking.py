"""One pass of a teacher over a task, batch by batch, into a file that shows what is done."""

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
"""Is called with the number of questions that are answered so far, and the number of all questions."""

_TRAINING = ("train", "transfer", "reserve")
_LOG = logging.getLogger("autokd")


def questions(task: Task, splits: Sequence[str]) -> str:
    """The number of rows of these splits about which a teacher is asked, in words, such as `1,797 images`."""
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
    """Fills in the answers on these splits, in all views that they need, and returns how many were asked for now.

    Batches that are already answered in full are not asked again. NaN marks what has no answer yet, so the file itself
    shows what is done. This holds after a crash of the machine, too: a part that was not written cannot look answered.
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
    """Writes an array of NaN by ordinary writes, so that a full disk raises an error here.

    If the file were only mapped, a full disk would crash the process later, when it writes to a mapped page.
    """
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        row = np.full(shape[2], np.nan, dtype="<f4").tobytes()
        for _ in range(shape[0] * shape[1]):
            file.write(row)
        file.flush()
        os.fsync(file.fileno())


def reopened(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, Any] | None:
    """The array that an interrupted pass has written, opened to go on; None if there is none of this shape."""
    try:
        outputs = np.lib.format.open_memmap(path, mode="r+")
    except (OSError, ValueError, EOFError):
        return None
    return outputs if outputs.shape == shape and outputs.dtype == np.float32 else None


def _judge_unanswered(teacher: Teacher, split: str, rows: Tensor) -> None:
    """Refuses rows without an answer if students learn from them, and warns of them if not."""
    if not len(rows):
        return
    if split in _TRAINING:
        raise InputError(
            f"teacher '{teacher.name}' has no answers for {len(rows)} rows of {split} (the first: {int(rows[0])}); "
            "students learn from these rows, so the teacher must answer them, too"
        )
    _LOG.warning(
        "The teacher, %s, has no answers for %d rows of %s. Its score and the agreement with it are not known there.",
        teacher.name,
        len(rows),
        split,
    )
