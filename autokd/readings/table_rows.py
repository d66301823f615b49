"""Raw rows of a table: as a DataFrame of pandas, with numbers as numbers and categories as texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autokd.errors import InputError, said
from autokd.frames import pandas_for_tables

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Kind = Literal["number", "category"]

MISSING = ("", "?", "NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "null", "NULL", "None")
"""Texts that mean that a value is missing."""

_TRUTH = {"1": "True", "true": "True", "TRUE": "True", "0": "False", "false": "False", "FALSE": "False"}
"""Other words for truth values, as other files write them."""


def as_frame(rows: object) -> DataFrame:
    """Rows of a table as a DataFrame of pandas. The names of its columns are texts.

    Args:
        rows: a DataFrame, a table with a method `to_pandas` (such as those of Polars and Arrow), a list of mappings, or
            a mapping from names to lists of values.

    Raises:
        InputError: the rows are something else.
    """
    pandas = pandas_for_tables()
    found = rows
    if isinstance(rows, Mapping) and rows and all(np.ndim(each) == 0 for each in rows.values()):
        raise InputError("the rows of the table are one mapping with single values; for one row, give a list of it")
    try:
        if callable(convert := getattr(rows, "to_pandas", None)):
            found = convert()
        elif isinstance(rows, Mapping):
            found = pandas.DataFrame(dict(rows))
        elif isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
            found = pandas.DataFrame(list(rows))
    except (TypeError, ValueError, ImportError) as error:
        raise InputError(f"the rows of the table cannot be read: {said(error)}; give a DataFrame of pandas") from None
    if isinstance(found, pandas.Series):
        raise InputError(
            "the rows of the table are a Series; for one row, give a DataFrame of it, such as frame.iloc[[0]]"
        )
    if not isinstance(found, pandas.DataFrame):
        raise InputError(
            f"the rows of a table are of type {type(rows).__name__}; give a DataFrame, or a list of mappings from the "
            "names of columns to values"
        )
    if found.columns.nlevels > 1:
        raise InputError(f"the table has {found.columns.nlevels} lines of names of columns; give it one")
    return found.set_axis([str(name) for name in found.columns], axis=1)


def clean_frame(frame: DataFrame, kinds: Mapping[str, Kind], *, truths: Sequence[str] = ()) -> DataFrame:
    """These columns: numbers as float64, and categories as texts in the dtype `category` of pandas; NaN is missing.

    Args:
        frame: has these columns.
        kinds: the kind of each column.
        truths: the columns in which 1 and 0 count as True and False.

    Raises:
        InputError: a column of numbers holds texts or infinity.
    """
    pandas = pandas_for_tables()
    cleaned = {}
    for name, kind in kinds.items():
        if kind == "number":
            cleaned[name] = _numbers(frame[name])
        else:
            texts = as_texts(frame[name])
            cleaned[name] = (texts.replace(_TRUTH) if name in truths else texts).astype("category")
    return pandas.DataFrame(cleaned, index=frame.index)


def with_missing_texts(frame: DataFrame) -> DataFrame:
    """A frame of `clean_frame` with categories as plain texts, of which "" is the missing value."""
    found = frame.copy()
    for name in frame.columns:
        if frame[name].dtype.name == "category":
            texts = frame[name].astype(object)
            found[name] = texts.where(texts.notna(), "").astype(object)
    return found


def as_texts(column: Series) -> Series:
    """The values of a column as texts; None where a value is missing. Whole numbers have no decimal point.

    Raises:
        InputError: the column holds lists or the like.
    """
    try:
        known = {value: _text(value) for value in column.dropna().unique()}
    except (TypeError, NotImplementedError):
        found = type(column.dropna().iloc[0]).__name__
        raise InputError(
            f"column '{column.name}' holds a {found} in some row; give one number or text a row, or leave the column "
            "out"
        ) from None
    return column.astype(object).map(known, na_action="ignore").astype(object)


def is_number_like(column: Series) -> bool:
    """Whether pandas holds the values of a column as numbers (truth values are none)."""
    return column.dtype.kind in "iuf" and column.dtype.name != "category"


def _numbers(column: Series) -> Series:
    pandas = pandas_for_tables()
    if is_number_like(column):
        found = pandas.Series(column.to_numpy(dtype="float64", na_value=math.nan), index=column.index)
    else:
        texts = as_texts(column)
        texts = texts.where(texts.notna(), None).replace({"True": "1", "False": "0"})
        found = pandas.to_numeric(texts, errors="coerce").astype("float64")
        wrong = found.isna() & texts.notna()
        if wrong.any():
            raise InputError(
                f"column '{column.name}' should hold numbers, but row {int(wrong.to_numpy().argmax())} has "
                f"{texts[wrong].iloc[0]!r}; give a number, or nothing where it is missing"
            )
    infinite = np.isinf(found.to_numpy())
    if infinite.any():
        raise InputError(
            f"column '{column.name}': row {int(infinite.argmax())} is infinite; give a number, or nothing where it is "
            "missing"
        )
    return found


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = str(value).strip()
    return None if text in MISSING else text
