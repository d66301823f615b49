"""What a space suggests: plain data under names that no other part of a trial has."""

from __future__ import annotations

import json
from collections.abc import Iterable

from autokd.errors import InfeasibleError, InputError, named, said, shortened
from autokd.types import Arch

_MOST_LEVELS, _LONGEST_ARCH = 50, 100_000
"""The limits on an architecture, which the record and the files of a run hold as JSON."""
_LONGEST_SHOWN = 200
"""In characters."""

_TAKEN = {"reading.": "how rows are read", "recipe.": "the recipe"}
"""The beginnings of names that a space may not suggest, and what they stand for."""


def refuse_taken_names(names: Iterable[str]) -> None:
    """Refuses names that a space suggested and that belong to another part of a trial.

    Raises:
        InputError: names the first such name.
    """
    for name in names:
        for beginning, part in _TAKEN.items():
            if name.startswith(beginning):
                raise InputError(
                    f"the space's suggest asks for '{name}', but names that begin with '{beginning}' are those of "
                    f"{part}; give it another name"
                )


def checked(arch: object) -> Arch:
    """`arch`, if it is a dict that equals its own JSON round trip.

    Raises:
        InputError: `arch` has another type, or holds what is no plain data; the space's other architectures will, too.
        InfeasibleError: this one has a number that is not finite, or is nested too deeply, or is too large.
    """
    if _levels(arch) > _MOST_LEVELS:
        raise InfeasibleError(f"the space's suggest returned more than {_MOST_LEVELS} levels of dicts and lists")
    try:
        text = json.dumps(arch, allow_nan=False)
    except ValueError as error:
        raise InfeasibleError(
            f"the space's suggest returned {_shown(arch)}, which JSON cannot hold ({said(error)})"
        ) from error
    except TypeError:
        text = ""
    if len(text) > _LONGEST_ARCH:
        raise InfeasibleError(f"the space's suggest returned {len(text):,} characters, more than {_LONGEST_ARCH:,}")
    if isinstance(arch, dict) and text and json.loads(text) == arch:
        return arch
    raise InputError(
        f"the space's suggest returned {_shown(arch)}; return a dict of numbers, texts, booleans, lists or dicts that "
        "equals its own JSON round trip (text keys; no tuples, tensors or numpy numbers)"
    )


def _levels(plain: object) -> int:
    """The number of levels of dicts and lists in plain data; counting stops one level above the limit."""
    level, levels = [plain], 0
    while level and levels <= _MOST_LEVELS:
        containers = [each for each in level if isinstance(each, dict | list | tuple)]
        level = [part for each in containers for part in (each.values() if isinstance(each, dict) else each)]
        levels += bool(containers)
    return levels


def _shown(arch: object) -> str:
    try:
        return shortened(repr(arch), _LONGEST_SHOWN)
    except Exception as error:  # an object in it may raise anything
        return f"a {type(arch).__name__} that cannot be shown ({named(error)})"
