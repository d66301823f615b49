"""Finds the part of a study that a reference, a file or an object stands for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from autokd.errors import InputError, nearest
from autokd.registry.identity import reference_of
from autokd.registry.lookup import GROUPS, find, installed
from autokd.registry.several import Several
from autokd.registry.spaces import as_space, find_space

_OTHERS = ("reading", "recipe")
"""The names of the other parts of a trial, whose choices begin with them."""


def resolve(group: str, reference: object, *, attributes: Sequence[str] = ()) -> Any:
    """The object that a reference names. Anything but a string or a path is the object itself.

    Files are found from the current folder and are loaded once for each path and content. A file can import modules
    from its own folder. Modules are found on `sys.path`, which does not change.

    A search space may also be given in other ways. `reference(key=value, ...)`, with Python literals as values, calls
    the reference with these settings, or the class `Space` in it if it is a module. A class is called even without
    settings. A function `student(trial, task)` is a
    search space by itself. `adapter:reference` passes the object of the reference to an installed adapter, as
    in `nni:my_pkg:MySpace`. A list of references is the search space of which each student is of one of them.

    Args:
        group: one of `GROUPS`.
        reference: a plug-in's name, `package.module`, `package.module:attr`, `path/to/file.py` or
            `path/to/file.py:attr`, tried in this order; a file's `Path`; or the object itself.
        attributes: names that the object must have. A search space must always have `suggest` and `build`.

    Raises:
        InputError: nothing is found, importing fails (with file, line and reason), or an attribute is missing.
    """
    assert group in GROUPS, group
    if group == "search_spaces" and isinstance(reference, list | tuple):
        return _joined(reference, [resolve(group, each, attributes=attributes) for each in reference])
    reference = str(reference) if isinstance(reference, Path) else reference
    shown = f"'{reference}'" if isinstance(reference, str) else f"of type {type(reference).__name__}"
    if group == "search_spaces":
        found = find_space(reference) if isinstance(reference, str) else as_space(reference, shown)
    else:
        found = find(group, reference) if isinstance(reference, str) else reference
    for name in attributes:
        if not hasattr(found, name):
            raise InputError(f"{GROUPS[group]} {shown} has no '{name}'{nearest(name, dir(found))}")
    return found


def is_installed(group: str, reference: str) -> bool:
    """Whether a reference is an installed plug-in, with or without settings, or an adapter applied to one.

    Installed plug-ins are trusted, and settings in parentheses are plain data.
    """
    known = installed(group)
    maker = reference.partition("(")[0]
    if group == "search_spaces":
        adapter, colon, inner = maker.partition(":")
        maker = inner if colon and adapter in installed("space_adapters") else maker
    return maker in (*known, *known.values())


def _joined(references: Sequence[object], found: Sequence[Any]) -> Several:
    """The spaces that references name, under short names; the second one of a name gets a number, as `text_2`.

    Raises:
        InputError: there are none, or one of them twice.
    """
    if not references:
        raise InputError("the list of search spaces is empty; name one or more")
    names: list[str] = []
    for place, reference in enumerate(references):
        if any(other is reference or (isinstance(other, str) and other == reference) for other in references[:place]):
            raise InputError(f"search space {_shown(reference)} is in the list twice; name each space once")
        short = _short(reference, found[place])
        possible = chain([short], (f"{short}_{number}" for number in count(2)))
        names.append(next(name for name in possible if name not in (*names, *_OTHERS)))
    return Several(dict(zip(names, found, strict=True)), dict(zip(names, references, strict=True)))


def _short(reference: object, found: object) -> str:
    """A short name: `wide` for path/to/file.py:wide(depth=3), and `file` for path/to/file.py."""
    given = reference if isinstance(reference, str) else reference_of(found) or type(reference).__name__
    last = Path(given.partition("(")[0].rpartition(":")[2]).name.removesuffix(".py")
    return re.sub(r"\W", "_", last.rpartition(".")[2])


def _shown(reference: object) -> str:
    return f"'{reference}'" if isinstance(reference, str) else f"of type {type(reference).__name__}"
