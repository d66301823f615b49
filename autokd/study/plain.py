"""A study as plain data, for the run folder and for workers, and the keys that may change on resume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autokd.registry import reference_of
from autokd.study.model import Study
from autokd.study.section import as_data

MAY_CHANGE = frozenset(
    {
        "budget.trials",
        "budget.epochs",
        "budget.disk_gb",
        "budget.trial_minutes",
        "workers",
        "executor",
        "device",
        "baselines",
    }
)
"""Keys that may change without making the study another search."""


def dump(study: Study) -> dict[str, Any]:
    """The study as JSON would hold it, with every default.

    Objects become references by which they can be imported, or `{"object": type}` if there is no reference. Without
    such an entry, `Study.model_validate` makes an equal study from the data.
    """
    plain: dict[str, Any] = _plain(as_data(study))
    return plain


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The dotted keys in which two dumps differ, sorted, without those that may change on resume.

    An old dump may lack keys that came later. Its search ran with the defaults of these keys.
    """
    optional = {name: field for name, field in Study.model_fields.items() if not field.is_required()}
    defaults = {name: _plain(as_data(field.get_default(call_default_factory=True))) for name, field in optional.items()}
    changed = set(_differences({**defaults, **old}, new, ""))
    return sorted(key for key in changed if not {key, key.partition(".")[0]} & MAY_CHANGE)


def not_importable(study: Study) -> list[str]:
    """The names of the sections with an object that no other process can import; empty if there are none."""
    return [name for name, section in as_data(study).items() if _holds_object(_plain(section))]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return reference_of(value) or {"object": f"{type(value).__module__}.{type(value).__qualname__}"}


def _holds_object(plain: Any) -> bool:
    if isinstance(plain, dict):
        return set(plain) == {"object"} or any(_holds_object(each) for each in plain.values())
    return isinstance(plain, list) and any(_holds_object(each) for each in plain)


def _differences(old: Any, new: Any, key: str) -> list[str]:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return [] if old == new else [key]
    missing = object()
    return [
        found
        for name in {**old, **new}
        for found in _differences(old.get(name, missing), new.get(name, missing), f"{key}.{name}" if key else name)
    ]
