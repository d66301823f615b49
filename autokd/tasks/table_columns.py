"""Decides what each column of a table is for: a target, an input, or what the rows are split by."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autokd.errors import InputError, nearest
from autokd.frames import pandas_for_tables
from autokd.readings.table_rows import MISSING, as_texts, is_number_like
from autokd.study.task import HeadSection, TaskSection
from autokd.tasks.kinds import are_dates, known
from autokd.tasks.splits import Rows
from autokd.tasks.table_files import is_table_file, read_table

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_PARTS = {"train": ("train", "training"), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
_CLASSES_UP_TO = 20
"""Whole numbers of at most so many kinds are guessed to be classes."""
_ISO = re.compile(r"\d{4}-\d{2}(-\d{2}([T ].*)?)?")


@dataclass(frozen=True)
class Uses:
    """What the columns of a table are for.

    Args:
        targets: the columns of each head; the only head is called "".
        inputs: the columns that may become inputs.
    """

    targets: Mapping[str, tuple[str, ...]]
    inputs: tuple[str, ...]


def uses_of(source: str, names: Sequence[str], spec: TaskSection) -> Uses:
    """What the columns of these names are for, by the `task:` section.

    Raises:
        InputError: a column does not exist or has two uses, or there is no target.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise InputError(f"{source} has two columns called '{twice}'; give each column a name of its own")
    if not spec.target:
        raise InputError(f"task.target: it is not said what to learn from {source}; name a column{known(names)}")
    if isinstance(spec.target, Mapping):
        targets = {head: tuple(columns) for head, columns in spec.target.items()}
    else:
        targets = {"": (spec.target,) if isinstance(spec.target, str) else spec.target}
    if len(targets) == 1:
        targets = {"": next(iter(targets.values()))}
    used: dict[str, str] = {}
    by_key = [("target", column) for columns in targets.values() for column in columns]
    by_key += [("drop", column) for column in spec.drop]
    by_key += [
        (key, column) for key in ("text", "split", "group", "order") if (column := getattr(spec, key)) is not None
    ]
    for key, column in by_key:
        if column not in names:
            if key == "split" and (is_table_file(Path(column)) or "/" in column):
                continue
            raise InputError(f"task.{key}: {source} has no column '{column}'{nearest(column, names) or known(names)}")
        if used.setdefault(column, key) != key or (key == "target" and by_key.count((key, column)) > 1):
            raise InputError(f"task.{key}: column '{column}' is already used by task.{used[column]}; name it once")
    if empty := next((head for head, columns in targets.items() if not columns), None):
        raise InputError(f"task.target.{empty}: no column is named; name one or more")
    return Uses(targets, tuple(name for name in names if name not in used))


def target_values(source: str, frame: DataFrame, columns: Sequence[str]) -> NDArray[Any]:
    """The values of target columns as an array, shape (rows,) for one column.

    "" and "?" are missing, and where all others are numbers, so are words such as NA. Elsewhere such a word may be the
    name of a class, see `doubts_about`.

    Raises:
        InputError: a column holds dates or nothing.
    """
    found = []
    for name in columns:
        column = frame[name]
        if column.dtype.kind in "mMc":
            raise InputError(
                f"task.target: column '{name}' of {source} is of type {column.dtype}; give numbers, such as days since "
                "the first date, or texts"
            )
        if is_number_like(column) and column.dtype.kind != "f" and not column.isna().any():
            found.append(column.to_numpy(dtype=np.uint64 if column.dtype.kind == "u" else np.int64))
        elif is_number_like(column):
            found.append(column.to_numpy(dtype=np.float64, na_value=np.nan))
        else:
            found.append(_of_texts(column))
        present = [value for value in found[-1].tolist() if value is not None and value == value]
        if not present:
            raise InputError(
                f"task.target: column '{name}' of {source} is empty in all rows, so there is nothing to learn; name "
                "another one"
            )
        if found[-1].dtype.kind == "f" and np.isinf(found[-1]).any():
            row = int(np.isinf(found[-1]).argmax())
            raise InputError(
                f"task.target: column '{name}' of {source} is infinite in row {row}; give a number, or nothing where "
                "it is not known"
            )
        if isinstance(present[0], str) and are_dates(map(str, present)):
            raise InputError(
                f"task.target: column '{name}' of {source} holds dates, such as {present[0]!r}; give numbers, such as "
                "days since the first date"
            )
    alike = len({each.dtype for each in found}) == 1
    stacked = np.stack(found if alike else [each.astype(object) for each in found], axis=1)
    return stacked[:, 0] if len(columns) == 1 else stacked


def doubts_about(names: Sequence[str], column: str, unlabelled: object) -> list[str]:
    """Sentences about classes of these names that may mean that no class is known.

    Args:
        names: the names of the classes.
        column: the target.
        unlabelled: the value in the `task:` section.
    """
    return [
        f"Target '{column}' has a class called '{name}'. If no class is known there, write unlabelled: ['{name}']."
        for name in names
        if name in MISSING and unlabelled == "auto"
    ]


def guess_of(source: str, given: NDArray[Any], head: str) -> HeadSection:
    """The kind of the targets in columns of a table."""
    if given.ndim == 1:
        if given.dtype.kind not in "iuf":
            return HeadSection(kind="classes")
        present = given[~np.isnan(given)] if given.dtype.kind == "f" else given
        whole = bool((present == np.trunc(present)).all())
        return HeadSection(kind="classes" if whole and len(np.unique(present)) <= _CLASSES_UP_TO else "values")
    if given.dtype.kind not in "biuf":
        try:
            given = given.astype(np.float64)
        except (TypeError, ValueError):
            key = f"task.target{f'.{head}' if head else ''}"
            raise InputError(
                f"{key}: several columns of {source} together are labels or values, and some hold texts; write a "
                "mapping {head: column} to have each answered by itself"
            ) from None
    zeros_and_ones = np.isin(given, (0, 1)) | np.isnan(given.astype(np.float64))
    return HeadSection(kind="labels" if zeros_and_ones.all() else "values")


def parts_of(source: str, frame: DataFrame, spec: TaskSection) -> dict[str, Rows]:
    """The row numbers of `train`, and of `validation` and `test` if `task.split` assigns rows to them.

    Raises:
        InputError: a row is assigned to no split, or no row to train.
    """
    if spec.split is None:
        return {"train": np.arange(len(frame))}
    column = _split_column(source, frame, spec)
    words = as_texts(column).astype(object)
    found: dict[str, Rows] = {}
    unknown = np.ones(len(frame), dtype=bool)
    for part, names in _PARTS.items():
        is_part = words.map(lambda word, names=names: isinstance(word, str) and word.lower() in names).to_numpy(bool)
        unknown &= ~is_part
        if is_part.any():
            found[part] = np.flatnonzero(is_part)
    if unknown.any():
        row = int(unknown.argmax())
        word = repr(words.iloc[row]) if isinstance(words.iloc[row], str) else "nothing"
        raise InputError(
            f"task.split: row {row} of '{spec.split}' holds {word}; write train, validation or test in each row"
        )
    if "train" not in found:
        raise InputError(f"task.split: no row of '{spec.split}' is for train; assign rows to it")
    return found


def groups_of(frame: DataFrame, spec: TaskSection) -> tuple[NDArray[np.int64], list[str]] | None:
    """The number of the group of each row, and the names of the groups; None if rows do not belong together.

    A row without a value in the column is a group by itself.

    Raises:
        InputError: the column has no value.
    """
    if spec.group is None:
        return None
    codes, names = pandas_for_tables().factorize(as_texts(frame[spec.group]))
    if not len(names):
        raise InputError(f"task.group: column '{spec.group}' is empty in all rows; name another one, or leave it out")
    alone = codes < 0
    numbers = codes.astype(np.int64)
    numbers[alone] = len(names) + np.arange(int(alone.sum()))
    return numbers, [*map(str, names), *["a row without a group"] * int(alone.sum())]


def times_of(source: str, frame: DataFrame, spec: TaskSection) -> NDArray[Any] | None:
    """The time of each row as numbers; None if rows have no order.

    Raises:
        InputError: a time is missing, or is neither a number nor a date.
    """
    if spec.order is None:
        return None
    pandas = pandas_for_tables()
    column = frame[spec.order]
    if not is_number_like(column) and column.dtype.kind != "M":
        texts = as_texts(column)
        numbers = pandas.to_numeric(texts, errors="coerce")
        if numbers.isna().equals(texts.isna()):
            column = numbers
        else:
            wrong = texts[[isinstance(text, str) and not _ISO.fullmatch(text) for text in texts]]
            if len(wrong):
                raise InputError(
                    f"task.order: column '{spec.order}' of {source} holds {wrong.iloc[0]!r}; give numbers, or dates "
                    "written as 2026-12-31"
                )
            column = pandas.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
            if (no_date := column.isna() & texts.notna()).any():
                raise InputError(
                    f"task.order: column '{spec.order}' of {source} holds {texts[no_date].iloc[0]!r}, which is no "
                    "date; mend it, or drop the row"
                )
    if column.isna().any():
        raise InputError(
            f"task.order: column '{spec.order}' of {source} is empty in row {int(column.isna().to_numpy().argmax())}; "
            "give each row its time, or drop the row"
        )
    return column.astype("int64").to_numpy() if column.dtype.kind == "M" else column.to_numpy(dtype=np.float64)


def _of_texts(column: Series) -> NDArray[Any]:
    pandas = pandas_for_tables()
    if not column.map(pandas.api.types.is_scalar).all():
        raise InputError(f"task.target: column '{column.name}' holds lists; give one number or text a row")
    found = column.astype(object).to_numpy(copy=True)
    for row, value in enumerate(found):
        if isinstance(value, str) and (text := value.strip()) != value:
            found[row] = value = text
        if value is None or value is pandas.NA or value != value or value in ("", "?"):
            found[row] = None
    if column.dtype.kind == "b" and not column.isna().any():
        return found.astype(bool)
    if all(value is None or isinstance(value, bool | np.bool_) for value in found):
        return found
    numbers = pandas.to_numeric(pandas.Series(found), errors="coerce").to_numpy(dtype=np.float64)
    missing = np.array([value is None or (isinstance(value, str) and value in MISSING) for value in found])
    return numbers if (np.isnan(numbers) == missing).all() and not missing.all() else found


def _split_column(source: str, frame: DataFrame, spec: TaskSection) -> Series:
    assert spec.split is not None
    if spec.split in frame.columns:
        return frame[spec.split]
    if not is_table_file(file := Path(os.path.expanduser(spec.split))):
        raise InputError(f"task.split: {spec.split} is no table; give a column, or a .csv or .parquet file")
    given = read_table(file, max_gb=spec.max_gb)
    if given.shape != (len(frame), 1):
        raise InputError(
            f"task.split: {spec.split} has {given.shape[1]} column(s) of {len(given)} rows, and {source} has "
            f"{len(frame)} rows; give one column with a name in its first line, and a word for each row"
        )
    return given.iloc[:, 0]
