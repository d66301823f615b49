"""Turns pydantic's errors into one line that says where the problem is, what was given, and what to write."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from autokd.errors import InputError, nearest, without_secrets

KeyPath = tuple[str | int, ...]
Places = Mapping[KeyPath, str]
"""The place where each part of the data was written, by path: `study.yaml:7`, or the override that set it."""

OVERRIDE = "override "
"""The beginning of a place that is an override."""

_SHOULD_BE = {
    "dict_type": "a mapping {key: value}",
    "model_type": "a mapping {key: value}",
    "tuple_type": "a list [a, b]",
    "too_short": "a list of one or more",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "finite_number": "a finite number",
}
_TOLD = re.compile(r"\bWrite (.+?)\.(?= [A-Z]|$)")
"""The advice in a description: the rest of the sentence that begins with this word."""
_SAID_BY_THE_FIELD = ("union", "string_too_short", "string_pattern_mismatch")
"""Types of errors for which the description of the field says more than pydantic's message."""


def read(kind: Any, given: object, *, key: str) -> Any:
    """The value under a key of a study, read as the given type.

    Raises:
        InputError: the value is not valid; names the key.
    """
    try:
        return TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        raise explain(error, kind, given, {}, under=(key,)) from None


def explain(error: ValidationError, kind: Any, data: object, places: Places, *, under: KeyPath = ()) -> InputError:
    """The first problem of an error in one line. A misspelt key comes before the missing key that it causes.

    Args:
        error: the error that pydantic raised.
        kind: the model, or the union of models, that rejected the data.
        data: the data.
        places: the place where each part of the data was written.
        under: the key of the study that holds the data.
    """
    problems: dict[KeyPath, list[dict[str, Any]]] = {}
    for problem in sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden"):
        path = _path(problem["loc"], data, missing=problem["type"] == "missing")
        problems.setdefault(path, []).append(dict(problem))
    # If a part is wrong, the whole is not reported as well: a list with one bad item is not an empty list.
    wholes = {path[:n] for path in problems for n in range(len(path))}
    problems = {path: found for path, found in problems.items() if path not in wholes}
    path, (first, *others) = next(iter(problems.items()))
    if others:  # pydantic reports one error for each member of a union
        first["type"] = "union"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return located((*under, *path), f"{_say(first, path, kind)}{more}", places)


def first_problem(error: ValidationError) -> str:
    """The problem of a file that AutoKD wrote itself: `no study`, or a key and why its value is not valid."""
    first = error.errors()[0]
    key, message = ".".join(str(step) for step in first["loc"]), first["msg"].removeprefix("Value error, ")
    return f"no {key}" if first["type"] == "missing" else f"{key}: {message}" if key else message


def located(path: KeyPath, message: str, places: Places) -> InputError:
    """A message after its key path, with file and line if they are known."""
    parts = [place(path, places), ".".join(str(step) for step in path), message]
    return InputError(" ".join(": ".join(part for part in parts if part).split()))


def place(path: KeyPath, places: Places) -> str:
    """The place where the value at a path, or else the part around it, was written; "" if none is known."""
    # A problem of a whole (low above high) is reported at the override that changed a part of it.
    touched = [where for each, where in places.items() if each[: len(path)] == path and where.startswith(OVERRIDE)]
    around = [places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in places]
    return next(iter(touched + around), "")


def overridden(places: Places, path: KeyPath, label: str) -> Places:
    """The places after an override has replaced the value at a path."""
    return {each: where for each, where in places.items() if each[: len(path)] != path} | {path: label}


def shown(value: object) -> str:
    """A short form of a value without secrets. Secrets are removed first, because a cut one is not recognised."""
    value = hide_secrets(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str | int | float | Mapping | Sequence):
        return reprlib.repr(list(value) if isinstance(value, tuple) else value)
    return f"an object of type {type(value).__name__}"


def hide_secrets(value: Any) -> Any:
    """Plain data without the secrets in their texts, so that they may be printed and kept."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {hide_secrets(key): hide_secrets(each) for key, each in value.items()}
    return [hide_secrets(each) for each in value] if isinstance(value, list | tuple) else value


def wanted(field: FieldInfo) -> str:
    """The advice in a field's description, or else the whole description, as it continues "write ..."."""
    description = " ".join((field.description or "it").split())
    told = _TOLD.search(description)
    return told[1] if told else f"{description[0].lower()}{description[1:].rstrip('.')}"


def _say(problem: dict[str, Any], path: KeyPath, kind: Any) -> str:
    trouble = problem["type"]
    branches = [step for step in problem["loc"] if isinstance(step, str)]
    if trouble == "extra_forbidden":
        known = [name for each in _models_at(kind, path[:-1], branches) for name in each.model_fields]
        hint = nearest(str(path[-1]), known) or f"; known: {', '.join(known)}"
        return f"there is no such key{hint}"
    write = _what_to_write(kind, path, branches)
    if trouble == "missing":
        return f"this key is missing; write {write}" if write else "this key is missing"
    if trouble == "value_error":
        return str(problem["ctx"]["error"])
    if trouble in _SHOULD_BE:
        return f"{shown(problem['input'])} given; it should be {_SHOULD_BE[trouble]}"
    if trouble in _SAID_BY_THE_FIELD and write:
        return f"{shown(problem['input'])} given; write {write}"
    return f"{shown(problem['input'])} given; it should be {problem['msg'].removeprefix('Input should be ')}"


def _path(loc: Sequence[str | int], data: Any, *, missing: bool) -> KeyPath:
    """The steps of pydantic's location that are keys of the user. The others name branches of unions."""
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


def _what_to_write(kind: Any, path: KeyPath, branches: Sequence[str]) -> str:
    """The description of the innermost key of a path; "" if it has none."""
    names = [number for number, step in enumerate(path) if isinstance(step, str)]
    models = _models_at(kind, path[: names[-1]], branches) if names else []
    fields = [each.model_fields.get(str(path[names[-1]])) for each in models]
    return next((wanted(field) for field in fields if field is not None), "")


def _models_at(kind: Any, path: KeyPath, branches: Sequence[str]) -> list[type[BaseModel]]:
    """The models that may stand at a path. For a union it is the one that pydantic's location names, or else all."""
    models = _named(_models_in(kind), branches)
    for step in path:
        fields = [each.model_fields[str(step)] for each in models if str(step) in each.model_fields]
        models = _named([found for field in fields for found in _models_in(field.annotation)], branches) or models
    return models


def _named(models: list[type[BaseModel]], branches: Sequence[str]) -> list[type[BaseModel]]:
    return [each for each in models if each.__name__ in branches] or models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
