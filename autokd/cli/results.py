"""Commands that show what a run found: the front, its picture, the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autokd.cli.answers import say, say_json
from autokd.cli.given import AsJson, FolderOfStudy, RunFolder, opened


def show_front(
    run: RunFolder,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with a line for each student.")] = False,
    folder: FolderOfStudy = None,
) -> None:
    """Print the Pareto front of a run: the students that no other student beats in every objective.

    While a search is running, or if it was stopped, the front is preliminary: no student was trained again with fresh
    seeds, and the test split was not read.

    With `--json` the command prints what `front.json` holds. The most important keys are `front` (each student with
    `trial`, `arch`, `recipe`, `values`, `spread` and `test`), `objectives`, `teacher`, `baselines`, `hypervolume`,
    `trials` and `final`.
    """
    from autokd.driver import load_front

    at, study = opened(run, folder)
    found = load_front(at, study=study).to_dict()
    if as_json:
        say_json(found)
    elif as_csv:
        from autokd.report.table import front_csv

        say(front_csv(found), end="")
    else:
        from autokd.report.table import print_front

        print_front(found)


def plot_front(
    run: RunFolder,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The picture to write. Its name ends in `.svg` or `.png`.")
    ],
    x: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The objective of the horizontal axis.",
            show_default="a panel for each objective but the vertical one",
        ),
    ] = None,
    y: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The objective of the vertical axis.",
            show_default="the first that is maximised",
        ),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="For a dark page: light ink and no background.")] = False,
    folder: FolderOfStudy = None,
) -> None:
    """Draw the front of a run, with its teacher and its baselines, as a picture.

    A hollow dot is a student whose only advantages over another student are smaller than the spread. The same front
    always gives the same file. The picture needs the extra `plot`: `pip install 'autokd[plot]'`.

        autokd plot runs/digits front.svg
    """
    from autokd.driver import load_front
    from autokd.front.figure import write_figure

    at, study = opened(run, folder)
    write_figure(load_front(at, study=study).to_dict(), out, x=x, y=y, dark=dark)
    say(f"wrote {out}")


def write_report(run: RunFolder, as_json: AsJson = False, folder: FolderOfStudy = None) -> None:
    """Write `report.html` into a run folder, and print the path of the file.

    The report is one file with charts, tables and settings. It loads nothing from the network. `autokd search` writes
    the report at its end, too. The report needs the extra `report`: `pip install 'autokd[report]'`.

    With `--json` the key is `report`, the path.
    """
    at, study = opened(run, folder)
    from autokd.report.run import write_run_report

    path = str(write_run_report(at, study=study))
    if as_json:
        say_json({"report": path}, indent=None)
    else:
        say(path)
