"""A task whose rows are those of a table."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from autokd.frames import pandas_for_tables
from autokd.readings import Column, Columns
from autokd.readings.table_rows import is_number_like
from autokd.tasks.task import ArrayTask

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False, kw_only=True)
class TableTask(ArrayTask):
    """An `ArrayTask` whose raw rows are those of a table, and whose array holds their features.

    Students read the features. Teachers that are models of scikit-learn, and exported students, read the raw rows.

    Args:
        encoding: how the rows of the table become features.
        table: the raw rows with all columns but the targets, as the data have them, or the Parquet file that holds
            them.
        groups: the number of the group of each row, int64, shape (num_rows,), where rows belong together; None if not.
    """

    encoding: Columns
    table: DataFrame | Path = field(repr=False)
    groups: Tensor | None = field(default=None, repr=False)

    @property
    def reading(self) -> Columns:
        """How the rows of the table become features."""
        return self.encoding

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the features stand for, in their order."""
        return self.encoding.columns

    def raw(self, rows: Tensor) -> DataFrame:
        """Rows of the table as the data have them, with all columns but the targets; see `Columns.cleaned`, too."""
        return self.frame.iloc[rows.numpy()]

    @cached_property
    def frame(self) -> DataFrame:
        """All rows of the table."""
        return pandas_for_tables().read_parquet(self.table) if isinstance(self.table, Path) else self.table


def is_frame(found: object) -> bool:
    """Whether an object is a table, such as a DataFrame of pandas; see `autokd.readings.table_rows.as_frame`."""
    is_pandas = type(found).__module__.partition(".")[0] == "pandas"  # which is not imported for this
    return hasattr(found, "columns") and (is_pandas or callable(getattr(found, "to_pandas", None)))


def storable(frame: DataFrame) -> DataFrame:
    """The frame with columns of mixed types, which Parquet cannot hold, as texts."""
    pandas = pandas_for_tables()
    found = frame.copy(deep=False)
    for name in frame.columns:
        column = frame[name]
        if column.dtype == object and pandas.api.types.infer_dtype(column, skipna=True) not in ("string", "empty"):
            found[name] = column.where(column.isna(), column.astype(str))
    return found


def content_digest(frame: DataFrame) -> bytes:
    """A digest of the names and values of a frame, the same for the same rows."""
    pandas = pandas_for_tables()
    digest = hashlib.sha256()
    for name in frame.columns:
        column = frame[name]
        if is_number_like(column):
            codes, values = column.to_numpy(dtype=np.float64, na_value=np.nan), []
        else:
            codes, values = pandas.factorize(column.astype(object).where(column.notna(), None).astype(str))
        digest.update(repr([name, list(values)]).encode(errors="backslashreplace"))
        digest.update(np.ascontiguousarray(codes).data)
    return digest.digest()
