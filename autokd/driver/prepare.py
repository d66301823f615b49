"""Sets a run up: task opened, teacher trained or loaded, its outputs cached, `study.json` written or compared."""

from __future__ import annotations

import json
import logging
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
import torch
from torch import nn

from autokd.checkpoints import write_json
from autokd.distill import Training, one_cycle
from autokd.driver.costs import measure_costs, plain
from autokd.errors import InputError
from autokd.losses import kd
from autokd.objectives.latency import measure_reference_ms
from autokd.registry import source_digest
from autokd.study import Study, changed_keys, dump, not_importable, resolve_objectives, resolve_space
from autokd.tasks import ArrayTask, load_task, open_task, save_task
from autokd.teachers.cache import open_outputs, teacher_outputs
from autokd.teachers.scores import refuse_chance, teacher_score
from autokd.teachers.sources import load_teacher
from autokd.teachers.spec import TrainedSpec
from autokd.trial import Context, all_labels, evaluate_outputs, reason_of, resolve_loss
from autokd.types import Arch, Recipe, Task, Teacher

_LOG = logging.getLogger("autokd")
_SAMPLES = 64
_TIMED_SAMPLES = 16


@dataclass(frozen=True)
class Run:
    """A run that is ready to be driven.

    Args:
        folder: the run folder.
        context: what the trials share.
        teacher: the teacher itself, for what is not cached.
        setup: what `study.json` holds.
    """

    folder: Path
    context: Context
    teacher: Teacher
    setup: dict[str, Any]

    @property
    def reference(self) -> dict[str, float]:
        """Worst value by objective, for the hypervolume; fixed when the run began."""
        return dict(self.setup["reference_point"])

    @property
    def reference_ms(self) -> float:
        """Idle time of the latency reference network when the run began, in ms; 0 where nothing is timed."""
        return float(self.setup["reference_ms"])


def prepare(study: Study, folder: Path) -> Run:
    """Opens or begins the run in `folder`.

    Bad input leaves no folder behind that was not there before.

    Raises:
        InputError: anything the study names cannot be used, or the run there was begun with another study, data,
            teacher or space.
    """
    with _no_half_folder(folder):
        _refuse_unimportable(study)
        space, objectives = resolve_space(study), resolve_objectives(study)
        setup = _read_setup(folder)
        if setup is not None:
            _refuse_changes(setup, {"study": dump(study), "digests": {"space": source_digest(space)}}, folder)
        task = _open_task(study, folder)
        _LOG.info("task: %s", task.summary() if isinstance(task, ArrayTask) else task.name)
        if setup is not None:
            _refuse_changes(setup, {"digests": {"task": task.digest}}, folder)
        teacher = load_teacher(
            study.teacher, task, folder=folder / "teacher", train=_teacher_trainer(task, study.seed), seed=study.seed
        )
        if setup is not None:
            _refuse_changes(setup, {"digests": {"teacher": teacher.digest}}, folder)
        cached = teacher_outputs(teacher, task, folder / "teacher")
        context = Context(study, space, task, open_outputs(cached.path), objectives)
        scores = evaluate_outputs(context, context.teacher[0][task.splits["validation"]], "validation")
        shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        _LOG.info("teacher: %s, on validation: %s", teacher.name, shown)
        refuse_chance(teacher_score(context.teacher, task), task)
        for method in study.recipe.methods:
            resolve_loss(method)
        if setup is None:
            setup = _begin(context, teacher, scores, cached.path.relative_to(folder))
            write_json(folder / "study.json", setup)
        elif setup["study"] != dump(study):
            setup = setup | {"study": dump(study)}
            write_json(folder / "study.json", setup)
    return Run(folder, context, teacher, setup)


def extend(run: Path, folder: Path) -> Path:
    """A folder from which workers train on the `reserve` rows of a run, too, the teacher having answered them once."""
    setup = json.loads((run / "study.json").read_text())
    task = load_task(run / setup["task"])
    if not len(task.splits["reserve"]):
        raise InputError(f"the search in {run} left no training rows out; retrain without --reserve")
    study = Study.model_validate(setup["study"])
    home = run / "teacher"
    teacher = load_teacher(study.teacher, task, folder=home, train=_teacher_trainer(task, study.seed), seed=study.seed)
    cached = teacher_outputs(teacher, task, home, splits=("train", "transfer", "validation", "test", "reserve"))
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"task": str((run / setup["task"]).absolute()), "outputs": str(cached.path.absolute()), "reserve": True}
    write_json(folder / "study.json", setup | paths)
    return folder


def draw_archs(context: Context, number: int) -> list[Arch]:
    """Architectures at random from the space, the same for the same study; nothing is recorded."""
    sampler = optuna.samplers.RandomSampler(seed=context.study.seed)
    drawn = optuna.create_study(sampler=sampler)
    return [plain(context.space.suggest(drawn.ask())) for _ in range(number)]


def _begin(context: Context, teacher: Teacher, scores: Mapping[str, float], outputs: Path) -> dict[str, Any]:
    study = context.study
    timed = any(objective.timed for objective in context.objectives)
    reference_ms = measure_reference_ms() if timed else 0.0
    return {
        "study": dump(study),
        "digests": {
            "task": context.task.digest,
            "teacher": teacher.digest,
            "space": source_digest(context.space),
        },
        "task": "task",
        "outputs": str(outputs),
        "teacher": {"name": teacher.name, "values": dict(scores)},
        "reference_ms": reference_ms,
        "reference_point": _reference_point(context, reference_ms),
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "optuna": version("optuna"),
            "autokd": version("autokd"),
            "machine": platform.machine(),
            "system": platform.system(),
        },
    }


def _reference_point(context: Context, reference_ms: float) -> dict[str, float]:
    """The worst that counts: an objective's bound, else 0 or 1 for what is trained, else a tenth above a random sample.

    Raises:
        InputError: no architecture of the sample can be built.
    """
    free = tuple(replace(objective, bound=None) for objective in context.objectives)
    exact = tuple(objective for objective in free if not objective.timed)
    costs: list[dict[str, float]] = []
    reason = ""
    for number, arch in enumerate(draw_archs(context, _SAMPLES)):
        measured = replace(context, objectives=free if number < _TIMED_SAMPLES else exact)
        try:
            costs.append(measure_costs(measured, arch, reference_ms=reference_ms))
        except InputError:
            raise
        except Exception as error:
            reason = f"{arch}: {reason_of(error)}"
    if not costs:
        raise InputError(
            f"space {context.study.space!r}: none of {_SAMPLES} random architectures can be built for this task; "
            f"the last, {reason}; `autokd check` says more"
        )
    worst: dict[str, float] = {}
    for objective in context.objectives:
        if objective.bound is not None:
            worst[objective.name] = objective.bound
        elif objective.trained:
            worst[objective.name] = 0.0 if objective.direction == "maximize" else 1.0
        elif objective.direction == "minimize":
            worst[objective.name] = 1.1 * max(cost[objective.name] for cost in costs if objective.name in cost)
        else:
            worst[objective.name] = 0.0
    return worst


def _open_task(study: Study, folder: Path) -> Task:
    if isinstance(study.task, ArrayTask):
        save_task(study.task, folder / "task")
        return load_task(folder / "task")
    if isinstance(study.task, str | Mapping):
        return open_task(study.task, seed=study.seed, folder=folder / "task")
    task: Task = study.task
    return task


def _teacher_trainer(task: Task, seed: int) -> Any:
    """What trains a teacher: plain training on every training label, those the students do not see among them."""

    def train(network: nn.Module, spec: TrainedSpec) -> None:
        recipe = Recipe(
            alpha=0.0,
            lr=spec.lr,
            weight_decay=spec.weight_decay,
            batch_size=spec.batch_size,
            epochs=spec.epochs,
        )
        labelled = all_labels(task)
        unread = torch.empty(task.views, 0, task.num_outputs)
        Training(network, labelled, unread, recipe, loss=kd, seed=seed, schedule=one_cycle).run(0, spec.epochs)

    return train


def _refuse_unimportable(study: Study) -> None:
    missing = not_importable(study)
    if study.executor != "inline" and missing:
        raise InputError(
            f"{', '.join(missing)}: worker processes cannot import what was given; put it into a module or a file and "
            "name it 'module:attr' or 'path.py', or use executor='inline'"
        )


def _read_setup(folder: Path) -> dict[str, Any] | None:
    path = folder / "study.json"
    if not path.is_file():
        return None
    try:
        setup: dict[str, Any] = json.loads(path.read_text())
        return setup
    except ValueError as error:
        raise InputError(f"{path} cannot be read ({error}); start over with --fresh") from error


def _refuse_changes(setup: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    changed = changed_keys(setup["study"], now["study"]) if "study" in now else []
    names = {"task": "the data", "teacher": "the teacher", "space": "the source of the space"}
    changed += [names[key] for key, digest in now["digests"].items() if digest != setup["digests"][key]]
    if changed:
        raise InputError(
            f"{folder} was begun with another study: {', '.join(changed)} changed; put it back to go on, or start over "
            "with --fresh, which takes a new folder and deletes nothing"
        )


@contextmanager
def _no_half_folder(folder: Path) -> Iterator[None]:
    there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); give another folder with --run") from error
    try:
        yield
    except Exception:
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
        raise
