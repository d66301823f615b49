"""Commands about one student of a front: picking, retraining and exporting."""

from __future__ import annotations

import json
from shlex import join
from typing import Annotated

import typer

from autokd.cli.answers import say
from autokd.cli.given import FolderOfStudy, OwnSpace, RunFolder, notifying, opened
from autokd.cli.imports import importing
from autokd.cli.words import read_numbers


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

    from autokd.driver import load_front

    at, study = opened(run, folder)
    student = load_front(at, study=study).pick(
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

    at, study = opened(run, folder, space)
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
            notify=notifying(status),
        )
    for split in ("validation", "test"):
        for name, (mean, spread) in summary[split].items():
            say(f"{split:10s} {name} {mean:.4f} +- {spread:.4f} ({seeds} seeds, {summary['epochs']} epochs)")
    say(f"weights of the best on validation: {summary['weights']}; autokd export now takes them")


def export_student(
    run: RunFolder,
    out: Annotated[str, typer.Argument(metavar="OUT", help="Ends in .safetensors, .pt2 or .onnx; a path or a URL.")],
    trial: Annotated[int, typer.Option(help="The trial's number.")],
    space: OwnSpace = None,
    folder: FolderOfStudy = None,
) -> None:
    """Write one student to a file: its retrained weights where there are any, else those of the search."""
    at, study = opened(run, folder, space)
    from autokd.driver import export_trial

    say(export_trial(at, trial, out, study=study, space=space))
