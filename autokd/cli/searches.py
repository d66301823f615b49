"""Commands that train or measure: a search, and a table of latencies."""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from shlex import join, quote
from typing import TYPE_CHECKING, Annotated

import typer

from autokd.cli.answers import announce, say
from autokd.cli.completion import complete_executors, complete_keys, complete_runs
from autokd.cli.given import import_from_here, notifying
from autokd.cli.imports import apart, importing
from autokd.cli.words import read_seconds
from autokd.errors import InputError

if TYPE_CHECKING:
    from autokd.study import Study

StudyFile = Annotated[
    Path, typer.Argument(metavar="STUDY.yaml", help="The study file: the task, the teacher, the space and so on.")
]
_AGAIN = "the same command continues from there."

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        autocompletion=complete_keys,
        help="Keys of the study with other values than in the file, as `budget.trials=20`.",
    ),
]


def search(
    context: typer.Context,
    study: StudyFile,
    overrides: Overrides = None,
    run: Annotated[
        Path | None, typer.Option(metavar="FOLDER", show_default="runs/<study name>", help="The run folder.")
    ] = None,
    prior: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            autocompletion=complete_runs,
            help="The run folder of an earlier search of the same space. Its trials guide the proposals of this search "
            "and count for nothing else; its teacher and data may differ.",
        ),
    ] = None,
    widen: Annotated[
        bool, typer.Option("--widen", help="Continue the run although its space or recipe has gained choices.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, show_default="as in the study", help="How many students train at once.")
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            autocompletion=complete_executors,
            show_default="as in the study",
            help="Where students train: `inline` (in this process), `processes`, or `ray`.",
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Start no training of the search after this time, as `90s`, `10m` or `2h`. Training the front again "
            "with fresh seeds, and baselines, come after that.",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over in a new folder; the earlier run is not deleted.")
    ] = False,
) -> None:
    """Search for small students as a study file says; print the Pareto front and write `report.html`.

    If the run folder holds an unfinished run of this study, the search continues where the run stopped. Ctrl-C stops a
    search in order, and the same command continues it.

    For example, with 20 trials instead of the number in the file:

        autokd search study.yaml budget.trials=20
    """
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
    if find_spec("plotly") is None:
        say(
            "autokd: The search will end without report.html, which needs plotly: pip install 'autokd[report]'. After "
            f"that, `autokd report {quote(str(folder))}` writes the report.",
            file=sys.stderr,
        )
    logging.getLogger("optuna").setLevel(logging.WARNING)
    log = logging.getLogger("autokd")
    log.setLevel(logging.INFO)
    try:
        with LiveView() as view:
            log.handlers = [view.log_handler()]
            front = search_study(read, run=absolute, prior=prior, widened=widen, seconds=seconds, tell=view.tell)
    except KeyboardInterrupt:
        say(f"autokd: The search was stopped. Everything done so far is in {folder}; {_AGAIN}", file=sys.stderr)
        raise typer.Exit(130) from None
    print_front(front.to_dict())
    _write_report(context, absolute, read, shown=folder)
    from autokd.record import dashboard_command

    say(f"To look at all trials in the browser, run: {dashboard_command(folder, read.record)}")


def write_latency_table(
    study: StudyFile,
    overrides: Overrides = None,
    *,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The table to write. If the file exists, missing rows are added.")
    ],
    number: Annotated[int, typer.Option(min=1, help="How many random architectures to measure.")] = 200,
) -> None:
    """Measure the latencies of random architectures of a study's space on this machine, and keep them in a table.

    A search whose study has `latency_ms: {table: FILE}` takes known latencies from the table and adds those that it
    measures. The space, the data and the settings of `latency_ms` are taken from the study.

        autokd latency-table study.yaml --out latencies.jsonl
    """
    from rich.console import Console

    from autokd.driver import measure_device
    from autokd.study import load_study

    import_from_here()
    read = load_study(study, list(overrides or []))
    try:
        with Console(stderr=True).status("Starting.", spinner="line") as status:
            done, prediction = measure_device(read, out, number, notify=notifying(status))
    except KeyboardInterrupt:
        say(f"autokd: The measurement was stopped. Everything measured so far is in {out}; {_AGAIN}", file=sys.stderr)
        raise typer.Exit(130) from None
    say(
        f"{out} holds the latencies of {done} architectures."
        + (f" Others are predicted, {prediction}." if prediction else "")
    )
    words = join([str(study), *(overrides or []), f"objectives.latency_ms.table={out}"])
    say(f"next: autokd search {words}")


def _refuse_unwritable_report(folder: Path) -> None:
    if (folder / "report.html").is_dir():
        raise InputError(
            f"{folder / 'report.html'} is a folder, and the report is written to a file of that name; rename the folder"
        )


def _write_report(context: typer.Context, folder: Path, study: Study, *, shown: Path) -> None:
    from concurrent.futures.process import BrokenProcessPool

    from autokd.report.run import write_run_report

    try:
        say(f"report: {shown / apart(context, write_run_report, folder, study=study).name}")
    except (InputError, BrokenProcessPool) as error:  # the search stands without its report
        say(f"autokd: The report was not written: {error}", file=sys.stderr)
