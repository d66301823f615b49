"""Digests of the code of a study's parts, and the parts whose code has changed."""

from __future__ import annotations

from collections.abc import Mapping

from autokd import registry
from autokd.errors import InputError
from autokd.study.model import Study
from autokd.study.parts import head_and_objective, space_itself
from autokd.study.run import Setup
from autokd.study.task import is_dumped_object, named_in_task
from autokd.study.teacher import TeacherSection, members_of
from autokd.types import SearchSpace

Sources = dict[str, dict[str, str]]
"""For each part of a study, the digests of its files and code by name."""

SPACE, TASK, TEACHER = "the space", "the task", "the teacher"

_TEACHERS = {"network": "teachers", "sklearn": "teachers", "space": "search_spaces"}
"""The keys of a teacher's section that name code, with the group in which the code is looked up."""


def training_sources(study: Study, space: SearchSpace) -> Sources:
    """Digests of the space, the distillation losses and the objectives, which is all code that a worker uses.

    Raises:
        InputError: a distillation loss or an objective cannot be found.
    """
    found = space_sources(space)
    for method in study.recipe.methods:
        found[f"the method {method}"] = _sources("losses", method)
    for name in study.objectives:
        found[f"the objective {name}"] = _sources("objectives", head_and_objective(name)[1])
    return {part: digests for part, digests in found.items() if digests}


def space_sources(space: SearchSpace) -> Sources:
    """Digests of the space, which is all code that is needed to build a student."""
    return {SPACE: registry.sources_of(space_itself(space))}


def study_sources(study: Study, space: SearchSpace) -> Sources:
    """Digests of all parts of a study that have code of their own.

    Raises:
        InputError: a distillation loss, an objective or the scheduler cannot be found.
    """
    found = training_sources(study, space) | {"the scheduler": _sources("schedulers", study.scheduler)}
    found[TEACHER] = teacher_sources(study)
    if named_in_task(study.task) is None:
        found |= task_sources(study)
    return {part: digests for part, digests in found.items() if digests}


def task_sources(study: Study) -> Sources:
    """Digests of the code of a task that each process makes again, because no file in the run folder holds the task.

    Raises:
        InputError: the task cannot be found.
    """
    named = named_in_task(study.task)
    found = study.task if named is None else registry.resolve("tasks", named[0])
    return {} if is_dumped_object(found) else {TASK: registry.sources_of(found, code_only=True)}


def teacher_sources(study: Study) -> dict[str, str]:
    """Digests of the code of a study's teacher."""
    found: dict[str, str] = {}
    for group, each in named_in_teacher(study.teacher):
        found |= _named(group, each) if isinstance(each, str) else registry.sources_of(each, code_only=True)
    return found


def named_in_teacher(teacher: object) -> list[tuple[str, object]]:
    """The code that a teacher's section names, with its group, or the teacher itself if it is an object."""
    found: list[tuple[str, object]] = []
    for member in members_of(teacher):
        if isinstance(member, TeacherSection):
            named = [(group, getattr(member, key, None)) for key, group in _TEACHERS.items()]
            named += [("readings", getattr(member.reading, "reading", None))]
            found += [(group, each) for group, each in named if each]
        elif not is_dumped_object(member):
            found.append(("teachers", member))
    return found


def changed_sources(was: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The parts, among those known both before and now, whose code has changed, in words that name what differs.

    Renaming a file does not count as a change as long as its content stays.
    """
    return {
        part: f"the source of {part} ({_differing(digests, now[part])})"
        for part, digests in was.items()
        if part in now and sorted(digests.values()) != sorted(now[part].values())
    }


def changed_since(setup: Setup, now: Mapping[str, Mapping[str, str]], space: SearchSpace) -> dict[str, str]:
    """The same as `changed_sources`, since a run began. A run of an earlier version has a digest of its space only.

    Args:
        setup: the setup of the run.
        now: the digests of all or some of its parts now.
        space: the search space as it is now.
    """
    if setup.sources:
        return changed_sources(setup.sources, now)
    shortlisted = isinstance(setup.study.get("space"), Mapping)  # its digest covered something else then
    if shortlisted or setup.digests.space == registry.source_digest(space):
        return {}
    return {SPACE: f"the source of {SPACE}"}


def _differing(was: Mapping[str, str], now: Mapping[str, str]) -> str:
    return ", ".join(name for name in {**was, **now} if was.get(name) != now.get(name))


def _sources(group: str, reference: object) -> dict[str, str]:
    if isinstance(reference, str) and registry.installed(group).get(reference, "").startswith("autokd."):
        return {}
    return registry.sources_of(registry.resolve(group, reference))


def _named(group: str, reference: str) -> dict[str, str]:
    try:
        return registry.sources_of(registry.resolve(group, reference), code_only=True)
    except InputError:  # reported when the teacher is loaded
        return {}
