"""The same task with other rows in its splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autokd.heads import heads_of, known_rows
from autokd.types import Task


@dataclass(frozen=True)
class _Resplit:
    """A task with other rows in its splits; everything else stays."""

    task: Task
    splits: Mapping[str, Tensor]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    @property
    def seen_through(self) -> Callable[[Mapping[str, Any]], _Resplit]:
        """The task with these splits as seen through another reading, if the task has such a method."""
        task: Any = self.task
        see = task.seen_through
        return lambda reading: _Resplit(see(reading), self.splits)


def labelled(task: Task, rows: Tensor) -> Tensor:
    """The rows that have a label, whether students may see it or not."""
    return rows[known_rows(task.targets(rows), heads_of(task))]


def all_labels(task: Task) -> Task:
    """The task as its teacher sees it: all rows that have a label and may be trained on are in the labelled split."""
    rows = torch.cat([task.splits[split] for split in ("train", "transfer", "reserve")])
    return trained_on(task, labelled(task, rows))


def trained_on(task: Task, rows: Tensor) -> Task:
    """The task with these rows as its labelled split, and no others to train on."""
    return _resplit(task, train=rows, transfer=rows[:0], reserve=rows[:0])


def with_reserve(task: Task) -> Task:
    """The task with the rows that a search leaves out, as labelled rows, or as transfer rows if labels are hidden."""
    joins = "transfer" if len(labelled(task, task.splits["transfer"])) else "train"
    rows = torch.cat([task.splits[joins], task.splits["reserve"]])
    return _resplit(task, **{joins: rows, "reserve": rows[:0]})


def _resplit(task: Task, **splits: Tensor) -> Task:
    resplit: Any = _Resplit(task, {**task.splits, **splits})
    return resplit
