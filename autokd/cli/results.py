"""Commands that read a run or free its disk: the front, its picture, the report, and what can be deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from autokd.cli.answers import say
from autokd.cli.given import FolderOfStudy, RunFolder, opened


def show_front(
    run: RunFolder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    folder: FolderOfStudy = None,
) -> None:
    """Print the front of a run: a glance at it while the search goes on, the final one after."""
    from autokd.driver import load_front

    at, study = opened(run, folder)
    found = load_front(at, study=study).to_dict()
    if as_json:
        say(json.dumps(found, indent=1))
    elif as_csv:
        from autokd.report.table import front_csv

        say(front_csv(found), end="")
    else:
        from autokd.report.table import print_front

        print_front(found)


def plot_front(
    run: RunFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The picture; its name ends in .svg or .png.")],
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
    """Draw the front of a run, with its teacher and its baselines, as a picture. This needs matplotlib.

    A hollow dot is a student whose advantages over another student are within the spread. The same front always gives
    the same file.
    """
    from autokd.driver import load_front
    from autokd.front.figure import write_figure

    at, study = opened(run, folder)
    write_figure(load_front(at, study=study).to_dict(), out, x=x, y=y, dark=dark)
    say(f"wrote {out}")


def write_report(run: RunFolder, folder: FolderOfStudy = None) -> None:
    """Write report.html into a run folder."""
    at, study = opened(run, folder)
    from autokd.report.run import write_run_report

    say(str(write_run_report(at, study=study)))


def clean_run(
    run: RunFolder,
    disk_gb: Annotated[float, typer.Option(min=0, help="What the trained students may take in all.")] = 0.0,
    folder: FolderOfStudy = None,
) -> None:
    """Free disk: weights of stopped students first, then of those off the front; the front's are kept."""
    from autokd.checkpoints import clean
    from autokd.driver import load_front
    from autokd.record import read_trials

    at, study = opened(run, folder)
    members = {student.trial for student in load_front(at, study=study)}
    trials = read_trials(at, "sqlite" if study is None else study.record)
    say(f"{clean(at, trials, front=members, limit_gb=disk_gb):.3f} GB freed")
