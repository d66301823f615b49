"""What the parts of a study are made of, each with digests of its code, and what of it is not what it was."""

from __future__ import annotations

from collections.abc import Mapping

from autokd import registry
from autokd.errors import InputError
from autokd.study.model import Study
from autokd.study.parts import space_itself
from autokd.study.run import Setup
from autokd.study.task import TaskSection, is_dumped_object
from autokd.study.teacher import TeacherSection
from autokd.types import SearchSpace

Sources = dict[str, dict[str, str]]
"""By part of a study: digests of its files and code, by their names."""

SPACE, TEACHER = "the space", "the teacher"

_TEACHERS = {"network": "teachers", "sklearn": "teachers", "space": "search_spaces"}
"""Keys of a teacher's section that name code, with the group in which it is looked up."""


def training_sources(study: Study, space: SearchSpace) -> Sources:
    """What the space, the ways of distilling and the objectives are made of: all that a worker uses.

    Raises:
        InputError: a way of distilling or an objective cannot be found.
    """
    found = space_sources(space)
    for method in study.recipe.methods:
        found[f"the method {method}"] = _sources("losses", method)
    for name in study.objectives:
        found[f"the objective {name}"] = _sources("objectives", name)
    return {part: digests for part, digests in found.items() if digests}


def space_sources(space: SearchSpace) -> Sources:
    """What the space is made of: all that is used to build a student."""
    return {SPACE: registry.sources_of(space_itself(space))}


def study_sources(study: Study, space: SearchSpace) -> Sources:
    """What all parts of a study are made of that have code of their own.

    Raises:
        InputError: a way of distilling, an objective or the scheduler cannot be found.
    """
    found = training_sources(study, space) | {"the scheduler": _sources("schedulers", study.scheduler)}
    found[TEACHER] = teacher_sources(study)
    if not isinstance(study.task, str | TaskSection | Mapping):
        found["the task"] = registry.sources_of(study.task, code_only=True)
    return {part: digests for part, digests in found.items() if digests}


def teacher_sources(study: Study) -> dict[str, str]:
    """What the code of its teacher is made of."""
    found: dict[str, str] = {}
    for group, each in named_in_teacher(study.teacher):
        found |= _named(group, each) if isinstance(each, str) else registry.sources_of(each, code_only=True)
    return found


def named_in_teacher(teacher: object) -> list[tuple[str, object]]:
    """The code that a teacher's section names, or that a teacher given as an object is, each with its group."""
    if isinstance(teacher, list | tuple):
        return [named for member in teacher for named in named_in_teacher(member)]
    if isinstance(teacher, TeacherSection):
        named = [(group, getattr(teacher, key, None)) for key, group in _TEACHERS.items()]
        return [(group, each) for group, each in named if each]
    return [] if is_dumped_object(teacher) else [("teachers", teacher)]


def changed_sources(was: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The parts, of those known before and now, whose code is not what it was, in words that name what differs.

    A file may have got another name, as long as nothing in it has changed.
    """
    return {
        part: f"the source of {part} ({_differing(digests, now[part])})"
        for part, digests in was.items()
        if part in now and sorted(digests.values()) != sorted(now[part].values())
    }


def changed_since(setup: Setup, now: Mapping[str, Mapping[str, str]], space: SearchSpace) -> dict[str, str]:
    """As `changed_sources`, since a run was begun; one of before it kept sources has a digest of its space alone.

    Args:
        setup: what the run was begun with.
        now: what its parts are made of now, or some of them.
        space: the space of now.
    """
    if setup.sources:
        return changed_sources(setup.sources, now)
    shortlisted = isinstance(setup.study.get("space"), Mapping)  # its digest was of something else then
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
    except InputError:  # said where the teacher is loaded
        return {}
