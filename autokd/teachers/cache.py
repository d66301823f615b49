"""The cache of a teacher's answers: the teacher is asked once per sample and view, and every worker maps the file."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from autokd.errors import InputError, said
from autokd.files import read_json, sync
from autokd.npy import open_npy
from autokd.teachers.asking import Told, answer, reopened, write_nan
from autokd.teachers.files import digest_of, file_digest
from autokd.types import Task, Teacher

SPLITS = ("train", "transfer", "validation")
"""The splits that a search needs before it begins.

The teacher is asked about `test` when the front is settled, and about `reserve` when a student is retrained on it.
"""

_FORMAT = 1
_LOG = logging.getLogger("autokd")


@dataclass(frozen=True)
class CachedOutputs:
    """The file of a teacher's answers, and what it took to get them.

    Args:
        path: a `.npy` file for `open_outputs`.
        warm: whether nothing had to be computed.
        forward_passes: the number of samples x views about which the teacher was asked now.
        reason: why the teacher had to be asked; "" if `warm`.
    """

    path: Path
    warm: bool
    forward_passes: int
    reason: str


def teacher_outputs(
    teacher: Teacher,
    task: Task,
    folder: Path,
    *,
    splits: Sequence[str] = SPLITS,
    batch_size: int = 256,
    told: Told = lambda done, total: None,
) -> CachedOutputs:
    """The teacher's answers on the rows of these splits; the teacher is asked if the folder lacks some of them.

    Training rows (`train`, `transfer`, `reserve`) are answered in all views, other rows in view 0. There is one file
    for each teacher and task, named by their digests. A later call with more splits extends the file.

    The answers are written to another file first, which replaces the old one when it is whole. If several processes
    start at once, one of them asks the teacher and the others wait. If that process is killed, the next one goes on
    with the unfinished file and asks the same batches, so the answers are those of an uninterrupted pass. The log says
    what the teacher is asked, and why.

    Args:
        teacher: is asked in batches.
        task: gives the inputs.
        folder: is made if it does not exist.
        splits: the splits whose rows are needed.
        batch_size: the number of samples in one question.
        told: is called after each batch.

    Raises:
        InputError: answers have the wrong shape or are not finite, a file of answers lacks a training row, or the
            folder cannot be written.
    """
    path = folder / f"outputs-{digest_of(teacher.digest, task.digest)[:16]}.npy"
    stored, reason = _stored(path, teacher, task)
    if set(splits) <= set(stored):  # before the lock is taken, so that a read-only folder can be used
        return _warm(path)
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire()
    try:
        stored, reason = _stored(path, teacher, task)
        missing = [split for split in splits if split not in stored]
        if not missing:
            return _warm(path)
        if stored:
            reason = f"there are no answers on {', '.join(missing)} yet"
        asked = _extend(path, teacher, task, stored, missing, batch_size, reason, told)
    finally:
        lock.release()
    return CachedOutputs(path, warm=False, forward_passes=asked, reason=reason)


def open_outputs(path: Path) -> Tensor:
    """The answers in a file, memory-mapped: float32, shape (views, num_rows, num_outputs), NaN where none was asked.

    Processes share the memory. Writing into the tensor changes neither the file nor what other processes see.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    try:
        array = open_npy(path, mapped="c")
    except (OSError, ValueError) as error:
        raise InputError(f"teacher outputs {path} cannot be opened ({said(error)}); run the search again") from None
    if array.ndim != 3 or array.dtype != np.float32:
        raise InputError(
            f"teacher outputs {path} hold {array.dtype} of shape {array.shape}, not float32 of shape (views, rows, "
            "outputs); remove the file and run the search again"
        )
    return torch.from_numpy(array)


def refuse_damaged(path: Path) -> None:
    """Refuses a file of answers whose content differs from the digest beside it.

    Raises:
        InputError: the content differs.
    """
    record = _record(path.with_suffix(".json"))
    if record is not None and path.is_file() and record.get("sha256") != file_digest(path):
        raise InputError(
            f"teacher outputs {path} were changed or damaged since they were written (their sha256 differs); run the "
            "search again, which asks the teacher again"
        )


def _warm(path: Path) -> CachedOutputs:
    _LOG.info("The teacher's answers are kept in %s.", path)
    return CachedOutputs(path, warm=True, forward_passes=0, reason="")


def _extend(
    path: Path,
    teacher: Teacher,
    task: Task,
    stored: Sequence[str],
    missing: Sequence[str],
    batch_size: int,
    reason: str,
    told: Told,
) -> int:
    """Puts a file in place that holds the splits of both lists, and returns how many samples x views were asked now."""
    shape = (task.views, task.num_rows, task.num_outputs)
    unfinished = path.with_suffix(".tmp")  # always the same name, so that the next process goes on with it
    try:
        with _disk(path.parent):
            outputs = reopened(unfinished, shape)
            if outputs is None:
                if stored:
                    shutil.copyfile(path, unfinished)
                else:
                    write_nan(unfinished, shape)
                outputs = np.lib.format.open_memmap(unfinished, mode="r+")
        asked = answer(outputs, teacher, task, missing, batch_size, reason, told)
        with _disk(path.parent):
            outputs.flush()
            sync(unfinished)
            os.replace(unfinished, path)
            _write_record(path, teacher, task, [*stored, *missing], shape)
    except Exception:  # an interrupt is none, so what was answered by then stays
        unfinished.unlink(missing_ok=True)
        raise
    return asked


def _identity(teacher: Teacher, task: Task) -> dict[str, Any]:
    return {"format": _FORMAT, "teacher": teacher.digest, "task": task.digest}


def _write_record(path: Path, teacher: Teacher, task: Task, splits: list[str], shape: tuple[int, ...]) -> None:
    # People may want to know the versions. They are not part of the identity: another version of torch or numpy leaves
    # the answers valid.
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    record = _identity(teacher, task) | {
        "teacher name": teacher.name,
        "task name": task.name,
        "splits": splits,
        "shape": shape,
        "sha256": file_digest(path),
        "versions": versions,
    }
    unfinished = path.with_suffix(".json.tmp")
    unfinished.write_text(json.dumps(record, indent=1), encoding="utf-8")
    sync(unfinished)
    os.replace(unfinished, path.with_suffix(".json"))


def _stored(path: Path, teacher: Teacher, task: Task) -> tuple[list[str], str]:
    """The splits that the file at `path` answers and, if there are none, the reason."""
    record = _record(path.with_suffix(".json"))
    if record is None or not path.is_file():
        return [], _nearest_miss(path.parent, teacher, task)
    if any(record.get(key) != value for key, value in _identity(teacher, task).items()):
        return [], f"{path.with_suffix('.json').name} belongs to another teacher, task or version"
    if record.get("sha256") != file_digest(path):
        return [], f"{path.name} was changed or damaged since it was written: its sha256 differs"
    return list(record["splits"]), ""


def _nearest_miss(folder: Path, teacher: Teacher, task: Task) -> str:
    """What changed since the other files of the folder were written, in words."""
    others = [record for file in folder.glob("outputs-*.json") if (record := _record(file)) is not None]
    if any(other.get("task") == task.digest for other in others):
        return "the teacher is another one than before"
    if any(other.get("teacher") == teacher.digest for other in others):
        return "the task is another one than before: its data, labels, splits or augmentation changed"
    return "there are no usable answers yet"


def _record(path: Path) -> dict[str, Any] | None:
    try:
        record = read_json(path)
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"teacher outputs cannot be written to {folder}: {error.strerror or said(error)}; free some space there, "
            "or choose another run folder"
        ) from error
