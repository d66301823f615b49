"""Students of every kind of task are exported in every format, and answer raw rows as they did in the search."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from conftest import needs
from export_samples import sample_card
from small import small_study
from torch import Tensor, nn

from autokd import load_predictor, registry, search_study
from autokd.distill import predict
from autokd.export import export_student, task_shape
from autokd.heads import Head, Labels, Positions, Values, apart, heads_of
from autokd.readings import raw_rows
from autokd.tasks import from_arrays, from_frame
from autokd.types import Task

ROWS = 60
X = np.random.default_rng(0).integers(0, 256, (ROWS, 3, 6, 6), dtype=np.uint8)
BRIGHT = torch.from_numpy(X.reshape(ROWS, -1).mean(axis=1))
BOTH: dict[str, Head] = {"kind": Labels(("bright", "green")), "light": Values(("mean",), (127.0,), (6.0,), True)}


def photos() -> Task:
    return from_arrays(X, np.where(BRIGHT > 127, "bright", "dark"), augment={"flip": True})


def signals() -> Task:
    """Float64 values, of which float32 would lose digits."""
    return from_arrays(1e9 + X.reshape(ROWS, -1)[:, :20] / 7, np.arange(ROWS) % 3)


def with_heads(heads: dict[str, Head], y: Tensor | dict[str, Tensor]) -> Task:
    return replace(photos(), y=y, class_names=(), own_heads=heads)


def values() -> Task:
    return with_heads(
        {"": Values(("mean", "twice"), (127.0, 254.0), (6.0, 12.0))}, torch.stack([BRIGHT, 2 * BRIGHT], 1)
    )


def places() -> Task:
    return with_heads({"": Positions(("low", "high"), (6, 6))}, torch.from_numpy(X[:, 0] > 127).long())


def labels_and_a_value() -> Task:
    kinds = torch.stack([BRIGHT > 127, BRIGHT < 126], 1).float()
    return with_heads(BOTH, {"kind": kinds, "light": BRIGHT.unsqueeze(1)})


def people() -> pandas.DataFrame:
    chosen = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {"age": chosen.normal(40, 12, ROWS), "job": chosen.choice(["cook", "nurse", "pilot"], ROWS)}
    )
    frame.loc[frame.index % 7 == 0, "age"] = np.nan
    frame.loc[frame.index % 11 == 0, "job"] = "?"
    return frame.assign(hours=30 + 0.5 * frame["age"].fillna(40), rich=np.where(frame["job"] == "pilot", "yes", "no"))


def table() -> Task:
    return from_frame(people(), target={"rich": "rich", "hours": "hours"})


TASKS: list[Callable[[], Task]] = [photos, signals, values, places, labels_and_a_value, table]


def trained(task: Task) -> nn.Module:
    """A student of a task that has seen some rows, so that its batch norm is not the one that it began with."""
    student = registry.resolve("search_spaces", "mlp").build(
        {"widths": [8], "activation": "relu", "batch_norm": True}, task
    )
    student.train()(task.inputs(task.splits["train"]))
    network: nn.Module = student.eval()
    return network


def export(task: Task, student: nn.Module, out: Path, rows: Tensor) -> str:
    reading, raw = raw_rows(task, rows)
    assert reading is not None
    about = {"arch": {"widths": [8], "activation": "relu", "batch_norm": True}, "reading": reading.plain()}
    card = sample_card(task=task_shape(task), **about)
    return export_student(student, task.inputs(rows), out, card=card, rows=raw)


def answers(task: Task, student: nn.Module, rows: Tensor) -> dict[str, Tensor]:
    """What objectives read in a search."""
    heads = heads_of(task)
    return {name: heads[name].in_units(part) for name, part in apart(predict(student, task, rows), heads).items()}


@pytest.mark.parametrize("make", TASKS, ids=lambda make: make.__name__)
def test_a_predictor_answers_raw_rows_as_the_search_does(make: Callable[[], Task], tmp_path: Path) -> None:
    task = make()
    student, rows = trained(task), task.splits["validation"]
    export(task, student, tmp_path / "s.safetensors", rows)
    loaded = load_predictor(tmp_path)
    outputs, expected = loaded.outputs(raw_rows(task, rows)[1]), answers(task, student, rows)
    for name, given in ({"": outputs} if len(expected) == 1 else outputs).items():
        assert torch.equal(given, expected[name])
    predicted = loaded.predict(raw_rows(task, rows)[1])
    assert {len(each) for each in (predicted.values() if isinstance(predicted, dict) else [predicted])} == {len(rows)}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["pt2", pytest.param("onnx", marks=needs("onnxruntime"))])
@pytest.mark.parametrize("make", TASKS, ids=lambda make: make.__name__)
def test_every_kind_of_task_has_graphs(make: Callable[[], Task], suffix: str, tmp_path: Path) -> None:
    task = make()
    said = export(task, trained(task), tmp_path / f"s.{suffix}", task.splits["validation"])
    assert ("takes raw rows" in said) == (make is not table or suffix == "onnx")


LINEAR = """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def make():
    return make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
"""
FRESH = """
import sys, autokd, pandas
answers = autokd.load_predictor(sys.argv[1]).predict(pandas.read_csv(sys.argv[2]))
pandas.DataFrame(answers).to_csv(sys.argv[3], index=False)
"""


@pytest.mark.slow
@needs("onnxruntime")
def test_a_student_of_a_table_is_searched_exported_and_asked_in_a_fresh_process(tmp_path: Path) -> None:
    people().to_csv(tmp_path / "people.csv", index=False)
    (tmp_path / "linear.py").write_text(LINEAR)
    study = small_study(
        **{
            "task": {"data": str(tmp_path / "people.csv"), "target": "rich"},
            "space": "table",
            "teacher": {"sklearn": f"{tmp_path / 'linear.py'}:make", "folds": 2},
            "budget.trials": 1,
            "budget.rungs": [1],
            "budget.reseeds": 0,
        }
    )
    (student,) = search_study(study, run=tmp_path / "run")
    student.export(tmp_path / "out" / "student.safetensors")
    assert "takes raw rows (each of 3 columns, shape (batch, 1))" in student.export(tmp_path / "student.onnx")
    files = [str(tmp_path / name) for name in ("out", "people.csv", "answers.csv")]
    subprocess.run([sys.executable, "-c", FRESH, *files], check=True)
    found = pandas.read_csv(tmp_path / "answers.csv").iloc[:, 0].to_numpy()
    assert found.tolist() == load_predictor(tmp_path / "out").predict(people()).tolist()
    assert re.search(r"columns (age|job|hours), ", (tmp_path / "out" / "README.md").read_text())


def test_the_answers_of_the_card_are_those_of_the_task() -> None:
    assert task_shape(labels_and_a_value()).outputs == ("kind.bright", "kind.green", "light.mean")
    assert task_shape(places()).outputs == ()
    shape: Any = task_shape(table())
    assert [column.name for column in shape.columns] == ["age", "age is missing", "job"]
