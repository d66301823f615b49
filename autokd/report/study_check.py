"""What `autokd check` finds out about the search space of a study file: on the study's data, and with its teacher."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial
from torch import nn

from autokd.driver.costs import draw_students
from autokd.driver.starts import beginning_from, origins_of_teacher, refuse_unusable_starts
from autokd.errors import FOREIGN, InputError, said
from autokd.first_weights import Taken
from autokd.report.spaces import Check
from autokd.study import MadeTaskSection, TaskSection, load_study, members_in, resolve_space
from autokd.tasks import open_task
from autokd.teachers.sources import load_teacher
from autokd.teachers.through import Through
from autokd.testing import check_space, describe_space
from autokd.trial import Context, begin, build_student
from autokd.types import FROM_TEACHER, Arch, Task, Teacher

_SAMPLES = 20


def check_study(file: str) -> Check:
    """Checks the search space of a study file on the study's data.

    If students may begin from the teacher, the teacher is made, too, and what students take over is tried. A teacher
    that the search would train is not trained for this; it has the weights with which its training begins.

    Raises:
        InputError: the study, its space, its data or its teacher cannot be used.
    """
    study = load_study(file)
    if study.table:
        raise InputError(
            f"{file} searches a table, which has no search space to check; `autokd search {file}` reads it"
        )
    if not isinstance(study.task, str | TaskSection | MadeTaskSection):
        raise InputError(f"{file}: its task is a Python object; name data, or a function that makes the task")
    space = resolve_space(study)
    refuse_unusable_starts(study, space)
    with tempfile.TemporaryDirectory(prefix="autokd-") as name:
        folder = Path(name)
        task = open_task(study.task, seed=study.seed, folder=folder / "task")
        findings = check_space(space, task)
        summary = None if findings else describe_space(space, task)
        words = ""
        if not findings and FROM_TEACHER in study.recipe.starts:
            context = Context(study, space, task, torch.empty(0), ())
            findings, words = _from_teacher(context, folder)
        return Check(file, task.name, findings, summary if not findings else None, not findings, words)


def _from_teacher(context: Context, folder: Path) -> tuple[list[str], str]:
    """What is wrong with what students take over of the teacher; and what they take, in words."""
    study, task = context.study, context.task
    teacher = load_teacher(study.teacher, task, folder=folder / "teacher", train=_not_now, seed=study.seed)
    origins = origins_of_teacher(study, teacher, task)
    context = beginning_from(context, origins, folder, kept={})
    origin = origins[FROM_TEACHER]
    taking, reason = 0, ""
    for seen, arch in draw_students(context, _SAMPLES):
        try:
            _begun(seen, arch)
        except FOREIGN as error:
            reason = f"{arch}: {said(error)}"
        else:
            taking += 1
    if not taking:
        return [f"none of {_SAMPLES} random students takes over anything of the teacher; the last one is {reason}."], ""
    words = f"{taking} of {_SAMPLES} random students take over layers of the teacher"
    if tuple(getattr(task, "pieces", ())) != origin.pieces:
        return (
            [],
            f"{words}; answers were not compared, because the teacher reads other pieces of text than students do",
        )
    for one, arch in _largest(context, dict(origin.arch)):
        try:
            student, taken = _begun(one, arch)
            alike = _answers_as(student, teacher, one.task)
        except FOREIGN:  # it is no architecture of this space, has nothing of the teacher's, or has other inputs
            continue
        if alike:  # though tensors may be cut, as positions of texts are that no student reads
            return [], f"{words}; one of the teacher's own architecture answers as the teacher does, bit for bit"
        if not (taken.cut or taken.new) and len(taken.whole) == len(origin.tensors):
            return [
                f"a student of the teacher's own architecture, {arch}, has all of its weights and does not answer as "
                "the teacher does: let inherit give each layer its own tensors, and let build make the same network."
            ], ""
    return [], f"{words}; no student has the teacher's own architecture"


def _begun(context: Context, arch: Arch) -> tuple[nn.Module, Taken]:
    student = build_student(context, arch, seed=context.study.seed)
    taken = begin(context, student, arch, FROM_TEACHER, seed=context.study.seed)
    assert taken is not None
    return student, taken


def _largest(context: Context, teacher_arch: Arch) -> Iterator[tuple[Context, Arch]]:
    """The teacher's architecture in the terms of its own space, if it is known, and the largest one of each space.

    Each comes with the context of this space.
    """
    for _, space in members_in(context.space):
        one = replace(context, space=space)
        if teacher_arch:
            yield one, teacher_arch
        yield one, one.suggest_student(cast(optuna.Trial, _Largest()))[1]


class _Largest(FixedTrial):
    """A trial that picks the largest number that may be suggested, and the last choice of others."""

    def __init__(self) -> None:
        super().__init__({})

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:  # every suggest_* of Optuna calls this
        if isinstance(distribution, CategoricalDistribution):
            numbers = [each for each in distribution.choices if isinstance(each, int | float)]
            picked = max(numbers) if len(numbers) == len(distribution.choices) else distribution.choices[-1]
        else:
            assert isinstance(distribution, IntDistribution | FloatDistribution)
            picked = distribution.high
        self._distributions[name] = distribution
        return self._suggested_params.setdefault(name, picked)


def _answers_as(student: nn.Module, teacher: Teacher, task: Task) -> bool:
    inputs = task.inputs(task.splits["validation"][:4])
    asked = teacher.teacher if isinstance(teacher, Through) else teacher
    with torch.no_grad():
        answers = student.eval()(inputs.clone())
    given = asked.outputs(inputs.clone())
    return isinstance(given, torch.Tensor) and isinstance(answers, torch.Tensor) and torch.equal(answers, given)


def _not_now(*_: Any, **__: Any) -> None:
    """In place of the training of a teacher."""
