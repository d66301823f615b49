"""From pydantic's errors to one line that says where, what was given and what would do."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from autokd.errors import InputError, nearest

KeyPath = tuple[str | int, ...]
Places = Mapping[KeyPath, str]
"""Where each part of the data was written, by path: `study.yaml:7`, or the override that set it."""

OVERRIDE = "override "
"""How the place of what an override set begins."""

_SHOULD_BE = {
    "dict_type": "a mapping {key: value}",
    "model_type": "a mapping {key: value}",
    "tuple_type": "a list [a, b]",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "finite_number": "a finite number",
}


def explain(error: ValidationError, model: type[BaseModel], data: object, places: Places) -> InputError:
    """The error's first problem in one line; a misspelt key comes before the gap that it leaves."""
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    path = _path(first["loc"], data, missing=first["type"] == "missing")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return located(path, f"{_say(dict(first), path, model)}{more}", places)


def located(path: KeyPath, message: str, places: Places) -> InputError:
    """A message under its key path, with file and line where they are known."""
    parts = [place(path, places), ".".join(str(step) for step in path), message]
    return InputError(" ".join(": ".join(part for part in parts if part).split()))


def place(path: KeyPath, places: Places) -> str:
    """Where what a path leads to was written, or else what is around it; "" where nothing is known."""
    # What is wrong with a whole (low above high) is said of the override that touched a part of it.
    touched = [where for each, where in places.items() if each[: len(path)] == path and where.startswith(OVERRIDE)]
    around = [places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in places]
    return next(iter(touched + around), "")


def overridden(places: Places, path: KeyPath, label: str) -> Places:
    """The places once an override has replaced what was written at a path."""
    return {each: where for each, where in places.items() if each[: len(path)] != path} | {path: label}


def shown(value: object) -> str:
    """A short form of what was given."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str | int | float | Mapping | Sequence):
        return reprlib.repr(value)
    return f"an object of type {type(value).__name__}"


def wanted(field: FieldInfo) -> str:
    """A field's description as it continues "write ..."."""
    description = field.description or "it"
    return f"{description[0].lower()}{description[1:].rstrip('.')}"


def _say(problem: dict[str, Any], path: KeyPath, model: type[BaseModel]) -> str:
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = [name for each in _models_at(model, path[:-1]) for name in each.model_fields]
        hint = nearest(str(path[-1]), known) or f"; known: {', '.join(known)}"
        return f"no such key{hint}"
    if kind == "missing":
        fields = [each.model_fields.get(str(path[-1])) for each in _models_at(model, path[:-1])]
        return next((f"missing; write {wanted(field)}" for field in fields if field is not None), "missing")
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    should_be = _SHOULD_BE.get(kind) or problem["msg"].removeprefix("Input should be ")
    return f"{shown(problem['input'])} given; should be {should_be}"


def _path(loc: Sequence[str | int], data: Any, *, missing: bool) -> KeyPath:
    """The steps of pydantic's location that are the user's own keys; the others name branches of unions."""
    path: list[str | int] = []
    for number, step in enumerate(loc):
        in_mapping = isinstance(data, Mapping) and step in data
        in_list = isinstance(data, list | tuple) and isinstance(step, int) and step < len(data)
        if in_mapping or in_list:
            data = data[step]
            path.append(step)
        elif missing and number == len(loc) - 1:
            path.append(step)
    return tuple(path)


def _models_at(model: type[BaseModel], path: KeyPath) -> list[type[BaseModel]]:
    models = [model]
    for step in path:
        fields = [each.model_fields[str(step)] for each in models if str(step) in each.model_fields]
        models = [found for field in fields for found in _models_in(field.annotation)] or models
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
