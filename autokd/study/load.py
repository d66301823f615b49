"""Loads studies from YAML files with overrides from the command line. Errors name the line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from autokd.errors import InputError, said
from autokd.files import given_path, utf8_text
from autokd.study.explanation import Places, shown
from autokd.study.model import Study, override_in


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """The study in a YAML (or JSON) file, with `key=value` overrides applied.

    Args:
        path: the file, in UTF-8.
        overrides: dotted keys and YAML values: `budget.trials=20`, `objectives.latency_ms.bound=2`.

    Raises:
        InputError: the file cannot be read or is no study, or an override is malformed; names file, line and key.
    """
    path = given_path("path", path)
    node, data = _parse(_read(path), str(path))
    places: Places = {steps: f"{path}:{line}" for steps, line in _lines(path, node)} | {(): str(path)}
    if not isinstance(data, dict):
        raise InputError(
            f"{path}: this is no study, because the file holds {shown(data)}; write 'name: ...' and the other "
            "keys of a study"
        )
    context = {"places": places, "folder": path.parent}
    study = Study.model_validate(data, context=context)
    return override_in(study, dict(_override(text) for text in overrides), context)


_MOST_BYTES, _MOST_VALUES, _MOST_LEVELS = 10_000_000, 100_000, 50
_MOST_BITS = 1_000
"""The largest size of a study: far more than anybody writes, and far less than the memory of a machine."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, except that `1e-3` is a number, as in YAML 1.2, and a date is text.

    A value that does not fit the tag before it, such as `!!int ""`, is reported like any other error of the file.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            value = super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            problem = f"{shown(node.value)} is no {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            problem = f"a whole number of more than {_MOST_BITS} bits"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return value


_FLOAT, _DATE = "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag not in (_FLOAT, _DATE)]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"),
    list("-+.0123456789"),
)


def _read(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the study file in it")
    try:
        return utf8_text(path, most=_MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; 'autokd init DIR' writes a study to start from") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text in UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8"
        ) from None
    except OSError as error:
        reason = (error.strerror or said(error)).lower()
        raise InputError(f"{path} cannot be read: {reason}; name a file that can be read") from None


def _override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise InputError(f"override '{text}': write key=value, such as budget.trials=20")
    return key, _parse(value, f"override '{text}'")[1] if value.strip() else None


def _parse(text: str, where: str) -> tuple[yaml.Node, Any]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise InputError(f"{where}: the file is empty; 'autokd init DIR' writes a study to start from")
        _weigh(node, where)
        return node, loader.construct_document(node)
    except InputError:
        raise
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark and "override" not in where else ""
        raise InputError(f"{where}{line}: not YAML: {_flat(error.problem or error.context)}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{where}: not YAML: {said(error)}") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply; write {_MOST_LEVELS} levels at most") from None


def _weigh(root: yaml.Node, where: str) -> None:
    """Refuses data that are too deep, contain themselves, or grow far too large once their aliases are expanded."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, above: tuple[int, ...]) -> int:
        line = f"{where}:{node.start_mark.line + 1}"
        if id(node) in above:
            raise InputError(f"{line}: a part of the file contains itself; write it out without the alias")
        if len(above) > _MOST_LEVELS:
            raise InputError(f"{line}: nested too deeply; write {_MOST_LEVELS} levels at most")
        if id(node) not in sizes:
            items = node.value if isinstance(node, yaml.CollectionNode) else []
            parts = [part for item in items for part in (item if isinstance(item, tuple) else (item,))]
            sizes[id(node)] = 1 + sum(size(part, (*above, id(node))) for part in parts)
        if sizes[id(node)] > _MOST_VALUES:
            raise InputError(
                f"{line}: more than {_MOST_VALUES:,} values once its aliases are written out; leave some out"
            )
        return sizes[id(node)]

    size(root, ())


def _flat(problem: object) -> str:
    return " ".join(str(problem).split())


def _lines(path: Path, root: yaml.Node) -> list[tuple[tuple[str | int, ...], int]]:
    """The line of each key and list item, by path. Refuses keys that a mapping would silently drop."""
    lines: list[tuple[tuple[str | int, ...], int]] = []

    def visit(node: yaml.Node, steps: tuple[str | int, ...]) -> None:
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines.append(((*steps, index), item.start_mark.line + 1))
                visit(item, (*steps, index))
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                inner = (*steps, str(key.value))
                if key.tag == "tag:yaml.org,2002:merge":
                    continue
                if key.tag != "tag:yaml.org,2002:str":
                    raise InputError(f"{path}:{line}: {_dotted(inner)}: keys are text; put this one in quotes")
                if key.value in seen:
                    raise InputError(
                        f"{path}:{line}: {_dotted(inner)}: this key is given twice, first in line {seen[key.value]}"
                    )
                seen[key.value] = line
                lines.append((inner, line))
                visit(value, inner)

    visit(root, ())
    return lines


def _dotted(steps: tuple[str | int, ...]) -> str:
    return ".".join(str(step) for step in steps)
