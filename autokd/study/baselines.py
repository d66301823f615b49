"""Rival searches, as overrides of a study, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autokd.errors import nearest
from autokd.study.explanation import shown
from autokd.types import Recipe

_DEFAULT = {f"recipe.{name}": getattr(Recipe, name) for name in ("alpha", "temperature", "method")}

BUILT_IN_BASELINES: Mapping[str, list[dict[str, Any]]] = {
    "hard": [{"recipe.alpha": 0}],
    "default": [_DEFAULT],
    "sequential": [_DEFAULT, {}],
}
"""Built-in baselines by name: their stages, each a mapping from dotted key to value; see `Study.baselines`."""

WITHOUT_TEACHER = frozenset({"hard"})
"""Built-in baselines whose students learn nothing of the teacher, so that they do not begin from its layers either."""


def in_stages(name: str, given: Any) -> Any:
    """The stages of a baseline, from its entry in a study: the keys to override, or a list of stages.

    Raises:
        ValueError: the study has no entry for a baseline that is not built in, or the entry is no mapping.
    """
    if "/" in name:
        raise ValueError(f"'{name}' given as a name; write a name without '/', as a folder gets it")
    if isinstance(given, list | tuple):
        return list(given)
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"{name}: {shown(given)} given; write keys to override, such as {{budget.trials: 20}}")
    if name not in BUILT_IN_BASELINES and not given:
        known = ", ".join(BUILT_IN_BASELINES)
        hint = nearest(str(name), BUILT_IN_BASELINES)
        raise ValueError(f"no baseline is named '{name}' (known: {known}); write the keys that yours overrides{hint}")
    return [{**stage, **(given or {})} for stage in BUILT_IN_BASELINES.get(name, [{}])]
