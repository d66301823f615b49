"""From the record to the front: fresh seeds near it, latencies measured together, the test split read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from autokd.checkpoints import OPTIMIZER, checkpoint, drop, trial_folder
from autokd.driver.costs import scaled_hypervolume
from autokd.driver.places import Place
from autokd.driver.progress import Notify
from autokd.driver.setup import Run, ideal_point
from autokd.driver.test_split import count_test_reads, read_test
from autokd.errors import NoFrontError
from autokd.files import write_json
from autokd.front import Front, Student, marked
from autokd.pareto import as_losses, near_front, non_dominated
from autokd.record import TrialRecord, counts, reasons
from autokd.study import Setup
from autokd.trial import Context, Stretch, training_seed, why_lost
from autokd.types import Recipe


def glance(run_folder: Path, context: Context, setup: Setup, trials: Sequence[TrialRecord]) -> Front:
    """The raw front of what is recorded so far: one training each, nothing measured again, test not read."""
    complete = [trial for trial in trials if trial.state == "complete"]
    students = _undominated(context, _raw(context, complete))
    return _front(context, setup, trials, students, run_folder, final=False, note="not re-seeded; test not read")


def finish(
    run: Run,
    trials: Sequence[TrialRecord],
    place: Place,
    *,
    note: str,
    notify: Notify,
) -> Front:
    """The final front; also written to `front.json`.

    Students within two standard errors of the raw front are trained anew with `budget.reseeds` fresh seeds, so that the
    luck by which they were chosen does not count; the front is of the means (a table has one training of each, and its
    values stand). A student that does not come back from what was saved of it is left out, which the front's note says.
    Timed objectives of all of them are then measured together while no worker trains. Only the front's
    own students see the test split, once.

    Raises:
        NoFrontError: no trial was completed, or no fresh training succeeded.
    """
    context = run.context
    complete = [trial for trial in trials if trial.state == "complete"]
    if not complete:
        raise NoFrontError("; ".join([f"no student was trained to the end ({note})", *reasons(trials)]))
    near, lost = _near_front(run, complete)
    stretches = {student.trial: _fresh_seeds(run, student) for student in near}
    flat = [stretch for group in stretches.values() for stretch in group]
    results = place.train_all(run, flat, notify=notify)
    for stretch in flat:
        drop(Path(stretch.folder), OPTIMIZER)
    near = [student for student in (_averaged(s, stretches[s.trial], results) for s in near) if student is not None]
    students = _undominated(context, _timed_together(run, near))
    if not students:
        raise NoFrontError("every fresh training of the students near the front failed; see error.txt in their folders")
    folders = {
        s.trial: [Path(stretch.folder) for stretch in stretches[s.trial] if "error" not in results[stretch.folder]]
        for s in students
    }
    students, teacher = read_test(run, students, folders, {trial.number: trial for trial in trials}, notify)
    setup = run.setup
    if teacher:
        setup = setup.model_copy(update={"teacher": {**setup.teacher, "test": teacher}})
    spent = sum(stretch.stop for stretch in flat)
    note = "; ".join([note, *_said_of(lost)])
    front = _front(context, setup, trials, students, run.folder, final=True, note=note, extra_epochs=spent)
    write_json(run.folder / "front.json", front.to_dict())
    return front


def _near_front(run: Run, complete: Sequence[TrialRecord]) -> tuple[list[Student], dict[int, str]]:
    """The students within two standard errors of the raw front; and why others, by trial, are left out of it.

    Each is built anew in this process, with the weights that were saved, and its answers are compared with those that
    were scored.

    Raises:
        NoFrontError: none comes back.
    """
    context, lost, sound = run.context, dict[int, str](), set[int]()
    while True:
        raw = _raw(context, [trial for trial in complete if trial.number not in lost])
        if not raw:
            raise NoFrontError(f"no student can be used: {'; '.join(_said_of(lost))}")
        points = as_losses([student.values for student in raw], context.objectives)
        errors = np.array([[student.spread.get(o.name, 0.0) for o in context.objectives] for student in raw])
        near = [raw[i] for i in np.flatnonzero(near_front(points, errors))]
        for trial in complete if context.trains else ():
            if trial.number in {student.trial for student in near} - sound:
                folder = checkpoint(run.folder, trial)
                reason = why_lost(context, trial.arch or {}, folder) if folder else ""
                if reason:
                    lost[trial.number] = reason
                sound.add(trial.number)
        if not any(student.trial in lost for student in near):
            return near, lost


def _raw(context: Context, complete: Sequence[TrialRecord]) -> list[Student]:
    names = [objective.name for objective in context.objectives]
    return [
        Student(
            trial.number,
            trial.arch or {},
            trial.recipe,
            {name: trial.values[name] for name in names},
            _standard_errors(context, trial.values, trial.spread),
        )
        for trial in complete
    ]


def _standard_errors(context: Context, values: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
    """The standard error of each trained objective: by its formula, else as measured; 0 where it is exact."""
    found = {}
    for objective in (objective for objective in context.objectives if objective.trained):
        formula, name = objective.standard_error, objective.name
        found[name] = measured.get(name, 0.0) if formula is None else formula(values[name], _rows(context))
    return found


def _undominated(context: Context, students: Sequence[Student]) -> list[Student]:
    kept = non_dominated(as_losses([student.values for student in students], context.objectives))
    return [student for student, keep in zip(students, kept, strict=True) if keep]


def _fresh_seeds(run: Run, student: Student) -> list[Stretch]:
    recipe, reseeds = Recipe(**student.recipe), run.context.study.budget.reseeds if run.context.trains else 0
    return [
        Stretch(
            trial=student.trial,
            arch=student.arch,
            recipe=recipe,
            seed=training_seed(student.arch, recipe, run.context.study.seed, repeat),
            start=0,
            stop=recipe.epochs,
            source="",
            folder=str(trial_folder(run.folder, student.trial) / f"seed-{repeat}"),
        )
        for repeat in range(1, reseeds + 1)
    ]


def _averaged(
    student: Student, stretches: Sequence[Stretch], results: Mapping[str, Mapping[str, Any]]
) -> Student | None:
    """The student with means over its fresh seeds; itself where none were asked for, None where all failed."""
    if not stretches:
        return student
    values = [results[s.folder]["values"] for s in stretches if "error" not in results[s.folder]]
    if not values:
        return None
    means = {name: fmean(value[name] for value in values) for name in values[0]}
    spread = {name: stdev(value[name] for value in values) if len(values) > 1 else 0.0 for name in values[0]}
    return replace(student, values=student.values | means, spread=spread, seeds=len(values))


def _said_of(lost: Mapping[int, str]) -> list[str]:
    """A sentence for each reason, with the trials that were left out for it."""
    by_reason: dict[str, list[str]] = {}
    for trial, reason in lost.items():
        by_reason.setdefault(reason, []).append(str(trial))
    return [f"left out of the front: trial {', '.join(numbers)}, which {why}" for why, numbers in by_reason.items()]


def _timed_together(run: Run, students: Sequence[Student]) -> list[Student]:
    """The students with their timed objectives measured anew, interleaved, where latencies are measured."""
    context = run.context
    students = list(students)
    for objective in (objective for objective in context.objectives if objective.timed):
        archs = [student.arch for student in students]
        timings = run.meter.measure(context, objective, archs, reference_ms=run.reference_ms)
        students = [
            replace(
                student,
                values=student.values | {objective.name: timing.median_ms},
                spread=student.spread | {objective.name: timing.median_ms * timing.cv},
            )
            for student, timing in zip(students, timings, strict=True)
        ]
    return students


def _front(
    context: Context,
    setup: Setup,
    trials: Sequence[TrialRecord],
    students: Sequence[Student],
    folder: Path,
    *,
    final: bool,
    note: str,
    extra_epochs: int = 0,
) -> Front:
    objectives = context.objectives
    first = objectives[0]
    students = marked(students, objectives)
    ordered = sorted(students, key=lambda s: s.values[first.name], reverse=first.direction == "maximize")
    return Front(
        study=context.study.name,
        objectives=[{"name": o.name, "direction": o.direction, "unit": o.unit} for o in objectives],
        front=ordered,
        trials=counts(trials),
        epochs_spent=sum(trial.epoch for trial in trials) + extra_epochs,
        teacher={"test": {}, **setup.teacher} if setup.teacher else {},
        baselines={},
        hypervolume=scaled_hypervolume(
            [s.values for s in ordered],
            objectives,
            ideal=ideal_point(setup, context),
            reference=setup.reference_point,
        ),
        reference=dict(setup.reference_point),
        validation_labels=_rows(context),
        standard_error=_noise_floor(context, ordered, trials),
        test_reads=count_test_reads(folder),
        final=final,
        note=note,
        reasons=reasons(trials),
    )


def _noise_floor(context: Context, students: Sequence[Student], trials: Sequence[TrialRecord]) -> float:
    """The standard error of the main trained objective, by which the report compares, at its best on the front."""
    if not students:
        return 0.0
    trained = [objective for objective in context.objectives if objective.trained]
    main = next((objective for objective in trained if objective.direction == "maximize"), trained[0])
    losses = as_losses([student.values for student in students], [main])
    best = students[int(losses[:, 0].argmin())]
    measured = next(trial.spread for trial in trials if trial.number == best.trial)
    return _standard_errors(context, best.values, measured)[main.name]


def _rows(context: Context) -> int:
    return len(context.task.splits["validation"])
