"""Finds the object that a reference (plug-in name, module, `module:attr`, file) names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from autokd.errors import FOREIGN, InputError, nearest, said
from autokd.files import read_bytes
from autokd.registry.beside import forget, is_stale, open_folder

GROUPS: Mapping[str, str] = {
    "search_spaces": "search space",
    "space_adapters": "space adapter",
    "tasks": "task",
    "readings": "reading",
    "teachers": "teacher",
    "losses": "loss",
    "objectives": "objective",
    "schedulers": "scheduler",
    "exporters": "exporter",
}
"""The groups of plug-ins, whose entry points are `autokd.<group>`, and the word for a member of each in messages.

A space adapter makes a search space from another object. It is called with that object and with settings."""

_FORMS = "Write 'package.module', 'package.module:attr', 'path/to/file.py', or a plug-in's name"
_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<attr>[^:/\\]+))?")
FILE_MODULE = "autokd_plugin_"


def installed(group: str) -> dict[str, str]:
    """The names of the installed plug-ins of a group, sorted, each with its reference."""
    assert group in GROUPS, group
    return {point.name: point.value for point in sorted(entry_points(group=f"autokd.{group}"))}


def find(group: str, reference: str) -> Any:
    """The object that a reference names, of any type; see `resolve`."""
    file = _FILE.fullmatch(reference)
    if file is not None:
        module = _load_file(group, reference, Path(file["path"]))
        return _attribute_or_error(group, reference, module, file["attr"])
    points = [point for point in entry_points(group=f"autokd.{group}") if point.name == reference]
    targets = sorted({point.value for point in points})
    if len(targets) > 1:
        raise InputError(f"{GROUPS[group]} '{reference}' is more than one plug-in; write one of {', '.join(targets)}")
    name, _, attr = (targets[0] if targets else reference).partition(":")
    module = _import_module(group, reference, name)
    return _attribute_or_error(group, reference, module, attr or None)


def attribute(module: ModuleType, path: str) -> Any:
    """The object under a dotted name in a module, or None."""
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def _import_module(group: str, reference: str, name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(_not_found(group, reference, f"'{name}' is not the name of a module"))
    if name.partition(".")[0] in sys.stdlib_module_names:  # its functions may do anything when called
        raise InputError(_not_found(group, reference, f"'{name}' is a module of Python itself"))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise InputError(_not_found(group, reference, f"no module '{name}' can be imported")) from None
        raise InputError(_import_failed(group, reference, error, None)) from error
    except FOREIGN as error:
        raise InputError(_import_failed(group, reference, error, None)) from error


def _load_file(group: str, reference: str, path: Path) -> ModuleType:
    try:
        path = Path(os.path.realpath(os.path.expanduser(path)))
        source = read_bytes(path)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = getattr(error, "strerror", None) or said(error)
        raise InputError(f"{GROUPS[group]} '{reference}': AutoKD cannot read {path}: {reason.lower()}") from None
    digest = hashlib.sha256(bytes(path) + b"\0" + source).hexdigest()[:12]
    name = f"{FILE_MODULE}{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{digest}"
    if name in sys.modules:
        if not is_stale(sys.modules[name]):
            return sys.modules[name]
        forget(sys.modules[name])
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    open_folder(module, path.parent)
    sys.modules[name] = module  # set before it runs, because dataclasses look up their module
    try:
        # The bytes digested above are compiled, because the loader's cache compares time and size only.
        exec(compile(source, str(path), "exec"), module.__dict__)
    except FOREIGN as error:
        forget(module)
        raise InputError(_import_failed(group, reference, error, path)) from error
    return module


def _attribute_or_error(group: str, reference: str, module: ModuleType, path: str | None) -> Any:
    if path is None:
        return module
    found = attribute(module, path)
    if found is None:
        known = [name for name in vars(module) if not name.startswith("_")]
        file = getattr(module, "__file__", None) or module.__name__
        raise InputError(f"{GROUPS[group]} '{reference}': {file} has no '{path}'{nearest(path, known)}")
    return found


def _not_found(group: str, reference: str, reason: str) -> str:
    known = installed(group)
    names = ", ".join(known) or "none is installed"
    parent, _, last = reference.rpartition(".")
    if hasattr(sys.modules.get(parent), last):
        hint = f"; did you mean '{parent}:{last}'?"
    else:
        hint = nearest(reference, known)
    return (
        f"no {GROUPS[group]} is named '{reference}': it is not a plug-in (known: {names}), and {reason}. {_FORMS}{hint}"
    )


def _import_failed(group: str, reference: str, error: BaseException, file: Path | None) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        where, reason = f"{error.filename}:{error.lineno}", error.msg
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "<frozen" not in frame.filename]
        inside = [frame for frame in frames if file and Path(frame.filename).parent == file.parent] or frames
        where, reason = f"{inside[-1].filename}:{inside[-1].lineno}", said(error)
    return f"{GROUPS[group]} '{reference}' cannot be imported: {where}: {type(error).__name__}: {reason}"
