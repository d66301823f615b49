"""Finds and checks the parts that a study names."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autokd import registry
from autokd.choices import take_any_choice
from autokd.errors import InputError, nearest
from autokd.study.model import Study
from autokd.types import Arch, Objective, SearchSpace, Task

if TYPE_CHECKING:
    import optuna
    from torch import nn


def resolve_space(study: Study) -> SearchSpace:
    """The search space that a study names.

    Raises:
        InputError: the space cannot be found or lacks `suggest` or `build`.
    """
    if isinstance(study.space, Mapping):
        inner = registry.resolve("search_spaces", study.space["space"])
        return _Shortlist(inner, tuple(json.dumps(arch, sort_keys=True) for arch in study.space["archs"]))
    space: SearchSpace = registry.resolve("search_spaces", study.space)
    return space


def space_in(file: str | Path, section: Any) -> Any:
    """The section `space` of a study with its code read from another file, such as one with an earlier version of it.

    Raises:
        InputError: the file is not a Python file.
    """
    if isinstance(section, Mapping):
        return {**section, "space": space_in(file, section["space"])}
    adapter, colon, inner = section.partition(":") if isinstance(section, str) else ("", "", "")
    before = f"{adapter}:" if colon and adapter in registry.installed("space_adapters") else ""
    return f"{before}{file_in(file, inner if before else section, what='space')}"


def file_in(file: str | Path, reference: object, *, what: str) -> str:
    """A reference with its code read from another file: the attribute and the settings after the file stay.

    Args:
        file: the other file.
        reference: the reference; the file alone is named if this is no text.
        what: what the reference names, for messages.

    Raises:
        InputError: the file is not a Python file.
    """
    path = Path(os.path.expanduser(file))
    if path.suffix != ".py" or not os.path.isfile(path):
        raise InputError(
            f"{what} {file}: there is no such file; give the .py file that holds the {what} as it was in the search"
        )
    named = reference if isinstance(reference, str) else ""
    was_file = re.match(r".+?\.py(?=[:(]|$)", named)  # names of folders may contain brackets
    after = re.search(r"[:(].*", named[was_file.end() :] if was_file else named, re.DOTALL)  # an attribute and settings
    return f"{os.path.abspath(path)}{after[0] if after else ''}"


def space_itself(space: SearchSpace) -> SearchSpace:
    """The space whose `build` makes the networks, even if only some of its architectures are searched."""
    return space.inner if isinstance(space, _Shortlist) else space


def suggest_arch(space: SearchSpace, trial: optuna.Trial, task: Task) -> Any:
    """The architecture that a space suggests. It gets the task if its `suggest` takes one; choices may be lists."""
    take_any_choice(trial)
    suggest: Callable[..., Any] = space.suggest
    return suggest(trial, task) if _takes_task(suggest) else suggest(trial)


@functools.cache
def _takes_task(suggest: Callable[..., Any]) -> bool:
    return "task" in inspect.signature(suggest).parameters


def resolve_objectives(study: Study) -> tuple[Objective, ...]:
    """The study's objectives in its order, with their bounds and settings.

    Raises:
        InputError: an objective cannot be found or lacks a setting, two have the same name, or none needs training.
    """
    objectives = tuple(_objective(name, given) for name, given in study.objectives.items())
    names = [objective.name for objective in objectives]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"objectives: two of them are called '{name}'; leave one out")
    if not any(objective.trained for objective in objectives):
        raise InputError(
            f"objectives: {', '.join(names)} are known without training, so nothing would be trained; add one "
            "that needs training, such as accuracy"
        )
    return objectives


@dataclass(frozen=True)
class _Shortlist:
    """A search space of some architectures of another space, given as JSON."""

    inner: SearchSpace
    archs: tuple[str, ...]

    def suggest(self, trial: optuna.Trial) -> Arch:
        arch: Arch = json.loads(trial.suggest_categorical("arch", self.archs))
        return arch

    def build(self, arch: Arch, task: Task) -> nn.Module:
        return self.inner.build(arch, task)


def _objective(name: str, given: Mapping[str, Any]) -> Objective:
    found = registry.resolve("objectives", name)
    if not isinstance(found, Objective):
        raise InputError(
            f"objectives.{name}: this is of type {type(found).__name__}; it should be an autokd.types.Objective"
        )
    _refuse_exchanged_ends(name, found)
    own = ["bound", "table"] if found.timed else ["bound"]
    known = [*own, *_settings(found.measure, skip=1 if found.trained else 2)]
    for key in given:
        if key not in known:
            hint = nearest(key, known) or f"; known: {', '.join(known)}"
            raise InputError(f"objectives.{name}.{key}: there is no such setting{hint}")
    settings = {key: value for key, value in given.items() if key not in own}
    read = {key: value for key, value in given.items() if key in own}
    return dataclasses.replace(found, settings={**found.settings, **settings}, **read)


def _refuse_exchanged_ends(name: str, objective: Objective) -> None:
    if objective.ideal is None or objective.worst is None:
        return
    better = objective.ideal < objective.worst
    if objective.ideal == objective.worst or better != (objective.direction == "minimize"):
        raise InputError(
            f"objectives.{name}: its ideal is {objective.ideal:g} and its worst value {objective.worst:g}, but "
            f"{'smaller' if objective.direction == 'minimize' else 'larger'} is better; exchange them in its Objective"
        )


def _settings(measure: Callable[..., float], *, skip: int) -> list[str]:
    parameters = list(inspect.signature(measure).parameters.values())[skip:]
    return [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
