"""From a reference (plug-in name, module, `module:attr`, file) to the object it names, and back."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from autokd.errors import InputError, nearest

GROUPS = ("search_spaces", "tasks", "teachers", "losses", "objectives", "schedulers", "exporters")
"""What can be plugged in; a group's entry points are `autokd.<group>`."""

_REQUIRED = {"search_spaces": ("suggest", "build")}
_FORMS = "Write 'package.module', 'package.module:attr', 'path/to/file.py', or a plug-in's name"
_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<attr>[^:/\\]+))?")
_FILE_MODULE = "autokd_plugin_"


def resolve(group: str, reference: object, *, attributes: Sequence[str] = ()) -> Any:
    """The object a reference names; anything but a string is that object already.

    Files are found from the current folder and loaded once for each path and content. Modules are found on
    `sys.path`, which is left as it is.

    Args:
        group: one of `GROUPS`.
        reference: a plug-in's name, `package.module`, `package.module:attr`, `path/to/file.py` or
            `path/to/file.py:attr`, in this order; or the object itself.
        attributes: names the object must have; those a group always needs are asked for anyway.

    Raises:
        InputError: nothing is found, importing fails (with file, line and reason), or an attribute is missing.
    """
    assert group in GROUPS, group
    found = _find(group, reference) if isinstance(reference, str) else reference
    shown = f"'{reference}'" if isinstance(reference, str) else f"of type {type(reference).__name__}"
    for name in _REQUIRED.get(group, ()):
        if not callable(getattr(found, name, None)):
            needed = " and ".join(f"'{each}'" for each in _REQUIRED[group])
            raise InputError(f"{group} {shown} has no function '{name}'; give it {needed}")
    for name in attributes:
        if not hasattr(found, name):
            raise InputError(f"{group} {shown} has no '{name}'{nearest(name, dir(found))}")
    return found


def installed(group: str) -> dict[str, str]:
    """Names of the installed plug-ins of a group, sorted, with the reference each stands for."""
    assert group in GROUPS, group
    return {point.name: point.value for point in sorted(entry_points(group=f"autokd.{group}"))}


def reference_of(found: object) -> str | None:
    """A reference by which another process can import an object, or None if there is none.

    Modules, and whatever is an attribute of a module, can be imported; what lives in `__main__`, in a
    notebook or inside a function cannot.
    """
    if isinstance(found, ModuleType):
        return _module_reference(found)
    home = sys.modules.get(getattr(found, "__module__", ""))
    qualname = getattr(found, "__qualname__", None)
    if home is not None and qualname is not None and _attribute(home, qualname) is found:
        reference = _module_reference(home)
        return None if reference is None else f"{reference}:{qualname}"
    for module, name in _holders(found):
        reference = _module_reference(module)
        if reference is not None:
            return f"{reference}:{name}"
    return None


def source_digest(found: object) -> str:
    """SHA-256, in hex, of the source file in which an object lives; "" where there is no such file.

    What that file imports is not part of the digest.
    """
    if isinstance(found, ModuleType):
        home: ModuleType | None = found
    elif hasattr(found, "__qualname__"):
        home = sys.modules.get(getattr(found, "__module__", None) or "")
    else:
        home = next((module for module, _ in _holders(found)), sys.modules.get(type(found).__module__))
    file = getattr(home, "__file__", None)
    if file is None or not file.endswith(".py") or not Path(file).is_file():
        return ""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _find(group: str, reference: str) -> Any:
    file = _FILE.fullmatch(reference)
    if file is not None:
        module = _load_file(group, reference, Path(file["path"]))
        return _attribute_or_error(group, reference, module, file["attr"])
    points = [point for point in entry_points(group=f"autokd.{group}") if point.name == reference]
    targets = sorted({point.value for point in points})
    if len(targets) > 1:
        raise InputError(f"{group} '{reference}' is more than one plug-in; write one of {', '.join(targets)}")
    name, _, attr = (targets[0] if targets else reference).partition(":")
    module = _import_module(group, reference, name)
    return _attribute_or_error(group, reference, module, attr or None)


def _import_module(group: str, reference: str, name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(_not_found(group, reference, f"'{name}' is no module's name"))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise InputError(_not_found(group, reference, f"no module '{name}' can be imported")) from None
        raise InputError(_import_failed(group, reference, error, "")) from error
    except (Exception, SystemExit) as error:
        raise InputError(_import_failed(group, reference, error, "")) from error


def _load_file(group: str, reference: str, path: Path) -> ModuleType:
    path = path.expanduser().resolve()
    try:
        source = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{group} '{reference}': cannot read {path}: {reason.lower()}") from None
    digest = hashlib.sha256(bytes(path) + b"\0" + source).hexdigest()[:12]
    name = f"{_FILE_MODULE}{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their own module up
    try:
        # Compiled from the bytes digested above: the loader's cache goes by time and size, and can be stale.
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(_import_failed(group, reference, error, str(path))) from error
    return module


def _attribute_or_error(group: str, reference: str, module: ModuleType, path: str | None) -> Any:
    if path is None:
        return module
    found = _attribute(module, path)
    if found is None:
        known = [name for name in vars(module) if not name.startswith("_")]
        file = getattr(module, "__file__", None) or module.__name__
        raise InputError(f"{group} '{reference}': {file} has no '{path}'{nearest(path, known)}")
    return found


def _attribute(module: ModuleType, path: str) -> Any:
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def _holders(found: object) -> list[tuple[ModuleType, str]]:
    """Modules, by import order, that have an object as an attribute, with its name there."""
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    return [
        (module, name)
        for module in modules
        for name, value in list(vars(module).items())
        if value is found and not name.startswith("__")
    ]


def _module_reference(module: ModuleType) -> str | None:
    name = module.__name__
    if sys.modules.get(name) is not module or name in ("__main__", "__mp_main__"):
        return None
    if name.startswith(_FILE_MODULE):
        return module.__file__
    return name if getattr(module, "__spec__", None) is not None else None


def _not_found(group: str, reference: str, reason: str) -> str:
    known = installed(group)
    names = ", ".join(known) or "none is installed"
    parent, _, last = reference.rpartition(".")
    if hasattr(sys.modules.get(parent), last):
        hint = f"; did you mean '{parent}:{last}'?"
    else:
        hint = nearest(reference, known)
    return f"no {group} named '{reference}': not a plug-in (known: {names}), and {reason}. {_FORMS}{hint}"


def _import_failed(group: str, reference: str, error: BaseException, file: str) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        where, reason = f"{error.filename}:{error.lineno}", error.msg
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "<frozen" not in frame.filename]
        inside = [frame for frame in frames if frame.filename == file] or frames
        where, reason = f"{inside[-1].filename}:{inside[-1].lineno}", " ".join(str(error).split())
    return f"{group} '{reference}' cannot be imported: {where}: {type(error).__name__}: {reason}"
