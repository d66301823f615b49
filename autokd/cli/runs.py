"""Commands on run folders: which there are, and freeing the disk that one takes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autokd.cli.answers import say, say_json
from autokd.cli.completion import complete_runs
from autokd.cli.given import AsJson, FolderOfStudy, RunFolder, opened
from autokd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autokd.checkpoints import Excess


def list_runs(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", autocompletion=complete_runs, help="The folder that holds the run folders."),
    ] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List the runs in a folder: how each stands, and how good it is so far.

    A run is `running` while a search on this machine works on it, `finished` once it has its final front, and
    `stopped` otherwise; the same `autokd search` continues a stopped run. If a run is damaged, or its record lies
    outside its folder, its line says so. Nothing is changed, and no code that a run names is imported.

    With `--json` each run has the keys `run`, `state`, `changed` and `problem`; a run that can be read also has
    `study`, `trials`, `front`, `hypervolume` and `best`.
    """
    from autokd.report.runs import find_runs, run_state, runs_lines

    states = [run_state(run) for run in find_runs(folder)]
    if as_json:
        say_json(states)
    else:
        say("\n".join(runs_lines(states)) if states else f"There are no runs in {folder}.")


def clean_run(
    run: RunFolder,
    disk_gb: Annotated[
        float, typer.Option(min=0, metavar="GB", help="How many gigabytes the trained students may keep.")
    ] = 0.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: AsJson = False,
    folder: FolderOfStudy = None,
) -> None:
    """Delete the weights of students that are not on the front, to free disk space.

    Students that were stopped early go first, then other students off the front, the oldest first. The students of the
    front stay. What was deleted stays in the record, and `autokd retrain` trains such a student again.

    The command says what it would delete and asks first. Where nobody can answer, in a script, give `--yes`.

    With `--json` the keys are `deleted` (each with `trial`, `complete` and `gb`) and `freed_gb`.
    """
    from dataclasses import asdict

    from autokd.checkpoints import drop, excess, trial_folder
    from autokd.driver import load_front
    from autokd.record import read_trials

    at, study = opened(run, folder)
    if (at / "trials").is_symlink():
        raise InputError(
            f"{at / 'trials'} is a link, and clean deletes nothing outside a run folder; move what the link leads to "
            "into the run folder"
        )
    members = {student.trial for student in load_front(at, study=study)}
    trials = read_trials(at, "sqlite" if study is None else study.record)
    found = excess(at, trials, front=members, limit_gb=disk_gb)
    if found and not yes:
        _ask(found, at)
    for each in found:
        drop(trial_folder(at, each.trial))
    freed = sum(each.gb for each in found)
    if as_json:
        say_json({"deleted": [asdict(each) for each in found], "freed_gb": freed})
    else:
        say(f"{freed:.3f} GB were freed." if found else "There is nothing to delete.")


def _ask(found: Sequence[Excess], run: Path) -> None:
    """Asks on stderr whether all this may be deleted.

    Raises:
        InputError: nobody can answer.
        Exit: the answer is no.
    """
    complete = sum(each.complete for each in found)
    what = f"the weights of {len(found) - complete} students that were stopped early and {complete} off the front"
    size = f"{sum(each.gb for each in found):.3f} GB in {run}"
    if not sys.stdin.isatty():
        raise InputError(f"clean would delete {what}, {size}, and nobody can be asked here; add --yes to delete them")
    if not typer.confirm(f"Delete {what} ({size})?", err=True):
        say("Nothing was deleted.", file=sys.stderr)
        raise typer.Exit(1)
