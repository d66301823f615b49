"""Teachers of more classes than the task has, whose columns for these classes are found by name."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from torch import Tensor

from autokd.errors import InputError, listed
from autokd.heads import heads_of
from autokd.networks import logits_in
from autokd.teachers.answers import rows_at_once
from autokd.teachers.files import digest_of
from autokd.types import Task, Teacher

_SEPARATORS = re.compile(r"[\s_-]+")
_INSTEAD = "write under its key classes which of its classes each class of the task is, by name or by number"
_LOG = logging.getLogger("autokd")


@dataclass(frozen=True)
class Columns:
    """A teacher of which only some columns are read: those of the task's classes, in their order.

    Args:
        teacher: the teacher with all its columns.
        columns: the number of the column of each class, counted from 0.
        of: how many columns the teacher has; 0 if that is not known.
    """

    teacher: Teacher
    columns: tuple[int, ...]
    of: int = 0

    @property
    def name(self) -> str:
        """The teacher's name."""
        return self.teacher.name

    @property
    def digest(self) -> str:
        """SHA-256 over the teacher's digest and the columns."""
        return digest_of(self.teacher.digest, repr(self.columns))

    @property
    def rows_at_once(self) -> int:
        """The number of rows in one question."""
        return rows_at_once(self.teacher)

    def outputs(self, inputs: Tensor) -> Tensor:
        """The answers in these columns, shape (batch, len(columns)).

        Raises:
            InputError: the teacher has no such columns.
        """
        given = logits_in(self.teacher.outputs(inputs))
        if given.ndim != 2 or given.shape[1] <= max(self.columns):
            raise InputError(
                f"teacher.classes: column {max(self.columns)} is named, but teacher '{self.name}' gives shape "
                f"{tuple(given.shape)} for {len(inputs)} inputs; columns count from 0"
            )
        return given[:, list(self.columns)]

    def of_classes(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The teacher's weights by name, in which the last layer has the rows of the task's classes.

        Args:
            tensors: the weights, in the order of the layers; those at the end that have a row for each column are the
                last layer.
        """
        found = dict(tensors)
        for name in reversed(found):
            if not found[name].ndim or len(found[name]) != self.of:
                break
            found[name] = found[name][list(self.columns)]
        return found


def for_classes(
    teacher: Teacher, task: Task, *, names: Sequence[str], chosen: Mapping[str, str | int], instead: str = ""
) -> Teacher:
    """The teacher with the columns of the task's classes; the teacher itself if it has these classes in their order.

    Names are equal if they differ in case, spaces, underscores and hyphens alone. Where the name of a teacher's class
    lists several names, separated by commas, each of them is a name of the class; the class that has it first wins.

    Args:
        teacher: the teacher with all its columns.
        task: the task whose rows the teacher answers.
        names: the names of the teacher's classes in the order of its columns; empty if they are not known.
        chosen: the teacher's class, by its name or its number, for classes of the task that the user named.
        instead: what else the user can do where a class is not found, as a part of a sentence.

    Raises:
        InputError: a class of the task has no column, or more than one.
    """
    heads = heads_of(task)
    head = heads.get("")
    if head is None or head.kind != "classes":
        if chosen:
            raise InputError(
                f"teacher.classes: the key is for a task of one head of classes, and task '{task.name}' has another "
                "kind of head; leave the key out"
            )
        return teacher
    classes = head.names
    if strange := [name for name in chosen if name not in classes]:
        raise InputError(
            f"teacher.classes: task '{task.name}' has no class '{strange[0]}'; its classes are {listed(classes)}"
        )
    if not names and not chosen:
        return teacher
    known = _by_key(names)
    found = columns_of(classes, names, chosen)
    lacking = [name for name, columns in found.items() if len(columns) != 1]
    if lacking and not chosen and len(names) == len(classes):
        _LOG.info(
            "The classes of teacher %s have other names than those of the task, so they are taken in their order.",
            teacher.name,
        )
        return teacher
    if lacking:
        raise InputError(_refusal(teacher.name, lacking, chosen, found, names, known, instead))
    columns = tuple(column for (column,) in found.values())
    if len(names) == len(classes) and columns == tuple(range(len(names))):
        return teacher
    shown = [f"{name}: {names[column] if names else column}" for name, column in zip(classes, columns, strict=True)]
    _LOG.info(
        "The classes of the task are these of teacher %s, and its other classes are left out: %s.",
        teacher.name,
        "; ".join(shown),
    )
    return Columns(teacher, columns, len(names))


def columns_of(classes: Sequence[str], names: Sequence[str], chosen: Mapping[str, str | int]) -> dict[str, list[int]]:
    """The columns that each class of a task may mean; none if it is not found. See `for_classes` for the arguments."""
    known = _by_key(names)
    return {name: _columns(chosen.get(name, name), known, len(names)) for name in classes}


def key_of(name: str) -> str:
    """What two ways of writing a name have in common."""
    return _SEPARATORS.sub("", name).casefold()


def _by_key(names: Sequence[str]) -> dict[str, list[int]]:
    """The numbers of the classes that have a name, by its key; only of those that have it first, if there are any."""
    known: dict[str, list[int]] = {}
    words = [[*map(key_of, name.split(","))] for name in names]
    for number, (name, (first, *_)) in enumerate(zip(names, words, strict=True)):
        for key in dict.fromkeys([key_of(name), first]):
            known.setdefault(key, []).append(number)
    others: dict[str, list[int]] = {}
    for number, (_, *further) in enumerate(words):
        for key in dict.fromkeys(further):
            others.setdefault(key, []).append(number)
    return {**others, **known}


def _columns(wanted: str | int, known: Mapping[str, list[int]], count: int) -> list[int]:
    """The columns that a name or a number may mean."""
    if isinstance(wanted, int):
        return [wanted] if not count or wanted < count else []
    return known.get(key_of(wanted), [])


def _refusal(
    teacher: str,
    lacking: Sequence[str],
    chosen: Mapping[str, str | int],
    found: Mapping[str, list[int]],
    names: Sequence[str],
    known: Mapping[str, list[int]],
    instead: str,
) -> str:
    """Why the classes have no columns, in one line that shows the first of them."""
    first = lacking[0]
    wanted = chosen.get(first, first)
    also = f" (nor one for {listed(lacking[1:], most=4)})" if len(lacking) > 1 else ""
    place = "teacher.classes: " if first in chosen else ""
    advice = f"{_INSTEAD}, as in classes: {{{first}: {found[first][0] if found[first] else 0}}}{instead}"
    if len(found[first]) > 1:
        several = listed([f"{names[number]} ({number})" for number in found[first]])
        return f"{place}teacher '{teacher}' has several classes named '{wanted}': {several}; {advice}"
    if isinstance(wanted, int):
        return f"{place}teacher '{teacher}' has {len(names)} classes, counted from 0, so none is {wanted}; {advice}"
    if not names:
        return (
            f"{place}the names of the classes of teacher '{teacher}' are not known, so '{wanted}' has no column{also}; "
            f"{advice}"
        )
    near = [names[known[key][0]] for key in get_close_matches(key_of(wanted), list(known), n=3)]
    closest = f"; the nearest names are {listed([repr(name) for name in dict.fromkeys(near)])}" if near else ""
    return (
        f"{place}teacher '{teacher}' has {len(names):,} classes, and none is named '{wanted}'{also}{closest}; {advice}"
    )
