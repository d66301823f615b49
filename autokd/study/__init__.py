"""What is searched, as a file or from Python: models, loading with overrides, and the parts they name."""

from autokd.study.baselines import BUILT_IN_BASELINES
from autokd.study.budget import Budget
from autokd.study.executor import RayExecutor
from autokd.study.load import load_study
from autokd.study.model import Study, baseline_study, override
from autokd.study.parts import resolve_objectives, resolve_space, space_in, space_itself, suggest_arch
from autokd.study.plain import MAY_CHANGE, changed_keys, dump, not_importable
from autokd.study.recipe import Range, RecipeSpace, WholeRange
from autokd.study.run import FORMAT, SETUP_FILE, STUDY, Digests, Setup, read_setup, write_setup
from autokd.study.sampler import OWN_SAMPLER, make_sampler
from autokd.study.sources import (
    SPACE,
    TEACHER,
    Sources,
    changed_since,
    changed_sources,
    study_sources,
    teacher_sources,
    training_sources,
)
from autokd.study.starter import write_starter
from autokd.study.task import TaskSection, read_task
from autokd.study.teacher import TeacherSection, read_teacher

__all__ = [
    "BUILT_IN_BASELINES",
    "FORMAT",
    "MAY_CHANGE",
    "OWN_SAMPLER",
    "SETUP_FILE",
    "SPACE",
    "STUDY",
    "TEACHER",
    "Budget",
    "Digests",
    "Range",
    "RayExecutor",
    "RecipeSpace",
    "Setup",
    "Sources",
    "Study",
    "TaskSection",
    "TeacherSection",
    "WholeRange",
    "baseline_study",
    "changed_keys",
    "changed_since",
    "changed_sources",
    "dump",
    "load_study",
    "make_sampler",
    "not_importable",
    "override",
    "read_setup",
    "read_task",
    "read_teacher",
    "resolve_objectives",
    "resolve_space",
    "space_in",
    "space_itself",
    "study_sources",
    "suggest_arch",
    "teacher_sources",
    "training_sources",
    "write_setup",
    "write_starter",
]
