"""Finds the part of a study that a reference, a file or an object stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autokd.errors import InputError, nearest
from autokd.registry.lookup import GROUPS, find, installed
from autokd.registry.spaces import as_space, find_space


def resolve(group: str, reference: object, *, attributes: Sequence[str] = ()) -> Any:
    """The object that a reference names. Anything but a string or a path is the object itself.

    Files are found from the current folder and are loaded once for each path and content. A file can import modules
    from its own folder. Modules are found on `sys.path`, which does not change.

    A search space may also be given in other ways. `reference(key=value, ...)`, with Python literals as values, calls
    the reference with these settings, or the class `Space` in it if it is a module. A class is called even without
    settings. A function `student(trial, task)` is a
    search space by itself. `adapter:reference` passes the object of the reference to an installed adapter, as
    in `nni:my_pkg:MySpace`.

    Args:
        group: one of `GROUPS`.
        reference: a plug-in's name, `package.module`, `package.module:attr`, `path/to/file.py` or
            `path/to/file.py:attr`, tried in this order; a file's `Path`; or the object itself.
        attributes: names that the object must have. A search space must always have `suggest` and `build`.

    Raises:
        InputError: nothing is found, importing fails (with file, line and reason), or an attribute is missing.
    """
    assert group in GROUPS, group
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
