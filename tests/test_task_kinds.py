"""The kinds of columns are guessed from what they hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas
import pytest

from autokd.errors import InputError
from autokd.tasks.kinds import as_numbers, column_kinds, described


def kinds_of(
    columns: dict[str, Any], categories: Sequence[str] = (), numbers: Sequence[str] = ()
) -> tuple[dict[str, str], list[str]]:
    frame = pandas.DataFrame(columns)
    kinds, doubts = column_kinds(frame, source="people.csv", categories=categories, numbers=numbers)
    return {**kinds}, doubts


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2, 3], "number"),
        ([1.5, math.nan, 3], "number"),
        (["1", "2.5", "?"], "number"),
        (pandas.array([1, None, 2], dtype="Int64"), "number"),
        (["a", "b", None], "category"),
        (["a", "b", "3"], "category"),
        ([True, False, True], "category"),
        (pandas.Categorical([3, 4, 3]), "category"),
        (["1", "2", "3", "None"], "number"),
        ([math.nan] * 3, "number"),
        ([None] * 3, "category"),
    ],
    ids=str,
)
def test_a_kind_is_guessed(values: Any, kind: str) -> None:
    assert kinds_of({"x": values}) == ({"x": kind}, [])


def test_a_user_overrides_the_guess() -> None:
    columns = {"zip": [53111, 53112], "income": ["1", "none of your business"], "age": [3, 4]}
    kinds, _ = kinds_of(columns, categories=["zip"], numbers=["income"])
    assert kinds == {"zip": "category", "income": "number", "age": "number"}
    frame, said = as_numbers(pandas.DataFrame(columns), ["income"])
    assert frame["income"].isna().tolist() == [False, True]
    assert said == ["Column 'income' has values that are no number in 1 rows. They count as missing."]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["2020-01-03", "2021-12-24 10:00"], r"dates, such as '2020-01-03'.*drop: \[x\]"),
        (["3.12.2020", "24/12/2021"], "dates, such as"),
        (pandas.to_datetime(["2020-01-03", None]), "dates, such as"),
        (pandas.to_timedelta([1, 2], unit="D"), "durations; give them as numbers"),
        (["years", "1", "2", "3"], "but in its first row, which has 'years'.*second line"),
        (["1", "2", "about 3", "4"], r"in most rows, but row 2 has 'about 3'; write numbers: \[x\]"),
        (["1,5", "2,25"], "commas, such as '1,5'; write a point for a decimal comma"),
        (["1,500", "2,250,000.5"], "leave out commas between thousands"),
        ([[1, 2], [3, 4]], "a list in some row"),
        ([1j, 2j], "complex"),
    ],
    ids=str,
)
def test_what_is_neither_a_number_nor_a_category_is_refused_with_what_to_write(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"column 'x' .*{message}") as refused:
        kinds_of({"x": values})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"categories": ["twon"]}, "task.categories: people.csv has no column 'twon'.*did you mean 'town'"),
        ({"numbers": ["xyz"]}, "its columns are town and age"),
        ({"numbers": ["age"], "categories": ["age"]}, "named under categories, too"),
    ],
)
def test_an_override_of_no_column_is_refused(override: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kinds_of({"town": ["a"], "age": [1]}, **override)


def test_columns_that_tell_the_rows_apart_are_doubted_and_a_counter_is_left_out() -> None:
    columns = {"n": range(40), "key": [f"k{i}" for i in range(40)], "code": [7 * i % 1009 for i in range(40)]}
    kinds, doubts = kinds_of({**columns, "y": [0.5] * 40})
    assert kinds == {"key": "category", "code": "number", "y": "number"}
    assert [doubt.split("'")[1] for doubt in doubts] == ["n", "key", "code"]
    assert "left out" in doubts[0]


def test_a_table_of_nothing_but_a_counter_is_refused() -> None:
    with pytest.raises(InputError, match="no column left"):
        kinds_of({"n": range(40)})


def test_the_log_names_the_columns_of_each_kind() -> None:
    columns = {"age": [1, 2], "town": ["a", "b"]}
    said = described({"age": "number", "town": "category"}, pandas.DataFrame(columns))
    assert "1 of numbers (age)" in said
    assert "town (2)" in said


def test_the_log_names_the_first_of_many_columns_and_counts_the_others() -> None:
    frame = pandas.DataFrame({f"fac{i}": [1.0, 2.0] for i in range(649)})
    said = described(dict.fromkeys(frame.columns, "number"), frame)
    assert "649 of numbers (fac0, fac1, " in said
    assert "638 more" in said
    assert len(said) < 300
