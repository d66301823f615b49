"""What trials share, and one trial's training: what a worker is given, what it does with it, what it gives back."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from autokd.checkpoints import OPTIMIZER, WEIGHTS, is_whole, write_result
from autokd.devices import Compute, answers_on, on_device, pick_device
from autokd.distill import Training, cosine, one_cycle
from autokd.errors import (
    FOREIGN,
    InfeasibleError,
    InputError,
    LateError,
    ObjectiveError,
    UnmeasuredError,
    named,
    said,
    shortened,
    without_secrets,
)
from autokd.objectives.measuring import measured
from autokd.record import canonical, finite
from autokd.registry import resolve
from autokd.study import Study, suggest_arch
from autokd.trial.evaluation import evaluate_outputs, finite_outputs, standard_errors
from autokd.trial.patience import in_time
from autokd.trial.rebuilding import build_student, keep
from autokd.types import Arch, DistillationLoss, Objective, Recipe, SearchSpace, Task

if TYPE_CHECKING:
    import optuna

_MOST_LEVELS, _LONGEST_ARCH = 50, 100_000
"""Of an architecture; the record and the files of a run hold it as JSON."""
_LONGEST_TRACEBACK, _LONGEST_SHOWN = 100_000, 200
"""Characters."""


_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No verdict on a student, whatever it was writing."""


@dataclass(frozen=True)
class Context:
    """What a search runs on, loaded once in each process: it suggests students, tells their costs and trains them.

    Args:
        study: the study.
        space: the resolved search space.
        task: the opened task.
        teacher: outputs by view and row, mapped, shape (views, rows, num_outputs).
        objectives: resolved, in the study's order.
    """

    costs_are_free: ClassVar[bool] = False
    """Whether the costs of any number of architectures may be asked for: nothing is built to know them."""
    trains: ClassVar[bool] = True
    """Whether students are trained: they have checkpoints, and fresh seeds give other numbers."""

    study: Study
    space: SearchSpace
    task: Task
    teacher: Tensor
    objectives: tuple[Objective, ...]

    @cached_property
    def compute(self) -> Compute:
        """How this process trains students."""
        study = self.study
        return Compute(pick_device(study.device), bf16=study.precision == "bf16", compiled=study.compile)

    @cached_property
    def data(self) -> Task:
        """The task on the device of this process, copied there once."""
        return on_device(self.task, self.compute.device)

    @cached_property
    def answers(self) -> Tensor:
        """The teacher's outputs, likewise."""
        return answers_on(self.teacher, self.compute.device)

    @property
    def ideal(self) -> dict[str, float]:
        """The best value by objective where a run does not say it: 1 where larger is better, else 0."""
        return {o.name: 1.0 if o.direction == "maximize" else 0.0 for o in self.objectives}

    def suggest_arch(self, trial: optuna.Trial) -> Arch:
        """An architecture, as plain data, picked by `trial`.

        Raises:
            InputError: the space's `suggest` gives no plain dict.
        """
        return checked(suggest_arch(self.space, trial, self.task))

    def suggest(self, trial: optuna.Trial) -> tuple[Arch, dict[str, Any]]:
        """An architecture and a recipe, as plain data, picked by `trial`.

        It may hang, see `in_time`, and it may end this process.

        Raises:
            InputError: the space's `suggest` gives no plain dict.
        """
        arch = self.suggest_arch(trial)
        return arch, dict(vars(self.study.recipe.suggest(trial, epochs=self.study.budget.rungs[-1])))

    def costs(self, arch: Arch) -> dict[str, float]:
        """What is known of an architecture without training or timing, by objective; see `exact_costs`."""
        return exact_costs(self, arch)

    def run(self, stretch: Stretch) -> dict[str, Any]:
        """What a stretch of training gives; see `run_stretch`."""
        return run_stretch(self, stretch)


@dataclass(frozen=True)
class Stretch:
    """A piece of one training, as plain data: epochs `start` .. `stop` - 1 of one architecture and recipe.

    Args:
        trial: number in the record.
        arch: architecture.
        recipe: of which `epochs` is the full budget.
        seed: of weights, batches and dropout.
        start: epochs already trained; 0 begins anew.
        stop: epochs trained after it.
        source: folder with the checkpoint of epoch `start`; "" where start is 0.
        folder: where weights, optimizer state and `result.json` go; belongs to this attempt alone.
    """

    trial: int
    arch: Arch
    recipe: Recipe
    seed: int
    start: int
    stop: int
    source: str
    folder: str


def training_seed(arch: Arch, recipe: Recipe, study_seed: int, repeat: int = 0) -> int:
    """The seed of a training, from the architecture, the recipe and the study's seed alone.

    Args:
        arch: architecture.
        recipe: recipe.
        study_seed: the study's.
        repeat: 0 for the search's own training, 1 .. for fresh seeds of it.
    """
    text = canonical(arch, asdict(recipe), {"seed": study_seed, "repeat": repeat})
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def run_stretch(context: Context, stretch: Stretch) -> dict[str, Any]:
    """Trains one stretch, writes its checkpoint and `result.json` (last), and returns that result.

    Returns:
        `{"epoch": stop, "values": {objective: number}, "seconds": ...}`, after the last epoch with a `spread` for those
        objectives whose standard error does not follow from the value; or `{"error": reason}` where the student could
        not be trained; the traceback is then in `error.txt` beside it. Only the validation split is read. Where the
        checkpoint that it starts from is lost or damaged, the student is trained from its beginning, which gives the
        same numbers, and `damaged` names that checkpoint.

    Raises:
        OSError: the checkpoint cannot be written, or the disk is full, which is no verdict on the student.
    """
    folder = Path(stretch.folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    damaged = {"damaged": stretch.source} if stretch.source and not _can_go_on(stretch) else {}
    if damaged:
        stretch = replace(stretch, start=0, source="")
    try:
        training = start_training(context, stretch)
        training.run(stretch.start, stretch.stop)
        outputs = finite_outputs(context, training.student, "validation")
        values = evaluate_outputs(context, outputs, "validation")
        if not finite(values):
            raise FloatingPointError(f"an objective is not finite: {values}")
        result: dict[str, Any] = {"epoch": stretch.stop, "values": values}
        spread = standard_errors(context, outputs, values) if stretch.stop == stretch.recipe.epochs else {}
        result |= {"spread": spread} if spread else {}
        result |= {"seconds": time.perf_counter() - started, **damaged}
    except FOREIGN as error:  # a space that calls sys.exit ends its trial, not the search
        if isinstance(error, OSError) and error.errno in _FULL_DISK:
            raise
        written = without_secrets(shortened(traceback.format_exc(), _LONGEST_TRACEBACK))
        (folder / "error.txt").write_text(written, encoding="utf-8", errors="backslashreplace")
        result = {"error": reason_of(error)}
    else:
        lost = keep(context, stretch.arch, training, folder)
        if lost:
            (folder / "error.txt").write_text(lost + "\n", encoding="utf-8")
            result = {"error": lost}
    if context.study.compile:
        torch.compiler.reset()  # or its tables keep the code of every student this process trained
    write_result(folder, result)
    return result


def start_training(context: Context, stretch: Stretch) -> Training:
    """The training of `stretch` at its start: network built, checkpoint restored."""
    study = context.study
    training = Training(
        build_student(context, stretch.arch, seed=stretch.seed),
        context.data,
        context.answers,
        stretch.recipe,
        loss=resolve_loss(stretch.recipe.method),
        seed=stretch.seed,
        schedule=cosine if len(study.budget.rungs) > 1 else one_cycle,
        compute=context.compute,
    )
    if stretch.source:
        training.restore(Path(stretch.source))
    return training


def _can_go_on(stretch: Stretch) -> bool:
    return is_whole(Path(stretch.source), WEIGHTS, OPTIMIZER)


def checked(arch: object) -> Arch:
    """`arch`, if it is a dict that equals its own JSON round trip.

    Raises:
        InputError: it is of another type, or holds what is no plain data: so will all that the space suggests.
        InfeasibleError: this one has a number that is not finite, or is deeper or larger than what is kept.
    """
    if _levels(arch) > _MOST_LEVELS:
        raise InfeasibleError(f"the space's suggest returned more than {_MOST_LEVELS} levels of dicts and lists")
    try:
        text = json.dumps(arch, allow_nan=False)
    except ValueError as error:
        raise InfeasibleError(
            f"the space's suggest returned {_shown(arch)}, which JSON cannot hold ({said(error)})"
        ) from error
    except TypeError:
        text = ""
    if len(text) > _LONGEST_ARCH:
        raise InfeasibleError(f"the space's suggest returned {len(text):,} characters, more than {_LONGEST_ARCH:,}")
    if isinstance(arch, dict) and text and json.loads(text) == arch:
        return arch
    raise InputError(
        f"the space's suggest returned {_shown(arch)}; return a dict of numbers, texts, booleans, lists or dicts that "
        "equals its own JSON round trip (text keys; no tuples, tensors or numpy numbers)"
    )


def _levels(plain: object) -> int:
    """How many levels of dicts and lists plain data have; counted no further than what is taken."""
    level, levels = [plain], 0
    while level and levels <= _MOST_LEVELS:
        containers = [each for each in level if isinstance(each, dict | list | tuple)]
        level = [part for each in containers for part in (each.values() if isinstance(each, dict) else each)]
        levels += bool(containers)
    return levels


def _shown(arch: object) -> str:
    try:
        return shortened(repr(arch), _LONGEST_SHOWN)
    except Exception as error:  # whatever an object in it raises
        return f"a {type(arch).__name__} that cannot be shown ({named(error)})"


def exact_costs(context: Context, arch: Arch) -> dict[str, float]:
    """The objectives of an architecture that are neither trained nor timed, by name.

    Raises:
        LateError: it takes longer than a stretch of training may.
    """
    return in_time(context.study.budget.trial_minutes, partial(_exact_costs, context, arch), what="build")


def _exact_costs(context: Context, arch: Arch) -> dict[str, float]:
    student = build_student(context, arch, seed=context.study.seed)
    inputs = torch.zeros(1, *context.task.input_shape)
    costs: dict[str, float] = {}
    for objective in (o for o in context.objectives if not o.trained and not o.timed):
        value = measured(objective, student, inputs)
        if not math.isfinite(value):
            raise ValueError(f"{objective.name} is {value}")
        costs[objective.name] = value
    return costs


def breaks(objective: Objective, costs: Mapping[str, float]) -> bool:
    """Whether what is known of a student breaks the objective's bound."""
    if objective.bound is None or objective.name not in costs:
        return False
    return bool(
        costs[objective.name] > objective.bound
        if objective.direction == "minimize"
        else costs[objective.name] < objective.bound
    )


def resolve_loss(name: str) -> DistillationLoss:
    """The distillation loss a recipe names."""
    loss: DistillationLoss = resolve("losses", name)
    return loss


def reason_of(error: BaseException) -> str:
    """Why a trial failed, in one line: distinct for memory, divergence, an unbuildable student, and any other error."""
    message = said(error, first_line=True)
    if isinstance(error, MemoryError) or "can't allocate memory" in said(error) or "out of memory" in said(error):
        return "out of memory"
    if isinstance(error, FloatingPointError):
        return f"diverged: {message}"
    if isinstance(error, InfeasibleError):
        return f"cannot be built: {message}"
    if isinstance(error, LateError):
        return f"timed out: {message}"
    if isinstance(error, ObjectiveError):
        return message
    if isinstance(error, UnmeasuredError):
        return f"not measured: {message}"
    return f"raised {named(error, first_line=True)}"
