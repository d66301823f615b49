"""The context of a run, from its folder: all that a worker is told is the folder and a stretch."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch

from autokd.study import Study, read_setup, resolve_objectives, resolve_space
from autokd.tasks import load_task
from autokd.tasks.rows import with_reserve
from autokd.teachers.cache import open_outputs
from autokd.trial.table import read_table
from autokd.trial.tabulated import table_context
from autokd.trial.training import Context, Stretch
from autokd.types import Task


@functools.lru_cache(maxsize=4)
def load_context(run: str) -> Context:
    """The context of a run from its folder, as `driver.preparation` wrote it; kept for the life of the process."""
    setup = read_setup(Path(run))
    study = Study.model_validate(setup.study)
    if study.table:
        return table_context(study, read_table(Path(run) / setup.task))
    task: Task = load_task(Path(run) / setup.task)
    return Context(
        study=study,
        space=resolve_space(study),
        task=with_reserve(task) if setup.reserve else task,
        teacher=open_outputs(Path(run) / setup.outputs),
        objectives=resolve_objectives(study),
    )


def warm_up() -> None:
    """Has a new process import what the first optimizer brings with it, 2 s of torch's compiler."""
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])


def run_stretch_in(run: str, stretch: Stretch) -> dict[str, Any]:
    """What a stretch gives, in a worker that knows only the run folder."""
    return load_context(run).run(stretch)
