"""Finds and checks the parts that a study names."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autokd import registry
from autokd.choices import take_any_choice
from autokd.errors import InputError, nearest
from autokd.registry.several import Several
from autokd.study.model import Study
from autokd.types import Arch, Objective, SearchSpace, Task, share_error

if TYPE_CHECKING:
    import optuna
    from torch import nn

    from autokd.heads import Heads

DEFAULTS: Mapping[str, str] = {
    "": "accuracy",
    "classes": "accuracy",
    "labels": "auc",
    "values": "rmse",
    "positions": "miou",
}
"""The objective of a head that stands for accuracy where a study names no objectives, by kind."""


def resolve_space(study: Study) -> SearchSpace:
    """The search space that a study names, or the one that joins several of them.

    Raises:
        InputError: a space cannot be found or lacks `suggest` or `build`.
    """
    if isinstance(study.space, Mapping):
        inner = registry.resolve("search_spaces", study.space["space"])
        archs, readings = ([_as_json(each) for each in study.space.get(key, ())] for key in ("archs", "readings"))
        return _Shortlist(inner, tuple(archs), tuple(readings))
    space: SearchSpace = registry.resolve("search_spaces", study.space)
    return space


def space_in(file: str | Path, section: Any) -> Any:
    """The section `space` of a study with its code read from another file, such as one with an earlier version of it.

    Raises:
        InputError: the file is not a Python file, or several spaces are named and it is not known which one it holds.
    """
    if isinstance(section, Mapping) and "space" in section:
        return {**section, "space": space_in(file, section["space"])}
    if isinstance(section, list):
        return in_place_of_own(section, lambda own: space_in(file, own))
    adapter, colon, inner = section.partition(":") if isinstance(section, str) else ("", "", "")
    before = f"{adapter}:" if colon and adapter in registry.installed("space_adapters") else ""
    return f"{before}{file_in(file, inner if before else section, what='space')}"


def in_place_of_own(spaces: Sequence[Any], change: Callable[[Any], object]) -> list[Any]:
    """Several spaces of a study, with another one in place of the only one that is no installed plug-in.

    Raises:
        InputError: not exactly one of them is the user's own.
    """
    is_own = [not (isinstance(each, str) and registry.is_installed("search_spaces", each)) for each in spaces]
    if sum(is_own) != 1:
        raise InputError(
            f"the run has several spaces, of which {sum(is_own) or 'none'} are no installed plug-ins, so that one file "
            "or object cannot stand for them; give the study file, or from Python all of them: space=[...]"
        )
    return [change(each) if own else each for each, own in zip(spaces, is_own, strict=True)]


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


def readings_of(task: Task) -> dict[str, tuple[Any, ...]]:
    """The choices of what is searched of the way in which a task reads its rows, by name; empty if nothing is."""
    choices: Mapping[str, Sequence[Any]] = getattr(task, "readings", {})
    return {name: tuple(offered) for name, offered in choices.items()}


def builder_of(space: SearchSpace, arch: Arch) -> tuple[SearchSpace, object, Arch]:
    """The space that makes the network of an architecture, what names it, and the architecture as it gave it.

    This is one of the spaces if a study has several, and else the space itself.
    """
    inner = space_itself(space)
    if not isinstance(inner, Several):
        return inner, inner, arch
    name, own = inner.told_apart(arch)
    return inner.members[name], inner.references[name], own


def members_in(space: SearchSpace) -> list[tuple[object, SearchSpace]]:
    """The spaces of whose students a search is, each after what names it; only one if a study does not have several."""
    inner = space_itself(space)
    if not isinstance(inner, Several):
        return [(inner, inner)]
    return [(inner.references[name], member) for name, member in inner.members.items()]


def suggest_reading(space: SearchSpace, trial: optuna.Trial, task: Task) -> dict[str, Any]:
    """What is searched of the way in which a task reads its rows, as plain data; empty if nothing is searched.

    If only some architectures of a space are searched, and each comes with its reading, the two are picked together.
    """
    take_any_choice(trial)
    if isinstance(space, _Shortlist) and space.readings:
        return space.picked(trial)[0]
    return {name: trial.suggest_categorical(f"reading.{name}", offered) for name, offered in readings_of(task).items()}


def resolve_objectives(study: Study, heads: Heads | None = None) -> tuple[Objective, ...]:
    """The study's objectives in its order, with their bounds and settings.

    Args:
        study: the study.
        heads: the heads of its task, for which the objectives must be; None if the task is not open yet. If the study
            names the default objectives and the task has other heads than one of classes, the defaults of these heads
            take the place of accuracy; see `named_objectives`.

    Raises:
        InputError: an objective cannot be found, lacks a setting or does not fit the head, two have the same name, or
            none needs training.
    """
    objectives = tuple(_objective(name, given, heads) for name, given in named_objectives(study, heads).items())
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


def named_objectives(study: Study, heads: Heads | None) -> Mapping[str, Mapping[str, Any]]:
    """The objectives that a study names, or the defaults of the heads where it names the default ones.

    The default of classes is accuracy, of labels auc, of values rmse, and of classes at positions miou.
    """
    default = Study.model_fields["objectives"].get_default(call_default_factory=True)
    if heads is None or study.objectives != default:
        return study.objectives
    quality: dict[str, Mapping[str, Any]] = {
        f"{name}.{DEFAULTS[head.kind]}" if name else DEFAULTS[head.kind]: {} for name, head in heads.items()
    }
    return {**quality, **{name: given for name, given in default.items() if name != DEFAULTS["classes"]}}


def head_and_objective(name: str) -> tuple[str, str]:
    """The head that an objective of a study names, or "", and the reference to the objective.

    A name such as `size.rmse` is split if the part after its first dot is a plug-in, or is `module:attr` and the part
    before the dot is no module.
    """
    head, dot, rest = name.partition(".")
    if not dot or not head.isidentifier() or rest.startswith("py:") or rest == "py":
        return "", name
    if rest in registry.installed("objectives"):
        return head, rest
    return (head, rest) if ":" in rest and find_spec(head) is None else ("", name)


@dataclass(frozen=True)
class _Shortlist:
    """A search space of some architectures of another space, given as JSON, maybe with the reading of each."""

    inner: SearchSpace
    archs: tuple[str, ...]
    readings: tuple[str, ...]

    def suggest(self, trial: optuna.Trial) -> Arch:
        return self.picked(trial)[1]

    def picked(self, trial: optuna.Trial) -> tuple[dict[str, Any], Arch]:
        if not self.readings:
            return {}, json.loads(trial.suggest_categorical("arch", self.archs))
        pairs = [f"[{reading}, {arch}]" for reading, arch in zip(self.readings, self.archs, strict=True)]
        reading, arch = json.loads(trial.suggest_categorical("arch", pairs))
        return reading, arch

    def build(self, arch: Arch, task: Task) -> nn.Module:
        return self.inner.build(arch, task)


def _as_json(arch: Mapping[str, Any]) -> str:
    return json.dumps(arch, sort_keys=True)


def _objective(name: str, given: Mapping[str, Any], heads: Heads | None) -> Objective:
    head, reference = head_and_objective(name)
    found = registry.resolve("objectives", reference)
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
    found = dataclasses.replace(found, settings={**found.settings, **settings}, **read)
    if head or (heads is not None and found.trained):
        return _of_head(name, found, head, heads)
    return found


def _of_head(name: str, objective: Objective, head: str, heads: Heads | None) -> Objective:
    """The objective of one head, under the head's name if there are several.

    Its standard error follows from the number of rows only where each row is one question that is answered.
    """
    if not objective.trained:
        raise InputError(f"objectives.{name}: {objective.name} is not measured on a head; write {objective.name}")
    named = dataclasses.replace(objective, name=f"{head}.{objective.name}" if head else objective.name, head=head)
    if heads is None:
        return named
    if head not in heads:
        several = [f"{each}.{objective.name}" for each in heads if each]
        would_do = f"the task has the heads {', '.join(heads)}; write {' or '.join(several)}"
        raise InputError(
            f"objectives.{name}: {would_do if several else f'the task has one head; write {objective.name}'}"
        )
    kind = heads[head].kind
    if kind and objective.heads and kind not in objective.heads:
        fitting = ", ".join(f"{head}.{each}" if head else each for each in _objectives_for(kind))
        what = f"head '{head}' answers with {kind}" if head else f"the task's answers are {kind}"
        raise InputError(
            f"objectives.{name}: {objective.name} is for {' and '.join(objective.heads)}, and {what}; write one of "
            f"{fitting}"
        )
    by_rows = len(heads) == 1 and kind in ("", "classes")
    return (
        named
        if by_rows or objective.standard_error is not share_error
        else dataclasses.replace(named, standard_error=None)
    )


def _objectives_for(kind: str) -> list[str]:
    """The names of the installed objectives that are for this kind of head."""
    found = {name: registry.resolve("objectives", name) for name in registry.installed("objectives")}
    return [name for name, each in found.items() if isinstance(each, Objective) and each.trained and kind in each.heads]


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
