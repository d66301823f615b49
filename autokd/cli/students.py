"""Commands about one student of a front: picking, retraining and exporting."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import join
from typing import Annotated

import typer

from autokd.cli.answers import say, say_json
from autokd.cli.given import AsJson, FolderOfStudy, OwnSpace, OwnTask, RunFolder, TrialNumber, notifying, opened
from autokd.cli.imports import importing
from autokd.cli.words import read_numbers
from autokd.errors import InputError


def pick_student(
    run: RunFolder,
    by: Annotated[
        str,
        typer.Option(
            metavar="OBJECTIVE",
            help="Take the best in this objective; or `knee`, the student that is good in all objectives: its largest "
            "loss against the best value of an objective is the smallest.",
        ),
    ] = "knee",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=WEIGHT,...",
            help="How much each objective matters, as `accuracy=2,latency_ms=1`. This replaces `--by`.",
        ),
    ] = None,
    max_: Annotated[
        list[str] | None,
        typer.Option(
            "--max", metavar="NAME=VALUE", help="The most an objective may be, as `parameters=20000`. Repeatable."
        ),
    ] = None,
    min_: Annotated[
        list[str] | None,
        typer.Option(
            "--min", metavar="NAME=VALUE", help="The least an objective may be, as `accuracy=0.9`. Repeatable."
        ),
    ] = None,
    as_json: AsJson = False,
    folder: FolderOfStudy = None,
) -> None:
    """Pick one student of the front, by what you need.

    Students whose only advantages over another student are smaller than the measurement's spread are not picked.

    For example, the most accurate student with at most 20,000 parameters:

        autokd pick runs/digits --by accuracy --max parameters=20000

    With `--json` the keys are `trial`, `arch`, `recipe`, `values`, `spread`, `seeds`, `test` and `within_noise`. If
    the search varies what students see of a row, there is also `reading`, and for a student that began with weights
    from elsewhere `start`.
    """
    from autokd.driver import load_front

    at, study = opened(run, folder)
    student = load_front(at, study=study).pick(
        by=by,
        weights=read_numbers(weights.split(",")) if weights else None,
        maximum=read_numbers(max_ or []),
        minimum=read_numbers(min_ or []),
    )
    if as_json:
        say_json(student.to_dict())
        return
    say(f"trial {student.trial}: " + ", ".join(f"{name} {value:.4g}" for name, value in student.values.items()))
    if student.reading:
        say(f"  reading      {json.dumps(student.reading)}")
    say(f"  architecture {json.dumps(student.arch)}")
    if student.recipe:  # a row of a table has none, and nothing to train or export
        say(f"  recipe       {json.dumps(student.recipe)}")
        own = study is None and _uses_own_code(at)
        elsewhere = at if own else folder
        named = ["STUDY.yaml" if own else str(run), *([] if elsewhere is None else ["--run", str(elsewhere)])]
        which = join([*named, "--trial", str(student.trial)])
        say(f"  next: autokd retrain {which}, or autokd export {which} student.onnx")
        if own:
            say("  STUDY.yaml is the study file of this run: the run uses code of your own, which only you can name.")


def _uses_own_code(run: Path) -> bool:
    """Whether a run names code that is not installed, so that its students are built only if the user names it, too."""
    from autokd.registry import is_installed
    from autokd.study import read_setup

    setup = read_setup(run)
    recipe, objectives = setup.study.get("recipe"), setup.study.get("objectives")
    methods = recipe.get("method") if isinstance(recipe, dict) else None
    named = [("search_spaces", setup.study.get("space"))]
    named += [] if setup.task else [("tasks", setup.study.get("task"))]
    named += [("losses", each) for each in (methods if isinstance(methods, list) else [methods])]
    named += [("objectives", each) for each in (objectives if isinstance(objectives, dict) else [None])]
    if all(isinstance(each, str) and is_installed(group, each) for group, each in named):
        return False  # as nearly always; it is known before the model of a study is imported
    from autokd.study import TO_TRAIN, as_let_in

    try:
        as_let_in(run, setup, TO_TRAIN)
    except InputError:
        return True
    return False


def retrain_student(
    context: typer.Context,
    run: RunFolder,
    trial: TrialNumber,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, show_default="as many as in the search", help="How many epochs each training takes."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many trainings, each with a fresh seed.")] = 5,
    reserve: Annotated[
        bool, typer.Option("--reserve", help="Also train on the training rows that the search left out.")
    ] = False,
    space: OwnSpace = None,
    task: OwnTask = None,
    folder: FolderOfStudy = None,
    workers: Annotated[int, typer.Option(min=1, help="How many trainings run at once.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Train one student again with several seeds, and print its mean scores on the validation and test splits.

    The weights that score best on validation are kept, and `autokd export` takes them from then on.

    With `--json` the keys are `trial`, `seeds`, `epochs`, `validation` and `test` (each objective with `mean` and
    `spread`, the standard deviation over the seeds), and `weights`, the folder with the best weights. If the
    student begins with weights from elsewhere, `start` says what it takes over.
    """
    from rich.console import Console

    from autokd.front.starts import SHARED, taken_words

    at, study = opened(run, folder, space, task)
    with importing(context, workers=True):
        from autokd.driver import retrain

    with Console(stderr=True).status("Starting.", spinner="line") as status:
        summary = retrain(
            at,
            trial,
            epochs=epochs,
            seeds=seeds,
            reserve=reserve,
            study=study,
            space=space,
            task=task,
            workers=workers,
            notify=notifying(status),
        )
    if as_json:
        splits = {
            split: {name: {"mean": mean, "spread": spread} for name, (mean, spread) in summary[split].items()}
            for split in ("validation", "test")
        }
        found = {"trial": trial, "seeds": seeds, "epochs": summary["epochs"], **splits, "weights": summary["weights"]}
        found |= {"start": summary["start"]} if "start" in summary else {}
        say_json(found)
        return
    for split in ("validation", "test"):
        for name, (mean, spread) in summary[split].items():
            say(f"{split:10s} {name} {mean:.4f} +- {spread:.4f} ({seeds} seeds, {summary['epochs']} epochs)")
    if "start" in summary:
        say(f"Each training began with the same weights from elsewhere: {taken_words(summary['start'])}. {SHARED}")
    say(f"The weights that are best on validation are in {summary['weights']}. autokd export now takes them.")


def export_student(
    run: RunFolder,
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="The file to write, a path or a URL. Its suffix names the format: `.safetensors`, `.pt2` or `.onnx`.",
        ),
    ],
    trial: TrialNumber,
    space: OwnSpace = None,
    task: OwnTask = None,
    folder: FolderOfStudy = None,
    as_json: AsJson = False,
) -> None:
    """Write one student to a file: with its retrained weights if there are any, else with those of the search.

    `.safetensors` writes the weights with a model card and `config.json` beside them, for `autokd.load_predictor`.
    `.pt2` is PyTorch's exported program. `.onnx` needs the extra `onnx`: `pip install 'autokd[onnx]'`. Both take raw
    rows, such as uint8 pixels; only the `.pt2` of a table takes encoded features. Their outputs are compared with the
    student's, and a file that differs is not written.

    With `--json` the keys are `trial`, `out` and `message`.
    """
    at, study = opened(run, folder, space, task)
    from autokd.driver import export_trial
    from autokd.errors import without_secrets

    message = export_trial(at, trial, out, study=study, space=space, task=task)
    found = {"trial": trial, "out": without_secrets(out), "message": message}
    if as_json:
        say_json(found)
    else:
        say(message)
