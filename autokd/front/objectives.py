"""The objectives in a front's plain data: for comparing students, and for checking names that a caller gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from autokd.errors import InputError, nearest
from autokd.types import Objective


def as_objectives(plain: Sequence[Mapping[str, str]]) -> list[Objective]:
    """The objectives in a front's plain data. Students can be compared by them, but they cannot be measured."""
    return [
        Objective(o["name"], o["direction"], o.get("unit", ""), trained=False, measure=float)  # type: ignore[arg-type]
        for o in plain
    ]


def refuse_unknown(names: Iterable[str], plain: Sequence[Mapping[str, str]]) -> None:
    """Refuses names that are not among the study's objectives.

    Raises:
        InputError: names the first unknown objective.
    """
    known = [objective["name"] for objective in plain]
    for name in names:
        if name not in known:
            raise InputError(
                f"no objective '{name}' in this study (it has {', '.join(known)}){nearest(str(name), known)}"
            )
