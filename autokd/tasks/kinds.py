"""Guesses which columns of a table hold numbers and which hold categories, and refuses what is neither."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from autokd.errors import InputError, listed, nearest
from autokd.frames import pandas_for_tables
from autokd.readings.table_rows import Kind, as_texts, is_number_like

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_DATE = re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ].*)?")
_WITH_COMMA = re.compile(r"-?[\d,]*,\d+(\.\d+)?")
_DOUBT_FROM = 20
"""Whether a column tells the rows apart is asked of so many rows or more."""


def column_kinds(
    frame: DataFrame, *, source: str, categories: Sequence[str], numbers: Sequence[str]
) -> tuple[dict[str, Kind], list[str]]:
    """The kind of each column, and sentences about columns that a user may want to drop.

    Numbers are a number. Texts are a number if each of them is one, and a category if not. Truth values are a category.
    A column that merely counts the rows is left out.

    Args:
        frame: the columns that may become inputs; its index counts the rows.
        source: the name of the data, for messages.
        categories: columns that are a category, whatever they hold.
        numbers: columns that are a number, whatever they hold; what is no number counts as missing.

    Raises:
        InputError: a column holds dates, lists, or numbers in some rows and texts in others.
    """
    for key, names in (("categories", categories), ("numbers", numbers)):
        for name in names:
            if name not in frame.columns:
                raise InputError(
                    f"task.{key}: {source} has no column '{name}' among its inputs"
                    f"{nearest(name, frame.columns) or known(frame.columns)}"
                )
    if both := [name for name in numbers if name in categories]:
        raise InputError(f"task.numbers: '{both[0]}' is named under categories, too; leave it out of one")
    kinds: dict[str, Kind] = {}
    doubts = []
    for name in frame.columns:
        column = frame[name]
        if name in numbers:
            kinds[name] = "number"
        elif name in categories:
            kinds[name] = "category"
        elif _counts_rows(column) or _is_nameless_index(column):
            does = "counts the rows" if _counts_rows(column) else "has no name and numbers the rows"
            doubts.append(f"Column '{name}' {does}, and is left out. Write numbers: [{name}] to keep it.")
        else:
            kinds[name] = guess = _guess(column, source)
            if doubt := _doubt(column, guess):
                doubts.append(doubt)
    if not kinds:
        raise InputError(
            f"{source} has no column left to learn from"
            + (f": {' '.join(doubts)}" if doubts else "; give columns beside the targets, or drop fewer")
        )
    return kinds, doubts


def as_numbers(frame: DataFrame, numbers: Sequence[str]) -> tuple[DataFrame, list[str]]:
    """The frame without the texts in columns that a user calls numbers, and a sentence about each such column."""
    pandas = pandas_for_tables()
    found, said = frame.copy(deep=False), []
    for name in numbers:
        if is_number_like(frame[name]):
            continue
        texts = as_texts(frame[name])
        values = pandas.to_numeric(texts.replace({"True": "1", "False": "0"}), errors="coerce")
        if count := int((values.isna() & texts.notna()).sum()):
            said.append(f"Column '{name}' has values that are no number in {count:,} rows. They count as missing.")
        found[name] = values.astype("float64")
    return found, said


def are_dates(texts: Iterable[str]) -> bool:
    """Whether each of these texts is a date."""
    return all(_DATE.fullmatch(text) for text in texts)


def described(kinds: Mapping[str, Kind], frame: DataFrame) -> str:
    """One line for the log: the columns of each kind."""
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    categories = [f"{name} ({frame[name].nunique():,})" for name, kind in kinds.items() if kind == "category"]
    parts = [f"{len(numbers)} of numbers ({listed(numbers)})"] if numbers else []
    if categories:
        parts.append(f"{len(categories)} of categories with so many values: {listed(categories)}")
    return f"Columns: {'; '.join(parts)}. Where this is wrong, name columns under `numbers`, `categories` or `drop`."


def known(names: Sequence[str]) -> str:
    """The end of a message that lists the columns there are."""
    return f"; its columns are {listed(names)}"


def _guess(column: Series, source: str) -> Kind:
    name = column.name
    if column.dtype.kind == "m":
        raise InputError(
            f"{source}: column '{name}' holds durations; give them as numbers, such as seconds, or write drop: [{name}]"
        )
    if column.dtype.kind == "M" or column.dtype.name.startswith("period"):
        raise _dates(source, name, column.dropna().iloc[0] if column.notna().any() else column.dtype)
    if is_number_like(column):
        return "number"
    if column.dtype.kind == "c":
        raise InputError(f"{source}: column '{name}' holds complex numbers; give real ones, or write drop: [{name}]")
    texts = as_texts(column)
    present = texts.dropna()
    if not len(present) or column.dtype.kind == "b":
        return "category"
    values = present.unique()
    if are_dates(values):
        raise _dates(source, name, values[0])
    if all(_WITH_COMMA.fullmatch(value) for value in values):
        raise InputError(
            f"{source}: column '{name}' holds numbers with commas, such as {values[0]!r}; write a point for a decimal "
            f"comma, leave out commas between thousands, or write categories: [{name}]"
        )
    return _of_texts(column, present, source)


def _of_texts(column: Series, present: Series, source: str) -> Kind:
    if column.dtype.name == "category" and not is_number_like(column.cat.categories.to_series()):
        return "category"
    pandas = pandas_for_tables()
    is_text = pandas.to_numeric(present, errors="coerce").isna()
    if not is_text.any():
        return "category" if column.dtype.name == "category" else "number"
    if is_text.all() or is_text.mean() > 0.5:
        return "category"
    row, example = int(present.index[is_text.to_numpy().argmax()]), present[is_text].iloc[0]
    if int(is_text.sum()) == 1 and row == 0:
        raise InputError(
            f"{source}: column '{column.name}' holds numbers but in its first row, which has {example!r}; if this is a "
            "second line of names or units, delete it from the file"
        )
    raise InputError(
        f"{source}: column '{column.name}' holds numbers in most rows, but row {row} has {example!r}; write numbers: "
        f"[{column.name}] to count what is no number as missing, or categories: [{column.name}]"
    )


def _dates(source: str, name: object, example: object) -> InputError:
    return InputError(
        f"{source}: column '{name}' holds dates, such as {str(example)!r}, which no network reads as they are; write "
        f"drop: [{name}] (or order: {name}, to split by time), and give what matters of them as numbers, such as "
        "months or days since the first"
    )


def _counts_rows(column: Series) -> bool:
    if column.dtype.kind not in "iu" or len(column) < _DOUBT_FROM or column.isna().any():
        return False
    values = column.to_numpy()
    return bool((values - values[0] == range(len(values))).all()) and values[0] in (0, 1)


def _is_nameless_index(column: Series) -> bool:
    """Whether a column is the index that pandas writes beside the columns, of rows that were sorted or drawn."""
    nameless = str(column.name).startswith("Unnamed: ")
    return nameless and column.dtype.kind in "iu" and len(column) >= _DOUBT_FROM and bool(column.is_unique)


def _doubt(column: Series, kind: Kind) -> str:
    """A sentence about a column that seems to tell the rows apart; "" about any other."""
    rows, values = int(column.notna().sum()), int(column.nunique())
    if rows < _DOUBT_FROM:
        return ""
    if kind == "category" and values > max(_DOUBT_FROM, rows / 2):
        return (
            f"Column '{column.name}' has {values:,} different texts in {rows:,} rows. If it is an identifier or free "
            f"text, write drop: [{column.name}]; only values that are frequent in training become features."
        )
    if kind == "number" and column.dtype.kind in "iu" and values == rows:
        return (
            f"Column '{column.name}' has a different whole number in each row. If it is an identifier, write drop: "
            f"[{column.name}]."
        )
    return ""
