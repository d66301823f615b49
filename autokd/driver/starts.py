"""The weights from which students begin: read, tried, and kept in the run folder, where all workers find them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from safetensors import SafetensorError

from autokd.driver.costs import draw_students
from autokd.errors import FOREIGN, InfeasibleError, InputError, said
from autokd.first_weights import Origin
from autokd.study import FileStart, Study, baseline_study, members_in
from autokd.study.recipe import start_name
from autokd.study.teacher import OutputsSection
from autokd.teachers.origins import origin_of, refuse_no_layers
from autokd.teachers.weights import read_weights
from autokd.trial import Context, begin, build_student, in_time, reason_of
from autokd.types import FROM_TEACHER, PRETRAINED, SearchSpace, Task, Teacher
from autokd.weights import is_complete

FOLDER = "starts"
"""The folder in a run folder that holds the weights from which students begin."""

_SAMPLES = 64


def refuse_unusable_starts(study: Study, space: SearchSpace) -> None:
    """Refuses starts of a study that are known to give no weights before data and teacher are opened.

    Raises:
        InputError: the space has no `pretrained`, the teacher has no layers, or a file cannot be read.
    """
    known = any(callable(getattr(member, "pretrained", None)) for _, member in members_in(space))
    if PRETRAINED in study.recipe.starts and not known:
        raise InputError(
            f"recipe.start: space {study.space!r} has no function `pretrained`, so that it knows no weights from "
            "elsewhere; leave out the start 'pretrained', or give the space this function"
        )
    if FROM_TEACHER in study.recipe.starts:
        refuse_no_layers(study.teacher)
    origins_of_files(study)


def origins_of_files(study: Study) -> dict[str, Origin]:
    """What is in the files from which students begin, by the name of the start.

    Raises:
        InputError: a file cannot be read.
    """
    files = [start for start in study.recipe.starts if isinstance(start, FileStart)]
    return {start.name: Origin(read_weights(Path(start.file))) for start in files}


def origins_of_teacher(study: Study, teacher: Teacher, task: Task) -> dict[str, Origin]:
    """The teacher as an origin, by the name of the start, if students of the search or of a baseline begin from it.

    Args:
        study: names the starts and the teacher.
        teacher: the study's teacher, loaded.
        task: the task of the students.

    Raises:
        InputError: the teacher has no layers that students could take over.
    """
    rivals = (
        baseline_study(study, name, stage=stage, epochs=0, archs=[{}])
        for name, stages in study.baselines.items()
        for stage in range(len(stages))
    )
    if not any(FROM_TEACHER in each.recipe.starts for each in (study, *rivals)):
        return {}
    given = study.teacher.origin if isinstance(study.teacher, OutputsSection) else None
    return {FROM_TEACHER: origin_of(study.teacher, teacher, task) if given is None else _read(Path(given))}


def beginning_from(
    context: Context, origins: Mapping[str, Origin], folder: Path, *, kept: Mapping[str, str]
) -> Context:
    """The context whose students can begin from these origins, too, which are written into the run folder.

    Args:
        context: what the trials share.
        origins: the origins by the name of the start.
        folder: the run folder.
        kept: the digests of those that an earlier search wrote; their files are left as they are.

    Raises:
        InputError: a file cannot be written.
    """
    files = {name: folder / FOLDER / f"{name}.safetensors" for name in origins if name not in context.origins}
    for name, path in files.items():
        if kept.get(name) == origins[name].digest and is_complete(path):
            continue
        part = path.with_name(f"{path.name}.part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            origins[name].write(part)
            os.replace(part, path)
        except OSError as error:
            raise InputError(
                f"first weights cannot be written to {path.parent} ({error.strerror or said(error)}); free some disk, "
                "or search in another folder"
            ) from error
    return replace(context, origins={**context.origins, **files})


def refuse_unfit_starts(context: Context, folder: Path, *, tried: Collection[str] = ()) -> None:
    """Refuses starts that give no random student any weights; one student is enough.

    Starts of which the context has no origin yet are left out.

    Args:
        context: what the trials share.
        folder: the run folder, in which is noted which student ended the process, see `draw_students`.
        tried: the starts that were tried before.

    Raises:
        InputError: there is such a start; the message says why the last student took over nothing.
    """
    for start in (start for start in (PRETRAINED, *context.origins) if start not in tried):
        if start not in map(start_name, context.study.recipe.starts):
            continue
        reason = ""
        for seen, arch in draw_students(context, _SAMPLES, folder=folder):
            try:
                in_time(context.study.budget.trial_minutes, partial(_try, seen, arch, start), what="build")
            except InputError:
                raise
            except FOREIGN as error:
                if isinstance(error, OSError) or isinstance(error.__cause__, OSError):  # the same for all students
                    raise InputError(f"recipe.start: '{start}' gives no weights: {said(error)}") from error
                reason = f"{arch}: {said(error) if isinstance(error, InfeasibleError) else reason_of(error)}"
            else:
                break
        else:
            raise InputError(
                f"recipe.start: none of {_SAMPLES} random students can begin with '{start}'; the last one is {reason}; "
                "leave this start out, or give weights of a network of this space"
            )


def _try(context: Context, arch: dict[str, object], start: str) -> None:
    seed = context.study.seed
    begin(context, build_student(context, arch, seed=seed), arch, start, seed=seed)


def _read(path: Path) -> Origin:
    """What a run has kept of its teacher.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return Origin.read(path)
    except (OSError, SafetensorError, ValueError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else said(error)
        raise InputError(
            f"teacher.origin: {path} cannot be read ({reason}); name starts/teacher.safetensors of a run folder"
        ) from error
