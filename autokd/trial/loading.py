"""What a run searches, from its folder. A worker gets only the folder and a stretch."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from autokd.errors import InputError, gone
from autokd.heads import heads_of
from autokd.study import (
    SPACE,
    TASK,
    Setup,
    Study,
    read_setup,
    resolve_objectives,
    resolve_space,
)
from autokd.tasks import load_task
from autokd.tasks.made import made_again
from autokd.tasks.rows import with_reserve
from autokd.teachers.cache import open_outputs
from autokd.trial.searched import Searched, Stretch
from autokd.trial.table import description_of, read_table
from autokd.trial.tabulated import searched_table
from autokd.trial.training import Context


@functools.lru_cache(maxsize=4)
def load_context(run: str) -> Searched:
    """What a run searches, from its folder, as `driver.preparation` wrote it; the process keeps it."""
    return searched_in(Path(run), read_setup(Path(run)))


def searched_in(run: Path, setup: Setup) -> Searched:
    """What a run searches, from its folder and its setup; the parts that the study names are imported."""
    study = Study.model_validate(setup.study)
    return searched_table(study, read_table(run / setup.task)) if study.table else context_of(run, setup)


def context_of(run: Path, setup: Setup, *, measured: bool = True) -> Context:
    """The context of a run that trains students; the parts that the study names are imported.

    Args:
        run: the run folder.
        setup: what the run was begun with, as `study.as_let_in` gives it, or as the driver of this process wrote it.
        measured: whether students will be measured; if not, no objective is looked up.

    Raises:
        InputError: the run is a search on a table.
    """
    study = Study.model_validate(setup.study)
    if study.table:
        raise InputError(
            f"{run} is a search on a table, which holds numbers and no students: nothing can be trained or exported; "
            f"`autokd front {quote(str(run))} --csv` has the architectures to build"
        )
    kept_in_files = bool(setup.task)
    task = load_task(run / setup.task) if kept_in_files else made_again(study.task, digest=setup.digests.task)
    return Context(
        study=study,
        space=resolve_space(study),
        task=with_reserve(task) if setup.reserve else task,
        answers=open_outputs(run / setup.outputs),
        objectives=resolve_objectives(study, heads_of(task)) if measured else (),
        origins={name: run / file for name, file in setup.origins.items()},
    )


def files_of(run: Path, setup: Setup) -> list[Path]:
    """The files and folders of a run, besides `study.json`, that `load_context` reads."""
    if not setup.outputs:
        return [run / setup.task, description_of(run / setup.task)]
    return [
        run / name for name in (setup.task, setup.outputs, *setup.origins.values()) if name
    ]  # a task that is made again is in no file


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
        InputError: the source of the space, of a way of distilling, of an objective or of the task changed.
    """
    refuse_changed(run, load_context(str(run)).edited(read_setup(run)))


def refuse_changed(run: Path, changed: Mapping[str, str]) -> None:
    """Refuses to use a run whose code was edited since it was begun.

    Args:
        run: the run folder.
        changed: the parts whose code changed, as `study.changed_since` gives them.
    """
    if changed:
        option = {SPACE: "space", TASK: "task"}.get(next(iter(changed)), "") if len(changed) == 1 else ""
        old = f", or give the file as it was with --{option} OLD_FILE (from Python: {option}='old_file.py')"
        raise InputError(
            f"{run}: {', '.join(changed.values())} changed since the search; undo the change{old if option else ''}"
        )
