"""Modules in the folder of a plug-in's file. Only that file and these modules themselves can import them from there."""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_OPEN: dict[str, _Folder] = {}
_LOADING = threading.RLock()


def open_folder(module: ModuleType, folder: Path) -> None:
    """Lets a module import modules in a folder, at any time, as a script in that folder could. Call it before it runs.

    Python looks up `__import__` among the builtins of the importing module, so this module gets builtins of its own.
    `sys.path` does not change. Each plug-in has its own copy of the modules that it imports, under a private name. The
    standard library and AutoKD take precedence, and so does a module that `import` finds anyway if it is the same file.
    """
    own = _Folder(f"{module.__name__}_beside", folder)
    package = ModuleType(own.package)
    package.__path__ = [str(folder)]
    sys.modules[own.package] = package
    own.lend_to(module)
    _OPEN[module.__name__] = own


def modules_beside(module: ModuleType) -> list[ModuleType]:
    """The modules that a plug-in's file has imported from its folder so far, directly or not, in order of import."""
    folder = _OPEN.get(module.__name__)
    return [sys.modules[name] for name in folder.digests] if folder else []


def is_stale(module: ModuleType) -> bool:
    """Whether a module that a plug-in's file imported from its folder has changed on the disk since."""
    folder = _OPEN.get(module.__name__)
    return folder is not None and any(_digest(sys.modules[name]) != digest for name, digest in folder.digests.items())


def forget(module: ModuleType) -> None:
    """Forgets a plug-in's file and the modules that it imported from its folder, so that they are loaded anew."""
    own = _OPEN.pop(module.__name__)
    for name in [*own.digests, own.package, module.__name__]:
        sys.modules.pop(name, None)


class _Folder:
    """A folder whose modules are loaded as modules of a private package.

    Args:
        package: the name of the package.
        path: the path of the folder.
    """

    def __init__(self, package: str, path: Path) -> None:
        self.package, self.path = package, path
        self.digests: dict[str, str] = {}
        self._held: dict[str, bool] = {}

    def lend_to(self, module: ModuleType) -> None:
        """Lets a module import from this folder."""
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self.import_module}

    def import_module(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Imports a module from this folder, or else like the builtin `__import__`."""
        full = f"{self.package}.{name}"
        if level:
            parent = str((globals or {}).get("__package__") or "")
            full = importlib.util.resolve_name("." * level + name, parent) if parent else ""
        if not full.startswith(f"{self.package}.") or (level == 0 and not self._holds(name.partition(".")[0])):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        with _LOADING:
            module = self._load(full)
            wanted = [*(fromlist or ()), *(getattr(module, "__all__", ()) if "*" in (fromlist or ()) else ())]
            for each in wanted:
                if not hasattr(module, each) and self._spec(f"{full}.{each}") is not None:
                    self._load(f"{full}.{each}")
        return module if fromlist else sys.modules[f"{self.package}.{name.partition('.')[0]}"]

    def _holds(self, top: str) -> bool:
        if top not in self._held:
            self._held[top] = self._is_own(top)
        return self._held[top]

    def _is_own(self, top: str) -> bool:
        if top == "autokd" or top in sys.stdlib_module_names:
            return False
        spec = PathFinder.find_spec(top, [str(self.path)])
        if spec is None:
            return False
        try:
            usual = importlib.util.find_spec(top)
        except (ImportError, ValueError):  # ValueError: a module that was made by hand
            usual = None
        if spec.origin is None:  # a folder without __init__.py, over which any module takes precedence
            return usual is None
        return usual is None or usual.origin is None or not Path(usual.origin).samefile(spec.origin)

    def _spec(self, full: str) -> ModuleSpec | None:
        parent, _, _ = full.rpartition(".")
        paths = getattr(sys.modules[parent], "__path__", None)
        return None if paths is None else PathFinder.find_spec(full, list(paths))

    def _load(self, full: str) -> ModuleType:
        """The module of that private name; the packages around it are loaded first."""
        parent, _, last = full.rpartition(".")
        above = self._load(parent) if parent != self.package else None
        if full in sys.modules:
            return sys.modules[full]
        spec = self._spec(full)
        if spec is None:
            shown = full.removeprefix(f"{self.package}.")
            raise ModuleNotFoundError(f"No module named '{shown}'", name=shown)
        module = importlib.util.module_from_spec(spec)
        self.lend_to(module)
        sys.modules[full] = module
        self.digests[full] = _digest(module)
        try:
            if spec.origin is not None and spec.origin.endswith(".py"):
                # The loader's cache compares time and size only and can be stale, so it is not used.
                exec(compile(Path(spec.origin).read_bytes(), spec.origin, "exec"), module.__dict__)
            elif spec.loader is not None:
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[full], self.digests[full]
            raise
        if above is not None:
            setattr(above, last, module)
        return module


def _digest(module: ModuleType) -> str:
    path = Path(getattr(module, "__file__", None) or "")
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
