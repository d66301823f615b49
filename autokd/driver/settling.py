"""Settles the front of a run: trains fresh seeds near it, measures latencies together, and scores it on test once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from autokd.checkpoints import OPTIMIZER, drop, trial_folder, whole_checkpoint
from autokd.distill import load_weights
from autokd.driver.events import Notify
from autokd.driver.front_from_record import Measures, front_of
from autokd.driver.run import Run
from autokd.driver.teaching import with_test_answers
from autokd.driver.workplaces import Place
from autokd.errors import NoFrontError
from autokd.files import write_json
from autokd.front import Front, Student
from autokd.pareto import as_losses, near_front, undominated
from autokd.record import TrialRecord, reasons
from autokd.record.test_reads import note_test_read
from autokd.study import Setup
from autokd.trial import Context, Stretch, evaluate, evaluate_outputs, training_seed
from autokd.types import Recipe

_LOG = logging.getLogger("autokd")


def finish(
    run: Run,
    trials: Sequence[TrialRecord],
    place: Place,
    *,
    note: str,
    notify: Notify,
) -> Front:
    """The final front, which is also written to `front.json`.

    Students within two standard errors of the raw front are trained anew with `budget.reseeds` fresh seeds, so that the
    luck by which they were chosen does not count. The front is made of the means, or of the search's own values where
    nothing is trained anew. A student that does not come back from its saved files is left out, and the front's
    note says so. Then the timed objectives of all these students are measured together while no worker trains. Only the
    students on the front are scored on the test split, once.

    Raises:
        NoFrontError: no trial was completed, or no fresh training succeeded.
    """
    measures = _measures(run)
    complete = [trial for trial in trials if trial.state == "complete"]
    if not complete:
        raise NoFrontError("; ".join([f"no student was trained to the end ({note})", *reasons(trials)]))
    near, lost = _near_front(run, complete)
    stretches = {student.trial: _fresh_seeds(run, student) for student in near}
    flat = [stretch for group in stretches.values() for stretch in group]
    if flat:
        _LOG.info("Training the %d students on or near the front again with fresh seeds.", len(near))
    results = place.train_all(run, flat, notify=notify)
    for stretch in flat:
        drop(Path(stretch.folder), OPTIMIZER)
    near = [student for student in (_averaged(s, stretches[s.trial], results) for s in near) if student is not None]
    students = undominated(_timed_together(run, near), measures.objectives)
    if not students:
        raise NoFrontError("every fresh training of the students near the front failed; see error.txt in their folders")
    folders = {
        s.trial: [Path(stretch.folder) for stretch in stretches[s.trial] if "error" not in results[stretch.folder]]
        for s in students
    }
    students, teacher = run.read_test(students, folders, {trial.number: trial for trial in trials}, notify)
    setup = run.setup
    if teacher:
        setup = setup.model_copy(update={"teacher": {**setup.teacher, "test": teacher}})
    spent = sum(stretch.stop for stretch in flat)
    note = "; ".join([note, *_said_of(lost)])
    front = front_of(measures, setup, trials, students, run.folder, final=True, note=note, extra_epochs=spent)
    write_json(run.folder / "front.json", front.to_dict())
    return front


def _near_front(run: Run, complete: Sequence[TrialRecord]) -> tuple[list[Student], dict[int, str]]:
    """The students within two standard errors of the raw front; and by trial, why others are left out of it.

    Each student is built anew in this process, with the weights that were saved, and its answers are compared with
    those that were scored.

    Raises:
        NoFrontError: no student comes back from its saved files.
    """
    context, lost, checked = run.context, dict[int, str](), set[int]()
    while True:
        raw = _measures(run).students([trial for trial in complete if trial.number not in lost])
        if not raw:
            raise NoFrontError(f"no student can be used: {'; '.join(_said_of(lost))}")
        points = as_losses([student.values for student in raw], context.objectives)
        errors = np.array([[student.spread.get(o.name, 0.0) for o in context.objectives] for student in raw])
        near = [raw[i] for i in np.flatnonzero(near_front(points, errors))]
        unsure = {student.trial for student in near} - checked
        for trial in (trial for trial in complete if trial.number in unsure):
            folder = whole_checkpoint(run.folder, trial)
            seen = context.seen_through(trial.reading)
            reason = seen.why_lost(trial.arch or {}, folder) if folder else ""
            if reason:
                lost[trial.number] = reason
        checked |= unsure
        if not any(student.trial in lost for student in near):
            return near, lost


def _measures(run: Run) -> Measures:
    return Measures(run.context.objectives, run.context.validation_rows, run.ideal)


def _fresh_seeds(run: Run, student: Student) -> list[Stretch]:
    recipe = Recipe(**student.recipe)
    return [
        Stretch(
            trial=student.trial,
            arch=student.arch,
            recipe=recipe,
            seed=training_seed(student.arch, recipe, run.context.study.seed, repeat, reading=student.reading),
            start=0,
            stop=recipe.epochs,
            source="",
            folder=str(trial_folder(run.folder, student.trial) / f"seed-{repeat}"),
            reading=student.reading,
        )
        for repeat in range(1, run.context.reseeds + 1)
    ]


def _averaged(
    student: Student, stretches: Sequence[Stretch], results: Mapping[str, Mapping[str, Any]]
) -> Student | None:
    """The student with the means over its fresh seeds; unchanged if there are no fresh seeds, None if all failed."""
    if not stretches:
        return student
    values = [results[s.folder]["values"] for s in stretches if "error" not in results[s.folder]]
    if not values:
        return None
    means = {name: fmean(value[name] for value in values) for name in values[0]}
    spread = {name: stdev(value[name] for value in values) if len(values) > 1 else 0.0 for name in values[0]}
    return replace(student, values=student.values | means, spread=spread, seeds=len(values))


def _said_of(lost: Mapping[int, str]) -> list[str]:
    """A sentence for each reason, with the trials that were left out for this reason."""
    by_reason: dict[str, list[str]] = {}
    for trial, reason in lost.items():
        by_reason.setdefault(reason, []).append(str(trial))
    return [f"left out of the front: trial {', '.join(numbers)}, which {why}" for why, numbers in by_reason.items()]


def _timed_together(run: Run, students: Sequence[Student]) -> list[Student]:
    """The students with their timed objectives measured anew, interleaved, on the machine that measures latencies."""
    students = list(students)
    for name, latencies in run.latencies.items():
        timings = latencies.measure_together([(student.reading, student.arch) for student in students])
        students = [
            replace(
                student,
                values=student.values | {name: timing.median_ms},
                spread=student.spread | {name: timing.median_ms * timing.cv},
            )
            for student, timing in zip(students, timings, strict=True)
        ]
    return students


def read_test(
    context: Context,
    folder: Path,
    setup: Setup,
    students: Sequence[Student],
    folders: Mapping[int, Sequence[Path]],
    trials: Mapping[int, TrialRecord],
    notify: Notify,
) -> tuple[list[Student], dict[str, float]]:
    """The students of the front with their values on the test split, and those of the teacher; see `ReadTest`.

    The teacher is asked about these rows now, and not before the search.
    """
    rows = context.task.splits["test"]
    if not len(rows):
        return list(students), {}
    note_test_read(folder, f"the front: {len(students)} students and the teacher")
    context = with_test_answers(context, folder, setup, notify, own=context.study)
    scored = []
    for student in students:
        own = whole_checkpoint(folder, trials[student.trial])
        values, seen = [], context.seen_through(student.reading)
        for weights in folders[student.trial] or ([own] if own else []):
            network = seen.build(student.arch)
            load_weights(network, weights)
            values.append(evaluate(seen, network, "test"))
        test = {name: fmean(value[name] for value in values) for name in values[0]} if values else {}
        scored.append(replace(student, test=test))
    answers = context.answers[0][rows]
    return scored, evaluate_outputs(context, answers, "test") if not answers.isnan().any() else {}
