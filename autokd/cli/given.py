"""What several commands are given: a run folder, or the study file of one, and code of one's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autokd.cli.completion import complete_runs, complete_spaces
from autokd.errors import InputError, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.status import Status

    from autokd.study import Study

RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        autocompletion=complete_runs,
        help="A run folder, as `autokd search` writes it; or a study file, which stands for `runs/<study name>`.",
    ),
]
FolderOfStudy = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="FOLDER",
        show_default="runs/<study name>",
        help="The run folder, if RUN is a study file.",
    ),
]
OwnSpace = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="FILE",
        autocompletion=complete_spaces,
        help="The Python file with your own search space, if the run uses one. If you edited the file since the "
        "search, give a copy of the file as the search used it.",
    ),
]
OwnTask = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="FILE",
        help="The Python file with your own task, if the study names a function that makes the task. If you edited the "
        "file since the search, give a copy of the file as the search used it.",
    ),
]
TrialNumber = Annotated[
    int, typer.Option(metavar="NUMBER", help="The trial of the student; `autokd front` shows the numbers.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, for programs.")]


def import_from_here() -> None:
    """Lets what the caller names be modules of the current folder; nothing that is installed is shadowed.

    A run folder that somebody else made may be the current one, so commands that were given no more do without.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def opened(given: Path, folder: Path | None, *own: str | None) -> tuple[Path, Study | None]:
    """The run folder that was given; or that of the study file that was, and the study, whose code may be imported.

    Args:
        given: the run folder or the study file.
        folder: the run folder of a study file.
        own: files of the caller's own code, or None for each that was not given.
    """
    if any(own):
        import_from_here()
    if given.is_file():
        from autokd.study import load_study

        import_from_here()
        study = load_study(given)
        return folder or Path("runs") / study.name, study
    if folder is not None:
        raise InputError(
            f"--run {folder} was given with {given}, which is no study file; give a study file with --run, or the run "
            "folder alone"
        )
    return given, None


def notifying(status: Status) -> Callable[[str], None]:
    """What shows a message beside a spinner as it is: names in it are neither markup nor commands to the terminal."""
    from rich.text import Text

    return lambda message: status.update(Text(printable(message)))
