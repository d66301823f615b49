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
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import InputError
from autokd.teachers.answers import ask
from autokd.teachers.files import digest_of, file_digest
from autokd.types import Task, Teacher

SPLITS = ("train", "transfer", "validation", "test")
"""What a search needs; retraining adds `reserve`."""

_TRAINING = ("train", "transfer", "reserve")
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
    teacher: Teacher, task: Task, folder: Path, *, splits: Sequence[str] = SPLITS, batch_size: int = 256
) -> CachedOutputs:
    """The teacher's answers on the rows of these splits, computed where the folder does not have them yet.

    Training rows (`train`, `transfer`, `reserve`) are answered in all views, other rows in view 0. There is one file
    for each teacher and task, told by their digests; asking for more splits later extends it. It is written aside and
    put in place whole; of processes that start at once, one computes and the others wait for it. Cold or warm, and
    why, is logged.

    Args:
        teacher: asked in batches.
        task: gives inputs.
        folder: made if it is not there.
        splits: whose rows are needed.
        batch_size: samples in one question.

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
        asked = _extend(path, teacher, task, stored, missing, batch_size)
    finally:
        lock.release()
    _LOG.info("teacher outputs: cold (%s); asked %d samples x views of '%s'", reason, asked, teacher.name)
    return CachedOutputs(path, warm=False, forward_passes=asked, reason=reason)


def open_outputs(path: Path) -> Tensor:
    """The answers in a file, mapped: float32, shape (views, num_rows, num_outputs), NaN where none was asked.

    Memory is shared between processes; writing into the tensor changes neither the file nor what others see.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"teacher outputs {path} cannot be opened ({error}); run the search again") from None
    if array.ndim != 3 or array.dtype != np.float32:
        raise InputError(
            f"teacher outputs {path} hold {array.dtype} of shape {array.shape}, not float32 of shape (views, rows, "
            "outputs); remove the file and run the search again"
        )
    return torch.from_numpy(array)


def _warm(path: Path) -> CachedOutputs:
    _LOG.info("teacher outputs: warm (%s)", path)
    return CachedOutputs(path, warm=True, forward_passes=0, reason="")


def _extend(
    path: Path, teacher: Teacher, task: Task, stored: Sequence[str], missing: Sequence[str], batch_size: int
) -> int:
    """Puts a file in place that holds the splits of both lists, and counts what was asked for it."""
    shape = (task.views, task.num_rows, task.num_outputs)
    unfinished = path.with_suffix(".tmp")  # one name: whoever holds the lock overwrites what a dead process left
    try:
        with _disk(path.parent):
            if stored:
                shutil.copyfile(path, unfinished)
            else:
                _write_nan(unfinished, shape)
            outputs = np.lib.format.open_memmap(unfinished, mode="r+")
        asked = sum(_answer(outputs, teacher, task, split, batch_size) for split in missing)
        with _disk(path.parent):
            outputs.flush()
            os.replace(unfinished, path)
            _write_record(path, teacher, task, [*stored, *missing], shape)
    finally:
        unfinished.unlink(missing_ok=True)
    return asked


def _answer(outputs: NDArray[Any], teacher: Teacher, task: Task, split: str, batch_size: int) -> int:
    """Fills in one split in all views it needs, and counts samples x views."""
    rows = task.splits[split]
    views = task.views if split in _TRAINING else 1
    for view in range(views if len(rows) else 0):
        unanswered = []
        for batch in rows.split(batch_size):
            given = ask(teacher, task, batch, view)
            outputs[view, batch.numpy()] = given.numpy()
            unanswered.append(batch[torch.isnan(given).any(dim=1)])
        _judge_unanswered(teacher, split, torch.cat(unanswered))
    return len(rows) * views


def _write_nan(path: Path, shape: tuple[int, ...]) -> None:
    """An array of NaN by ordinary writes, so that a full disk is an error here and no crash in a mapped page later."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        row = np.full(shape[2], np.nan, dtype="<f4").tobytes()
        for _ in range(shape[0] * shape[1]):
            file.write(row)
        file.flush()
        os.fsync(file.fileno())


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
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"teacher outputs cannot be written to {folder}: {error.strerror or error}; free some space there, or "
            "choose another run folder"
        ) from error
