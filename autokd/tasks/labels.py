"""Numbers the classes of labels, which may be numbers, texts or one-hot rows, and of which some may be missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autokd.errors import InputError, nearest

Array = NDArray[Any]

UNLABELLED = -1
"""The class number of a row without a label."""

_AUTO = "auto"
_MISSING = ("NAType", "NaTType")
"""The types of pandas for a missing value."""


def one_a_row(name: str, rows: int, y: Array) -> Array:
    """Labels of shape (rows,). One-hot labels of shape (rows, classes) become the numbers of their columns.

    A one-hot row that is NaN throughout has no label.

    Raises:
        InputError: there is not one label for each row, or a row is not one-hot.
    """
    if y.shape == (rows, 1):
        y = y[:, 0]
    if y.shape == (rows,):
        return y
    if y.ndim != 2 or len(y) != rows or y.dtype.kind not in "buifO":
        raise InputError(
            f"{name}: {rows} rows of inputs but labels of shape {tuple(y.shape)}; give one label a row, shape ({rows},)"
        )
    try:
        y = y.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name}: labels of shape {y.shape} hold more than numbers; give one label a row") from None
    missing = np.isnan(y).all(axis=1)
    wrong = ~missing & ~(((y == 0) | (y == 1)).all(axis=1) & (y.sum(axis=1) == 1))
    if wrong.any():
        row = int(wrong.argmax())
        soft = (y[row] >= 0).all() and math.isclose(y[row].sum(), 1, abs_tol=1e-3)
        holds = "shares of several classes, which are no labels" if soft else "no single 1 among zeros"
        raise InputError(
            f"{name}: row {row} of labels of shape {y.shape} holds {holds}; give one class a row, such as y.argmax(1)"
            + (", and the shares as a teacher's answers" if soft else "")
        )
    numbers = np.where(missing, 0, np.nan_to_num(y).argmax(axis=1))
    return np.where(missing, np.nan, numbers) if missing.any() else numbers


def joined(labels: Sequence[Array]) -> Array:
    """Labels of consecutive rows as one array, of type object if they are of several kinds."""
    alike = len({each.dtype.kind for each in labels}) == 1
    return np.concatenate(labels if alike else [each.astype(object) for each in labels])


def numbered(
    source: str,
    labels: Array,
    parts: Mapping[str, NDArray[np.int64]],
    class_names: Sequence[str],
    unlabelled: object,
    *,
    every_known: bool = True,
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The class number of each row, from 0, or `UNLABELLED`, and the names of the classes.

    Every class has training rows. The name of a class is its label as text: whole numbers without a decimal point,
    truth values as True or False. Without class names, numbers come first in ascending order, and then texts in
    alphabetical order.

    Args:
        source: the name of the data, for messages.
        labels: one label for each row of all parts.
        parts: the row numbers of `train`, and of `validation` and `test` if the data have them.
        class_names: the names of the classes by number, or matched with labels by name; empty if the data have none.
        unlabelled: the value in the `task:` section. It may name a class by its label or by its class name.
        every_known: whether each row of validation and test must have a label.

    Raises:
        InputError: a label is no class, a class has no training rows, or a row of validation or test has no label.
    """
    distinct, codes = _distinct(source, labels)
    hidden = _hidden(source, distinct, codes[parts["train"]], class_names, unlabelled)
    known = ~hidden[codes]
    for part, rows in parts.items():
        if part != "train" and every_known and not known[rows].all():
            raise InputError(
                f"{source}: {int((~known[rows]).sum())} of {len(rows)} {part} rows have no label; drop them, or put "
                "them among the training rows, where only the teacher is asked about them"
            )
    train = parts["train"]
    training = np.unique(codes[train][known[train]]).tolist()
    if class_names:
        number = _by_class_names(source, {code: distinct[code] for code in np.unique(codes[known])}, class_names)
        dropped = {_place(distinct[code], class_names) for code in np.flatnonzero(hidden)}
        kept = [i for i in range(len(class_names)) if i not in dropped]
        if lacking := [class_names[i] for i in kept if i not in {number[code] for code in training}]:
            minus_1 = any(distinct[code].name == "-1" for code in np.flatnonzero(hidden)) and unlabelled == _AUTO
            doubt = f"label -1 is out of range ({_range(class_names)}), and if it means unlabelled, " if minus_1 else ""
            raise InputError(f"{source}: {doubt}class '{lacking[0]}' has no training rows; give some, or drop its name")
        number = {code: kept.index(place) for code, place in number.items()}
        names = [class_names[i] for i in kept]
    else:
        number = {code: i for i, code in enumerate(training)}
        names = [str(distinct[code].name) for code in training]
    if len(names) < 2:
        only = f"all training labels are {names[0]}" if names else "no training row has a label"
        raise InputError(f"{source}: {only}; classification needs two classes or more")
    for part, rows in parts.items():
        if unknown := sorted(set(np.unique(codes[rows][known[rows]]).tolist()) - set(training)):
            raise InputError(
                f"{source}: {part} label {distinct[unknown[0]].name} is of no training row; give the class some"
            )
    table = np.array([number.get(code, UNLABELLED) for code in range(len(distinct))], dtype=np.int64)
    return table[codes], tuple(names)


def label_name(label: object) -> str | None:
    """The name of a class from its label; None if the label is missing (None, NaN).

    Raises:
        ValueError: the label is a fraction, or neither a number nor a text.
    """
    if isinstance(label, bytes):
        return label.decode()
    if label is None or isinstance(label, str):
        return label
    if type(label).__name__ in _MISSING:
        return None
    if isinstance(label, (bool, np.bool_, Integral)):
        return str(label)
    if isinstance(label, Real):
        value = float(label)
        if math.isnan(value):
            return None
        if value.is_integer():
            return str(int(value))
    elif callable(item := getattr(label, "item", None)) and getattr(label, "shape", None) == ():
        return label_name(item())
    raise ValueError


@dataclass(frozen=True)
class _Label:
    """A label in the data: its name (None if it is missing), and its number if it is a number."""

    name: str | None
    number: int | None


def _distinct(source: str, labels: Array) -> tuple[list[_Label], NDArray[np.int64]]:
    """The distinct labels in order, and the index of each row's label among them."""
    if labels.dtype == object:
        values, where = labels.tolist(), np.arange(len(labels))
    elif labels.dtype.kind in "biufUS":
        unique, where = np.unique(labels, return_inverse=True)
        values = unique.tolist()
    else:
        raise InputError(f"{source}: labels are of type {labels.dtype}; give whole numbers or texts")
    found: dict[str | None, _Label] = {}
    names = []
    for i, value in enumerate(values):
        try:
            name = label_name(value)
        except ValueError:
            raise InputError(
                f"{source}: labels are of type {labels.dtype}; give whole numbers or texts, for these are classes, and "
                f"row {int((where == i).argmax())} has {value!r}"
            ) from None
        names.append(name)
        if name not in found:
            found[name] = _Label(name, None if name is None or isinstance(value, (str, bytes)) else int(value))
    ordered = sorted(found.values(), key=lambda each: (each.number is None, each.number or 0, each.name or ""))
    code = {each.name: i for i, each in enumerate(ordered)}
    return ordered, np.array([code[name] for name in names], dtype=np.int64)[where]


def _hidden(
    source: str, distinct: Sequence[_Label], training: Array, class_names: Sequence[str], unlabelled: object
) -> NDArray[np.bool_]:
    """Which of the distinct labels mean that a row has no label."""
    missing = np.array([each.name is None for each in distinct], dtype=bool)
    if unlabelled is None:
        if missing.any():
            raise InputError(f"{source}: some labels are NaN or None, and task.unlabelled is null; leave it out")
        return missing
    if unlabelled == _AUTO:
        texts = {"nan"} - set(class_names)  # numpy writes NaN into an array of texts like this
        missing |= [each.name in texts for each in distinct]
        others = {distinct[code].name for code in np.unique(training[~missing[training]])} - {"-1"}
        minus_1 = len(others) >= 2 and "-1" not in class_names
        return missing | [each.name == "-1" and minus_1 for each in distinct]
    for given in unlabelled if isinstance(unlabelled, (list, tuple)) else [unlabelled]:
        name = label_name(given)
        meant = np.array([each.name == name for each in distinct], dtype=bool)
        if not meant.any():
            meant = np.array([_class_name(each, class_names) == name for each in distinct], dtype=bool)
        if not meant.any():
            there = [str(_class_name(each, class_names) or each.name) for each in distinct if each.name is not None]
            more = ", ..." if len(there) > 8 else ""
            raise InputError(
                f"task.unlabelled: no label of {source} is {name!r}; labels are {', '.join(there[:8])}{more}"
            )
        missing |= meant
    return missing


def _by_class_names(source: str, found: Mapping[int, _Label], class_names: Sequence[str]) -> dict[int, int]:
    """The class number of each label: the label itself if all are numbers, or its place among the class names."""
    numbers = {code: each.number for code, each in found.items() if each.number is not None}
    wrong = [number for number in numbers.values() if not 0 <= number < len(class_names)]
    if len(numbers) == len(found) and not wrong:
        return numbers
    nameless = [str(each.name) for each in found.values() if each.name not in class_names]
    if not nameless:
        return {code: class_names.index(str(each.name)) for code, each in found.items()}
    if len(numbers) == len(found):
        raise InputError(f"{source}: label {wrong[0]} is out of range: {_range(class_names)}")
    raise InputError(
        f"{source}: label '{nameless[0]}' is none of the class names ({', '.join(class_names[:8])})"
        f"{nearest(nameless[0], class_names)}"
    )


def _place(label: _Label, class_names: Sequence[str]) -> int | None:
    """The index of a label's class name, by number or by name; None if it has none."""
    if label.number is not None and 0 <= label.number < len(class_names):
        return label.number
    return class_names.index(str(label.name)) if label.name in class_names else None


def _class_name(label: _Label, class_names: Sequence[str]) -> str | None:
    place = _place(label, class_names)
    return None if place is None else class_names[place]


def _range(class_names: Sequence[str]) -> str:
    return f"there are {len(class_names)} class names, for 0 .. {len(class_names) - 1}"
