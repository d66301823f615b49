"""Commands for before a search: a starter study, the study file's schema, and search spaces."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from autokd.cli.answers import say
from autokd.cli.given import import_from_here


def check_space(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A plug-in's name, module:attr or path/to/space.py.")],
    task: Annotated[str, typer.Option(help="Data the space is tried on: digits, or a file.")],
) -> None:
    """Run the contract of a search space, and say in words what is wrong."""
    from autokd.report.spaces import check_lines

    import_from_here()
    lines, sound = check_lines(space, task)
    say("\n".join(lines))
    raise typer.Exit(0 if sound else 2)


def list_spaces() -> None:
    """List the search spaces installed, with their numbers of choices and parameters."""
    from autokd.report.spaces import spaces_lines

    say("\n".join(spaces_lines()))


def print_schema() -> None:
    """Print the JSON Schema of a study file."""
    from autokd.study import Study

    say(json.dumps(Study.model_json_schema(), indent=1))


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if absent.")],
) -> None:
    """Write a commented starter study and a starter search space that run as they are."""
    from autokd.study import write_starter

    for path in write_starter(folder):
        say(f"wrote {path}")
    say(f"next: cd {quote(str(folder))} && autokd search study.yaml")
