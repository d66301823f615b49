"""Teachers that see rows through a reading of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autokd.errors import InputError
from autokd.study.reading import ReadingSection
from autokd.study.section import as_data
from autokd.teachers.answers import ask, rows_at_once
from autokd.teachers.files import digest_of
from autokd.types import Task, Teacher


@dataclass(frozen=True)
class Through:
    """A teacher that answers rows as it sees them, which is not as students see them.

    Args:
        teacher: the teacher.
        seen: the task as the teacher sees it. It has the rows, the views and the heads of the students' task.
    """

    teacher: Teacher
    seen: Task

    @property
    def name(self) -> str:
        """The teacher's name."""
        return self.teacher.name

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of the teacher and of the task as it sees it."""
        return digest_of(self.teacher.digest, self.seen.digest)

    @property
    def rows_at_once(self) -> int:
        """The number of rows in one question."""
        return rows_at_once(self.teacher)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Raises InputError: the inputs of students are not those of the teacher."""
        raise InputError(f"teacher '{self.name}' has a reading of its own, so it answers rows and not students' inputs")

    def answers(self, task: Task, rows: Tensor, view: int) -> Tensor:
        """The answers by row number, shape (len(rows), num_outputs)."""
        return ask(self.teacher, self.seen, rows, view)


def seen_by(task: Task, reading: ReadingSection) -> Task:
    """The task as a teacher with this reading sees it.

    Raises:
        InputError: the rows of the task cannot be read so.
    """
    see: Any = getattr(task, "seen_through", None)
    if not callable(see):
        raise InputError(
            f"teacher.reading: the rows of task '{task.name}' are kept as students see them, so no teacher sees them "
            "otherwise; leave the key out"
        )
    try:
        seen: Task = see(as_data(reading))
    except InputError as error:
        raise InputError(f"teacher.reading.{error}") from None
    if (seen.num_rows, seen.views, seen.num_outputs) != (task.num_rows, task.views, task.num_outputs):
        raise InputError(
            f"teacher.reading: task '{task.name}' has {task.num_rows} rows, {task.views} view(s) and "
            f"{task.num_outputs} outputs, but {seen.num_rows}, {seen.views} and {seen.num_outputs} as the teacher sees "
            "it; `seen_through` must change what is seen of a row, and nothing else"
        )
    return seen


def refuse_searched(task: Task) -> None:
    """Refuses a teacher that takes inputs, where no inputs are fixed because what students see is searched.

    Raises:
        InputError: says what to write.
    """
    readings = getattr(task, "readings", {})
    if readings:
        searched = " and ".join(f"{name} {', '.join(map(str, choices))}" for name, choices in readings.items())
        example = ", ".join(f"{name}: {choices[-1]}" for name, choices in readings.items())
        raise InputError(
            f"teacher: what students see is searched ({searched}), and a teacher sees all rows alike; write what it "
            f"sees, as in teacher: {{..., reading: {{{example}}}}}"
        )
