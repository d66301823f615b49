"""Commands that train or measure: a search, and a table of latencies."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated

import typer

from autokd.cli.answers import announce, say
from autokd.cli.given import import_from_here, notifying
from autokd.cli.imports import apart, importing
from autokd.cli.words import read_seconds
from autokd.errors import InputError

if TYPE_CHECKING:
    from autokd.study import Study


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

    import_from_here()
    given = [f"executor={executor}"] if executor is not None else []  # first: its settings may follow
    given += [*(overrides or []), *([f"workers={workers}"] if workers is not None else [])]
    seconds = None if time_limit is None else read_seconds(time_limit)
    read = load_study(study, given)
    with importing(context, workers=read.executor == "processes"):
        from autokd.driver import search_study, unused
        from autokd.report.live import LiveView
        from autokd.report.table import print_front
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
    print_front(front.to_dict())
    _write_report(context, absolute, read, shown=folder)


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

    import_from_here()
    read = load_study(study, list(overrides or []))
    try:
        with Console(stderr=True).status("starting", spinner="line") as status:
            done, prediction = measure_device(read, out, number, notify=notifying(status))
    except KeyboardInterrupt:
        say(f"autokd: stopped; what was measured is in {out}. The same command goes on.", file=sys.stderr)
        raise typer.Exit(130) from None
    say(f"{out}: {done} architectures" + (f"; the others are predicted, {prediction}" if prediction else ""))
    words = join([str(study), *(overrides or []), f"objectives.latency_ms.table={out}"])
    say(f"next: autokd search {words}")


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
