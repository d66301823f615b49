"""Trains a student of a run anew after the search, or exports it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from statistics import fmean, stdev
from typing import Annotated, Any

from pydantic import Field
from torch import nn

from autokd.checkpoints import OPTIMIZER, drop, is_student, whole_checkpoint
from autokd.distill import load_weights
from autokd.driver.events import Notify, tell_nobody
from autokd.driver.loop import Work, open_executor, train_all
from autokd.driver.preparation import apart
from autokd.driver.teaching import with_test_answers
from autokd.errors import START_OVER, InputError, said
from autokd.export import export_student, task_shape
from autokd.files import given_path, read_json, write_json
from autokd.readings import raw_rows
from autokd.record import TrialRecord, read_trials
from autokd.record.test_reads import note_test_read
from autokd.registry import reference_of, source_digest
from autokd.study import (
    TO_BUILD,
    TO_TEACH,
    TO_TRAIN,
    Setup,
    Study,
    as_let_in,
    builder_of,
    changed_since,
    not_importable,
    read_setup,
    space_sources,
    task_sources,
)
from autokd.study.explanation import read
from autokd.teachers.cache import refuse_damaged
from autokd.trial import (
    Context,
    Stretch,
    context_of,
    evaluate,
    load_context,
    refuse_changed,
    run_stretch_in,
    training_seed,
    why_lost,
)
from autokd.types import Recipe, settings_of


def retrain(
    run: str | Path,
    number: int,
    *,
    epochs: int | None = None,
    seeds: int = 5,
    reserve: bool = False,
    study: Study | None = None,
    space: object = None,
    task: object = None,
    workers: int = 2,
    notify: Notify = tell_nobody,
) -> dict[str, Any]:
    """Trains one student anew and keeps the weights that are best on validation for `export_trial`.

    Args:
        run: the run folder.
        number: the number of the trial.
        epochs: the full budget; None means as many as in the search.
        seeds: the number of trainings, each with a fresh seed.
        reserve: whether to train on the training rows that the search left out, too; the teacher is asked about them.
        study: the caller's own study of this run, as `load_study` reads it. It is needed if the run names code that is
            not an installed plug-in, or if its record is in a database outside the folder.
        space: the search space of the run: the file that holds the space as it was in the search, a reference, or the
            space itself. It is needed if the space is not an installed plug-in and `study` does not name it, or if the
            space was edited since.
        task: the task of the run, if no file in the run folder holds the task: the file that makes the task, a
            reference, or the task itself. It is needed if the task is not an installed plug-in and `study` does not
            name it, or if its code was edited since.
        workers: the number of trainings at once; if no other process can import the space or the task, they run one
            after another in this process.
        notify: is told how many trainings are done, about twice a second.

    Returns:
        `{"validation": {objective: (mean, spread)}, "test": ..., "epochs": ..., "weights": folder}`.

    Raises:
        InputError: there is no such trial, the study's parts may not or cannot be imported or were edited, or every
            training failed.
    """
    run = given_path("run", run).absolute()
    number, seeds, workers = (
        read(Annotated[int, Field(ge=least)], given, key=key)
        for key, given, least in (("trial", number, 0), ("seeds", seeds, 1), ("workers", workers, 1))
    )
    epochs = read(Annotated[int, Field(ge=1)] | None, epochs, key="epochs")
    trial = _trial(run, number, study)
    parts = TO_TRAIN | TO_TEACH if reserve else TO_TRAIN
    setup = as_let_in(run, read_setup(run), parts, study=study, space=space, task=task)
    lost = not_importable(Study.model_validate(setup.study))
    here = "space" in lost or ("task" in lost and not setup.task)  # worker processes cannot import it
    context = _context_to_train(run, setup)
    refuse_damaged(run / setup.outputs)
    refuse_changed(run, context.edited(setup))
    home = run / "retrained" / f"{number:05d}"
    apart_is_needed = reserve or ((space is not None or task is not None) and not here)
    data = apart(run, home, setup, context.task, reserve=reserve, notify=notify) if apart_is_needed else run
    if reserve:
        context = context_of(data, read_setup(data).model_copy(update={"study": setup.study}))
    recipe = Recipe(**trial.recipe)
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    arch = trial.arch or {}
    names = [f"seed-{repeat}-epochs-{recipe.epochs}{'-reserve' if reserve else ''}" for repeat in range(1, seeds + 1)]
    stretches = [
        Stretch(
            trial=number,
            arch=arch,
            recipe=recipe,
            seed=training_seed(arch, recipe, context.study.seed, repeat, reading=trial.reading),
            start=0,
            stop=recipe.epochs,
            source="",
            folder=str(home / name),
            reading=trial.reading,
        )
        for repeat, name in enumerate(names, start=1)
    ]
    _refuse_unwritable(home)
    work: Work = context.run if here else functools.partial(run_stretch_in, str(data))
    with open_executor("inline" if here else "processes", min(workers, seeds)) as executor:
        minutes = context.study.budget.trial_minutes
        results = train_all(executor, work, stretches, minutes=minutes, notify=notify)
    folders = [stretch.folder for stretch in stretches]
    good = [(Path(folder), results[folder]["values"]) for folder in folders if "error" not in results[folder]]
    if not good:
        reason = results[folders[0]]["error"]
        raise InputError(f"trial {number} could not be trained: {reason}; see error.txt in the folders of {home}")
    for folder, _ in good:
        drop(folder, OPTIMIZER)
    first = next(objective for objective in context.objectives if objective.trained)
    sign = 1 if first.direction == "maximize" else -1
    best, values = max(good, key=lambda pair: sign * pair[1][first.name])
    tests = []
    if len(context.task.splits["test"]):
        note_test_read(run, f"trial {number} retrained with {seeds} seeds")
        seen = with_test_answers(context, run, setup, notify, own=study).seen_through(trial.reading)
        tests = [evaluate(seen, _load_student(seen, arch, folder), "test") for folder, _ in good]
    summary = {
        "validation": _spread([values for _, values in good]),
        "test": _spread(tests),
        "epochs": recipe.epochs,
        "weights": str(best),
    }
    start = results[str(best)].get("start")
    summary |= {"start": start} if start else {}
    write_json(home / "retrained.json", summary | {"seed": best.name, "values": values, "recipe": settings_of(recipe)})
    return summary


def load_trial(
    run: str | Path, number: int, *, study: Study | None = None, space: object = None, task: object = None
) -> nn.Module:
    """One student with its weights, in eval mode, on the CPU: the retrained one if any, else the search's own.

    Args:
        run: the run folder.
        number: the number of the trial.
        study: as `retrain` takes it.
        space: as `retrain` takes it.
        task: as `retrain` takes it.

    Raises:
        InputError: there is no such trial, its space may not be imported or was edited, or its weights are gone.
    """
    kept = _kept(given_path("run", run).absolute(), number, study, space, task)
    return _load_student(kept.context, kept.arch, kept.folder)


def export_trial(
    run: str | Path,
    number: int,
    out: str | Path,
    *,
    study: Study | None = None,
    space: object = None,
    task: object = None,
) -> str:
    """Writes the student that `load_trial` gives to `out`, and returns a line that says which student this is.

    Args:
        run: the run folder.
        number: the number of the trial.
        out: a path or a URL, as `export_student` takes it.
        study: as `retrain` takes it.
        space: as `retrain` takes it.
        task: as `retrain` takes it.

    Raises:
        InputError: the student cannot be loaded, as `load_trial` says, or the file cannot be written or differs from
            the student.
    """
    kept = _kept(given_path("run", run).absolute(), number, study, space, task)
    context, setup = kept.context, kept.setup
    rows = context.task.splits["validation"][:64]
    reading, raw = raw_rows(context.task, rows)
    space, named, arch = builder_of(context.space, kept.arch)
    said = export_student(
        _load_student(context, kept.arch, kept.folder),
        context.task.inputs(rows),
        out,
        card={
            "space": _space_reference(context, named),
            "space_digest": source_digest(space),
            "arch": arch,
            "recipe": kept.recipe,
            "task": task_shape(context.task),
            "values": kept.values,
            "seeds": [
                training_seed(
                    kept.arch, Recipe(**kept.recipe), context.study.seed, kept.repeat, reading=context.reading
                )
            ],
            "reading": None if reading is None else reading.plain(),
            "origin": kept.origin,
            "start": _start(kept),
            "picked_reading": dict(context.reading),
            "teacher": {**setup.teacher, "digest": setup.digests.teacher},
            "versions": {k: v for k, v in setup.environment.items() if k in ("autokd", "torch", "python")},
        },
        rows=raw,
    )
    return f"trial {number} ({kept.origin}): {said}"


@dataclass(frozen=True)
class _Kept:
    """A student whose weights are kept.

    Args:
        context: the context in which the student was trained.
        setup: what the run was begun with.
        arch: the student's architecture.
        folder: the folder with the weights.
        values: the values of these weights, by objective.
        recipe: the recipe with which these weights were trained.
        origin: the training from which the weights are, in words.
        repeat: the number of that training; 0 is the search's own.
        start: what these weights took over of others before their training, as the record has it.
    """

    context: Context
    setup: Setup
    arch: dict[str, Any]
    folder: Path
    values: dict[str, float]
    recipe: dict[str, Any]
    origin: str
    repeat: int
    start: dict[str, Any]


def _kept(run: Path, number: int, study: Study | None, space: object, task: object) -> _Kept:
    trial = _trial(run, number, study)
    setup = as_let_in(run, read_setup(run), TO_BUILD, study=study, space=space, task=task)
    context = _context_to_train(run, setup, measured=False).seen_through(trial.reading)
    sources = space_sources(context.space) | ({} if setup.task else task_sources(context.study))
    refuse_changed(run, changed_since(setup, sources, context.space))
    arch, summary = trial.arch or {}, run / "retrained" / f"{number:05d}" / "retrained.json"
    if summary.is_file():
        folder, values, recipe = _retrained(summary, trial)
        origin, repeat = f"retrained, {folder.name}", int(folder.name.split("-")[1])
    else:
        found = whole_checkpoint(run, trial)
        if found is None:
            raise InputError(
                f"the weights of trial {number} are not kept, or are damaged; `autokd retrain {quote(str(run))} "
                f"--trial {number}` brings them back"
            )
        folder, values, recipe, origin, repeat = found, trial.values, trial.recipe, "as trained in the search", 0
    lost = why_lost(context, arch, folder)
    if lost:
        raise InputError(f"trial {number} {lost}; it can be neither loaded nor exported")
    return _Kept(context, setup, arch, folder, values, recipe, origin, repeat, trial.start)


def _start(kept: _Kept) -> dict[str, Any]:
    """Where the first weights of a student come from; empty if it began from scratch."""
    start = Recipe(**kept.recipe).start
    origin = {"origin": kept.setup.digests.origins[start]} if start in kept.setup.digests.origins else {}
    return {"from": start, **origin, **kept.start} if kept.start else {}


def _retrained(summary: Path, trial: TrialRecord) -> tuple[Path, dict[str, float], dict[str, Any]]:
    """The folder, the values and the recipe of a retrained student."""
    try:
        data = read_json(summary)
        found = summary.parent / data["seed"], trial.costs | data["values"], data["recipe"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _damaged(summary, trial) from error
    if not is_student(found[0]):
        raise _damaged(found[0], trial)
    return found


def _damaged(path: Path, trial: TrialRecord) -> InputError:
    return InputError(
        f"{path} is damaged; `autokd retrain` with trial {trial.number} trains the student again. If you delete "
        f"{path.parent}, the student of the search is exported"
    )


def _context_to_train(run: Path, setup: Setup, *, measured: bool = True) -> Context:
    """The context of a run whose students are used, as `context_of` gives it, loaded anew each time.

    Raises:
        InputError: the run is a search on a table, or its data are gone.
    """
    if not (run / setup.task).exists():
        raise InputError(
            f"{run} holds no data: the folder {setup.task} is gone, so that its front can be read and no more; put the "
            f"folder back, or {START_OVER}"
        )
    load_context.cache_clear()  # another run may have been put in this run's place
    return context_of(run, setup, measured=measured)


def _refuse_unwritable(home: Path) -> None:
    """Refuses a folder that cannot be made or written, before a worker is started that would fail there."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=home).close()
    except OSError as error:
        raise InputError(
            f"{home} cannot be written ({error.strerror or said(error)}); make it writable, or retrain in a copy of "
            "the run folder"
        ) from error


def _trial(run: Path, number: int, study: Study | None) -> TrialRecord:
    record = "sqlite" if study is None else study.record
    trials = {trial.number: trial for trial in read_trials(run, record) if trial.arch is not None}
    if number not in trials:
        known = f"it has 0 to {max(trials)}" if trials else "it has none yet"
        raise InputError(f"no trial {number} in {run}; {known}, see `autokd front {quote(str(run))}`")
    return trials[number]


def _load_student(context: Context, arch: dict[str, Any], folder: Path) -> nn.Module:
    student = context.build(arch)
    load_weights(student, folder)
    return student.eval()


def _space_reference(context: Context, named: object) -> str:
    """The reference of a space as the study has it, of which `named` is what names it among several."""
    space = context.study.space
    while isinstance(space, Mapping):
        space = space["space"]
    given = named if isinstance(space, list | tuple) else space
    return given if isinstance(given, str) else reference_of(given) or ""


def _spread(values: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """The mean and the standard deviation by objective."""
    columns = {name: [value[name] for value in values] for name in (values[0] if values else {})}
    return {name: (fmean(column), stdev(column) if len(column) > 1 else 0.0) for name, column in columns.items()}
