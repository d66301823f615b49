from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import small_study

from autokd.distill import predict
from autokd.driver import export_trial, load_front, retrain, search_study
from autokd.export import load_student
from autokd.tasks import ArrayTask
from autokd.trial import Stretch, load_context, run_stretch
from autokd.trial.evaluation import evaluate_outputs
from autokd.types import Recipe
from autokd.weights import load_tensors


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A searched run whose first student of the front is trained anew."""
    folder = tmp_path_factory.mktemp("card") / "run"
    search_study(small_study(**{"budget.trials": 2, "budget.rungs": [1, 2], "budget.reseeds": 0}), run=folder)
    return folder


def exported(run: Path, out: Path) -> tuple[int, dict[str, Any]]:
    trial = load_front(run).front[0].trial
    export_trial(run, trial, out / "student.safetensors")
    card: dict[str, Any] = json.loads((out / "config.json").read_text())
    return trial, card


def trained_as(run: Path, card: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a training gives that knows nothing but the card."""
    recipe = Recipe(**card["recipe"])
    stretch = Stretch(
        trial=0,
        arch=card["arch"],
        recipe=recipe,
        seed=card["seeds"][0],
        start=0,
        stop=recipe.epochs,
        source="",
        folder=str(folder),
    )
    return run_stretch(load_context(str(run)), stretch)


def check_card(run: Path, out: Path, again: Path) -> dict[str, Any]:
    """The card of an export gives its very weights and values."""
    _, card = exported(run, out)
    result = trained_as(run, card, again)
    assert {name: card["values"][name] for name in result["values"]} == result["values"]
    shipped, trained = load_tensors(out / "student.safetensors"), load_tensors(again / "weights.safetensors")
    assert all(torch.equal(shipped[name], trained[name]) for name in trained)
    return card


def test_the_card_gives_the_seed_recipe_and_values_of_the_weights_of_the_search(run: Path, tmp_path: Path) -> None:
    card = check_card(run, tmp_path / "out", tmp_path / "again")
    assert (card["recipe"]["epochs"], card["origin"]) == (2, "as trained in the search")


@pytest.mark.slow
def test_the_card_gives_the_seed_recipe_and_values_of_retrained_weights(run: Path, tmp_path: Path) -> None:
    trial, before = exported(run, tmp_path / "before")
    retrain(run, trial, epochs=3, seeds=2)
    card = check_card(run, tmp_path / "after", tmp_path / "again")
    assert card["seeds"] != before["seeds"]
    assert card["recipe"]["epochs"] == 3
    assert re.fullmatch(r"retrained, seed-[12]-epochs-3", card["origin"])
    assert card["origin"] in (tmp_path / "after" / "README.md").read_text()


def test_the_card_says_how_raw_rows_become_inputs(run: Path, tmp_path: Path) -> None:
    _, card = exported(run, tmp_path)
    task = load_context(str(run)).task
    assert isinstance(task, ArrayTask)
    assert card["reading"] == {
        "kind": "pixels",
        "raw": "uint8",
        "shape": [1, 8, 8],
        "shift": list(task.shift),
        "divisor": list(task.divisor),
    }
    assert card["task"]["outputs"] == card["task"]["heads"][""]["names"] == list(task.class_names)
    page = (tmp_path / "README.md").read_text()
    assert "Rows are an array of uint8, shape (rows, 1, 8, 8), in the order channels, height, width. The" in page
    assert "The student answers 10 classes (0 .. 9)." in page
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    scope: dict[str, Any] = {"rows": task.x[:5].copy()}
    exec(code.replace("this/folder", str(tmp_path)), scope)
    with torch.no_grad():
        outputs = load_student(tmp_path)(task.inputs(torch.arange(5)))
    assert scope["answers"].tolist() == [task.class_names[best] for best in outputs.argmax(dim=1)]


FRESH = """
import sys, numpy, autokd
student = autokd.load_predictor(sys.argv[1])
numpy.save(sys.argv[3], student.outputs(numpy.load(sys.argv[2])))
"""


@pytest.mark.slow
def test_a_fresh_process_answers_raw_rows_as_the_search_did(run: Path, tmp_path: Path) -> None:
    _, card = exported(run, tmp_path)
    context = load_context(str(run))
    rows = context.task.splits["validation"]
    np.save(tmp_path / "rows.npy", context.task.raw(rows))
    files = [str(tmp_path / name) for name in ("", "rows.npy", "outputs.npy")]
    subprocess.run([sys.executable, "-c", FRESH, *files], check=True)
    outputs = torch.from_numpy(np.load(tmp_path / "outputs.npy"))
    assert torch.equal(outputs, predict(load_front(run).front[0].load(), context.task, rows))
    assert evaluate_outputs(context, outputs, "validation")["accuracy"] == card["values"]["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
def test_graphs_hold_the_card_too(run: Path, tmp_path: Path, suffix: str) -> None:
    _, card = exported(run, tmp_path / "folder")
    out = tmp_path / f"student.{suffix}"
    export_trial(run, load_front(run).front[0].trial, out)
    if suffix == "onnx":
        onnx = pytest.importorskip("onnx")
        held = {entry.key: entry.value for entry in onnx.load(out).metadata_props}["autokd"]
    else:
        files = {"autokd.json": ""}
        torch.export.load(out, extra_files=files)
        held = files["autokd.json"]
    assert json.loads(held) == card_of_graph(card)


def card_of_graph(card: dict[str, Any]) -> dict[str, Any]:
    of_folder = ("format", "weights", "weights_sha256")
    return {key: value for key, value in card.items() if key not in of_folder} | {"takes": "raw rows"}
