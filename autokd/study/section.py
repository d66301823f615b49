"""The base of every part of a study file: a frozen model that accepts only its own keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from autokd.errors import InputError
from autokd.study.explanation import explain, shown

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # pydantic exports no name of it


class _InOneLine(ModelMetaclass):
    """Makes a section raise a refusal as one line, where pydantic would make a report of it."""

    def __call__(self, *args: Any, **keys: Any) -> Any:
        with _refusals(self, keys):
            return super().__call__(*args, **keys)


class Section(BaseModel, metaclass=_InOneLine):
    """A part of a study file. It is immutable and refuses unknown keys. Data that are not valid raise `InputError`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    keeps_defaults: ClassVar[bool] = True
    """Whether a dump also holds keys that were not given. If not, a key of a later version changes no dump."""

    later_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys that came with a later version. A dump leaves them out where they have their default."""

    @classmethod
    def model_validate(cls, obj: Any, **how: Any) -> Self:
        """A section from data, as with any model of pydantic, except that invalid data raise `InputError`."""
        with _refusals(cls, obj):
            return super().model_validate(obj, **how)

    @model_validator(mode="before")
    @classmethod
    def _of_plain_numbers(cls, data: Any) -> Any:
        return _plain_numbers(data)


def as_data(value: object) -> Any:
    """A section as a dict, and the sections in it, in tuples and in dicts likewise. Other values stay as they are."""
    if isinstance(value, Section):
        kept = type(value).model_fields if value.keeps_defaults else value.model_fields_set
        fields = type(value).model_fields
        later = {
            name
            for name in value.later_keys
            if getattr(value, name) == fields[name].get_default(call_default_factory=True)
        }
        return {name: as_data(getattr(value, name)) for name in fields if name in kept and name not in later}
    if type(value) is tuple:
        return tuple(as_data(each) for each in value)
    if type(value) is dict:
        return {key: as_data(each) for key, each in value.items()}
    return value


def as_tuple(value: Any) -> Any:
    """A list as a tuple, so that a frozen model holds nothing that can change. Any other value stays as it is."""
    return tuple(value) if isinstance(value, list) else value


def refuse_no_plain_data(args: Mapping[str, Any]) -> None:
    """Refuses keyword arguments that are not equal to their JSON round trip.

    Raises:
        ValueError: says what may be given.
    """
    try:
        plain = json.loads(json.dumps(args)) == args
    except (TypeError, ValueError):
        plain = False
    if not plain:
        raise ValueError(
            f"{shown(args)} given; write numbers, texts, true, false, null, lists and mappings, because each process "
            "uses them again"
        )


@contextmanager
def _refusals(kind: type, given: Any) -> Iterator[None]:
    """Raises one line: the refusal of a validator itself, or else the explanation of pydantic's report."""
    try:
        yield
    except ValidationError as report:
        said = report.errors()[0].get("ctx", {}).get("error")
        raise (said if isinstance(said, InputError) else explain(report, kind, given, {})) from None


def _plain_numbers(value: Any) -> Any:
    """The value with numbers of NumPy as Python's own, also in lists and mappings. Other values stay as they are."""
    if isinstance(value, Real) and not isinstance(value, int | float):
        return int(value) if isinstance(value, Integral) else float(value)
    if type(value) in (list, tuple):
        return type(value)(_plain_numbers(each) for each in value)
    return {key: _plain_numbers(each) for key, each in value.items()} if type(value) is dict else value
