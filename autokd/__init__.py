"""AutoKD: from a large teacher to a Pareto front of small students.

`autokd.search(...)` searches; `autokd.Study` with `autokd.search_study` says all that a study file can. Names are
imported when first used, so that `import autokd` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autokd.driver import load_front, retrain
    from autokd.errors import (
        AutoKDError,
        InfeasibleError,
        InputError,
        LateError,
        NoFrontError,
        ObjectiveError,
        UnlistedError,
        UnmeasuredError,
    )
    from autokd.export import load_predictor, load_student
    from autokd.front import Front, Student
    from autokd.record import trials_dataframe
    from autokd.searching import search, search_study
    from autokd.study import Budget, RecipeSpace, Study, load_study
    from autokd.types import Evaluation, Objective, Recipe

__all__ = [
    "AutoKDError",
    "Budget",
    "Evaluation",
    "Front",
    "InfeasibleError",
    "InputError",
    "LateError",
    "NoFrontError",
    "Objective",
    "ObjectiveError",
    "Recipe",
    "RecipeSpace",
    "Student",
    "Study",
    "UnlistedError",
    "UnmeasuredError",
    "load_front",
    "load_predictor",
    "load_student",
    "load_study",
    "retrain",
    "search",
    "search_study",
    "trials_dataframe",
]

_HOMES = {
    "driver": ("load_front", "retrain"),
    "errors": (
        "AutoKDError",
        "InfeasibleError",
        "InputError",
        "LateError",
        "NoFrontError",
        "ObjectiveError",
        "UnlistedError",
        "UnmeasuredError",
    ),
    "export": ("load_predictor", "load_student"),
    "front": ("Front", "Student"),
    "record": ("trials_dataframe",),
    "searching": ("search", "search_study"),
    "study": ("Budget", "RecipeSpace", "Study", "load_study"),
    "types": ("Evaluation", "Objective", "Recipe"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("autokd")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"autokd.{home}"), name)
    raise AttributeError(f"module 'autokd' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names and those already imported, so that a shell completes them."""
    return sorted({*globals(), *__all__, "__version__"})
