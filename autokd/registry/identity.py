"""Finds a reference by which an object can be imported, and the digest of its source."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType

from autokd.registry.lookup import FILE_MODULE, attribute
from autokd.registry.several import Several
from autokd.registry.spaces import MadeSpace
from autokd.registry.versions import digest_of_file, earlier


def reference_of(found: object) -> str | None:
    """A reference by which another process can import an object, or None if there is none.

    Modules and their attributes can be imported. Objects of `__main__`, of a notebook or inside a function cannot.
    """
    if isinstance(found, MadeSpace):
        return found.reference or reference_of(found.source)
    if isinstance(found, ModuleType):
        return _module_reference(found)
    home = sys.modules.get(getattr(found, "__module__", ""))
    qualname = getattr(found, "__qualname__", None)
    if home is not None and qualname is not None and attribute(home, qualname) is found:
        reference = _module_reference(home)
        return None if reference is None else f"{reference}:{qualname}"
    for module, name in holders(found):
        reference = _module_reference(module)
        if reference is not None:
            return f"{reference}:{name}"
    return None


def source_digest(found: object) -> str:
    """SHA-256, in hex, of the source file that defines an object; "" if there is no such file.

    The digest does not cover what that file imports. It covers the settings with which a search space was made. If an
    earlier version of the file made the same students, as `versions` tells, the digest is of that version.
    """
    if isinstance(found, Several):
        told = " ".join(f"{name} {source_digest(member)}" for name, member in found.members.items())
        return hashlib.sha256(told.encode()).hexdigest()
    if isinstance(found, MadeSpace):
        digest = source_digest(found.source)
        told = f"{digest} {sorted(found.settings.items())}"
        return hashlib.sha256(told.encode()).hexdigest() if digest and found.settings else digest
    if isinstance(found, ModuleType):
        home: ModuleType | None = found
    elif hasattr(found, "__qualname__"):
        home = sys.modules.get(getattr(found, "__module__", None) or "")
    else:
        home = next((module for module, _ in holders(found)), sys.modules.get(type(found).__module__))
    file = getattr(home, "__file__", None)
    if file is None or not file.endswith(".py") or not Path(file).is_file():
        return ""
    return earlier(Path(file))[1].get(Path(file).name) or digest_of_file(Path(file))


def holders(found: object) -> list[tuple[ModuleType, str]]:
    """The modules that have an object as an attribute, in order of import, with its name there."""
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
    if name.startswith(FILE_MODULE):
        return module.__file__
    return name if getattr(module, "__spec__", None) is not None else None
