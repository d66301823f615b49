"""A student of a table is exported with its reading: a predictor and an ONNX file take the columns as they are."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from conftest import needs
from export_samples import sample_card
from torch import nn

from autokd import load_predictor, registry
from autokd.export import export_student, task_shape
from autokd.heads import Classes, Head, Values
from autokd.readings import Columns
from autokd.readings.columns import Category, Number

READING = Columns(
    (Number("age", 40.0, 12.5, missing=True), Number("capital gain", 1e9, 3.0, missing=False)),
    (Category("job", ("", "cook", "nurse")), Category("town", ("Bonn", "Köln")), Category("rooms", ("2", "3"))),
)
ROWS = pandas.DataFrame(
    {
        "unread": [1, 2, 3, 4, 5],
        "rooms": [2.0, 3.0, None, 3.0, 4.0],
        "town": ["Bonn", "Köln", "Rome", None, "Bonn"],
        "job": ["cook", "?", "pilot", None, "nurse"],
        "capital gain": [10**9, 10**9 + 1, 10**9 + 2, 10**9 - 3, 10**9],
        "age": [20.0, 31.0, None, 42.0, 57.0],
    }
)
HEADS: dict[str, Head] = {"rich": Classes(("no", "yes")), "hours": Values(("hours",), (40.0,), (12.0,))}


def student() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(READING.columns[-1].stop, 8), nn.ReLU(), nn.Linear(8, 3))


def card(**changes: Any) -> dict[str, Any]:
    width = READING.columns[-1].stop
    task = SimpleNamespace(name="people", input_shape=(width,), num_outputs=3, heads=HEADS, columns=READING.columns)
    return sample_card(task=task_shape(task).model_dump(), reading=READING.plain(), **changes)


def given(frame: pandas.DataFrame, session: Any) -> dict[str, Any]:
    """The columns, as the page on exports makes them from a data frame."""
    return {
        column.name: frame[[column.name]].to_numpy("float64")
        if column.type == "tensor(double)"
        else frame[[column.name]].astype(str).fillna("").to_numpy(object)
        for column in session.get_inputs()
    }


@needs("onnxruntime")
def test_the_onnx_file_of_a_table_takes_its_columns_as_they_are(tmp_path: Path) -> None:
    import onnxruntime

    network = student()
    said = export_student(network, READING.batch(ROWS), tmp_path / "s.onnx", card=card(), rows=ROWS)
    assert "takes raw rows (each of 5 columns, shape (batch, 1)), largest difference from torch" in said
    session = onnxruntime.InferenceSession(tmp_path / "s.onnx")
    taken = {each.name: each.type for each in session.get_inputs()}
    assert taken == {"age": "tensor(double)", "capital gain": "tensor(double)"} | dict.fromkeys(
        ("job", "town", "rooms"), "tensor(string)"
    )
    logits = network(READING.batch(ROWS)).detach()
    expected = torch.cat([logits[:, :2], logits[:, 2:] * 12 + 40], dim=1)
    for rows in (ROWS, ROWS[:1], ROWS[2:4]):
        (answers,) = session.run(["output"], given(rows, session))
        np.testing.assert_allclose(answers, expected[rows.index], rtol=1e-5, atol=1e-5)
    held = json.loads(session.get_modelmeta().custom_metadata_map["autokd"])
    assert (held["takes"], held["task"]["outputs"]) == ("raw rows", ["rich.no", "rich.yes", "hours.hours"])


def test_the_program_of_torch_takes_encoded_features_and_says_so(tmp_path: Path) -> None:
    network = student()
    said = export_student(network, READING.batch(ROWS), tmp_path / "s.pt2", card=card(), rows=ROWS)
    assert "takes inputs that are normalised or encoded already (float32, shape (batch, 10))" in said
    answers = torch.export.load(tmp_path / "s.pt2").module()(READING.batch(ROWS))
    torch.testing.assert_close(answers[:, :2], network(READING.batch(ROWS))[:, :2])


@pytest.mark.parametrize("only", ["numbers", "categories"])
@needs("onnxruntime")
def test_a_table_may_have_columns_of_one_kind_only(only: str, tmp_path: Path) -> None:
    reading = Columns(READING.numbers if only == "numbers" else (), () if only == "numbers" else READING.categories)
    network = nn.Linear(reading.columns[-1].stop, 3)
    of_task = {**card()["task"], "input_shape": [reading.columns[-1].stop], "columns": reading.columns}
    about = card() | {"reading": reading.plain(), "task": of_task}
    said = export_student(network, reading.batch(ROWS), tmp_path / "s.onnx", card=about, rows=ROWS)
    assert f"each of {2 if only == 'numbers' else 3} columns" in said


@needs("onnxruntime")
def test_a_column_may_have_the_name_of_an_input_or_of_a_weight(tmp_path: Path) -> None:
    reading = Columns((Number("input", 0.0, 1.0, False), Number("student.0.weight", 0.0, 1.0, False)), ())
    rows = pandas.DataFrame({"input": [1.0, 2.0], "student.0.weight": [3.0, 4.0]})
    of_task = {**card()["task"], "input_shape": [2], "columns": reading.columns}
    about = card() | {"reading": reading.plain(), "task": of_task}
    export_student(nn.Sequential(nn.Linear(2, 3)), reading.batch(rows), tmp_path / "s.onnx", card=about, rows=rows)


def test_a_predictor_takes_a_data_frame_and_answers_each_head(tmp_path: Path) -> None:
    arch = {"widths": [8], "activation": "relu", "batch_norm": False}
    about = card(arch=arch)
    space = registry.resolve("search_spaces", "mlp")
    network = space.build(arch, type("Shape", (), {"input_shape": (10,), "num_outputs": 3}))
    said = export_student(network, READING.batch(ROWS), tmp_path / "s.safetensors", card=about, rows=ROWS)
    assert "autokd.load_predictor(folder) loads it" in said
    loaded = load_predictor(tmp_path)
    answers, outputs = loaded.predict(ROWS), network(READING.batch(ROWS)).detach()
    assert answers["rich"].tolist() == [("no", "yes")[best] for best in outputs[:, :2].argmax(dim=1)]
    np.testing.assert_allclose(answers["hours"], outputs[:, 2].double() * 12 + 40)
    assert loaded.predict(ROWS.to_dict("records"))["rich"].tolist() == answers["rich"].tolist()
    page = (tmp_path / "README.md").read_text()
    assert "Rows are a table (a DataFrame) with the columns age, capital gain, job, town and rooms." in page
    assert "The student answers `rich`: 2 classes (no .. yes) and `hours`: 1 value (hours)." in page
