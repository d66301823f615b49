"""Choices of any plain data. Optuna stores only numbers and texts, so lists and dicts are offered as JSON."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from autokd.errors import InputError

if TYPE_CHECKING:
    import optuna

    from autokd.types import SearchSpace, Task

_STORED = (bool, int, float, str)


def suggest_arch(space: SearchSpace, trial: optuna.Trial, task: Task) -> Any:
    """The architecture that a space suggests. It gets the task if its `suggest` takes one; choices may be lists."""
    take_any_choice(trial)
    suggest: Callable[..., Any] = space.suggest
    return suggest(trial, task) if _takes_task(suggest) else suggest(trial)


@functools.cache
def _takes_task(suggest: Callable[..., Any]) -> bool:
    return "task" in inspect.signature(suggest).parameters


def take_any_choice(trial: optuna.trial.BaseTrial) -> None:
    """Makes `trial.suggest_categorical` accept lists, tuples and dicts of plain data among its choices.

    Optuna and the record store such a choice as JSON. `suggest_categorical` returns what that JSON says, with lists in
    place of tuples, so that the choice may be part of an architecture.
    """
    if "suggest_categorical" not in vars(trial):
        vars(trial)["suggest_categorical"] = functools.partial(pick, trial.suggest_categorical)


def pick(suggest: Callable[[str, Sequence[Any]], Any], name: str, choices: Sequence[Any]) -> Any:
    """The choice that `suggest`, a trial's own `suggest_categorical`, picks from choices that may be lists or dicts.

    Raises:
        InputError: a choice is not plain data, or is offered twice.
    """
    stored = [choice if choice is None or isinstance(choice, _STORED) else _text(name, choice) for choice in choices]
    texts = {str(text) for text, choice in zip(stored, choices, strict=True) if text is not choice}
    if not texts:
        return suggest(name, choices)
    if len({repr(each) for each in stored}) < len(stored):
        raise InputError(
            f"suggest_categorical('{name}', ...) offers the same choice twice, {sorted(texts)[0]}; leave one out"
        )
    picked = suggest(name, stored)
    return json.loads(picked) if picked in texts else picked


def _text(name: str, choice: object) -> str:
    """The JSON of a choice."""
    if isinstance(choice, list | tuple | dict):
        try:
            text = json.dumps(choice, sort_keys=True, allow_nan=False)
            if json.loads(text) == _with_lists(choice):
                return text
        except (TypeError, ValueError):
            pass
    label = " ".join(str(getattr(choice, "__name__", choice)).split())
    raise InputError(
        f"suggest_categorical('{name}', ...) offers {label}, a {type(choice).__name__}, which cannot be stored; offer "
        f"texts, numbers, or lists and dicts of these, and look up what they stand for, as {{{label!r}: {label}}}"
        f"[trial.suggest_categorical('{name}', [{label!r}])]"
    )


def _with_lists(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_lists(each) for each in value]
    return {key: _with_lists(each) for key, each in value.items()} if isinstance(value, dict) else value
