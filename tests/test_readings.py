"""Readings: raw rows become inputs, and a reading survives its round trip through JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
import torch

from autokd.errors import InputError
from autokd.readings import Columns, Pixels, reading_of
from autokd.readings.columns import Category, Number, fit_columns
from autokd.readings.table_rows import clean_frame
from autokd.tasks import from_arrays

KINDS = {"age": "number", "income": "number", "town": "category"}


def people() -> pandas.DataFrame:
    raw = pandas.DataFrame(
        {
            "age": [20.0, 30.0, 40.0, math.nan],
            "income": [1, 2, 3, 4],
            "town": ["Bonn", "Köln", "Bonn", None],
        }
    )
    return pandas.concat([raw, raw], ignore_index=True)


def cleaned(frame: pandas.DataFrame) -> pandas.DataFrame:
    return clean_frame(frame, KINDS)


def fitted() -> Columns:
    return fit_columns(cleaned(people()), KINDS)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("shape", [(9, 3, 4, 5), (9, 7)])
def test_the_graph_of_pixels_gives_the_inputs_of_the_batch(dtype: str, shape: tuple[int, ...]) -> None:
    raw = (np.random.default_rng(0).random(shape) * 255).astype(dtype)
    shift, divisor = np.linspace(3, 90, shape[1]), np.linspace(1, 60, shape[1])
    reading = Pixels(tuple(shift), tuple(divisor), dtype, shape[1:])
    inputs = reading.batch(raw)
    assert inputs.dtype == torch.float32
    assert torch.equal(reading.graph()(torch.from_numpy(raw)), inputs)
    assert not reading.graph().state_dict()


def test_images_have_the_memory_format_channels_last() -> None:
    inputs = Pixels((1.0,) * 3, (2.0,) * 3, "uint8", (3, 4, 5)).batch(np.zeros((2, 3, 4, 5), np.uint8))
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_the_inputs_of_a_task_are_what_its_reading_makes_of_raw_rows() -> None:
    x = np.random.default_rng(0).integers(0, 255, (40, 3, 8, 8), dtype=np.uint8)
    task = from_arrays(x, np.arange(40) % 2)
    rows = torch.tensor([3, 1, 39])
    assert torch.equal(task.reading.batch(task.raw(rows)), task.inputs(rows))


@pytest.mark.parametrize(
    "reading", [Pixels((0.1, 2.0), (0.3, 1 / 3), "float32", (2,)), fitted()], ids=["pixels", "columns"]
)
def test_a_reading_survives_json(reading: Pixels | Columns) -> None:
    assert reading_of(json.loads(json.dumps(reading.plain()))) == reading


@pytest.mark.parametrize("plain", [{}, {"kind": "sounds"}, {"kind": "pixels", "shift": [1], "divisor": []}])
def test_data_of_no_reading_are_refused(plain: dict[str, object]) -> None:
    with pytest.raises(InputError, match="describe no reading"):
        reading_of(plain)


def test_numbers_are_standardised_and_missing_ones_are_the_mean_and_marked() -> None:
    reading, frame = fitted(), people()
    inputs = reading.batch(frame).numpy()
    age = frame["age"]
    expected = ((age - age.mean()) / age.std(ddof=0)).fillna(0.0)
    assert inputs[:, 0] == pytest.approx(expected.to_numpy())
    assert [column.name for column in reading.columns] == ["age", "income", "age is missing", "town"]
    assert inputs[:, 2].tolist() == age.isna().astype(float).tolist()


def test_categories_are_one_hot_and_one_that_was_not_seen_in_training_is_zero_throughout() -> None:
    reading = fitted()
    town = reading.columns[-1]
    assert reading.categories == (Category("town", ("", "Bonn", "Köln")),)
    inputs = reading.batch({"age": [1, 2, 3], "income": [1, 1, 1], "town": ["Köln", "Rom", None]})
    assert inputs[:, town.start : town.stop].tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_a_number_that_is_missing_only_after_training_counts_as_the_mean() -> None:
    inputs = fitted().batch([{"age": 30, "income": None, "town": "Bonn"}])
    assert inputs[0, 1] == 0


def test_a_batch_equals_its_rows_read_one_by_one() -> None:
    reading, frame = fitted(), people()
    alone = torch.cat([reading.batch(frame.iloc[[row]]) for row in range(len(frame))])
    assert torch.equal(reading.batch(frame), alone)


def test_rows_may_be_a_frame_mappings_or_lists_and_texts_may_hold_numbers() -> None:
    reading = fitted()
    given = {"age": [20, 31.5], "income": [4, 1], "town": ["Bonn", "?"]}
    expected = reading.batch(given)
    assert torch.equal(
        reading.batch([dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]), expected
    )
    assert torch.equal(reading.batch(pandas.DataFrame(given).astype(str)), expected)
    assert torch.equal(reading.batch(pandas.DataFrame(given).convert_dtypes()), expected)
    assert torch.equal(reading.batch(pyarrow.table(given)), expected)
    assert reading.batch(pandas.DataFrame(given)[:0]).shape == (0, 6)


def test_numbers_of_whole_value_truth_values_and_texts_name_the_same_category() -> None:
    frame = pandas.DataFrame({"code": [1.0, 2.0, 1.0, 2.0], "flag": [True, False, True, False]})
    kinds = {"code": "category", "flag": "category"}
    reading = fit_columns(clean_frame(frame, kinds), kinds)
    assert reading.categories == (Category("code", ("1", "2")), Category("flag", ("False", "True")))
    assert torch.equal(reading.batch({"code": ["1"], "flag": ["True"]}), reading.batch({"code": [1], "flag": [True]}))


def test_names_of_columns_may_be_numbers() -> None:
    frame = pandas.DataFrame({5: [1.0, 2.0], 6: [3.0, 4.0]})
    reading = fit_columns(frame.rename(columns=str), {"5": "number", "6": "number"})
    assert torch.equal(reading.batch(frame), reading.batch(frame.rename(columns=str)))


def test_only_frequent_values_of_a_category_have_features() -> None:
    frame = pandas.DataFrame({"word": [f"w{i}" for i in range(150) for _ in range(3)] + ["once"]})
    reading = fit_columns(frame.astype("category"), {"word": "category"})
    assert len(reading.categories[0].values) == 100
    assert "once" not in reading.categories[0].values


def test_a_column_without_a_value_has_no_features() -> None:
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [math.nan] * 2})
    assert fit_columns(frame, {"a": "number", "b": "number"}).numbers == (Number("a", 1.5, 0.5, False),)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"age": [1], "town": ["Bonn"]}, "no column 'income'"),
        ({"age": ["old"], "income": [1], "town": ["Bonn"]}, "'age' should hold numbers, but row 0 has 'old'"),
        ({"age": [math.inf], "income": [1], "town": ["Bonn"]}, "row 0 is infinite"),
        (np.zeros((2, 3)), "give a DataFrame"),
        ({"age": [1], "income": [1, 2], "town": ["Bonn"]}, "give a DataFrame"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(rows: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fitted().batch(rows)


TRAINING = pandas.DataFrame({"age": [20.0, 31.0, 42.0, 53.0], "town": ["Bonn", "Rom"] * 2, "works": [True, False] * 2})


def of_training() -> Columns:
    kinds: dict[str, Any] = {"age": "number", "town": "category", "works": "category"}
    return fit_columns(clean_frame(TRAINING, kinds), kinds)


@pytest.mark.parametrize(
    "rows",
    [
        TRAINING.to_dict("records"),
        TRAINING.to_dict("list"),
        TRAINING.astype(str),
        TRAINING.convert_dtypes(),
        TRAINING.convert_dtypes(dtype_backend="pyarrow"),
        TRAINING.astype("category"),
        TRAINING.assign(works=TRAINING["works"].astype(int)),
        TRAINING.assign(works=TRAINING["works"].astype(float)),
        TRAINING.assign(works=TRAINING["works"].map({True: "TRUE", False: "FALSE"})),
        TRAINING[["works", "town", "age"]].assign(more=1).set_axis([7] * 4),
    ],
    ids=["records", "lists", "texts", "nullable", "Arrow", "categories", "0 and 1", "floats", "of R", "other order"],
)
def test_the_same_rows_of_other_types_are_the_same_features(rows: Any) -> None:
    assert torch.equal(of_training().batch(rows), of_training().batch(TRAINING))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (TRAINING.iloc[0].to_dict(), "one mapping with single values; for one row, give a list of it"),
        (TRAINING.iloc[0], "for one row, give a DataFrame of it, such as frame.iloc"),
        (TRAINING.drop(columns="town"), "no column 'town'; give the columns age, town and works"),
        (TRAINING.rename(columns={"age": "Age"}), "no column 'age'; did you mean 'Age'"),
        (pandas.concat([TRAINING, TRAINING[["age"]]], axis=1), "two columns called 'age'"),
        (pandas.concat({"a": TRAINING}, axis=1), "2 lines of names of columns"),
        (TRAINING.assign(age="old"), "'age' should hold numbers, but row 0 has 'old'"),
        (TRAINING.assign(age=[1, 2, 1e300, 4]), r"'age': row 2 has 1e\+300, which is too far from the numbers"),
        (TRAINING.assign(age=[1, 2, math.inf, 4]), "'age': row 2 is infinite"),
        (TRAINING.assign(town=[["Bonn"]] * 4), "'town' holds a list in some row"),
        (TRAINING.to_numpy(), "of type ndarray; give a DataFrame"),
        (None, "of type NoneType; give a DataFrame"),
    ],
    ids=[
        *["one row as a mapping", "one row as a Series", "a column less", "another name", "a column twice"],
        *["two lines of names", "a text", "a huge number", "infinity", "lists", "an array", "nothing"],
    ],
)
def test_rows_of_another_table_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        of_training().batch(rows)


def test_rows_of_which_no_value_of_a_category_is_known_are_doubted(caplog: pytest.LogCaptureFixture) -> None:
    many = pandas.concat([TRAINING] * 5)
    of_training().batch(many)
    assert not caplog.text
    of_training().batch(many.assign(town="Paris"))
    assert (
        "No row has a known value in column 'town': row 0 has 'Paris', and known are 'Bonn' and 'Rom'." in caplog.text
    )


def test_numbers_that_are_too_large_to_compute_with_are_refused() -> None:
    frame = clean_frame(pandas.DataFrame({"age": [1e300, -1e300]}), {"age": "number"})
    with pytest.raises(InputError, match=r"'age' has numbers as large as 1e\+300"):
        fit_columns(frame, {"age": "number"})
