"""The same task with other rows in its splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autokd.types import Task


@dataclass(frozen=True)
class _Resplit:
    """A task with other rows in its splits, and all else as it is."""

    task: Task
    splits: Mapping[str, Tensor]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)


def labelled(task: Task, rows: Tensor) -> Tensor:
    """Those of the rows that have a label, which students may or may not be shown."""
    targets = task.targets(rows)
    return rows[targets >= 0] if targets.dtype == torch.int64 and targets.ndim == 1 else rows


def all_labels(task: Task) -> Task:
    """`task` with all rows that may be trained on and have a label in its labelled split: what its teacher sees."""
    rows = torch.cat([task.splits[split] for split in ("train", "transfer", "reserve")])
    return _resplit(task, train=labelled(task, rows), transfer=rows[:0], reserve=rows[:0])


def with_reserve(task: Task) -> Task:
    """`task` with the rows that a search leaves out: labelled, or, where labels are hidden, in the transfer set."""
    joins = "transfer" if len(labelled(task, task.splits["transfer"])) else "train"
    rows = torch.cat([task.splits[joins], task.splits["reserve"]])
    return _resplit(task, **{joins: rows, "reserve": rows[:0]})


def _resplit(task: Task, **splits: Tensor) -> Task:
    resplit: Any = _Resplit(task, {**task.splits, **splits})
    return resplit
