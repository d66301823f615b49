"""Decides which code a run folder may have imported: installed plug-ins, and code that the caller names as well."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from autokd import registry
from autokd.errors import InputError
from autokd.study.model import Study
from autokd.study.parts import file_in, head_and_objective, in_place_of_own, space_in
from autokd.study.run import SETUP_FILE, Setup
from autokd.study.sources import SPACE, TASK, TEACHER, named_in_teacher
from autokd.study.task import is_dumped_object, named_in_task

TO_BUILD = frozenset({"search_spaces", "tasks"})
"""The kinds of parts, by entry-point group, that are needed to build a student."""
TO_TRAIN = TO_BUILD | {"losses", "objectives"}
"""The kinds of parts that are needed to train a student."""
TO_TEACH = frozenset({"teachers"})
"""The kinds of parts that are needed to ask the teacher: all that its section names."""


def as_let_in(
    run: Path,
    setup: Setup,
    parts: Collection[str],
    *,
    study: Study | None = None,
    space: object = None,
    task: object = None,
) -> Setup:
    """The setup of a run, if all code that these parts name may be imported. Call this before resolving anything.

    Installed plug-ins may be imported, and objects need no import. Code that the caller names may be imported, too: in
    a study of the caller's own, or as the space or the task. Worker processes need not check again, because they only
    train students that were checked here or that a search began.

    Args:
        run: the run folder.
        setup: the setup of the run.
        parts: `TO_BUILD`, `TO_TRAIN`, `TO_TEACH` or several of them.
        study: the caller's own study of this run.
        space: the search space: a file that holds it, another reference, or the space itself.
        task: the task, if no file in the run folder holds it: a file that makes it, another reference, or the task
            itself.

    Raises:
        InputError: the data of the run are elsewhere, only the run folder names a part, the file does not exist, the
            space or the task was an object and none is given, or a task is given and the run folder holds one.
    """
    refuse_elsewhere(run, setup)
    section, lost = _space_section(run, setup, space, needed="search_spaces" in parts)
    told = {**setup.study, "space": section}
    if "tasks" in parts or task is not None:
        told["task"] = _task_section(run, setup, task)
    read = Study.model_validate({**told, "space": "lost" if lost and space is None else section})
    known = set() if study is None else {(part, _written(each)) for part, _, _, each in _named(study)}
    given = {"search_spaces": space is not None, "tasks": task is not None or bool(setup.task)}
    for part, words, group, reference in _named(read):
        if part not in parts or given.get(part) or not isinstance(reference, str) or (part, reference) in known:
            continue
        if not registry.is_installed(group, reference):
            option = {SPACE: "space", TASK: "task"}.get(words)
            also = f", or the file alone: --{option} FILE (from Python: {option}='file.py')" if option else ""
            raise InputError(
                f"{run}: {words} is '{reference}', which is not an installed plug-in, and AutoKD does not "
                "import code because a run folder names it; give the study file that names it: STUDY.yaml --run "
                "RUN (from Python: "
                f"study=load_study('study.yaml')){also}"
            )
    own_task = {} if task is None else {"task": ""}
    return setup if space is None and task is None else setup.model_copy(update={"study": told, **own_task})


def _space_section(run: Path, setup: Setup, space: object, *, needed: bool) -> tuple[Any, bool]:
    """The section `space` of a run, with the caller's own space in it; and whether the run's own was an object."""
    section = setup.study.get("space")
    held = section["space"] if isinstance(section, Mapping) and "archs" in section else section
    lost = any(map(is_dumped_object, held if isinstance(held, list) else [held]))
    if lost and space is None and needed:
        raise InputError(
            f"{run}: its space was a Python object that is in no file; pass the object from Python: space=..."
        )
    if isinstance(space, str | Path) and _is_file(space):
        section = space_in(space, section)
    elif space is not None:
        own = space
        if isinstance(held, list) and not isinstance(space, list | tuple):
            own = in_place_of_own(held, lambda _: space)
        section = {**section, "space": own} if isinstance(section, Mapping) and "archs" in section else own
    return section, lost


def _task_section(run: Path, setup: Setup, task: object) -> Any:
    """The section `task` of a run, with the caller's own task in it."""
    held = setup.study.get("task")
    if task is None:
        if is_dumped_object(held) and not (setup.task and (run / setup.task).exists()):
            raise InputError(
                f"{run}: its task was a Python object that is kept in no file, so that its front can be read and no "
                "more; pass the object from Python: task=..., or search a task that a reference names or that "
                "autokd.tasks made"
            )
        return held
    if setup.task and (run / setup.task).exists():
        raise InputError(f"{run} holds its data in files, so that it takes no other task; leave the task out")
    named = held.get("task", held.get("data")) if isinstance(held, Mapping) else held
    given = file_in(task, named, what="task") if isinstance(task, str | Path) and _is_file(task) else task
    args = held.get("args", {}) if isinstance(held, Mapping) else {}
    return {"task": given, "args": args} if isinstance(given, str) else given


def _is_file(given: str | Path) -> bool:
    return isinstance(given, Path) or Path(given).suffix == ".py"


def refuse_elsewhere(run: Path, setup: Setup) -> None:
    """Refuses a run whose `study.json` names data or answers outside the run folder, because no search writes that.

    Raises:
        InputError: names the path that is outside.
    """
    begun = [(f"origins.{start}", path) for start, path in setup.origins.items()]
    for key, path in [("task", setup.task), ("outputs", setup.outputs), *begun]:
        if os.path.isabs(path) or os.path.normpath(path).split(os.sep)[0] == os.pardir:
            raise InputError(
                f"{run / SETUP_FILE}: {key} is '{path}', which is outside of the run folder; data of a run are in it, "
                "so use the folder as its search left it"
            )


def _named(study: Study) -> Iterator[tuple[str, str, str, object]]:
    """The code that a study names and that is used after its search: kind of part, part in words, group, reference."""
    if study.table:
        return
    space = study.space["space"] if isinstance(study.space, Mapping) else study.space
    for each in space if isinstance(space, list) else [space]:
        yield "search_spaces", SPACE, "search_spaces", each
    named = named_in_task(study.task)
    if named is not None:
        yield "tasks", TASK, "tasks", named[0]
    for method in study.recipe.methods:
        yield "losses", f"the method {method}", "losses", method
    for name in study.objectives:
        yield "objectives", f"the objective {name}", "objectives", head_and_objective(name)[1]
    for group, reference in named_in_teacher(study.teacher):
        yield "teachers", TEACHER, group, reference


def _written(reference: object) -> str | None:
    return reference if isinstance(reference, str) else registry.reference_of(reference)
