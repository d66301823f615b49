"""From whatever names a part of a study to that part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autokd.errors import InputError, nearest
from autokd.registry.lookup import GROUPS, find, installed
from autokd.registry.spaces import as_space, find_space


def resolve(group: str, reference: object, *, attributes: Sequence[str] = ()) -> Any:
    """The object a reference names; anything but a string is that object already.

    Files are found from the current folder and loaded once for each path and content; what lies in a file's own folder
    can be imported by that file. Modules are found on `sys.path`, which is left as it is.

    A search space may be of other kinds, too: `reference(key=value, ...)`, with Python literals, is what calling the
    reference with these settings gives; a class is called even without; a function `student(trial, task)` is a space of
    its own; and `adapter:reference` is what an installed adapter makes of what the reference names, as `nni:`.

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
            raise InputError(f"{group} {shown} has no '{name}'{nearest(name, dir(found))}")
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
