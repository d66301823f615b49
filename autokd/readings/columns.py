"""Reads rows of a table: numbers are standardised, and categories become columns of zeros and ones.

The arithmetic is that of scikit-learn's `StandardScaler`, `SimpleImputer` and `OneHotEncoder`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import InputError, listed, nearest
from autokd.frames import pandas_for_tables
from autokd.readings.columns_onnx import columns_model
from autokd.readings.table_rows import MISSING, Kind, as_frame, clean_frame, with_missing_texts

if TYPE_CHECKING:
    from onnx import ModelProto
    from pandas import DataFrame
    from sklearn.compose import ColumnTransformer

_LOG = logging.getLogger("autokd")

MOST_VALUES = 100
"""The most values of one category that have a feature of their own."""

_SEEN_AT_LEAST = 2
"""A value of a category that fewer training rows have gets no feature of its own."""

_LARGEST = 1e150
"""The largest number of training rows, so that the sum of squares is finite."""

_DOUBT_FROM = 20
"""Whether any value of a category is known is asked of so many rows or more."""


@dataclass(frozen=True)
class Column:
    """The features of one column of a table.

    A row whose category is rare or was not seen in training has 0 in all features of the category.

    Args:
        name: the name of the column. The feature that tells where the number is missing has a column of its own, such
            as `age is missing`.
        kind: `number`, with one standardised feature, or `category`, with a feature of 0 or 1 for each value.
        start: the first of its features.
        stop: the feature after its last one.
    """

    name: str
    kind: Kind
    start: int
    stop: int


@dataclass(frozen=True)
class Number:
    """A column of numbers.

    Args:
        name: the name of the column.
        mean: what is subtracted; a missing number counts as the mean.
        scale: what the result is divided by.
        missing: whether a feature tells where the number is missing.
    """

    name: str
    mean: float
    scale: float
    missing: bool


@dataclass(frozen=True)
class Category:
    """A column of categories.

    Args:
        name: the name of the column.
        values: the values that have a feature, as texts; "" is the missing value.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """Rows of a table become float32 features: numbers, then where numbers are missing, then categories.

    Args:
        numbers: the columns of numbers, in the order of their features.
        categories: the columns of categories, in the order of their features.
    """

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that are read."""
        return (*(each.name for each in self.numbers), *(each.name for each in self.categories))

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """What each feature stands for, in the order of the features."""
        sizes: list[tuple[str, Kind, int]] = [(each.name, "number", 1) for each in self.numbers]
        sizes += [(f"{each.name} is missing", "category", 1) for each in self.numbers if each.missing]
        sizes += [(each.name, "category", len(each.values)) for each in self.categories]
        ends = np.cumsum([size for *_, size in sizes]).tolist()
        return tuple(Column(name, kind, end - size, end) for (name, kind, size), end in zip(sizes, ends, strict=True))

    def only(self, names: Collection[str]) -> Columns:
        """The reading of these columns alone, in the same order. Their features stay as they are."""
        numbers = tuple(each for each in self.numbers if each.name in names)
        return Columns(numbers, tuple(each for each in self.categories if each.name in names))

    def cleaned(self, rows: object) -> DataFrame:
        """The columns that are read: numbers as float64, and categories as texts in the dtype `category` of pandas.

        In a column of truth values, 1 and 0 count as True and False.

        Args:
            rows: a DataFrame, a list of mappings from names to values, or a mapping from names to lists of values.

        Raises:
            InputError: a column is missing or there twice, or holds something else than numbers.
        """
        frame = as_frame(rows)
        names = list(frame.columns)
        for name in self.names:
            if names.count(name) > 1:
                raise InputError(f"the rows have two columns called '{name}'; give each column a name of its own")
            if name not in names:
                raise InputError(
                    f"the rows have no column '{name}'{nearest(name, names)}; give the columns {listed(self.names)}"
                )
        kinds: dict[str, Kind] = {each.name: "number" for each in self.numbers}
        kinds |= {each.name: "category" for each in self.categories}
        truths = [each.name for each in self.categories if {*each.values} <= {"True", "False", ""}]
        return clean_frame(frame, kinds, truths=truths)

    def batch(self, rows: object) -> Tensor:
        """Float32 features, shape (rows, features); see `cleaned` for what rows may be.

        Raises:
            InputError: as for `cleaned`, or a number is too far from those of the training rows.
        """
        frame = with_missing_texts(self.cleaned(rows))
        given = self.encoder.transform(frame) if len(frame) else np.empty((0, self.columns[-1].stop))
        with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused below
            features = np.ascontiguousarray(given, dtype=np.float32)
        if not np.isfinite(features).all():
            row, column = np.argwhere(~np.isfinite(features))[0]
            name = self.numbers[column].name  # only numbers overflow, and they come first
            raise InputError(
                f"column '{name}': row {row} has {frame[name].iloc[row]:g}, which is too far from the numbers of the "
                "training rows; mend it, or give nothing where the number is missing"
            )
        for each in self.categories if len(frame) >= _DOUBT_FROM else ():
            if not frame[each.name].isin(("", *each.values)).any():
                known = listed([repr(value) for value in each.values if value])
                _LOG.warning(
                    "No row has a known value in column '%s': row 0 has %r, and known are %s.",
                    each.name,
                    frame[each.name].iloc[0],
                    known,
                )
        return torch.from_numpy(features)

    @cached_property
    def encoder(self) -> ColumnTransformer:
        """The encoder of scikit-learn in this state. It takes frames as `with_missing_texts` gives them.

        The encoder is fitted on rows that are made up so that its state is this one. Nothing is unpickled.
        """
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        pandas = pandas_for_tables()
        scaler = StandardScaler()
        zeros = SimpleImputer(strategy="constant", fill_value=0.0, add_indicator=True)
        one_hot = OneHotEncoder(
            categories=[np.array(each.values, dtype=object) for each in self.categories],
            handle_unknown="ignore",
            sparse_output=False,
        )
        names = [each.name for each in self.numbers], [each.name for each in self.categories]
        parts = [("numbers", Pipeline([("scale", scaler), ("fill", zeros)]), names[0])] if names[0] else []
        parts += [("categories", one_hot, names[1])] if names[1] else []
        encoder = ColumnTransformer(parts, sparse_threshold=0.0, verbose_feature_names_out=False)
        rows = pandas.DataFrame(
            {each.name: [each.mean, math.nan if each.missing else each.mean] for each in self.numbers}
            | {each.name: [each.values[0]] * 2 for each in self.categories}
        )
        encoder.fit(rows)
        if self.numbers:
            scaler = encoder.named_transformers_["numbers"].named_steps["scale"]
            scaler.mean_ = np.array([each.mean for each in self.numbers])
            scaler.scale_ = np.array([each.scale for each in self.numbers])
            scaler.var_ = scaler.scale_**2
        return encoder

    @property
    def words(self) -> str:
        """What raw rows are."""
        return f"a table (a DataFrame) with the columns {listed(self.names, most=100)}"

    def graph(self) -> None:
        """There is no graph of torch from the columns as they are, because tensors hold no texts."""
        return None

    def onnx(self, rows: object, *, opset: int) -> tuple[ModelProto, dict[str, NDArray[Any]]]:
        """A model that takes the columns, each of shape (batch, 1), and these rows as it takes them.

        Numbers are float64 and categories are texts without blanks around them; a text of `MISSING` is a missing one.
        """
        frame = with_missing_texts(self.cleaned(rows))
        taken = {each.name: frame[[each.name]].to_numpy(np.float64) for each in self.numbers}
        texts = {each.name: frame[[each.name]].to_numpy(object) for each in self.categories}
        return columns_model(self.numbers, self.categories, missing=MISSING, opset=opset), {**taken, **texts}

    def plain(self) -> dict[str, Any]:
        """The reading as plain data."""
        return {
            "kind": "columns",
            "numbers": [asdict(each) for each in self.numbers],
            "categories": [{"name": each.name, "values": list(each.values)} for each in self.categories],
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Columns:
        """The reading that gave these plain data."""
        numbers = pydantic.TypeAdapter(tuple[Number, ...]).validate_python(plain["numbers"])
        categories = pydantic.TypeAdapter(tuple[Category, ...]).validate_python(plain["categories"])
        if not all(math.isfinite(each.mean) and math.isfinite(each.scale) and each.scale for each in numbers):
            raise ValueError("each number has a finite mean and a finite scale, which is not 0")
        if not all(each.values for each in categories) or not (numbers or categories):
            raise ValueError("a table has columns, and each category has values")
        return cls(numbers, categories)


def fit_columns(frame: DataFrame, kinds: Mapping[str, Kind]) -> Columns:
    """The reading of a table, fitted on these rows. A column without a value or with rare values only is left out.

    Args:
        frame: the rows from which means and values may be taken, as `clean_frame` gives them.
        kinds: the kind of each column that is read.
    """
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = with_missing_texts(frame)
    names = [name for name, kind in kinds.items() if kind == "number" and frame[name].notna().any()]
    numbers: list[Number] = []
    if names:
        for name in names:
            if (largest := frame[name].abs().max()) > _LARGEST:
                raise InputError(
                    f"column '{name}' has numbers as large as {largest:g}, too large to compute with; divide them, or "
                    "give nothing where the number is missing"
                )
        scaler = StandardScaler().fit(frame[names])
        state = zip(names, scaler.mean_.tolist(), scaler.scale_.tolist(), strict=True)
        numbers = [Number(name, mean, scale, bool(frame[name].isna().any())) for name, mean, scale in state]
    categories = []
    for name in (name for name, kind in kinds.items() if kind == "category"):
        found = OneHotEncoder(
            min_frequency=_SEEN_AT_LEAST, max_categories=MOST_VALUES + 1, handle_unknown="infrequent_if_exist"
        ).fit(frame[[name]])
        rare = set() if found.infrequent_categories_[0] is None else set(found.infrequent_categories_[0])
        values = tuple(value for value in found.categories_[0].tolist() if value not in rare)
        categories += [Category(name, values)] if values else []
    return Columns(tuple(numbers), tuple(categories))
