"""Runs that are small enough for tests: a whole search of `small_study` takes about a second on one thread."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autokd.driver import Driver
from autokd.driver.preparation import Run, prepare
from autokd.record import Record
from autokd.registry import resolve
from autokd.samplers import sampler_for
from autokd.study import Study, override
from autokd.trial import Context

SPACE = """
import math

from torch import nn


def suggest(trial):
    return {{"width": trial.suggest_categorical("width", {widths})}}


def build(arch, task):
    width = arch["width"]
    {build}
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(task.input_shape), width), nn.ReLU(), nn.Linear(width, 10))
"""


def small_study(**overrides: Any) -> Study:
    """60 labelled and 180 unlabelled digits, nearest neighbours as teacher, 6 small MLPs of at most 4 epochs.

    Args:
        overrides: values under dotted keys, as `**{"budget.trials": 3}`.
    """
    study = {
        "name": "small",
        "task": {"data": "digits", "labels": 60, "rows": 240, "validation": 120},
        "teacher": {"sklearn": "sklearn.neighbors:KNeighborsClassifier"},  # fitted and asked in milliseconds
        "space": "mlp",
        "objectives": {"accuracy": {}, "parameters": {}},
        "budget": {"trials": 6, "rungs": [1, 2, 4], "reseeds": 1},
        "executor": "inline",
        "workers": 1,
    }
    return override(Study.model_validate(study), overrides)


def small_run(tmp_path: Path, **overrides: Any) -> Run:
    """`small_study`, prepared in `tmp_path / "run"`."""
    return prepare(small_study(**overrides), tmp_path / "run")


def small_context(tmp_path: Path, **overrides: Any) -> Context:
    """What the trials of `small_run` share."""
    return small_run(tmp_path, **overrides).context


def small_driver(run: Run) -> Driver:
    """A driver of a prepared run that holds its record; close it by `driver.record.close()`."""
    study = run.context.study
    record = Record(run.folder, run.context.objectives, sampler_for(run.context, run.worst, study.seed))
    scheduler = resolve("schedulers", study.scheduler)(run.context.objectives, study.budget.rungs)
    return Driver(run.context, record, scheduler, folder=run.folder, latencies=run.latencies)


def write_space(tmp_path: Path, *, widths: Sequence[int], build: str = "") -> str:
    """A file with a search space of one hidden layer of one of `widths` units; a reference to it.

    Args:
        build: a statement put into `build`, which may look at `width`.
    """
    path = tmp_path / "space.py"
    path.write_text(SPACE.format(widths=list(widths), build=build or "pass"))
    return str(path)


def forget_new_keys(run: Path) -> None:
    """Makes `study.json` what it was before there were records elsewhere, devices and precisions."""
    path = run / "study.json"
    setup = json.loads(path.read_text())
    del setup["format"], setup["records"], setup["reserve"], setup["sources"]
    del setup["objectives"], setup["validation_rows"]
    for key in ("record", "device", "precision", "compile"):
        del setup["study"][key]
    path.write_text(json.dumps(setup))
