"""The command line: every command reads its words, calls one function, and prints what comes back."""

from __future__ import annotations

import typer

from autokd.cli.answers import Commands, take_interrupts, write_plainly
from autokd.cli.imports import OWN_PROCESS
from autokd.cli.results import clean_run, plot_front, show_front, write_report
from autokd.cli.searches import search, write_latency_table
from autokd.cli.starting import check_space, init, list_spaces, print_schema
from autokd.cli.students import export_student, pick_student, retrain_student

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From a large teacher to a Pareto front of small students.",
)
app.command("search")(search)
app.command("front")(show_front)
app.command("plot")(plot_front)
app.command("pick")(pick_student)
app.command("retrain")(retrain_student)
app.command("export")(export_student)
app.command("report")(write_report)
app.command("clean")(clean_run)
app.command("latency-table")(write_latency_table)
app.command("check")(check_space)
app.command("spaces")(list_spaces)
app.command("schema")(print_schema)
app.command("init")(init)


def main() -> None:
    """The command `autokd`."""
    take_interrupts()
    write_plainly()
    app(obj=OWN_PROCESS)
