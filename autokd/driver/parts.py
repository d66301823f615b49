"""Finds the parts that a study and its baselines name before anything is trained, or refuses the study."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from autokd.devices import pick_device
from autokd.driver.costs import draw_students, refuse_hopeless_bounds
from autokd.driver.run import refuse_unimportable
from autokd.driver.spaces import refuse_unbuildable
from autokd.driver.starts import refuse_unusable_starts
from autokd.errors import InputError
from autokd.heads import heads_of
from autokd.record import refuse_record
from autokd.registry import resolve
from autokd.study import (
    OWN_SAMPLER,
    Study,
    baseline_study,
    make_sampler,
    named_objectives,
    resolve_objectives,
    resolve_space,
)
from autokd.trial import Context, resolve_loss
from autokd.types import Objective, SearchSpace, Task

_LOG = logging.getLogger("autokd")

_SAMPLES = 64
_LONGEST_NAME = 200


def refuse_unusable(study: Study, folder: Path) -> None:
    """Refuses a study whose record, device or sampler cannot be used, or a part of which workers cannot import."""
    refuse_unimportable(study)
    refuse_record(study.record, folder)
    pick_device(study.device)
    if study.sampler != OWN_SAMPLER:
        make_sampler(study.sampler, study.seed)


def usable_parts(study: Study) -> tuple[SearchSpace, tuple[Objective, ...]]:
    """The space and the objectives of a study that trains students.

    Raises:
        InputError: the space, an objective, a loss, the scheduler or a start cannot be used.
    """
    for method in study.recipe.methods:
        resolve_loss(method)
    space, objectives = resolve_space(study), resolve_objectives(study)
    resolve("schedulers", study.scheduler)(objectives, study.budget.rungs)
    refuse_unusable_starts(study, space)
    return space, objectives


def fitting_objectives(study: Study, task: Task) -> tuple[Objective, ...]:
    """The objectives of a study, for the heads of its task.

    Raises:
        InputError: an objective or a weight of the recipe does not fit the heads.
    """
    heads = heads_of(task)
    study.recipe.refuse_heads(heads)
    objectives = resolve_objectives(study, heads)
    names = [objective.name for objective in objectives]
    if list(study.objectives) != list(named_objectives(study, heads)):
        _LOG.info("The objectives are %s, because the task has other answers than one class a row.", ", ".join(names))
    return objectives


def refuse_unusable_baselines(study: Study, folder: Path, objectives: tuple[Objective, ...]) -> None:
    """Refuses now what the search of a baseline would refuse after the study's own search has ended.

    Raises:
        InputError: a part of a baseline cannot be used, its name is too long for a folder, or it lacks an objective.
    """
    for name, stages in study.baselines.items():
        if len(os.fsencode(name)) > _LONGEST_NAME:
            raise InputError(f"baselines: a name of {len(name)} characters given; write a shorter name, for a folder")
        for stage in range(len(stages)):
            try:
                part = baseline_study(study, name, stage=stage, epochs=0, archs=[{}])
                refuse_unusable(part, folder)
                own = {objective.name for objective in usable_parts(part)[1]}
            except InputError as error:
                raise InputError(f"baselines.{name}: {error}") from error
            lacking = [objective.name for objective in objectives if objective.name not in own]
            if lacking:
                raise InputError(
                    f"baselines.{name} leaves out {', '.join(lacking)}; a baseline is compared in all objectives of "
                    "the search, so keep all of them"
                )


def refuse_hopeless_baselines(context: Context, folder: Path) -> None:
    """Refuses baselines whose own space or bounds leave no sampled architecture.

    Raises:
        InputError: there is such a baseline.
    """
    study = context.study
    for name, stages in study.baselines.items():
        for stage, overrides in enumerate(stages):
            kinds = {key.partition(".")[0] for key in overrides}
            if "space" not in kinds and not ("objectives" in kinds and stage == 0):
                continue
            part = baseline_study(study, name, stage=stage, epochs=0, archs=[{}])
            own = replace(
                context, study=part, space=resolve_space(part), objectives=fitting_objectives(part, context.task)
            )
            try:
                own_folder = folder / "baselines" / f"{name}-{stage}"
                refuse_unbuildable(own, own_folder)
                refuse_hopeless_bounds(own, draw_students(own, _SAMPLES, folder=own_folder))
            except InputError as error:
                raise InputError(f"baselines.{name}: {error}") from error
