"""The command line: every command reads its words, calls one function, and prints what comes back."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from shlex import join, quote
from typing import TYPE_CHECKING, Annotated

import typer

from autokd.cli.answers import Commands, announce, say, take_interrupts, write_plainly
from autokd.cli.imports import OWN_PROCESS, apart, importing
from autokd.cli.words import read_numbers, read_seconds
from autokd.errors import InputError, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.status import Status

    from autokd.front import Front
    from autokd.study import Study

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From a large teacher to a Pareto front of small students.",
)

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, as `autokd search` writes it; or the study file of one.")
]
FolderOfStudy = Annotated[
    Path | None, typer.Option("--run", help="The run folder of a study file; runs/<study name> without it.")
]
OwnSpace = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="FILE",
        help="Your own file of the search space; as it was, if edited since.",
    ),
]


@app.command()
def search(
    context: typer.Context,
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="As budget.trials=20.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/<study name>]")] = None,
    prior: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="An earlier run of the same space to learn from.")
    ] = None,
    widen: Annotated[bool, typer.Option("--widen", help="Go on although the space got more choices.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Students that train at once.")] = None,
    executor: Annotated[str | None, typer.Option(help="inline, processes or ray.")] = None,
    time_limit: Annotated[str | None, typer.Option(help="Stop searching after so long: 90s, 10m, 2h.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over in a new folder; nothing is deleted.")] = False,
) -> None:
    """Search a study, or go on with it where it stopped; print the front and write report.html."""
    from autokd.study import load_study

    _import_from_here()
    given = [f"executor={executor}"] if executor is not None else []  # first: its settings may follow
    given += [*(overrides or []), *([f"workers={workers}"] if workers is not None else [])]
    seconds = None if time_limit is None else read_seconds(time_limit)
    read = load_study(study, given)
    with importing(context, workers=read.executor == "processes"):
        from autokd.driver import search_study, unused
        from autokd.report.live import LiveView
    folder = run or Path("runs") / read.name
    folder = unused(folder) if fresh else folder
    absolute = folder.absolute()  # the code of a study may change the current folder
    _refuse_unwritable_report(absolute)
    announce(f"run folder: {folder}")
    logging.getLogger("optuna").setLevel(logging.WARNING)
    log = logging.getLogger("autokd")
    log.setLevel(logging.INFO)
    try:
        with LiveView() as view:
            log.handlers = [view.log_handler()]
            front = search_study(read, run=absolute, prior=prior, widened=widen, seconds=seconds, progress=view.update)
    except KeyboardInterrupt:
        say(f"autokd: stopped; all that was done is kept in {folder}. The same command goes on.", file=sys.stderr)
        raise typer.Exit(130) from None
    _print_front(front)
    _write_report(context, absolute, read, shown=folder)


@app.command("front")
def show_front(
    run: RunFolder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    folder: FolderOfStudy = None,
) -> None:
    """Print the front of a run: a glance at it while the search goes on, the final one after."""
    found = _load(*_opened(run, folder))
    if as_json:
        say(json.dumps(found.to_dict(), indent=1))
    elif as_csv:
        from autokd.report.table import front_csv

        say(front_csv(found.to_dict()), end="")
    else:
        _print_front(found)


@app.command("pick")
def pick_student(
    run: RunFolder,
    by: Annotated[str, typer.Option(help="An objective, or knee: it loses least where it loses most.")] = "knee",
    weights: Annotated[str | None, typer.Option(help="As accuracy=2,latency_ms=1; instead of --by.")] = None,
    max_: Annotated[list[str] | None, typer.Option("--max", help="As parameters=20000; may be repeated.")] = None,
    min_: Annotated[list[str] | None, typer.Option("--min", help="As accuracy=0.9; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    folder: FolderOfStudy = None,
) -> None:
    """Pick one student of the front.

    A student is left out if all that it has over another one within the bounds is within the spread.
    """
    from dataclasses import asdict

    student = _load(*_opened(run, folder)).pick(
        by=by,
        weights=read_numbers(weights.split(",")) if weights else None,
        maximum=read_numbers(max_ or []),
        minimum=read_numbers(min_ or []),
    )
    if as_json:
        say(json.dumps(asdict(student), indent=1))
        return
    say(f"trial {student.trial}: " + ", ".join(f"{name} {value:.4g}" for name, value in student.values.items()))
    say(f"  architecture {json.dumps(student.arch)}")
    if student.recipe:  # a row of a table has none, and nothing to train or export
        say(f"  recipe       {json.dumps(student.recipe)}")
        which = join([str(run), *([] if folder is None else ["--run", str(folder)]), "--trial", str(student.trial)])
        say(f"  next: autokd retrain {which}, or autokd export {which} OUT")


@app.command("retrain")
def retrain_student(
    context: typer.Context,
    run: RunFolder,
    trial: Annotated[int, typer.Option(help="The trial's number.")],
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: as in the search]")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings with fresh seeds.")] = 5,
    reserve: Annotated[bool, typer.Option("--reserve", help="Also on the rows that the search left out.")] = False,
    space: OwnSpace = None,
    folder: FolderOfStudy = None,
    workers: Annotated[int, typer.Option(min=1, help="Trainings at once.")] = 2,
) -> None:
    """Train one student anew with several seeds; print mean and spread on validation and test."""
    from rich.console import Console

    at, study = _opened(run, folder, space)
    with importing(context, workers=True):
        from autokd.driver import retrain

    with Console(stderr=True).status("starting", spinner="line") as status:
        summary = retrain(
            at,
            trial,
            epochs=epochs,
            seeds=seeds,
            reserve=reserve,
            study=study,
            space=space,
            workers=workers,
            notify=_notify(status),
        )
    for split in ("validation", "test"):
        for name, (mean, spread) in summary[split].items():
            say(f"{split:10s} {name} {mean:.4f} +- {spread:.4f} ({seeds} seeds, {summary['epochs']} epochs)")
    say(f"weights of the best on validation: {summary['weights']}; autokd export now takes them")


@app.command("export")
def export_student(
    run: RunFolder,
    out: Annotated[str, typer.Argument(metavar="OUT", help="Ends in .safetensors, .pt2 or .onnx; a path or a URL.")],
    trial: Annotated[int, typer.Option(help="The trial's number.")],
    space: OwnSpace = None,
    folder: FolderOfStudy = None,
) -> None:
    """Write one student to a file: its retrained weights where there are any, else those of the search."""
    at, study = _opened(run, folder, space)
    from autokd.driver import export_trial

    say(export_trial(at, trial, out, study=study, space=space))


@app.command("report")
def write_report(run: RunFolder, folder: FolderOfStudy = None) -> None:
    """Write report.html into a run folder."""
    at, study = _opened(run, folder)
    from autokd.report.run import write_run_report

    say(str(write_run_report(at, study=study)))


@app.command("clean")
def clean_run(
    run: RunFolder,
    disk_gb: Annotated[float, typer.Option(min=0, help="What the trained students may take in all.")] = 0.0,
    folder: FolderOfStudy = None,
) -> None:
    """Free disk: weights of stopped students first, then of those off the front; the front's are kept."""
    from autokd.checkpoints import clean
    from autokd.record import read_trials

    at, study = _opened(run, folder)
    members = {student.trial for student in _load(at, study)}
    trials = read_trials(at, "sqlite" if study is None else study.record)
    say(f"{clean(at, trials, front=members, limit_gb=disk_gb):.3f} GB freed")


@app.command("latency-table")
def write_latency_table(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY.yaml", help="Its space, data and settings of latency_ms count.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="As objectives.latency_ms.runtime=onnx.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="The table; if it is there, what it lacks is added.")],
    number: Annotated[int, typer.Option(min=1, help="Random architectures to measure.")] = 200,
) -> None:
    """Measure latencies of a study's space on this machine, for searches to take them from."""
    from rich.console import Console

    from autokd.driver import measure_device
    from autokd.study import load_study

    _import_from_here()
    read = load_study(study, list(overrides or []))
    try:
        with Console(stderr=True).status("starting", spinner="line") as status:
            done, prediction = measure_device(read, out, number, notify=_notify(status))
    except KeyboardInterrupt:
        say(f"autokd: stopped; what was measured is in {out}. The same command goes on.", file=sys.stderr)
        raise typer.Exit(130) from None
    say(f"{out}: {done} architectures" + (f"; the others are predicted, {prediction}" if prediction else ""))
    words = join([str(study), *(overrides or []), f"objectives.latency_ms.table={out}"])
    say(f"next: autokd search {words}")


@app.command("check")
def check_space(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A plug-in's name, module:attr or path/to/space.py.")],
    task: Annotated[str, typer.Option(help="Data the space is tried on: digits, or a file.")],
) -> None:
    """Run the contract of a search space, and say in words what is wrong."""
    from autokd.report.spaces import check_lines

    _import_from_here()
    lines, sound = check_lines(space, task)
    say("\n".join(lines))
    raise typer.Exit(0 if sound else 2)


@app.command("spaces")
def list_spaces() -> None:
    """List the search spaces installed, with their numbers of choices and parameters."""
    from autokd.report.spaces import spaces_lines

    say("\n".join(spaces_lines()))


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of a study file."""
    from autokd.study import Study

    say(json.dumps(Study.model_json_schema(), indent=1))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if absent.")],
) -> None:
    """Write a commented starter study and a starter search space that run as they are."""
    from autokd.study import write_starter

    for path in write_starter(folder):
        say(f"wrote {path}")
    say(f"next: cd {quote(str(folder))} && autokd search study.yaml")


def main() -> None:
    """The command `autokd`."""
    take_interrupts()
    write_plainly()
    app(obj=OWN_PROCESS)


def _import_from_here() -> None:
    """Lets what the caller names be modules of the current folder; nothing that is installed is shadowed.

    A run folder that somebody else made may be the current one, so commands that were given no more do without.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _opened(given: Path, folder: Path | None, space: str | None = None) -> tuple[Path, Study | None]:
    """The run folder that was given; or that of the study file that was, and the study, whose code may be imported."""
    if space is not None:
        _import_from_here()
    if given.is_file():
        from autokd.study import load_study

        _import_from_here()
        study = load_study(given)
        return folder or Path("runs") / study.name, study
    if folder is not None:
        raise InputError(f"--run {folder}: {given} is no study file; give one, or the run folder alone")
    return given, None


def _load(run: Path, study: Study | None) -> Front:
    from autokd.driver import load_front

    return load_front(run, study=study)


def _notify(status: Status) -> Callable[[str], None]:
    """What shows a message beside a spinner as it is: names in it are neither markup nor commands to the terminal."""
    from rich.text import Text

    return lambda message: status.update(Text(printable(message)))


def _print_front(found: Front) -> None:
    from autokd.report.table import print_front

    print_front(found.to_dict())


def _refuse_unwritable_report(folder: Path) -> None:
    if (folder / "report.html").is_dir():
        raise InputError(f"{folder / 'report.html'} is a folder, and the report is to be that file; rename the folder")


def _write_report(context: typer.Context, folder: Path, study: Study, *, shown: Path) -> None:
    from concurrent.futures.process import BrokenProcessPool

    from autokd.report.run import write_run_report

    try:
        say(f"report: {shown / apart(context, write_run_report, folder, study=study).name}")
    except (InputError, BrokenProcessPool) as error:  # the search stands without its report
        say(f"no report: {error}", file=sys.stderr)
