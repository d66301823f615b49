"""A teacher for each head of a task. Each of them sees a task with its own head alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autokd.errors import InputError
from autokd.heads import heads_of
from autokd.teachers.answers import ask, rows_at_once
from autokd.teachers.files import digest_of
from autokd.types import Head, Task, Teacher


@dataclass(frozen=True)
class OneHead:
    """A task with one of its heads alone; everything else stays.

    Args:
        task: the task.
        name: the name of the head.
    """

    task: Task
    name: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    @property
    def seen_through(self) -> Callable[[Mapping[str, Any]], OneHead]:
        """The same head of the task as seen through another reading, if the task has such a method."""
        task: Any = self.task
        see = task.seen_through
        return lambda reading: OneHead(see(reading), self.name)

    @property
    def _head(self) -> Head:
        return heads_of(self.task)[self.name]

    @property
    def heads(self) -> dict[str, Head]:
        """The head, under the name of an only head."""
        return {"": self._head}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the head's classes, labels or values."""
        return self._head.names

    @property
    def num_outputs(self) -> int:
        """How many columns the head answers in."""
        return int(torch.Size(self._head.shape).numel())

    @property
    def digest(self) -> str:
        """A digest of the task and of the head's name."""
        return digest_of(self.task.digest, repr(self.name))

    def targets(self, rows: Tensor) -> Tensor:
        """The targets of the head."""
        found: Any = self.task.targets(rows)
        return found[self.name]

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of the head."""
        return self._head.hard_loss(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The score of the head."""
        return self._head.score(outputs, targets)


@dataclass(frozen=True)
class ByHead:
    """A teacher for each head of a task; the answers stand side by side, as a student's outputs do.

    Args:
        members: the teachers by head, in the order of the task's heads.
    """

    members: Mapping[str, Teacher]

    @property
    def name(self) -> str:
        """The names of the members with their heads."""
        return ", ".join(f"{member.name} of {head}" for head, member in self.members.items())

    @property
    def digest(self) -> str:
        """SHA-256 over the members' digests."""
        return digest_of(*(f"{head!r} {member.digest}" for head, member in self.members.items()))

    @property
    def rows_at_once(self) -> int:
        """The number of rows in one question: as many as suit every member."""
        return min(map(rows_at_once, self.members.values()))

    def outputs(self, inputs: Tensor) -> Tensor:
        """The answers on a batch, shape (batch, num_outputs)."""
        return torch.cat([member.outputs(inputs).flatten(1) for member in self.members.values()], dim=1)

    def answers(self, task: Task, rows: Tensor, view: int) -> Tensor:
        """The same by row number."""
        alone: Any = {name: OneHead(task, name) for name in self.members}
        given = [ask(member, alone[name], rows, view).flatten(1) for name, member in self.members.items()]
        return torch.cat(given, dim=1)


def refuse_heads(given: Collection[str], task: Task) -> None:
    """Refuses teachers by head that are not one for each head of the task.

    Raises:
        InputError: names the head without a teacher, or the teacher without a head.
    """
    heads = heads_of(task)
    if len(heads) == 1:
        raise InputError(f"teacher.heads: task '{task.name}' has one head; write its teacher without 'heads'")
    there = ", ".join(heads)
    if lacking := [name for name in heads if name not in given]:
        raise InputError(
            f"teacher.heads: there is no teacher for head '{lacking[0]}' of task '{task.name}'; name one for each of "
            f"{there}"
        )
    if strange := [name for name in given if name not in heads]:
        raise InputError(f"teacher.heads: task '{task.name}' has no head '{strange[0]}'; its heads are {there}")
