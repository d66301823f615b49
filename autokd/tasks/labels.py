"""Labels as people have them (numbers, texts, one-hot rows, some of them missing), matched by name and numbered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
"""Types by which pandas says that a value is missing."""


def one_a_row(name: str, rows: int, y: Array) -> Array:
    """Labels of shape (rows,); one-hot labels, shape (rows, classes), as the numbers of their columns.

    A one-hot row that is NaN throughout has no label.

    Raises:
        InputError: there is not one label a row, or a row is not one-hot.
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
    """Labels of consecutive rows as one array; of type object where they are of several kinds."""
    alike = len({each.dtype.kind for each in labels}) == 1
    return np.concatenate(labels if alike else [each.astype(object) for each in labels])


def numbered(
    source: str,
    labels: Array,
    parts: Mapping[str, NDArray[np.int64]],
    class_names: Sequence[str],
    unlabelled: object,
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Classes numbered from 0 and `UNLABELLED`, and the names of the classes; every class has training rows.

    A class is named as its label is written: a whole number without a decimal point, a truth value True or False.
    Without class names, numbers are in ascending order, before texts in alphabetical order.

    Args:
        source: for messages.
        labels: one a row, of all parts.
        parts: row numbers by `train`, and by `validation` and `test` where the data have them.
        class_names: of classes by number, or matched with labels by name; empty where the data do not say.
        unlabelled: as in the `task:` section.

    Raises:
        InputError: a label is no class, a class has no training rows, or a row of validation or test has no label.
    """
    names, order, codes = _named(source, labels)
    hidden = _hidden(source, names, codes[parts["train"]], unlabelled) - set(class_names)
    known = np.array([name not in hidden for name in names], dtype=bool)[codes]
    for part, rows in parts.items():
        if part != "train" and not known[rows].all():
            raise InputError(
                f"{source}: {int((~known[rows]).sum())} of {len(rows)} {part} rows have no label; drop them, or put "
                "them among the training rows, where only the teacher is asked about them"
            )
    found = np.unique(codes[known]).tolist()
    training = set(np.unique(codes[parts["train"]][known[parts["train"]]]).tolist())
    if class_names:
        number = _by_class_names(source, {code: (names[code], order[code]) for code in found}, class_names, hidden)
        if lacking := [name for i, name in enumerate(class_names) if i not in {number[code] for code in training}]:
            dubious = "-1" in hidden and unlabelled == _AUTO
            raise InputError(
                f"{source}: "
                + (f"label -1 is out of range ({_range(class_names)}), and if it means unlabelled, " if dubious else "")
                + f"class '{lacking[0]}' has no training rows; give some, or drop its name"
            )
    else:
        number = {code: i for i, code in enumerate(sorted(training))}
        class_names = [str(names[code]) for code in sorted(training)]
    if len(class_names) < 2:
        only = f"all training labels are {class_names[0]}" if class_names else "no training row has a label"
        raise InputError(f"{source}: {only}; classification needs two classes or more")
    for part, rows in parts.items():
        if unknown := sorted(set(np.unique(codes[rows][known[rows]]).tolist()) - training):
            raise InputError(f"{source}: {part} label {names[unknown[0]]} is of no training row; give the class some")
    table = np.array([number.get(code, UNLABELLED) for code in range(len(names))], dtype=np.int64)
    return np.where(known, table[codes], UNLABELLED), tuple(class_names)


def label_name(label: object) -> str | None:
    """How a label is written as a class's name; None where it is missing (None, NaN).

    Raises:
        ValueError: it is a fraction, or neither a number nor a text.
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


def _named(source: str, labels: Array) -> tuple[list[str | None], list[tuple[bool, int]], NDArray[np.int64]]:
    """The distinct names in order, what each was sorted by (whether it is a text, its number), and the name a row."""
    if labels.dtype == object:
        values, where = labels.tolist(), np.arange(len(labels))
    elif labels.dtype.kind in "biufUS":
        distinct, where = np.unique(labels, return_inverse=True)
        values = distinct.tolist()
    else:
        raise InputError(f"{source}: labels are of type {labels.dtype}; give whole numbers or texts")
    sort: dict[str | None, tuple[bool, int]] = {}
    names = []
    for i, value in enumerate(values):
        try:
            name = label_name(value)
        except ValueError:
            row = int((where == i).argmax())
            raise InputError(
                f"{source}: labels are of type {labels.dtype}; give whole numbers or texts, for these are classes, and "
                f"row {row} has {value!r}"
            ) from None
        names.append(name)
        if name not in sort:
            text = name is None or isinstance(value, (str, bytes))
            sort[name] = (text, 0 if text else int(value))
    ordered = sorted(sort, key=lambda name: (*sort[name], name or ""))
    code = {name: i for i, name in enumerate(ordered)}
    codes = np.array([code[name] for name in names], dtype=np.int64)[where]
    return ordered, [sort[name] for name in ordered], codes


def _hidden(source: str, names: Sequence[str | None], training: Array, unlabelled: object) -> set[str | None]:
    """The names that stand for no label."""
    if unlabelled is None:
        if None in names:
            raise InputError(f"{source}: some labels are NaN or None, and task.unlabelled is null; leave it out")
        return set()
    if unlabelled == _AUTO:
        hidden: set[str | None] = {None, "nan"}  # numpy writes NaN so into an array of texts
        others = {names[code] for code in np.unique(training).tolist()} - hidden - {"-1"}
        return hidden | ({"-1"} if len(others) >= 2 else set())
    given = unlabelled if isinstance(unlabelled, (list, tuple)) else [unlabelled]
    hidden = {label_name(each) for each in given}
    for name in hidden - {None, *names}:
        there = [each for each in names if each is not None]
        raise InputError(
            f"task.unlabelled: no label of {source} is {name!r}"
            f"; labels are {', '.join(there[:8])}{', ...' * (len(there) > 8)}"
        )
    return {None, *hidden}


def _by_class_names(
    source: str, found: Mapping[int, tuple[str | None, tuple[bool, int]]], class_names: Sequence[str], hidden: object
) -> dict[int, int]:
    """The class number of each code: the label itself where it is one, or its place among the class names."""
    numbers = {code: number for code, (_, (text, number)) in found.items() if not text}
    if len(numbers) == len(found) and all(0 <= number < len(class_names) for number in numbers.values()):
        return numbers
    if all(name in class_names for name, _ in found.values()):
        return {code: list(class_names).index(str(name)) for code, (name, _) in found.items()}
    if len(numbers) == len(found):
        wrong = next(number for number in numbers.values() if not 0 <= number < len(class_names))
        raise InputError(f"{source}: label {wrong} is out of range: {_range(class_names)}")
    wrong_name = next(name for name, _ in found.values() if name not in class_names)
    raise InputError(
        f"{source}: label '{wrong_name}' is none of the class names ({', '.join(class_names[:8])})"
        f"{nearest(str(wrong_name), class_names)}"
    )


def _range(class_names: Sequence[str]) -> str:
    return f"there are {len(class_names)} class names, for 0 .. {len(class_names) - 1}"
