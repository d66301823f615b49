"""Tasks that somebody wrote. No file holds them, so each process makes such a task again from the study's reference."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from autokd.errors import InputError
from autokd.study.task import named_in_task
from autokd.tasks import datasets
from autokd.types import Task


def lacking(found: object) -> list[str]:
    """The names that `autokd.types.Task` has and an object lacks; empty if the object is a task."""
    return [name for name in vars(Task) if not name.startswith("_") and not hasattr(found, name)]


def made(reference: str, args: Mapping[str, Any]) -> Task:
    """The task that a reference names, or that a function or class makes from these keyword arguments.

    Raises:
        InputError: nothing is found, the call fails, or it gives no task.
    """
    found, _ = datasets.referenced(reference, args)
    refuse_no_task(found, f"'{reference}'")
    task: Task = found
    return task


def made_again(section: object, *, digest: str, reading: Mapping[str, Any] = MappingProxyType({})) -> Task:
    """The task of a study in another process than the one that began the run, or in a later one.

    Args:
        section: the study's `task`, which names the task or is the task itself.
        digest: the digest of the task with which the run began, as seen through `reading`.
        reading: how the task reads its rows, if a search varies that and picked this.

    Raises:
        InputError: the task cannot be made, or its digest is another one.
    """
    named, task = named_in_task(section), cast(Any, section)
    if named is None:
        refuse_no_task(section, f"a {type(section).__name__}")
    else:
        task = made(*named)
    if reading:
        task = task.seen_through(dict(reading))
    if task.digest != digest:
        raise InputError(
            f"task '{task.name}' was made again with the digest {task.digest[:12]}, and the run began with "
            f"{digest[:12]}: its data or its code changed, or it draws at random without a seed; undo the change, or "
            "fix the seed"
        )
    return task


def refuse_no_task(found: object, shown: str) -> None:
    """Refuses an object that is no task.

    Raises:
        InputError: names the first thing that the object lacks.
    """
    missing = lacking(found)
    if missing:
        raise InputError(
            f"task: {shown} is not a task (it has no '{missing[0]}'); give what autokd.tasks.from_arrays or "
            "from_dataset makes, or an object with all that autokd.types.Task names"
        )
