"""From whatever names a part of a study to that part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autokd.errors import InputError, nearest
from autokd.registry.lookup import GROUPS, find, installed
from autokd.registry.spaces import as_space, find_space


def resolve(group: str, reference: object, *, attributes: Sequence[str] = ()) -> Any:
    """The object that a reference names. Anything but a string or a path is taken to be that object.

    Files are found from the current folder and loaded once for each path and content. A file can import what is in its
    own folder. Modules are found on `sys.path`, which stays as it is.

    A search space may be named in more ways. `reference(key=value, ...)`, with Python literals, is what the reference
    gives when it is called with these settings. A class is called even without settings. A function
    `student(trial, task)` is a search space by itself. `adapter:reference`, such as `nni:my_pkg:MySpace`, is what an
    installed adapter makes of what the reference names.

    Args:
        group: one of `GROUPS`.
        reference: a plug-in's name, `package.module`, `package.module:attr`, `path/to/file.py` or
            `path/to/file.py:attr`, in this order; a file's `Path`; or the object itself.
        attributes: names the object must have; of a search space `suggest` and `build` are asked for anyway.

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
    """Whether a reference is an installed plug-in, with settings or without, or what an adapter makes of one.

    Whoever installed it trusts it; settings in parentheses are plain data.
    """
    known = installed(group)
    maker = reference.partition("(")[0]
    if group == "search_spaces":
        adapter, colon, inner = maker.partition(":")
        maker = inner if colon and adapter in installed("space_adapters") else maker
    return maker in (*known, *known.values())
