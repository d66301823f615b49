"""Refuses a search space that builds no student for a task, and names the installed spaces that do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from autokd.driver.costs import MOST_LOST, draw_students
from autokd.errors import FOREIGN, InputError, LateError
from autokd.record import student_key
from autokd.registry import installed
from autokd.registry.lookup import find
from autokd.registry.several import Several
from autokd.study import members_in
from autokd.trial import Context, build_student, in_time, reason_of

_SAMPLES = 64
_SAMPLES_OF_OTHERS = 8


def refuse_unbuildable(context: Context, folder: Path) -> None:
    """Refuses a space of which no random architecture can be built for the task; one that can be built is enough.

    If a study has several spaces, there must be one in each.

    Each architecture is built and called on an example, and the shape of its answer is compared with what the task
    wants.

    Args:
        context: what the trials share; the teacher's answers are not looked at.
        folder: the run folder, in which is noted which architecture ended the process, see `draw_students`.

    Raises:
        InputError: there is no such architecture; the message names the installed spaces that have one.
    """
    if isinstance(context.space, Several):
        for named, member in members_in(context.space):
            one = context.study.model_copy(update={"space": named})
            refuse_unbuildable(replace(context, study=one, space=member), folder)
        return
    reason, late = "", set[str]()
    for seen, arch in draw_students(context, _SAMPLES, folder=folder):
        key = student_key(seen.reading, arch)
        if key in late:
            continue
        try:
            _build(seen, arch)
        except InputError:
            raise
        except FOREIGN as error:
            reason = f"{arch}: {reason_of(error)}"
            if isinstance(error, LateError):
                late.add(key)
                if len(late) == MOST_LOST:
                    break
        else:
            return
    able = ", ".join(able_spaces(context))
    raise InputError(
        f"space {context.study.space!r}: none of {_SAMPLES} random architectures can be built for this task; the last "
        f"one is {reason}; `autokd check` says more, and "
        + (f"these installed spaces can read the task: {able}" if able else "no installed space can read the task")
    )


def able_spaces(context: Context) -> Iterator[str]:
    """The names of the installed spaces that build students for the task; those that need settings are left out."""
    for name in installed("search_spaces"):
        try:
            space = find("search_spaces", name)
            if callable(space):  # it takes settings, and builds networks of another library, whose import takes seconds
                continue
            other = replace(context, study=context.study.model_copy(update={"space": name}), space=space)
            for seen, arch in islice(draw_students(other, _SAMPLES_OF_OTHERS), _SAMPLES_OF_OTHERS):
                try:
                    _build(seen, arch)
                except FOREIGN:
                    continue
                yield name
                break
        except FOREIGN:  # it cannot be imported, or it suggests nothing for this task
            continue


def _build(context: Context, arch: dict[str, object]) -> None:
    study = context.study
    in_time(study.budget.trial_minutes, partial(build_student, context, arch, seed=study.seed), what="build")
