"""A teacher's answers, asked once per sample and view, in a file every worker maps."""

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
"""What a search needs before it begins. `test` is asked when the front is settled; retraining adds `reserve`."""

_FORMAT = 1
_LOG = logging.getLogger("autokd")


@dataclass(frozen=True)
class CachedOutputs:
    """Where a teacher's answers lie, and what it took to have them.

    Args:
        path: a `.npy` file for `open_outputs`.
        warm: whether nothing had to be computed.
        forward_passes: samples x views the teacher was asked now.
        reason: why it was cold; "" if it was warm.
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
    """The teacher's answers on the rows of these splits, computed where the folder does not have them yet.

    Training rows (`train`, `transfer`, `reserve`) are answered in all views, other rows in view 0. There is one file
    for each teacher and task, told by their digests; asking for more splits later extends it. It is written aside and
    put in place whole; of processes that start at once, one computes and the others wait for it. What is written aside
    survives a process that is killed: the next one goes on there, and asks the same batches, so that the answers are
    those of a pass that was not interrupted. What is asked, and why, is logged.

    Args:
        teacher: asked in batches.
        task: gives inputs.
        folder: made if it is not there.
        splits: whose rows are needed.
        batch_size: samples in one question.
        told: called after each batch.

    Raises:
        InputError: answers have the wrong shape or are not finite; a file of answers lacks a training row; or the
            folder cannot be written.
    """
    path = folder / f"outputs-{digest_of(teacher.digest, task.digest)[:16]}.npy"
    stored, reason = _stored(path, teacher, task)
    if set(splits) <= set(stored):  # asked before the lock, so that a folder that cannot be written still serves
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
            reason = f"no answers yet on {', '.join(missing)}"
        asked = _extend(path, teacher, task, stored, missing, batch_size, reason, told)
    finally:
        lock.release()
    return CachedOutputs(path, warm=False, forward_passes=asked, reason=reason)


def open_outputs(path: Path) -> Tensor:
    """The answers in a file, mapped: float32, shape (views, num_rows, num_outputs), NaN where none was asked.

    Memory is shared between processes; writing into the tensor changes neither the file nor what others see.

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
    """Refuses answers that are not the ones that were written, by the digest beside them.

    Raises:
        InputError: they are not.
    """
    record = _record(path.with_suffix(".json"))
    if record is not None and path.is_file() and record.get("sha256") != file_digest(path):
        raise InputError(
            f"teacher outputs {path} are not the file that was written, by its sha256; search again: the teacher is "
            "then asked again"
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
    """Puts a file in place that holds the splits of both lists, and counts the samples x views that were asked now."""
    shape = (task.views, task.num_rows, task.num_outputs)
    unfinished = path.with_suffix(".tmp")  # one name: whoever holds the lock goes on with what a dead process left
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
    except Exception:  # not where it is interrupted: then what was answered stays
        unfinished.unlink(missing_ok=True)
        raise
    return asked


def _identity(teacher: Teacher, task: Task) -> dict[str, Any]:
    return {"format": _FORMAT, "teacher": teacher.digest, "task": task.digest}


def _write_record(path: Path, teacher: Teacher, task: Task, splits: list[str], shape: tuple[int, ...]) -> None:
    # Versions are kept for the reader. They are no part of the identity: a teacher's answers stay its answers.
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
    """The splits that the file at `path` answers, and if there are none, why."""
    record = _record(path.with_suffix(".json"))
    if record is None or not path.is_file():
        return [], _nearest_miss(path.parent, teacher, task)
    if any(record.get(key) != value for key, value in _identity(teacher, task).items()):
        return [], f"{path.with_suffix('.json').name} is of another teacher, task or version"
    if record.get("sha256") != file_digest(path):
        return [], f"{path.name} is not the file that was written, by its sha256"
    return list(record["splits"]), ""


def _nearest_miss(folder: Path, teacher: Teacher, task: Task) -> str:
    """What changed, judged by the other files of the folder."""
    others = [record for file in folder.glob("outputs-*.json") if (record := _record(file)) is not None]
    if any(other.get("task") == task.digest for other in others):
        return "another teacher than before"
    if any(other.get("teacher") == teacher.digest for other in others):
        return "another task than before: data, labels, splits or augmentation"
    return "nothing usable yet"


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
