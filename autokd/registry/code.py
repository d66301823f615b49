"""Digests of code that is in no file: code of a notebook's cell, of the running script, or made at run time."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_PLAIN = (str, bytes, int, float, complex, type(None), type(...))
_SCRIPTS = ("__main__", "__mp_main__")
_OF_EVERY_CLASS = (
    "__module__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__qualname__",
    "__firstlineno__",
    "__static_attributes__",
    "__abstractmethods__",
    "_abc_impl",
)
"""Attributes that do not affect what a class does, or that differ from one process to the next."""


def has_no_file(made: Any) -> bool:
    """Whether a function or class was written in a notebook or in the running script, or was made at run time."""
    module = sys.modules.get(getattr(made, "__module__", None) or "")
    if module is None or module.__name__ in _SCRIPTS:
        return True
    file = getattr(module, "__file__", None)
    if isinstance(made, FunctionType):
        return made.__code__.co_filename != file and not Path(made.__code__.co_filename).is_file()
    return file is None and any(isinstance(value, FunctionType) for value in vars(made).values())


def code_digest(found: object) -> str:
    """SHA-256, in hex, of what an object does: of its code that is in no file, and of the constants that it uses.

    Code in files counts by its name only, and other objects by their type and attributes. Comments and names of files
    do not affect the digest.
    """
    return hashlib.sha256(_described(found, {}).encode()).hexdigest()


def names_in(code: CodeType) -> Iterator[str]:
    """The global names and attributes that code uses, also in the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def _described(value: Any, seen: dict[int, Any]) -> str:
    """A text that is the same for equal values in every process."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if id(value) in seen:
        return f"<{list(seen).index(id(value))}>"
    seen[id(value)] = value  # the object is kept alive, so that no other object gets its id
    return f"{type(value).__qualname__}({', '.join(_parts(value, seen))})"


def _parts(value: Any, seen: dict[int, Any]) -> Iterator[str]:
    if isinstance(value, CodeType):
        yield f"{value.co_code.hex()} {value.co_names} {value.co_varnames} {value.co_flags} {value.co_argcount}"
        yield from (_described(constant, seen) for constant in value.co_consts)
    elif isinstance(value, ModuleType):
        yield value.__name__
    elif isinstance(value, FunctionType | type):
        yield str(value.__qualname__)
        if isinstance(value, FunctionType):
            yield from _of_function(value, seen)
        elif has_no_file(value):
            yield from _of_class(value, seen)
        else:
            yield str(value.__module__)
    elif isinstance(value, Mapping):
        yield from (f"{_described(key, seen)}: {_described(each, seen)}" for key, each in value.items())
    elif isinstance(value, set | frozenset):
        yield from sorted(_described(each, seen) for each in value)
    elif isinstance(value, list | tuple):
        yield from (_described(each, seen) for each in value)
    elif isinstance(value, MethodType):
        yield from (_described(value.__func__, seen), _described(value.__self__, seen))
    elif isinstance(value, property):
        yield from (_described(part, seen) for part in (value.fget, value.fset, value.fdel))
    else:
        yield _described(type(value), seen)
        yield from _of_instance(value, seen)


def _of_function(function: FunctionType, seen: dict[int, Any]) -> Iterator[str]:
    no_file = has_no_file(function)
    yield _described(function.__code__, seen) if no_file else str(function.__module__)
    yield _described([function.__defaults__, function.__kwdefaults__], seen)
    for cell in function.__closure__ or ():
        try:
            yield _described(cell.cell_contents, seen)
        except ValueError:  # the cell has no value yet
            yield "empty"
    if no_file:
        used = sorted(set(names_in(function.__code__)) & function.__globals__.keys())
        yield from (f"{name}={_described(function.__globals__[name], seen)}" for name in used)


def _of_class(made: type, seen: dict[int, Any]) -> Iterator[str]:
    yield from (_described(base, seen) for base in made.__bases__)
    yield from (
        f"{name}={_described(value, seen)}" for name, value in sorted(vars(made).items()) if name not in _OF_EVERY_CLASS
    )


def _of_instance(value: Any, seen: dict[int, Any]) -> Iterator[str]:
    for name in ("func", "args", "keywords", "__func__"):  # functools.partial, staticmethod, classmethod
        if hasattr(value, name):
            yield _described(getattr(value, name), seen)
    if callable(getattr(value, "tobytes", None)):  # arrays, and tensors that are arrays in memory
        yield f"{getattr(value, 'dtype', '')} {getattr(value, 'shape', '')} {value.tobytes().hex()}"
    elif hasattr(value, "__dict__"):
        yield _described(vars(value), seen)
