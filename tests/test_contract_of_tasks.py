"""One contract over every kind of task: a search has the same numbers everywhere, and its students can be used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contract_tasks
import numpy as np
import pytest
import torch
from conftest import ROOT, needs
from torch import Tensor

from autokd.checkpoints import ANSWERS, whole_checkpoint
from autokd.driver import export_trial, load_front, retrain, search_study
from autokd.record import TrialRecord, read_trials
from autokd.report.run import write_run_report
from autokd.study import Study
from autokd.tasks.made import made
from autokd.testing import TaskContract
from autokd.types import Task
from autokd.weights import load_tensors

MAKERS = str(ROOT / "tests" / "contract_tasks.py")


@dataclass(frozen=True)
class Kind:
    """A kind of task: the function of `contract_tasks` that makes it, and what its students are compared by."""

    maker: str
    objective: str = "accuracy"
    space: str = "mlp"
    args: Mapping[str, Any] | None = None
    says_what_it_answers: bool = True
    reading: str | None = None


KINDS = {
    "images": Kind("images", space="resnet"),
    "photos": Kind("photos", space="resnet"),
    "features": Kind("features"),
    "labels": Kind("labels", "auc"),
    "values": Kind("values", "rmse"),
    "positions": Kind("positions", "miou"),
    "two heads": Kind("two_heads", "size.rmse"),
    "table": Kind("table", space="table"),
    "texts": Kind("texts", space="text"),
    "views": Kind("views", space="table"),
    "own reading": Kind("own_reading", reading=f"{MAKERS}:Whitened"),
    "own": Kind("own", args={"features": 7}, says_what_it_answers=False),
}


def task_of(kind: Kind) -> Task:
    return made(f"{MAKERS}:{kind.maker}", kind.args or {})


def study_of(kind: Kind, folder: Path, **changes: Any) -> Study:
    """Two students of a kind of task, whose teacher's answers are in a file of `folder`."""
    answers = folder / "answers.npy"
    if not answers.exists():
        np.save(answers, contract_tasks.answers(task_of(kind)).numpy())
    study = {
        "name": "contract",
        "task": {"task": f"{MAKERS}:{kind.maker}", "args": dict(kind.args or {})},
        "teacher": {"outputs": str(answers)},
        "space": kind.space,
        "objectives": {kind.objective: {}, "parameters": {}},
        "recipe": {"lr": 0.02, "method": "kd"},
        "budget": {"trials": 2, "rungs": [1, 3], "reseeds": 0},
        "sampler": "random",
        "scheduler": "none",
        "executor": "inline",
        "workers": 2,
    }
    return Study.model_validate({**study, **changes})


def searched(kind: Kind, folder: Path, run: str, **changes: Any) -> list[TrialRecord]:
    search_study(study_of(kind, folder, **changes), run=folder / run)
    return read_trials(folder / run)


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_contract_of_tasks as contract
from autokd.driver import search_study

def tell(event):
    if event["event"] == "stretch_ended":
        os._exit(9)

if __name__ == "__main__":
    folder = Path({folder!r})
    search_study(contract.study_of(contract.KINDS[{name!r}], folder), run=folder / "killed", tell=tell)
"""

ANSWERED = """
import sys, pickle
import torch
torch.set_num_threads(1)
from autokd import load_predictor
rows = pickle.load(open({rows!r}, "rb"))
predictor = load_predictor({folder!r}, reading={reading!r})
predicted = predictor.predict(rows) if {predicts!r} else None
pickle.dump((predictor.outputs(rows), predicted), open({out!r}, "wb"))
"""


def run_apart(program: str, **given: object) -> int:
    """The exit code of a program in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program.format(**given)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 9), done.stderr
    return done.returncode


def numbers_are_the_same_however_it_is_searched(name: str, folder: Path) -> None:
    inline = searched(KINDS[name], folder, "inline")
    assert [trial.state for trial in inline] == ["complete", "complete"], inline
    assert searched(KINDS[name], folder, "processes", executor="processes") == inline
    assert run_apart(KILLED, tests=str(ROOT / "tests"), folder=str(folder), name=name) == 9
    assert [trial.state for trial in read_trials(folder / "killed")] == ["running"]
    assert searched(KINDS[name], folder, "killed")[0] == inline[0]  # the sampler draws others after that


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_numbers_are_the_same_in_processes_and_after_a_kill(name: str, tmp_path: Path) -> None:
    numbers_are_the_same_however_it_is_searched(name, tmp_path)


class TestImages(TaskContract):
    task = contract_tasks.images()


class TestPhotos(TaskContract):
    task = contract_tasks.photos().seen_through({"size": 8})


class TestFeatures(TaskContract):
    task = contract_tasks.features()


class TestLabels(TaskContract):
    task = contract_tasks.labels()


class TestValues(TaskContract):
    task = contract_tasks.values()


class TestPositions(TaskContract):
    task = contract_tasks.positions()


class TestTwoHeads(TaskContract):
    task = contract_tasks.two_heads()


class TestTable(TaskContract):
    task = contract_tasks.table()


class TestTexts(TaskContract):
    task = contract_tasks.texts()


class TestViews(TaskContract):
    task = contract_tasks.views()


class TestOwnReading(TaskContract):
    task = contract_tasks.own_reading()


@pytest.mark.slow  # it starts a process, which imports torch
class TestOwn(TaskContract):
    task = f"{MAKERS}:own"


@pytest.mark.slow
@needs("ray")
@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("name", KINDS)
def test_numbers_are_the_same_on_ray(name: str, tmp_path: Path) -> None:
    inline = searched(KINDS[name], tmp_path, "inline")
    assert searched(KINDS[name], tmp_path, "ray", executor={"name": "ray", "address": "local"}) == inline


def test_a_search_of_features_goes_on_with_the_numbers_that_it_would_have_had(tmp_path: Path) -> None:
    kind = KINDS["features"]
    whole = searched(kind, tmp_path, "whole")
    searched(kind, tmp_path, "parts", budget={"trials": 1, "rungs": [1, 3], "reseeds": 0})
    assert len(read_trials(tmp_path / "parts")) == 1
    assert searched(kind, tmp_path, "parts")[0] == whole[0]


def close(given: Any, wanted: Tensor) -> bool:
    return torch.allclose(torch.as_tensor(given), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_its_students_are_picked_retrained_reported_and_exported(name: str, tmp_path: Path) -> None:
    import pickle

    kind, run = KINDS[name], tmp_path / "run"
    task, study = task_of(kind), study_of(kind, tmp_path)
    search_study(study, run=run)
    picked = load_front(run, study=study).pick(by=kind.objective)
    assert write_run_report(run, study=study).read_text()
    export: Callable[..., str] = export_trial
    for suffix in ("safetensors", "pt2", "onnx"):  # each compares the file's answers with the student's
        said = export(run, picked.trial, tmp_path / suffix / f"student.{suffix}", study=study)
        assert "wrote" in said
    (trial,) = [trial for trial in read_trials(run) if trial.number == picked.trial]
    checkpoint = whole_checkpoint(run, trial)
    assert checkpoint is not None
    own = load_tensors(checkpoint / ANSWERS)["answers"]  # what the search itself scored
    rows = task.splits["validation"][: len(own)]
    with (tmp_path / "rows").open("wb") as file:
        pickle.dump(contract_tasks.raw(task, rows), file)
    files = {"rows": str(tmp_path / "rows"), "folder": str(tmp_path / "safetensors"), "out": str(tmp_path / "out")}
    assert run_apart(ANSWERED, **files, predicts=kind.says_what_it_answers, reading=kind.reading) == 0
    with (tmp_path / "out").open("rb") as file:
        outputs, predicted = pickle.load(file)
    wanted = contract_tasks.read(task, own)
    given = outputs if isinstance(outputs, dict) else {next(iter(wanted)): outputs}
    assert all(close(given[head], wanted[head]) for head in wanted)
    if kind.says_what_it_answers:
        assert len(predicted if isinstance(predicted, list | np.ndarray) else predicted[next(iter(wanted))]) == len(
            rows
        )
    found = retrain(run, picked.trial, seeds=1, study=study, workers=1)
    assert found["validation"].keys() == {kind.objective}
    assert "retrained" in export_trial(run, picked.trial, tmp_path / "again.safetensors", study=study)
