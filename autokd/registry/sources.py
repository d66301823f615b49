"""Digests of all code of an object: of the files that hold it, and of the code that is in no file."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from autokd.registry.code import code_digest, has_no_file, names_in
from autokd.registry.identity import holders, reference_of
from autokd.registry.several import Several
from autokd.registry.spaces import MadeSpace
from autokd.registry.versions import earlier

_STDLIB = Path(sysconfig.get_path("stdlib"))
_HOLDS = ("func", "args", "keywords", "__func__", "__self__")
"""Attributes of partials and methods that `vars` does not show."""
_PLAIN = (str, bytes, int, float, complex, type(None))


def sources_of(found: object, *, code_only: bool = False) -> dict[str, str]:
    """Digests of the code and the settings of an object, by name.

    The digests cover the files of its code, and the files that these import from their own folder or package, directly
    or not and at any place in a file. They cover functions and classes that are in no file, such as those of a
    notebook, with the constants that these use, and the settings with which a search space was made. AutoKD's own parts
    are left out, because its version identifies them. Of an installed package, only files in the folder of the object's
    own file count.

    Args:
        found: the object, as `resolve` gives it.
        code_only: whether to leave out installed packages and the values of objects without a reference. This is for
            objects with a digest of their own, such as teachers.
    """
    if isinstance(found, Several):
        members = {name: sources_of(member, code_only=code_only) for name, member in found.members.items()}
        return {f"{file} of {name}": digest for name, digests in members.items() for file, digest in digests.items()}
    settings: dict[str, str] = {}
    while isinstance(found, MadeSpace):
        if found.settings:
            settings["settings"] = hashlib.sha256(repr(sorted(found.settings.items())).encode()).hexdigest()
        found = found.source
    digests: dict[str, str] = {}
    for number, maker in enumerate(_makers(found)):
        for name, digest in _of_maker(maker, installed=number == 0 and not code_only):
            known = digests.get(name, digest)  # a file of the same name in another folder has another digest
            digests[name] = digest if known == digest else hashlib.sha256(f"{known} {digest}".encode()).hexdigest()
    if not code_only and not isinstance(found, type | ModuleType) and reference_of(found) is None:
        digests["its values"] = code_digest(found)
    return digests | settings


def _makers(found: object) -> Iterator[object]:
    """The modules, classes and functions that an object is or holds, each once, those of the object itself first."""
    waiting: list[object] = [found]
    if not isinstance(found, ModuleType | FunctionType | type):
        homes = [module for module, _ in holders(found)]
        # A module of the user may hold a part of AutoKD, as by an import; the part stays AutoKD's own.
        waiting += [] if any(home.__name__.split(".")[0] == "autokd" for home in homes) else homes
    seen: dict[int, object] = {}
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, _PLAIN) or id(each) in seen:
            continue
        seen[id(each)] = each  # the object is kept alive, so that no other object gets its id
        if isinstance(each, ModuleType | type):
            yield each
            if has_no_file(each) if isinstance(each, type) else getattr(each, "__file__", None) is None:
                waiting += [value for value in vars(each).values() if isinstance(value, FunctionType)]
        elif isinstance(each, FunctionType):
            yield each
            waiting += [*(each.__defaults__ or ()), *(each.__kwdefaults__ or {}).values()]
            waiting += [cell.cell_contents for cell in each.__closure__ or () if _is_filled(cell)]
            if has_no_file(each):
                used = set(names_in(each.__code__)) & each.__globals__.keys()
                waiting += [each.__globals__[name] for name in sorted(used)]
        elif isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, list | tuple | set | frozenset):
            waiting += each
        else:
            yield type(each)
            waiting += [
                getattr(each, name)
                for name in ("func", "args", "keywords", "__func__", "__self__")
                if hasattr(each, name)
            ]
            waiting += getattr(each, "__dict__", {}).values()


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _of_maker(maker: object, *, installed: bool) -> Iterator[tuple[str, str]]:
    """Names and digests of the files or the code of a module, class or function; `installed` packages count if True."""
    if not isinstance(maker, ModuleType) and has_no_file(maker):
        yield str(getattr(maker, "__qualname__", "")), code_digest(maker)
        return
    module = maker if isinstance(maker, ModuleType) else sys.modules.get(str(getattr(maker, "__module__", "")))
    file = getattr(module, "__file__", None)
    if module is None or file is None or module.__name__ == "__main__" or module.__name__.split(".")[0] == "autokd":
        return
    path = Path(file).resolve()
    in_packages = not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
    if path.is_file() and (installed if in_packages else not path.is_relative_to(_STDLIB)):
        yield from _as_before(path, dict(_files(path, in_packages=in_packages))).items()


def _as_before(start: Path, digests: dict[str, str]) -> dict[str, str]:
    """The digests of files, with those of an earlier version if that one made the same students; see `versions`."""
    now, before = earlier(start)
    home = next(iter(digests), "").removesuffix(start.name)  # the file itself comes first
    left = {name: digest for name, digest in digests.items() if name.removeprefix(home) not in now}
    return left | {f"{home}{name}": digest for name, digest in before.items()}


def _files(start: Path, *, in_packages: bool) -> Iterator[tuple[str, str]]:
    """Names and digests of a file and of the files that it imports from its own folder or package."""
    base = start.parent
    while (base / "__init__.py").is_file():
        base = base.parent
    own = start.parent if base == start.parent or in_packages else base / start.relative_to(base).parts[0]
    alone = base == start.parent and in_packages  # its folder holds all installed packages
    packages = [folder / "__init__.py" for folder in start.parents if folder != base and folder.is_relative_to(base)]
    waiting, seen = [start, *packages], set()
    while waiting:
        path = waiting.pop(0)
        if path in seen or (path != start and (alone or not path.is_relative_to(own))):
            continue
        seen.add(path)
        content = path.read_bytes()
        yield path.relative_to(base).as_posix(), hashlib.sha256(content).hexdigest()
        if path.suffix == ".py":
            waiting += _imported(content, path, (base, start.parent))


def _imported(content: bytes, path: Path, folders: Sequence[Path]) -> Iterator[Path]:
    """The files that a Python file may import from these folders, at any place in it."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            before = "." * node.level + (f"{node.module}." if node.module else "")
            names = [f"{before}{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        for name in names:
            level = len(name) - len(name.lstrip("."))
            if level:
                yield from _along(path.parents[level - 1], name.lstrip("."))
            elif name.partition(".")[0] not in sys.stdlib_module_names | {"autokd"}:
                for folder in folders:
                    yield from _along(folder, name)


def _along(folder: Path, name: str) -> Iterator[Path]:
    """The files of the modules along a dotted name, as far as they exist."""
    for part in name.split("."):
        candidates = (folder / part / "__init__.py", folder / f"{part}.py")
        yield from (path for path in candidates if path.is_file())
        folder = folder / part
