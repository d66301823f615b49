"""The command line: every command reads its words, calls one function, and prints what comes back."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from autokd.cli.answers import Commands, say, take_interrupts, write_plainly
from autokd.cli.imports import OWN_PROCESS
from autokd.cli.machine import examine_machine
from autokd.cli.results import plot_front, show_front, write_report
from autokd.cli.runs import clean_run, list_runs
from autokd.cli.searches import search, write_latency_table
from autokd.cli.starting import check_space, init, list_spaces, print_schema
from autokd.cli.students import export_student, pick_student, retrain_student

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

_BEFORE, _SEARCH, _AFTER = "Before a search", "Search", "After a search"

app.command("init", rich_help_panel=_BEFORE)(init)
app.command("check", rich_help_panel=_BEFORE)(check_space)
app.command("spaces", rich_help_panel=_BEFORE)(list_spaces)
app.command("schema", rich_help_panel=_BEFORE)(print_schema)
app.command("latency-table", rich_help_panel=_BEFORE)(write_latency_table)
app.command("doctor", rich_help_panel=_BEFORE)(examine_machine)
app.command("search", rich_help_panel=_SEARCH)(search)
app.command("runs", rich_help_panel=_AFTER)(list_runs)
app.command("front", rich_help_panel=_AFTER)(show_front)
app.command("plot", rich_help_panel=_AFTER)(plot_front)
app.command("pick", rich_help_panel=_AFTER)(pick_student)
app.command("retrain", rich_help_panel=_AFTER)(retrain_student)
app.command("export", rich_help_panel=_AFTER)(export_student)
app.command("report", rich_help_panel=_AFTER)(write_report)
app.command("clean", rich_help_panel=_AFTER)(clean_run)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"autokd {version('autokd')}")
        raise typer.Exit


@app.callback()
def every_command(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version of AutoKD and exit."),
    ] = False,
) -> None:
    """AutoKD takes a large teacher and finds small students: a Pareto front of accuracy against cost.

    A new study begins with `autokd init DIR`. `autokd COMMAND --help` explains a command.

    Exit codes: 0 if the command did what was asked; 2 if something that was given cannot be used, with one line on
    stderr that says what to do; 1 if a search trained no student to the end, or if you answered no; 130 after Ctrl-C.
    """


def main() -> None:
    """The command `autokd`."""
    take_interrupts()
    write_plainly()
    app(obj=OWN_PROCESS)
