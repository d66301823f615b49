"""The objectives of a front's plain data: as students are compared by them, and as a caller names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from autokd.errors import InputError, nearest
from autokd.types import Objective


def as_objectives(plain: Sequence[Mapping[str, str]]) -> list[Objective]:
    """The objectives of a front's plain data, to compare students by; they cannot be measured."""
    return [
        Objective(o["name"], o["direction"], o.get("unit", ""), trained=False, measure=float)  # type: ignore[arg-type]
        for o in plain
    ]


def refuse_unknown(names: Iterable[str], plain: Sequence[Mapping[str, str]]) -> None:
    """Refuses names that are none of the study's objectives.

    Raises:
        InputError: for the first of them.
    """
    known = [objective["name"] for objective in plain]
    for name in names:
        if name not in known:
            raise InputError(f"no objective '{name}' in this study (it has {', '.join(known)}){nearest(name, known)}")
