"""Studies from YAML files, with overrides from the command line, and complaints that name the line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from autokd.errors import InputError
from autokd.study.explanation import Places, shown
from autokd.study.model import Study, override_in


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """The study in a YAML (or JSON) file, with `key=value` overrides applied.

    Args:
        path: the file, in UTF-8.
        overrides: dotted keys and YAML values: `budget.trials=20`, `objectives.latency_ms.bound=2`.

    Raises:
        InputError: the file cannot be read or is no study, or an override is malformed; with file, line and key.
    """
    path = Path(path)
    node, data = _read(path)
    places: Places = {steps: f"{path}:{line}" for steps, line in _lines(path, node)} | {(): str(path)}
    if not isinstance(data, dict):
        raise InputError(f"{path}: {shown(data)} at the top; write 'name: ...' and the other keys of a study")
    context = {"places": places, "folder": path.parent}
    study = Study.model_validate(data, context=context)
    return override_in(study, dict(_override(text) for text in overrides), context)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but `1e-3` is a number, as in YAML 1.2, and a date is text."""


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


def _read(path: Path) -> tuple[yaml.Node, Any]:
    if path.is_dir():
        raise InputError(f"{path}: a folder; name the study file in it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; 'autokd init DIR' writes a study to start from") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}: {error.reason}); save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    return _parse(text, str(path))


def _override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise InputError(f"override '{text}': write key=value, as budget.trials=20")
    return key, _parse(value, f"override '{text}'")[1] if value.strip() else None


def _parse(text: str, where: str) -> tuple[yaml.Node, Any]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise InputError(f"{where}: empty; 'autokd init DIR' writes a study to start from")
        return node, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark and "override" not in where else ""
        raise InputError(f"{where}{line}: not YAML: {_flat(error.problem or error.context)}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{where}: not YAML: {_flat(error)}") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None


def _flat(problem: object) -> str:
    return " ".join(str(problem).split())


def _lines(path: Path, root: yaml.Node) -> list[tuple[tuple[str | int, ...], int]]:
    """The line of each key and list item, by path; refuses what a mapping would silently swallow."""
    lines: list[tuple[tuple[str | int, ...], int]] = []

    def visit(node: yaml.Node, steps: tuple[str | int, ...], above: tuple[yaml.Node, ...]) -> None:
        if node in above:
            raise InputError(f"{path}:{node.start_mark.line + 1}: {_dotted(steps)}: contains itself")
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines.append(((*steps, index), item.start_mark.line + 1))
                visit(item, (*steps, index), (*above, node))
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                inner = (*steps, str(key.value))
                if key.tag == "tag:yaml.org,2002:merge":
                    continue
                if key.tag != "tag:yaml.org,2002:str":
                    raise InputError(f"{path}:{line}: {_dotted(inner)}: keys are text; put it in quotes")
                if key.value in seen:
                    raise InputError(f"{path}:{line}: {_dotted(inner)}: given twice, first in line {seen[key.value]}")
                seen[key.value] = line
                lines.append((inner, line))
                visit(value, inner, (*above, node))

    visit(root, (), ())
    return lines


def _dotted(steps: tuple[str | int, ...]) -> str:
    return ".".join(str(step) for step in steps)
