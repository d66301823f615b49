"""Studies: the content of a study file, how it is loaded and overridden, and the parts that it names.

Names are imported when they are first used, because reading a run needs neither the models of a study nor Optuna.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autokd.study.baselines import BUILT_IN_BASELINES
    from autokd.study.budget import Budget
    from autokd.study.executor import RayExecutor
    from autokd.study.foreign import TO_BUILD, TO_TEACH, TO_TRAIN, as_let_in, refuse_elsewhere
    from autokd.study.load import load_study
    from autokd.study.model import Study, baseline_study, override
    from autokd.study.parts import (
        builder_of,
        members_in,
        named_objectives,
        readings_of,
        resolve_objectives,
        resolve_space,
        space_in,
        space_itself,
        suggest_reading,
    )
    from autokd.study.plain import MAY_CHANGE, changed_keys, dump, not_importable
    from autokd.study.recipe import FileStart, Range, RecipeSpace, WholeRange
    from autokd.study.run import (
        FORMAT,
        SETUP_FILE,
        STUDY,
        Digests,
        Setup,
        measures,
        objectives_of,
        read_setup,
        write_setup,
    )
    from autokd.study.sampler import OWN_SAMPLER, make_sampler
    from autokd.study.sources import (
        SPACE,
        TASK,
        TEACHER,
        Sources,
        changed_since,
        changed_sources,
        space_sources,
        study_sources,
        task_sources,
        teacher_sources,
        training_sources,
    )
    from autokd.study.starter import write_starter
    from autokd.study.task import MadeTaskSection, TaskSection, is_tabulated, named_in_task, read_task
    from autokd.study.teacher import TeacherSection, read_teacher

__all__ = [
    "BUILT_IN_BASELINES",
    "FORMAT",
    "MAY_CHANGE",
    "OWN_SAMPLER",
    "SETUP_FILE",
    "SPACE",
    "STUDY",
    "TASK",
    "TEACHER",
    "TO_BUILD",
    "TO_TEACH",
    "TO_TRAIN",
    "Budget",
    "Digests",
    "FileStart",
    "MadeTaskSection",
    "Range",
    "RayExecutor",
    "RecipeSpace",
    "Setup",
    "Sources",
    "Study",
    "TaskSection",
    "TeacherSection",
    "WholeRange",
    "as_let_in",
    "baseline_study",
    "builder_of",
    "changed_keys",
    "changed_since",
    "changed_sources",
    "dump",
    "is_tabulated",
    "load_study",
    "make_sampler",
    "measures",
    "members_in",
    "named_in_task",
    "named_objectives",
    "not_importable",
    "objectives_of",
    "override",
    "read_setup",
    "read_task",
    "read_teacher",
    "readings_of",
    "refuse_elsewhere",
    "resolve_objectives",
    "resolve_space",
    "space_in",
    "space_itself",
    "space_sources",
    "study_sources",
    "suggest_reading",
    "task_sources",
    "teacher_sources",
    "training_sources",
    "write_setup",
    "write_starter",
]

_HOMES = {
    "baselines": ("BUILT_IN_BASELINES",),
    "budget": ("Budget",),
    "executor": ("RayExecutor",),
    "foreign": ("TO_BUILD", "TO_TEACH", "TO_TRAIN", "as_let_in", "refuse_elsewhere"),
    "load": ("load_study",),
    "model": (
        "Study",
        "baseline_study",
        "override",
    ),
    "parts": (
        "builder_of",
        "members_in",
        "named_objectives",
        "readings_of",
        "resolve_objectives",
        "resolve_space",
        "space_in",
        "space_itself",
        "suggest_reading",
    ),
    "plain": (
        "MAY_CHANGE",
        "changed_keys",
        "dump",
        "not_importable",
    ),
    "recipe": (
        "FileStart",
        "Range",
        "RecipeSpace",
        "WholeRange",
    ),
    "run": (
        "FORMAT",
        "SETUP_FILE",
        "STUDY",
        "Digests",
        "Setup",
        "measures",
        "objectives_of",
        "read_setup",
        "write_setup",
    ),
    "sampler": (
        "OWN_SAMPLER",
        "make_sampler",
    ),
    "sources": (
        "SPACE",
        "TASK",
        "TEACHER",
        "Sources",
        "changed_since",
        "changed_sources",
        "space_sources",
        "study_sources",
        "task_sources",
        "teacher_sources",
        "training_sources",
    ),
    "starter": ("write_starter",),
    "task": (
        "MadeTaskSection",
        "TaskSection",
        "is_tabulated",
        "named_in_task",
        "read_task",
    ),
    "teacher": (
        "TeacherSection",
        "read_teacher",
    ),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"autokd.study.{home}"), name)
    raise AttributeError(f"module 'autokd.study' has no attribute '{name}'")
