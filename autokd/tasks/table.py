"""A task whose rows are those of a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from autokd.errors import InputError, listed, nearest
from autokd.frames import pandas_for_tables
from autokd.readings import Column, Columns
from autokd.readings.table_rows import is_number_like
from autokd.tasks.task import ArrayTask

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Whole:
    """All columns of a table of which only some are read.

    Args:
        encoding: how all columns become features.
        digest: the digest of the task in which all columns are read.
    """

    encoding: Columns
    digest: str


@dataclass(frozen=True, eq=False, kw_only=True)
class TableTask(ArrayTask):
    """An `ArrayTask` whose raw rows are those of a table, and whose array holds their features.

    Students read the features. Teachers that are models of scikit-learn, and exported students, read the raw rows.

    Args:
        encoding: how the rows of the table become features.
        table: the raw rows with all columns but the targets, as the data have them, or the Parquet file that holds
            them.
        groups: the number of the group of each row, int64, shape (num_rows,), where rows belong together; None if not.
        whole: all columns, if `encoding` reads some of them only; None if it reads all.
    """

    encoding: Columns
    table: DataFrame | Path = field(repr=False)
    groups: Tensor | None = field(default=None, repr=False)
    whole: Whole | None = None

    @property
    def reading(self) -> Columns:
        """How the rows of the table become features."""
        return self.encoding

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the features stand for, in their order."""
        return self.encoding.columns

    def raw(self, rows: Tensor) -> DataFrame:
        """Rows of the table as the data have them; see `Columns.cleaned`, too.

        They have all columns but the targets, or the columns that are read, if these are only some.
        """
        chosen = self.frame.iloc[rows.numpy()]
        return chosen if self.whole is None else chosen[list(self.encoding.names)]

    def seen_through(self, reading: Mapping[str, Any]) -> TableTask:
        """The same task, of whose columns only some are read: those that a name or a pattern in `columns` matches.

        All columns of the table may be named, whether this task reads them or not. A task that reads all of them is the
        task without a reading, and a column becomes the same features in each of these tasks.

        Raises:
            InputError: a pattern matches no column, or the reading is of another kind.
        """
        if other := [key for key in reading if key != "columns"]:
            raise InputError(f"{other[0]}: {self.name} is a table, which is read by columns; write columns: [...]")
        whole = self.whole or Whole(self.encoding, self.digest)
        names = matching(reading["columns"], whole.encoding.names, source=self.name) if reading else self.encoding.names
        if names == self.encoding.names:
            return self
        encoding = whole.encoding.only(names)
        x = encoding.batch(self.frame).numpy()
        return replace(
            self,
            x=x,
            shift=(0.0,) * x.shape[1],
            divisor=(1.0,) * x.shape[1],
            encoding=encoding,
            whole=None if encoding == whole.encoding else whole,
            digest=whole.digest if encoding == whole.encoding else seen_digest(whole.digest, {"columns": names}),
        )

    @cached_property
    def frame(self) -> DataFrame:
        """All rows of the table."""
        return pandas_for_tables().read_parquet(self.table) if isinstance(self.table, Path) else self.table


def matching(patterns: Sequence[str], names: Sequence[str], *, source: str) -> tuple[str, ...]:
    """The names that are among the patterns, or that a pattern with `*`, `?` or `[...]` matches, in their own order.

    Raises:
        InputError: a pattern matches no name.
    """
    for pattern in patterns:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in names):
            raise InputError(
                f"columns: no column by which {source} is read matches '{pattern}'{nearest(pattern, names)}; name some "
                f"of {listed(names)}"
            )
    return tuple(name for name in names if any(name == each or fnmatchcase(name, each) for each in patterns))


def seen_digest(base: str, reading: object) -> str:
    """The digest of the task with the digest `base` if it is seen through another reading."""
    return hashlib.sha256(json.dumps([base, reading]).encode()).hexdigest()


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
