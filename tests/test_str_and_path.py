"""Every function that takes a file or a folder takes it as text and as a `Path`."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import small_study, write_space

import autokd
from autokd.driver import export_trial, load_front, measure_device, retrain, search_study, unused
from autokd.record import read_study, read_trials
from autokd.registry import resolve
from autokd.report.run import write_run_report
from autokd.study import load_study, read_setup, read_task
from autokd.tasks import load_task, open_task, save_task

KINDS = [str, Path]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, a space, data in a file, and an exported student."""
    home = tmp_path_factory.mktemp("home")
    write_space(home, widths=[4, 8])
    labels = np.arange(300) % 10
    np.savez(home / "data.npz", x=np.eye(10, dtype=np.float32)[labels] + np.arange(300)[:, None] / 900, y=labels)
    study = small_study(**{"budget.trials": 1, "budget.reseeds": 0})
    search_study(study, run=home / "run")
    export_trial(home / "run", 0, home / "student.safetensors")
    (home / "study.yaml").write_text("name: small\ntask: digits\nteacher: {outputs: a.npy}\nspace: mlp\n")
    return home


CALLS: dict[str, Callable[[Path, type], Any]] = {
    "load_front": lambda home, kind: load_front(kind(home / "run")).to_dict(),
    "trials_dataframe": lambda home, kind: autokd.trials_dataframe(kind(home / "run")).to_dict(),
    "read_trials": lambda home, kind: read_trials(kind(home / "run")),
    "read_study": lambda home, kind: len(read_study(kind(home / "run")).trials),
    "read_setup": lambda home, kind: read_setup(kind(home / "run")),
    "write_run_report": lambda home, kind: write_run_report(kind(home / "run")),
    "export_trial": lambda home, kind: export_trial(
        kind(home / "run"), 0, kind(home / "again" / "student.safetensors")
    ),
    "load_study": lambda home, kind: load_study(kind(home / "study.yaml")),
    "load_predictor": lambda home, kind: str(autokd.load_predictor(kind(home)).reading),
    "load_student": lambda home, kind: str(autokd.load_student(kind(home))),
    "unused": lambda home, kind: unused(kind(home / "run")),
    "read_task": lambda home, kind: read_task(kind(home / "data.npz")),
    "open_task": lambda home, kind: open_task(kind(home / "data.npz"), seed=0, folder=kind(home / "task")).digest,
    "load_task": lambda home, kind: load_task(kind(home / "run" / "task")).digest,
    "save_task": lambda home, kind: save_task(load_task(home / "run" / "task"), kind(home / "saved")).digest,
    "resolve": lambda home, kind: resolve("search_spaces", kind(home / "space.py")),
    "Study": lambda home, kind: small_study(space=kind(home / "space.py"), task={"data": kind(home / "data.npz")}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_function_answers_text_and_path_alike(name: str, home: Path) -> None:
    given_text, given_path = (CALLS[name](home, kind) for kind in KINDS)
    assert given_text == given_path


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_takes_either(kind: type, home: Path, tmp_path: Path) -> None:
    front = autokd.search(
        teacher={"sklearn": "sklearn.linear_model:LogisticRegression"},
        task=kind(home / "data.npz"),
        space=kind(home / "space.py"),
        trials=1,
        rungs=[1],
        objectives=["accuracy", "parameters"],
        run=kind(tmp_path / "run"),
    )
    assert front.trials["complete"] == 1
    study = small_study(**{"budget.trials": 1, "budget.reseeds": 0})
    again = search_study(study, run=kind(tmp_path / "next"), prior=kind(home / "run"))
    assert "the sampler learned from 1 trials of the earlier run" in again.note


@pytest.mark.slow
def test_retraining_and_measuring_take_either(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "run", tmp_path / "run")
    summaries = [retrain(kind(tmp_path / "run"), 0, seeds=1) for kind in KINDS]
    assert summaries[0] == summaries[1]
    study = small_study(**{"objectives": {"accuracy": {}, "latency_ms": {}}, "space": str(home / "space.py")})
    for kind in KINDS:
        assert measure_device(study, kind(tmp_path / "table.jsonl"), 2, notify=lambda message: None)[0] == 2


def test_every_public_function_that_takes_a_path_is_tried_here() -> None:
    public = {name: getattr(autokd, name) for name in autokd.__all__}
    taking = {
        name
        for name, function in public.items()
        if inspect.isfunction(function)
        and any("Path" in str(parameter.annotation) for parameter in inspect.signature(function).parameters.values())
    }
    assert taking == {
        "load_front",
        "load_predictor",
        "load_student",
        "load_study",
        "retrain",
        "search",
        "search_study",
        "trials_dataframe",
    }
    for name in taking:
        for parameter in inspect.signature(public[name]).parameters.values():
            words = str(parameter.annotation).split(" | ")
            assert "Path" not in words or "str" in words, f"{name} takes {parameter.name} as a Path alone"
