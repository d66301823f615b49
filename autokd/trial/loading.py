"""The context of a run, from its folder. A worker gets only the folder and a stretch."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autokd.errors import InputError, gone
from autokd.study import (
    SPACE,
    Setup,
    Study,
    changed_since,
    read_setup,
    resolve_objectives,
    resolve_space,
    training_sources,
)
from autokd.tasks import load_task
from autokd.tasks.rows import with_reserve
from autokd.teachers.cache import open_outputs
from autokd.trial.table import read_table
from autokd.trial.tabulated import table_context
from autokd.trial.training import Context, Stretch
from autokd.types import Task


@functools.lru_cache(maxsize=4)
def load_context(run: str) -> Context:
    """The context of a run from its folder, as `driver.preparation` wrote it; the process keeps it."""
    return context_of(Path(run), read_setup(Path(run)))


def context_of(run: Path, setup: Setup, *, measured: bool = True) -> Context:
    """The context of a run, from its folder and its setup; the parts that the study names are imported.

    Args:
        run: the run folder.
        setup: what the run was begun with, as `study.as_let_in` gives it, or as the driver of this process wrote it.
        measured: whether students will be measured; if not, no objective is looked up.
    """
    study = Study.model_validate(setup.study)
    if study.table:
        return table_context(study, read_table(run / setup.task))
    task: Task = load_task(run / setup.task)
    return Context(
        study=study,
        space=resolve_space(study),
        task=with_reserve(task) if setup.reserve else task,
        teacher=open_outputs(run / setup.outputs),
        objectives=resolve_objectives(study) if measured else (),
    )


def run_stretch_in(run: str, stretch: Stretch) -> dict[str, Any]:
    """The result of a stretch, in a worker that knows only the run folder.

    The driver has decided before which code that the run names may be imported.

    Raises:
        InputError: the run cannot be used, or the code of one of its parts was edited since the run was begun.
    """
    refuse_gone(Path(run))
    context = load_context(run)
    refuse_edited(Path(run))
    return context.run(stretch)


def refuse_gone(run: Path) -> None:
    """Refuses to train for a run whose folder is gone, because writing there would make half a run folder."""
    if not run.is_dir():
        raise gone(run)


@functools.lru_cache(maxsize=4)
def refuse_edited(run: Path) -> None:
    """Refuses to train in a run whose code was edited since it was begun; each process checks this once.

    Raises:
        InputError: the source of the space, of a way of distilling or of an objective changed.
    """
    setup, context = read_setup(run), load_context(str(run))
    if context.trains:
        changed = changed_since(setup, training_sources(context.study, context.space), context.space)
        refuse_changed(run, changed)


def refuse_changed(run: Path, changed: Mapping[str, str]) -> None:
    """Refuses to use a run whose code was edited since it was begun.

    Args:
        run: the run folder.
        changed: the parts whose code changed, as `study.changed_since` gives them.
    """
    if changed:
        old = ", or give the file as it was with --space OLD_FILE (from Python: space='old_file.py')"
        raise InputError(
            f"{run}: {', '.join(changed.values())} changed since the search; undo the change"
            f"{old if set(changed) == {SPACE} else ''}"
        )
