"""Reads the test split when the front is settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from autokd.checkpoints import whole_checkpoint
from autokd.distill import load_weights
from autokd.driver.progress import Notify
from autokd.driver.teaching import with_test_answers
from autokd.driver.test_reads import note_test_read
from autokd.front import Student
from autokd.record import TrialRecord
from autokd.study import Setup
from autokd.trial import Context, evaluate, evaluate_outputs


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
        values = []
        for weights in folders[student.trial] or ([own] if own else []):
            network = context.build(student.arch)
            load_weights(network, weights)
            values.append(evaluate(context, network, "test"))
        test = {name: fmean(value[name] for value in values) for name in values[0]} if values else {}
        scored.append(replace(student, test=test))
    answers = context.teacher[0][rows]
    return scored, evaluate_outputs(context, answers, "test") if not answers.isnan().any() else {}
