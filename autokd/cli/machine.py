"""The command about this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autokd.cli.answers import say, say_json
from autokd.cli.given import AsJson
from autokd.cli.imports import importing


def examine_machine(
    context: typer.Context,
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder where run folders would go.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Say what this machine offers: versions, devices, disk, and what each extra would add.

    The command also tries whether worker processes start and whether a record can be kept where runs would go. The
    exit code is 0 if searches can run here, even if there are warnings, and 2 if they cannot.

    With `--json` the keys are `autokd`, `python`, `platform`, `packages`, `extras`, `devices`, `cores`, `threads`,
    `runs`, `warnings` and `problems`.
    """
    with importing(context, workers=True):
        from autokd.report.doctor import diagnose, doctor_lines
    found = diagnose(runs)
    if as_json:
        say_json(found)
    else:
        say("\n".join(doctor_lines(found)))
    raise typer.Exit(2 if found["problems"] else 0)
