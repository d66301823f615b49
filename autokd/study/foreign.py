"""Decides which code a run folder may have imported: installed plug-ins, and code that the caller names as well."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from autokd import registry
from autokd.errors import InputError
from autokd.study.model import Study
from autokd.study.parts import space_in
from autokd.study.run import SETUP_FILE, Setup
from autokd.study.sources import SPACE, TEACHER, named_in_teacher
from autokd.study.task import is_dumped_object

TO_BUILD = frozenset({"search_spaces"})
"""The kinds of parts, by entry-point group, that are needed to build a student."""
TO_TRAIN = TO_BUILD | {"losses", "objectives"}
"""The kinds of parts that are needed to train a student."""
TO_TEACH = frozenset({"teachers"})
"""The kinds of parts that are needed to ask the teacher: all that its section names."""


def as_let_in(
    run: Path, setup: Setup, parts: Collection[str], *, study: Study | None = None, space: object = None
) -> Setup:
    """The setup of a run, if all code that these parts name may be imported. Call this before resolving anything.

    Installed plug-ins may be imported, and objects need no import. Code that the caller names may be imported, too: in
    a study of the caller's own, or as the space. Worker processes need not check again, because they only train
    students that were checked here or that a search began.

    Args:
        run: the run folder.
        setup: the setup of the run.
        parts: `TO_BUILD`, `TO_TRAIN`, `TO_TEACH` or several of them.
        study: the caller's own study of this run.
        space: the search space: a file that holds it, another reference, or the space itself.

    Raises:
        InputError: the data of the run are elsewhere, only the run folder names a part, the file does not exist, or
            the space was an object and none is given.
    """
    refuse_elsewhere(run, setup)
    section = setup.study.get("space")
    held = section["space"] if isinstance(section, Mapping) and "archs" in section else section
    lost = is_dumped_object(held)
    if lost and space is None and "search_spaces" in parts:
        raise InputError(
            f"{run}: its space was a Python object that is in no file; pass the object from Python: space=..."
        )
    if isinstance(space, Path) or (isinstance(space, str) and Path(space).suffix == ".py"):
        section = space_in(space, "" if lost else section)
    elif space is not None:
        section = {**section, "space": space} if isinstance(section, Mapping) and "archs" in section else space
    told = Study.model_validate({**setup.study, "space": "lost" if lost and space is None else section})
    known = set() if study is None else {(part, _written(each)) for part, _, _, each in _named(study)}
    for part, words, group, reference in _named(told):
        given = space is not None and part == "search_spaces"
        if part not in parts or given or not isinstance(reference, str) or (part, reference) in known:
            continue
        if not registry.is_installed(group, reference):
            also = ", or the file alone: --space FILE (from Python: space='file.py')" if words == SPACE else ""
            raise InputError(
                f"{run}: {words} is '{reference}', which is not an installed plug-in, and AutoKD does not "
                "import code because a run folder names it; give the study file that names it: STUDY.yaml --run "
                "RUN (from Python: "
                f"study=load_study('study.yaml')){also}"
            )
    return setup if space is None else setup.model_copy(update={"study": {**setup.study, "space": section}})


def refuse_elsewhere(run: Path, setup: Setup) -> None:
    """Refuses a run whose `study.json` names data or answers outside the run folder, because no search writes that.

    Raises:
        InputError: names the path that is outside.
    """
    for key, path in (("task", setup.task), ("outputs", setup.outputs)):
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
    yield "search_spaces", SPACE, "search_spaces", space
    for method in study.recipe.methods:
        yield "losses", f"the method {method}", "losses", method
    for name in study.objectives:
        yield "objectives", f"the objective {name}", "objectives", name
    for group, reference in named_in_teacher(study.teacher):
        yield "teachers", TEACHER, group, reference


def _written(reference: object) -> str | None:
    return reference if isinstance(reference, str) else registry.reference_of(reference)
