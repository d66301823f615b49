"""The base of every part of a study file: a frozen model that accepts only its own keys."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a study file. It is immutable and refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    keeps_defaults: ClassVar[bool] = True
    """Whether a dump also holds keys that were not given. If not, a key of a later version changes no dump."""


def as_data(value: object) -> Any:
    """A section as a dict, and the sections in it likewise. Other values stay as they are."""
    if isinstance(value, Section):
        kept = type(value).model_fields if value.keeps_defaults else value.model_fields_set
        return {name: as_data(getattr(value, name)) for name in type(value).model_fields if name in kept}
    if type(value) is tuple:
        return tuple(as_data(each) for each in value)
    return value


def as_tuple(value: Any) -> Any:
    """A list as a tuple, so that a frozen model holds nothing that can change. Any other value stays as it is."""
    return tuple(value) if isinstance(value, list) else value
