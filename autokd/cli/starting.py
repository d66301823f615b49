"""Commands for before a search: a starter study, the study file's schema, and search spaces."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from autokd.cli.answers import say, say_json
from autokd.cli.completion import complete_spaces
from autokd.cli.given import AsJson, import_from_here
from autokd.errors import InputError


def check_space(
    space: Annotated[
        str,
        typer.Argument(
            metavar="SPACE",
            autocompletion=complete_spaces,
            help="An installed space, as `mlp`; a file, as `my_space.py`; an object, as `my_package.module:space`; or "
            "a study file, as `study.yaml`, with its space, data and teacher.",
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            show_default="those of the study file",
            help="The data to try the space on: `digits`, or a file or folder of yours.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a search space works on your data, and say what to mend.

    The command draws random architectures, builds each, and trains each for one step. The exit code is 0 if the space
    is sound and 2 if something must be mended.

        autokd check my_space.py --task digits

    If the space has a function `inherit` or `pretrained`, the command tests what it gives, too. With a study file whose
    students may begin from the teacher, it also compares a student of the teacher's own architecture with the teacher.

    With `--json` the keys are `space`, `task`, `sound`, `findings` (sentences), and `summary` of a sound space, with
    `choices`, `parameters_min`, `parameters_median` and `parameters_max`; and `starts`, what students of a study take
    over of its teacher.
    """
    from autokd.report.spaces import check, check_lines

    import_from_here()
    if Path(space).suffix in (".yaml", ".yml", ".json"):
        if task is not None:
            raise InputError(f"--task {task}: the study file {space} names its data; leave the option out")
        from autokd.report.study_check import check_study

        found = check_study(space)
    elif task is None:
        raise InputError(
            "give the data to try the space on, as in --task digits, or a study file in place of the space"
        )
    else:
        found = check(space, task)
    if as_json:
        say_json(asdict(found))
    else:
        say("\n".join(check_lines(found)))
    raise typer.Exit(0 if found.sound else 2)


def list_spaces(as_json: AsJson = False) -> None:
    """List the installed search spaces, with the rows and heads for which each is made, its size and its settings.

    Networks of each space are built for small images, features, tables and texts, and for each kind of head. The line
    after the name says what worked. The number of choices and the range of parameters are for grey images of 8x8
    pixels, colour images of 32x32 pixels, a table, and texts of 16 tokens. A space that makes networks of another
    library needs settings first; its line says how to look at it.

    With `--json` each space has the keys `name`, `about`, `rows`, `heads`, `sizes` (by kind of rows: `choices`,
    `parameters_min`, `parameters_median`, `parameters_max`), `settings`, `takes_settings` and `problem`.
    """
    from autokd.report.spaces import installed_spaces, spaces_lines

    found = installed_spaces()
    if as_json:
        say_json([asdict(each) for each in found])
    else:
        say("\n".join(spaces_lines(found)))


def print_schema() -> None:
    """Print the JSON Schema of a study file: every key, with its type, its default and what it means.

    Editors complete and check study files with it:

        autokd schema > study.schema.json
    """
    from autokd.study import Study

    say_json(Study.model_json_schema())


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to write into. It is made if it does not exist.")
    ],
) -> None:
    """Write a commented starter study and a search space of your own to change; both run as they are.

    No file that exists is replaced.
    """
    from autokd.study import write_starter

    for path in write_starter(folder):
        say(f"wrote {path}")
    say(f"next: cd {quote(str(folder))} && autokd search study.yaml")
