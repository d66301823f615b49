"""Makes search spaces: with settings, from a class, from one function, or with an adapter from a foreign object."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from autokd.errors import FOREIGN, InputError, named, nearest
from autokd.registry.lookup import find, installed

_SETTINGS = re.compile(r"(?P<maker>.+?\.py(?::[^():]+)?|[^()]+)\((?P<settings>.*)\)", re.DOTALL)
SETTINGS = "Space"
"""The class in a space that is a module, which is called with the settings that are written after the module."""


@dataclass(frozen=True)
class MadeSpace:
    """A search space that was made from another object.

    Args:
        space: the object with `suggest` and `build`, and maybe with `pretrained` and `inherit`.
        source: the function, the class or the adapted object from which it was made.
        reference: the reference that names it, unless a reference to `source` does.
        settings: the settings with which it was made.
    """

    space: Any
    source: object
    reference: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def suggest(self) -> Any:
        """The space's own."""
        return self.space.suggest

    @property
    def build(self) -> Any:
        """The space's own."""
        return self.space.build

    @property
    def pretrained(self) -> Any:
        """The space's own; None if it has none."""
        return getattr(self.space, "pretrained", None)

    @property
    def inherit(self) -> Any:
        """The space's own; None if it has none."""
        return getattr(self.space, "inherit", None)


def find_space(reference: str) -> Any:
    """The search space that a reference names or says how to make; see `resolve`."""
    written = _SETTINGS.fullmatch(reference)
    maker: str = reference
    settings: dict[str, Any] = {}
    if written is not None:
        maker, settings = written["maker"], _read_settings(reference, written["settings"])
    adapter, colon, inner = maker.partition(":")
    shown = f"'{reference}'"
    if colon and adapter in installed("space_adapters"):
        adapt = find("space_adapters", adapter)
        source = find("search_spaces", inner)
        return MadeSpace(_made(shown, lambda: adapt(source, **settings)), source, reference, settings)
    found = find("search_spaces", maker)
    if written is None:
        return as_space(found, shown)
    make = getattr(found, SETTINGS, None) if isinstance(found, ModuleType) else found
    if not callable(make):
        lacks = f", because it has no class {SETTINGS}" if isinstance(found, ModuleType) else ""
        raise InputError(
            f"search space {shown}: '{maker}' is of type {type(found).__name__} and takes no settings{lacks}"
        )
    made = _made(shown, lambda: make(**_known_to(make, settings)))
    return MadeSpace(as_space(made, shown), found, reference, settings)


def as_space(found: Any, shown: str) -> Any:
    """The found object if it has `suggest` and `build`, or else the space that a class or a function stands for."""
    if isinstance(found, type):
        _refuse_other_spaces(found, shown)
        return MadeSpace(_made(shown, found), found)
    if callable(getattr(found, "suggest", None)) and callable(getattr(found, "build", None)):
        return found
    if not callable(found):
        _refuse_other_spaces(found, shown)
    try:
        inspect.signature(found).bind(None, None)
    except (TypeError, ValueError):
        raise InputError(
            f"search space {shown} is called with {_parameters(found)}; write a function student(trial, task), or, if "
            "it makes a space, its settings in parentheses"
        ) from None

    from autokd.one_function import FunctionSpace  # imports torch and optuna

    return MadeSpace(FunctionSpace(found), found)


def _refuse_other_spaces(found: Any, shown: str) -> None:
    missing = [name for name in ("suggest", "build") if not callable(getattr(found, name, None))]
    if not missing:
        return
    hint = "give it 'suggest' and 'build'"
    if isinstance(found, type) and any(each.__module__.startswith("nni.") for each in found.__mro__):
        hint = "a model space of NNI is written with 'nni:' before it"
    elif isinstance(found, ModuleType) and callable(getattr(found, "student", None)):
        hint = f"if it is the function, write {shown[:-1]}:student'" if shown.endswith("'") else "name the function"
    raise InputError(f"search space {shown} has no function '{missing[0]}'; {hint}")


def _known_to(make: Any, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings, if a class or a function takes each of them; else raises TypeError."""
    try:
        known = inspect.signature(make).parameters
    except (TypeError, ValueError):
        return settings
    strange = [name for name in settings if name not in known]
    if strange and all(each.kind is not each.VAR_KEYWORD for each in known.values()):
        raise TypeError(f"there is no setting '{strange[0]}'{nearest(strange[0], known)}")
    return settings


def _made(shown: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except FOREIGN as error:
        raise InputError(f"search space {shown} cannot be made: {named(error)}") from error


def _read_settings(reference: str, text: str) -> dict[str, Any]:
    try:
        call = ast.parse(f"make({text})", mode="eval").body
        assert isinstance(call, ast.Call)
        if not call.args and all(each.arg for each in call.keywords):
            return {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        pass
    raise InputError(
        f"search space '{reference}': ({text}) are not settings; write (key=value, ...) with numbers, quoted texts, "
        "True, False, None, lists or dicts"
    )


def _parameters(function: Any) -> str:
    try:
        return f"({', '.join(inspect.signature(function).parameters)})"
    except (TypeError, ValueError):
        return "arguments that are not known"
