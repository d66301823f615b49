"""Turns the targets that data hold, of one head or of several, into the heads of a task and what these compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import InputError
from autokd.heads import Classes, Labels, Positions, Values
from autokd.study.task import HeadSection, TaskSection
from autokd.tasks.labels import UNLABELLED, numbered, one_a_row
from autokd.tasks.sources import RawTargets
from autokd.tasks.splits import noisy_labels
from autokd.types import Head

_LARGEST = 1e150
"""The largest value, so that the sum of squares is finite."""

Array = NDArray[Any]
Rows = NDArray[np.int64]
Asked = HeadSection | Mapping[str, HeadSection] | None
"""The value of `heads` in the `task:` section."""


@dataclass(frozen=True)
class Target:
    """The targets of one head, before the rows are split.

    Args:
        head: what the key `heads` says of it, or the guess.
        names: the names of the classes, labels or values.
        y: class numbers, int64, shape (rows,), with -1 where no class is known; 1, 0 or NaN for labels, shape (rows,
            labels); values in the user's unit or NaN, float64, shape (rows, values); or class numbers at positions,
            int64, shape (rows, *positions).
    """

    head: HeadSection
    names: tuple[str, ...]
    y: Array

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which rows have a known target."""
        if self.head.kind == "classes":
            return np.asarray(self.y != UNLABELLED)
        if self.head.kind == "positions":
            return np.asarray((self.y != self.head.ignored).reshape(len(self.y), -1).any(axis=1))
        return np.asarray(~np.isnan(self.y).all(axis=1))


def asked_of(asked: Asked, heads: Sequence[str]) -> dict[str, HeadSection | None]:
    """What the key `heads` says of each head; None where the kind is to be guessed.

    Raises:
        InputError: it names a head that the data do not have, or one kind for several heads; or a head has a name that
            objectives cannot use.
    """
    if len(heads) > 1 and (unusable := next((name for name in heads if not name.isidentifier()), None)) is not None:
        raise InputError(
            f"a head is called {unusable!r}; call it by letters, digits and _, because objectives name it, as in "
            "size.rmse"
        )
    if asked is None:
        return dict.fromkeys(heads)
    if isinstance(asked, HeadSection):
        if len(heads) > 1:
            raise InputError(f"task.heads: the data have the heads {', '.join(heads)}; write {{head: kind}} for them")
        return dict.fromkeys(heads, asked)
    if strange := [name for name in asked if name not in heads]:
        there = ", ".join(name for name in heads if name) or "one head without a name; write its kind alone"
        raise InputError(f"task.heads: the data have no head '{strange[0]}'; they have {there}")
    return {name: asked.get(name) for name in heads}


def row_targets(source: str, rows: int, given: RawTargets, asked: Asked) -> RawTargets:
    """The targets that data hold, one for each row. One-hot labels become class numbers if they are to be guessed.

    Raises:
        InputError: there is not one target for each row, or rows of guessed classes are not one-hot.
    """
    if isinstance(given, dict):
        if not given:
            raise InputError(f"{source}: the mapping of targets is empty; give the targets of a head by its name")
        for name in given:
            if not name.isidentifier():
                raise InputError(f"{source}: '{name}' given as the name of a head; write letters, digits and '_'")
        return {name: _of_rows(f"{source}, {name}", rows, each) for name, each in given.items()}
    if asked is None and guessed(given).kind == "classes":
        return one_a_row(source, rows, given)
    return _of_rows(source, rows, given)


def part_of(targets: RawTargets, start: int, stop: int) -> RawTargets:
    """The targets of consecutive rows."""
    if isinstance(targets, dict):
        return {name: each[start:stop] for name, each in targets.items()}
    return targets[start:stop]


def _of_rows(source: str, rows: int, given: Array) -> Array:
    if not given.ndim or len(given) != rows:
        raise InputError(f"{source}: {rows} rows of inputs but targets of shape {given.shape}; give one for each row")
    return given


def guessed(given: Array) -> HeadSection:
    """The kind of targets in an array: values if they have fractions, and classes otherwise."""
    values = given.dtype.kind == "f" and bool((np.isfinite(given) & (given != np.trunc(given))).any())
    one_hot = values and given.ndim == 2 and np.allclose(np.nansum(given, axis=1), 1)  # refused with better advice
    return HeadSection(kind="values" if values and not one_hot else "classes")


def target_of(
    source: str,
    given: Array,
    head: HeadSection,
    *,
    parts: Mapping[str, Rows],
    names: Sequence[str],
    unlabelled: object,
    every_known: bool,
) -> Target:
    """The targets of one head, checked.

    Args:
        source: the name of the data and of the head, for messages.
        given: one target for each row.
        head: what the targets mean.
        parts: the row numbers of `train`, and of `validation` and `test` if the data have them.
        names: the names of the classes, labels or values; empty if the data have none.
        unlabelled: the value in the `task:` section.
        every_known: whether each row of validation and test must have a known target.

    Raises:
        InputError: the targets are not what the head needs.
    """
    if head.kind == "classes":
        labels = one_a_row(source, len(given), given)
        numbers, class_names = numbered(source, labels, parts, names, unlabelled, every_known=every_known)
        return Target(head, class_names, numbers)
    if head.kind == "positions":
        return _positions(source, given, head, names)
    y = _real(source, given[:, None] if given.ndim == 1 else given, head)
    if y.ndim != 2:
        raise InputError(f"{source}: {head.kind} have shape {given.shape}; give (rows,) or (rows, {head.kind})")
    one = "label" if head.kind == "labels" else "value"
    names = tuple(names) or tuple(f"{one} {number}" for number in range(y.shape[1]))
    if len(names) != y.shape[1]:
        raise InputError(f"{source}: {len(names)} names for {y.shape[1]} {head.kind}; give one name each")
    found = Target(head, tuple(names), y)
    if head.kind == "labels" and (wrong := ~np.isin(y, (0, 1)) & ~np.isnan(y)).any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{source}: label '{names[column]}' is {y[row, column]:g} in row {row}; write 1 where a label holds, 0 "
            "where it does not, and nothing where this is not known"
        )
    for part, rows in parts.items():
        known = found.known[rows]
        if part != "train" and every_known and not known.all():
            raise InputError(
                f"{source}: {int((~known).sum())} of {len(rows)} {part} rows have no target; drop them, or put them "
                "among the training rows, where only the teacher is asked about them"
            )
    return found


def noisy(target: Target, splits: Mapping[str, Rows], spec: TaskSection, *, seed: int) -> Target:
    """The target with the label noise of the `task:` section.

    Raises:
        InputError: there should be label noise, and the targets are no classes.
    """
    if target.head.kind != "classes":
        if spec.label_noise:
            raise InputError(f"task.label_noise: this is for classes, and these are {target.head.kind}; leave it out")
        return target
    changed = noisy_labels(target.y, splits, spec.label_noise, seed=seed, num_classes=len(target.names))
    return Target(target.head, target.names, changed)


def strata(targets: Mapping[str, Target], rows: Rows) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The class of each row, in proportion to which rows are drawn, and the names of these classes.

    It is the class of the first head whose classes are all known. If there is none, all rows are of one class.

    Args:
        targets: the targets by head.
        rows: the rows that are drawn from.
    """
    for target in targets.values():
        if target.head.kind == "classes" and target.known[rows].all():
            return target.y, target.names
    count = len(next(iter(targets.values())).y)
    return np.zeros(count, dtype=np.int64), ("any",)


def heads_from(
    source: str, targets: Mapping[str, Target], splits: Mapping[str, Rows], class_weights: str | Sequence[float] | None
) -> tuple[dict[str, Head], dict[str, Tensor]]:
    """The heads, fitted on the labelled training rows, and their targets as tensors.

    Raises:
        InputError: a head has no known target in train, validation or test, or there is only one value to learn.
    """
    heads: dict[str, Head] = {}
    for name, target in targets.items():
        what = f"{source}, head '{name}'" if name else source
        for split in ("train", "validation", "test"):
            if not target.known[splits[split]].any():
                raise InputError(f"{what}: no row of {split} has a known target; give more rows their targets")
        heads[name] = _head(what, target, splits["train"], class_weights if _weighs(target) else None)
    if class_weights is not None and not any(map(_weighs, targets.values())):
        raise InputError("task.class_weights: there is no head of classes; leave it out")
    return heads, {name: torch.from_numpy(_kept(target)) for name, target in targets.items()}


def class_weights_of(given: str | Sequence[float] | None, train: Array, num_classes: int) -> tuple[float, ...] | None:
    """The weight of each class in the hard loss, from the value in the `task:` section and the training labels."""
    if given is None:
        return None
    if isinstance(given, str):
        counts = np.bincount(train, minlength=num_classes)
        return tuple((len(train) / (num_classes * np.maximum(counts, 1))).tolist())
    if len(given) != num_classes:
        raise InputError(f"task.class_weights: {len(given)} weight(s) for {num_classes} classes; give one a class")
    return tuple(given)


def _head(source: str, target: Target, train: Rows, weights: str | Sequence[float] | None) -> Head:
    y = target.y[train]
    match target.head.kind:
        case "classes":
            known = y[y != UNLABELLED]
            return Classes(target.names, class_weights_of(weights, known, len(target.names)))
        case "positions":
            return Positions(target.names, target.y.shape[1:], target.head.ignored)
    for name, column in zip(target.names, y.T, strict=True):
        found = np.unique(column[~np.isnan(column)])
        if len(found) < 2:
            only = f"{found[0]:g} in all rows of train" if len(found) else "known in no row of train"
            raise InputError(f"{source}: '{name}' is {only}, so there is nothing to learn; leave it out")
    if target.head.kind == "labels":
        return Labels(target.names)
    centre, scale = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    return Values(target.names, tuple(centre.tolist()), tuple(scale.tolist()), target.head.variance)


def _weighs(target: Target) -> bool:
    return target.head.kind == "classes"


def _kept(target: Target) -> Array:
    return target.y.astype(np.float32) if target.head.kind == "labels" else np.ascontiguousarray(target.y)


def _real(source: str, given: Array, head: HeadSection) -> NDArray[np.float64]:
    if given.dtype.kind == "c":
        raise InputError(f"{source}: targets are complex numbers; give real ones")
    found = given.astype(np.float64) if given.dtype.kind in "biuf" else _one_by_one(source, given, head)
    if (huge := np.abs(found) > _LARGEST).any():
        row = int(huge.reshape(len(huge), -1).any(axis=1).argmax())
        raise InputError(f"{source}: a target is infinite, or beyond {_LARGEST:g}, in row {row}; mend it")
    if np.isnan(found).all():
        raise InputError(f"{source}: all targets are missing, so there is nothing to learn; name another target")
    return found


def _one_by_one(source: str, given: Array, head: HeadSection) -> NDArray[np.float64]:
    wanted = "1 where a label holds, 0 where it does not" if head.kind == "labels" else "numbers"
    found = np.full(given.shape, np.nan)
    for place, value in np.ndenumerate(given):
        try:
            found[place] = np.nan if type(value).__name__ in ("NAType", "NoneType") else float(value)
        except (TypeError, ValueError):
            raise InputError(
                f"{source}: the target of row {place[0]} is '{value}', which is no number; write {wanted}, or heads: "
                "classes"
            ) from None
    return found


def _positions(source: str, given: Array, head: HeadSection, names: Sequence[str]) -> Target:
    if given.ndim < 2 or given.dtype.kind not in "biu":
        raise InputError(
            f"{source}: targets at positions have shape {given.shape} and type {given.dtype}; give whole numbers of "
            "shape (rows, *positions)"
        )
    y = given.astype(np.int64)
    counting = y[y != head.ignored]
    if not len(counting) or counting.min() < 0:
        raise InputError(
            f"{source}: classes at positions must be 0 or more, or {head.ignored} where a place is ignored"
        )
    most = int(counting.max()) + 1
    if names and len(names) < most:
        raise InputError(f"{source}: class {most - 1} at a position has no name; there are {len(names)} class names")
    return Target(head, tuple(names) or tuple(map(str, range(most))), y)
