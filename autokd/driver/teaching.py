"""Trains or loads the teacher of a run, asks it before the search and when the front is settled, and judges it."""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autokd.checkpoints import OPTIMIZER, WEIGHTS, is_whole, write_result
from autokd.devices import Compute, on_device, pick_device
from autokd.distill import Training, one_cycle
from autokd.driver.events import Notify, steps
from autokd.errors import FOREIGN, InputError, said
from autokd.losses import kd
from autokd.study import TEACHER, TO_TEACH, Setup, Study, TeacherSection, as_let_in, changed_sources, teacher_sources
from autokd.study.teacher import FineTunedSection, TrainedSection, members_of
from autokd.tasks.rows import all_labels, trained_on
from autokd.teachers.answers import rows_at_once
from autokd.teachers.asking import questions
from autokd.teachers.cache import SPLITS, open_outputs, teacher_outputs
from autokd.teachers.doubts import doubts
from autokd.teachers.new_layer import train_alone
from autokd.teachers.scores import compares_with_teacher, refuse_chance, refuse_unanswered
from autokd.teachers.sources import load_teacher, placed
from autokd.teachers.trained import Train, in_epochs
from autokd.trial import Context, evaluate_outputs, refuse_changed
from autokd.types import Recipe, Task, Teacher

_STEPS = 32
"""How many steps of training a large network has between two moments at which it is kept."""

_LOG = logging.getLogger("autokd")


def teacher_and_outputs(
    study: Study, task: Task, folder: Path, *, also: tuple[str, ...] = (), notify: Notify
) -> tuple[Teacher, Path]:
    """The teacher, trained or loaded, and the file with its outputs on what a search needs.

    Args:
        study: names the teacher.
        task: the task whose rows the teacher answers.
        folder: the run folder, which keeps the teacher and its outputs.
        also: further splits about which the teacher is asked; their outputs are in another file.
        notify: is told how far training and asking are.

    Raises:
        InputError: the teacher cannot be loaded or trained, or its answers cannot be used.
    """
    home = folder / "teacher"
    train = _training(study, notify)
    teacher = load_teacher(study.teacher, task, folder=home, train=train, seed=study.seed)
    teacher = placed(teacher, pick_device(study.device))
    splits = (*SPLITS, *also)
    told = steps(f"Asking the teacher about {questions(task, also or SPLITS)}", notify)
    kept = _copied(home, home / "-".join(also)) if also else home
    batch_size = rows_at_once(teacher)
    return teacher, teacher_outputs(teacher, task, kept, splits=splits, batch_size=batch_size, told=told).path


def with_test_answers(context: Context, folder: Path, setup: Setup, notify: Notify, *, own: Study | None) -> Context:
    """The context with the teacher's answers on the test rows; the teacher is asked now if it was not asked before.

    If the teacher cannot be asked any more, its own figures on test are missing, and so are the objectives that compare
    students with it there. The log says so, and students have their other figures all the same.

    Args:
        context: what the trials of the run share.
        folder: the run folder.
        setup: what the run was begun with, including its teacher.
        notify: is told how far asking is.
        own: the caller's own study; without it, a teacher whose code is not installed is not asked.
    """
    rows = context.task.splits["test"]
    if not len(rows) or not context.answers[0][rows].isnan().any():
        return context
    try:
        context = replace(context, answers=open_outputs(_ask_test(context, folder, setup, notify, own)))
    except FOREIGN as error:  # a teacher may raise anything, and the students deserve a front
        _LOG.warning("The teacher cannot be asked about the test rows: %s.", said(error))
    if not context.answers[0][rows].isnan().any():
        return context
    compared = {o.name for o in context.objectives if compares_with_teacher(o, context.task)}
    also = f", and neither is {', '.join(sorted(compared))} of the students there" if compared else ""
    _LOG.warning("The teacher's own values on the test split are not known%s.", also)
    return replace(context, objectives=tuple(o for o in context.objectives if o.name not in compared))


def teacher_facts(context: Context, teacher: Teacher) -> dict[str, Any]:
    """The teacher's name, its values on validation if it answers all rows there, and a note on what they are worth.

    Raises:
        InputError: the teacher is no better than chance, or lacks answers with which an objective compares.
    """
    refuse_unanswered(context.answers, context.task, context.objectives)
    members = members_of(context.study.teacher)
    saw = any(isinstance(member, TeacherSection) and member.saw_training_rows for member in members)
    notes = ["its validation score is on rows it was trained on"] if saw else []
    answers = context.answers[0][context.task.splits["validation"]]
    values = {} if answers.isnan().any() else evaluate_outputs(context, answers, "validation")
    shown = (
        ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        or "no values, because it did not answer all rows"
    )
    said = f" ({notes[0]})" if notes else ""
    _LOG.info("The teacher is %s. On validation it has %s%s.", teacher.name, shown, said)
    refuse_chance(context.answers, context.task)
    for doubt in doubts(context.answers, context.task):
        _LOG.warning("The teacher, %s, may have little to teach: %s.", teacher.name, doubt)
        notes.append(doubt)
    return {"name": teacher.name, "values": values, "note": "; ".join(notes)}


def _copied(home: Path, folder: Path) -> Path:
    """A folder with a copy of the answers in `home`, so that those stay as the search and its baselines know them."""
    if not folder.exists():
        folder.mkdir()
        for path in [*home.glob("outputs-*.npy"), *home.glob("outputs-*.json")]:
            shutil.copy(path, folder)
    return folder


def _ask_test(context: Context, folder: Path, setup: Setup, notify: Notify, own: Study | None) -> Path:
    """The file of the teacher's answers, with those on the test rows."""
    study, task, home = context.study, context.task, folder / "teacher"
    as_let_in(folder, setup, TO_TEACH, study=own)
    refuse_changed(folder, changed_sources(setup.sources, {TEACHER: teacher_sources(study)}))
    teacher = load_teacher(study.teacher, task, folder=home, train=_refuse_training, seed=study.seed)
    if teacher.digest != setup.digests.teacher:
        raise InputError("it differs from the teacher with which the search began")
    teacher = placed(teacher, pick_device(study.device))
    told = steps(f"Asking the teacher about {questions(task, ['test'])} of the test split", notify)
    batch_size = rows_at_once(teacher)
    return teacher_outputs(teacher, task, home, splits=["test"], batch_size=batch_size, told=told).path


def _training(study: Study, notify: Notify) -> Train:
    """The function that trains a teacher, plainly, on every training label, also on those that students do not see."""

    def train(
        network: nn.Module,
        spec: TrainedSection | FineTunedSection,
        task: Task,
        folder: Path,
        *,
        new: Sequence[nn.Module] = (),
    ) -> None:
        compute = Compute(pick_device(study.device))
        labelled = on_device(all_labels(task), compute.device)
        parts = _parts(spec, labelled.splits["train"], study.seed)
        recipe = Recipe(
            alpha=0.0,
            lr=spec.lr,
            weight_decay=spec.weight_decay,
            batch_size=spec.batch_size,
            epochs=len(parts),
        )
        whole = len(parts) == spec.epochs
        unread = torch.empty(task.views, 0, task.num_outputs)
        training = Training(
            network, labelled, unread, recipe, loss=kd, seed=study.seed, schedule=one_cycle, compute=compute
        )
        done = _last_part(folder)
        if done:
            how_far = f"for {in_epochs(done)}" if whole else f"on {done} of {len(parts)} parts of its rows"
            _LOG.info("The teacher was trained %s before. Its training goes on from there.", how_far)
            training.restore(folder / f"epoch-{done}")
        elif new:
            told = steps("Training the teacher's new last layer alone, on what the network makes of each row", notify)
            train_alone(new, training.student, labelled, told=told)
        told = steps(f"Training the teacher for {in_epochs(spec.epochs)}{'' if whole else ' in parts'}", notify)
        told(done, len(parts))
        for part in range(done, len(parts)):
            training.task = labelled if whole else trained_on(labelled, parts[part])
            try:
                training.run(part, part + 1)
            except FloatingPointError as error:
                raise InputError(
                    f"the teacher's training diverged: {said(error)}; write a smaller 'teacher.lr'"
                ) from error
            _keep(training, folder, part + 1)
            told(part + 1, len(parts))
        network.cpu()  # where its digest is made and it is saved

    return train


def _parts(spec: TrainedSection | FineTunedSection, rows: Tensor, seed: int) -> list[Tensor]:
    """The rows of each part of a training, in the order of the parts. The training is kept after each of them.

    Each epoch of a network of a search space is one part. A network that is trained further is large and trained for
    few epochs, so its epochs have parts of about 32 steps.
    """
    if isinstance(spec, TrainedSection):
        return [rows] * spec.epochs
    count = math.ceil(len(rows) / (_STEPS * spec.batch_size))
    drawn = torch.Generator().manual_seed(seed % 2**63)
    shuffles = [rows[torch.randperm(len(rows), generator=drawn)] for _ in range(spec.epochs)]
    return [part for shuffled in shuffles for part in shuffled.tensor_split(count)]


def _refuse_training(
    network: nn.Module,
    spec: TrainedSection | FineTunedSection,
    task: Task,
    folder: Path,
    *,
    new: Sequence[nn.Module] = (),
) -> None:
    raise InputError("the weights of its training are gone")


def _keep(training: Training, folder: Path, epoch: int) -> None:
    """Keeps a training as it is after a part, whole or not at all, in place of the part before."""
    part = folder / f"epoch-{epoch}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    training.save(part)
    write_result(part, {"epoch": epoch, "values": {}})
    shutil.rmtree(folder / f"epoch-{epoch}", ignore_errors=True)  # a damaged one
    os.replace(part, folder / f"epoch-{epoch}")
    shutil.rmtree(folder / f"epoch-{epoch - 1}", ignore_errors=True)


def _last_part(folder: Path) -> int:
    """The last part that was kept and is not damaged; 0 if there is none."""
    names = [re.fullmatch(r"epoch-(\d+)", path.name) for path in folder.glob("epoch-*")]
    kept = sorted((int(match[1]) for match in names if match), reverse=True)
    return next((epoch for epoch in kept if is_whole(folder / f"epoch-{epoch}", WEIGHTS, OPTIMIZER)), 0)
