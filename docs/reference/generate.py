"""What the reference says of study files and commands, read off the code while the site is built.

A page of the reference names one of `PARTS` in a comment, as `<!-- commands -->`, where that part is to stand.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer

from autokd.cli import app
from autokd.registry import installed, resolve
from autokd.study import Study

Schema = Mapping[str, Any]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The hook of MkDocs: a page with the parts that it names."""
    return re.sub(r"<!-- (\w+) -->", lambda named: PARTS[named[1]]() if named[1] in PARTS else named[0], markdown)


def study_keys() -> str:
    """A section for each key of a study file, with a table for each mapping that may stand there."""
    schema = Study.model_json_schema()
    shared = {name for name in schema["$defs"] if len(list(_keys_that_name(schema, name))) > 1}
    lines: list[str] = []
    for key, of_key in schema["properties"].items():
        lines += [f"## `{key}`", "", _sentence(of_key), "", f"*Default:* {_default(schema, key)}.", ""]
        lines += _mappings(schema, key, of_key, shared)
    for name in sorted(shared):
        lines += [f"## {_words(name)}", "", *_table(schema, schema["$defs"][name])]
    return "\n".join(lines)


def commands() -> str:
    """A section for each command, with its words and options."""
    group: Any = typer.main.get_command(app)
    lines: list[str] = []
    for name, command in group.commands.items():
        context = command.make_context(f"autokd {name}", [], resilient_parsing=True)
        lines += [f"## `autokd {name}`", "", inspect.cleandoc(command.help or ""), ""]
        lines += ["| word or option | what it says |", "|---|---|"]
        for each in command.params:
            written, said = each.get_help_record(context)
            word = each.metavar or each.name.upper() if each.param_type_name == "argument" else written
            lines.append(f"| `{word}` | {_cell(said)} |")
        lines.append("")
    return "\n".join(lines)


def objectives() -> str:
    """A table of the objectives that come with AutoKD, with the settings that each takes in a study."""
    lines = ["| objective | better | what it is | settings |", "|---|---|---|---|"]
    for name, reference in installed("objectives").items():
        if not reference.startswith("autokd."):
            continue
        found = resolve("objectives", name)
        given = list(inspect.signature(found.measure).parameters.values())[1 if found.trained else 2 :]
        settings = ["`bound`", *(["`table`"] if found.timed else [])]
        settings += [f"`{each.name}` ({_yaml(each.default)})" for each in given if each.kind is not each.VAR_KEYWORD]
        better = "larger" if found.direction == "maximize" else "smaller"
        lines.append(f"| `{name}` | {better} | {_first_sentence(found.measure)} | {', '.join(settings)} |")
    return "\n".join(lines)


def plugins() -> str:
    """A table of the search spaces, losses, schedulers and exporters that come with AutoKD."""
    lines = ["| kind | name | what it is |", "|---|---|---|"]
    for group in ("search_spaces", "space_adapters", "losses", "schedulers", "exporters"):
        for name, reference in installed(group).items():
            if not reference.startswith(("autokd.", "search_spaces.")):
                continue
            module, _, attribute = reference.partition(":")
            found: Any = importlib.import_module(module)
            found = getattr(found, attribute) if attribute else found
            lines.append(f"| {group.replace('_', ' ')[:-1]} | `{name}` | {_first_sentence(found)} |")
    return "\n".join(lines)


PARTS: Mapping[str, Callable[[], str]] = {
    "study_keys": study_keys,
    "commands": commands,
    "objectives": objectives,
    "plugins": plugins,
}


def _keys_that_name(schema: Schema, name: str) -> Iterator[str]:
    """Where a mapping may stand, by keys of a study; a mapping within a mapping counts by its key there."""
    for owner in [schema, *schema["$defs"].values()]:
        for key, of_key in owner["properties"].items():
            if f'"#/$defs/{name}"' in json.dumps(of_key):
                yield key


def _named_in(schema: Schema, of_key: Schema) -> list[Schema]:
    """The mappings that a key may hold."""
    return [schema["$defs"][name] for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(of_key))]


def _mappings(schema: Schema, key: str, of_key: Schema, shared: set[str]) -> list[str]:
    """A table for each mapping that may stand under a key, and under the keys of these."""
    found = [each for each in _named_in(schema, of_key) if each["title"] not in shared]
    lines = []
    for each in {each["title"]: each for each in found}.values():
        needed = ", ".join(each.get("required", ()))
        lines += [f"### `{key}`" + (f" with `{needed}`" if len(found) > 1 else ": its keys"), ""]
        lines += [_sentence(each), "", *_table(schema, each)]
        for inner, of_inner in each["properties"].items():
            lines += _mappings(schema, f"{key}.{inner}", of_inner, shared)
    return lines


def _table(schema: Schema, mapping: Schema) -> list[str]:
    lines = ["| key | takes | default | what it says |", "|---|---|---|---|"]
    for key, of_key in mapping["properties"].items():
        default = "**required**" if key in mapping.get("required", ()) else _yaml(of_key.get("default", {}))
        lines.append(f"| `{key}` | {_takes(schema, of_key)} | {default} | {_sentence(of_key)} |")
    return [*lines, ""]


def _takes(schema: Schema, of_key: Schema) -> str:
    """What may be written as the value of a key, in words."""
    for several in ("anyOf", "oneOf"):
        if several in of_key:
            each = [_takes(schema, one) for one in of_key[several]]
            return " or ".join(dict.fromkeys(each))
    if "$ref" in of_key:
        mapping = schema["$defs"][of_key["$ref"].rpartition("/")[2]]
        return "`{" + ", ".join(mapping["properties"]) + "}`"
    if "const" in of_key:
        return _yaml(of_key["const"])
    if "enum" in of_key:
        return " or ".join(map(_yaml, of_key["enum"]))
    kinds = of_key["type"] if isinstance(of_key.get("type"), list) else [of_key.get("type", "anything")]
    limits = [f"{word} {of_key[name]:g}" for name, word in _LIMITS.items() if name in of_key]
    within = f" ({', '.join(limits)})" if limits else ""
    if kinds == ["array"]:
        return f"a list, each {_takes(schema, of_key.get('items', {}))}"
    return " or ".join(_KINDS[kind] for kind in kinds) + within


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "object": "mapping",
    "null": "`null`",
    "anything": "anything",
}


def _default(schema: Schema, key: str) -> str:
    field = Study.model_fields[key]
    if field.is_required():
        return "none; the key is required" + (", but for a study on a table" if key not in schema["required"] else "")
    value = field.get_default(call_default_factory=True)
    return _yaml(value) if isinstance(value, str | int | bool | dict | None) else "each key's own, below"


def _yaml(value: Any) -> str:
    """A value as it is written in a study file, on one line."""
    if isinstance(value, Mapping):
        kept = {key: each for key, each in value.items() if each is not None and each is not False}
        return "`{" + ", ".join(f"{key}: {_yaml(each).strip('`')}" for key, each in kept.items()) + "}`"
    if isinstance(value, list | tuple):
        return "`[" + ", ".join(_yaml(each).strip("`") for each in value) + "]`"
    if value == "":
        return '`""`'
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _sentence(described: Schema) -> str:
    return _cell(str(described.get("description", "")))


_CODE = re.compile(r"(`[^`]*`|\{(?:[^{}]|\{[^{}]*\})*\}|\[[a-z]+(?:, [a-z]+)+\])")
"""Code between backticks, and mappings and lists as a study file may hold them."""


def _cell(text: str) -> str:
    """A text on one line, as a cell of a table can hold it, in which what a study may hold is shown as code."""
    prose_and_code = _CODE.split(" ".join(text.split()).replace("|", "\\|"))
    for number, part in enumerate(prose_and_code):
        is_code = number % 2 == 1
        prose_and_code[number] = f"`{part.strip('`')}`" if is_code else part.replace("<", "&lt;").replace("[", "\\[")
    return "".join(prose_and_code)


def _first_sentence(found: Any) -> str:
    return _cell((inspect.getdoc(found) or "").split("\n\n")[0])


def _words(title: str) -> str:
    """`Whole range` for `WholeRange`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title).capitalize()
