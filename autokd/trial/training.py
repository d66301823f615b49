"""The context that trained students share, and the training of one trial."""

from __future__ import annotations

import errno
import hashlib
import math
import time
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from autokd.checkpoints import OPTIMIZER, WEIGHTS, in_mortal_danger, is_whole, write_result
from autokd.choices import suggest_arch
from autokd.devices import Compute, answers_on, on_device, pick_device
from autokd.distill import Training, cosine, one_cycle
from autokd.errors import (
    FOREIGN,
    InfeasibleError,
    LateError,
    ObjectiveError,
    UnlistedError,
    UnmeasuredError,
    named,
    said,
    shortened,
    without_secrets,
)
from autokd.first_weights import Origin, Taken
from autokd.heads import heads_of
from autokd.networks import example_of
from autokd.objectives.measuring import measured
from autokd.record import canonical, finite, student_key
from autokd.registry import resolve
from autokd.study import (
    Setup,
    Study,
    changed_since,
    suggest_reading,
    task_sources,
    training_sources,
)
from autokd.trial.evaluation import evaluate_outputs, finite_outputs, standard_errors
from autokd.trial.patience import in_time
from autokd.trial.process import restored
from autokd.trial.rebuilding import build_student, keep, why_lost
from autokd.trial.searched import Stretch
from autokd.trial.starting import begin
from autokd.trial.suggested import checked, refuse_taken_names
from autokd.types import Arch, DistillationLoss, Objective, Recipe, SearchSpace, Task, settings_of

if TYPE_CHECKING:
    import optuna

_LONGEST_TRACEBACK = 100_000
"""In characters."""


_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, which are no verdict on a student."""


@dataclass(frozen=True)
class Context:
    """The parts of a search that trains, loaded once in each process. See `Searched` for what a search asks of it.

    Args:
        study: the study.
        space: the resolved search space.
        task: the opened task.
        answers: the teacher's answers by view and row, memory-mapped, shape (views, rows, num_outputs).
        objectives: the resolved objectives, in the study's order.
        origins: the files from which students begin, by the name of the start, as a recipe has it.
        reading: what is searched of the way in which rows are read and was picked; empty if nothing is.
        base: the context before a reading was picked; None if none was.
    """

    costs_are_free: ClassVar[bool] = False

    study: Study
    space: SearchSpace
    task: Task
    answers: Tensor
    objectives: tuple[Objective, ...]
    origins: Mapping[str, Path] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    base: Context | None = None

    @cached_property
    def compute(self) -> Compute:
        """How this process trains students."""
        study = self.study
        return Compute(pick_device(study.device), bf16=study.precision == "bf16", compiled=study.compile)

    @cached_property
    def data(self) -> Task:
        """The task on the device of this process, to which it is copied once."""
        return on_device(self.task, self.compute.device)

    @cached_property
    def answers_on_device(self) -> Tensor:
        """The teacher's answers on the device of this process, to which they are copied once if they are small."""
        return self.base.answers_on_device if self.base else answers_on(self.answers, self.compute.device)

    @property
    def ideal(self) -> dict[str, float]:
        """The best value by objective, for a run that does not keep it: 1 if larger is better, else 0."""
        return {o.name: 1.0 if o.direction == "maximize" else 0.0 for o in self.objectives}

    @property
    def reseeds(self) -> int:
        """How many times each student near the front is trained again, as the study's budget says."""
        return self.study.budget.reseeds

    @property
    def validation_rows(self) -> int:
        """The number of validation rows."""
        return len(self.task.splits["validation"])

    def seen_through(self, reading: Mapping[str, Any]) -> Context:
        """The context whose task reads its rows in this way, made once for each reading; itself for an empty one."""
        if not reading:
            return self
        key = canonical(reading)
        if key not in self._seen:
            task: Any = self.task
            self._seen[key] = replace(self, task=task.seen_through(dict(reading)), reading=dict(reading), base=self)
        return self._seen[key]

    def origin(self, start: str) -> Origin:
        """The trained network from which students with this start begin, read once in each process."""
        if self.base is not None:
            return self.base.origin(start)
        if start not in self._read:
            self._read[start] = Origin.read(self.origins[start])
        return self._read[start]

    @cached_property
    def _read(self) -> dict[str, Origin]:
        return {}

    @cached_property
    def _seen(self) -> dict[str, Context]:
        return {}

    def suggest_student(self, trial: optuna.Trial) -> tuple[Context, Arch]:
        """The context with the reading that `trial` picks, and an architecture, as plain data, for the task seen so.

        Raises:
            InputError: the space's `suggest` gives no plain dict, or uses the name of another part.
        """
        seen = self.seen_through(suggest_reading(self.space, trial, self.task))
        before = trial.params
        arch = checked(suggest_arch(self.space, trial, seen.task))
        refuse_taken_names(name for name in trial.params if name not in before)
        return seen, arch

    def suggest(self, trial: optuna.Trial) -> tuple[dict[str, Any], Arch, dict[str, Any]]:
        """A reading, an architecture and a recipe, as plain data, picked by `trial`.

        It may hang, see `in_time`, and it may end this process.

        Raises:
            InputError: the space's `suggest` gives no plain dict, or uses the name of another part.
        """
        seen, arch = self.suggest_student(trial)
        recipe = self.study.recipe.suggest(trial, epochs=self.study.budget.rungs[-1], heads=heads_of(self.task))
        return dict(seen.reading), arch, settings_of(recipe)

    def build(self, arch: Arch) -> nn.Module:
        """The untrained student of an architecture, with the weights that the study's seed gives."""
        return build_student(self, arch, seed=self.study.seed)

    def costs(self, arch: Arch) -> dict[str, float]:
        """The objectives of an architecture that need no training and no timing, by name; see `exact_costs`."""
        return exact_costs(self, arch)

    def run(self, stretch: Stretch) -> dict[str, Any]:
        """Trains a stretch and returns its result; see `run_stretch`."""
        return run_stretch(self.seen_through(stretch.reading), stretch)

    def in_danger(self, folder: Path, how: str) -> AbstractContextManager[None]:
        """Notes a death, because `suggest`, `build` and training run code of the study; see `in_mortal_danger`."""
        return in_mortal_danger(folder, how)

    def why_lost(self, arch: Arch, folder: Path) -> str:
        """Why a student does not come back from a checkpoint; see `rebuilding.why_lost`."""
        return why_lost(self, arch, folder)

    def edited(self, setup: Setup) -> dict[str, str]:
        """The edited parts among all that trains students; see `study.changed_since`."""
        sources = training_sources(self.study, self.space)
        sources |= {} if setup.task else task_sources(self.study)  # its data are in files, and nobody reads its code
        return changed_since(setup, sources, self.space)


def training_seed(
    arch: Arch, recipe: Recipe, study_seed: int, repeat: int = 0, *, reading: Mapping[str, Any] = MappingProxyType({})
) -> int:
    """The seed of a training, from the reading, the architecture, the recipe and the study's seed alone.

    Args:
        arch: the architecture.
        recipe: the recipe.
        study_seed: the study's seed.
        repeat: 0 for the search's own training; 1, 2, ... for its repetitions with fresh seeds.
        reading: what is searched of the way in which rows are read.
    """
    text = student_key(reading, arch, settings_of(recipe), {"seed": study_seed, "repeat": repeat})
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


@restored()
def run_stretch(context: Context, stretch: Stretch) -> dict[str, Any]:
    """Trains one stretch, writes its checkpoint and then `result.json`, and returns that result.

    Only the validation split is read. If the checkpoint from which the stretch starts is lost or damaged, the student
    is trained from its beginning, which gives the same numbers, and `damaged` names that checkpoint.

    Returns:
        `{"epoch": stop, "values": {objective: number}, "seconds": ...}`; after the last epoch it has a `spread`, too,
        for those objectives whose standard error does not follow from the value. If the student could not be trained,
        the result is `{"error": reason}`, and the traceback is in `error.txt` beside `result.json`.

    Raises:
        OSError: the checkpoint cannot be written, or the disk is full, which is no verdict on the student.
    """
    folder = Path(stretch.folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    damaged = {"damaged": stretch.source} if stretch.source and not _can_go_on(stretch) else {}
    if damaged or not stretch.source:
        stretch = replace(stretch, start=0, source="")
    try:
        training, taken = start_training(context, stretch)
        training.run(stretch.start, stretch.stop)
        outputs = finite_outputs(context, training.student, "validation")
        values = evaluate_outputs(context, outputs, "validation")
        if not finite(values):
            raise FloatingPointError(f"an objective is not finite: {values}")
        result: dict[str, Any] = {"epoch": stretch.stop, "values": values}
        spread = standard_errors(context, outputs, values) if stretch.stop == stretch.recipe.epochs else {}
        result |= {"spread": spread} if spread else {}
        result |= {"start": taken.plain()} if taken is not None else {}
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
        torch.compiler.reset()  # its tables would keep the code of every student of this process
    write_result(folder, result)
    return result


def start_training(context: Context, stretch: Stretch) -> tuple[Training, Taken | None]:
    """The training of `stretch` at its start, with the network built and the checkpoint restored.

    If the student begins with weights from elsewhere, it is said which these are.
    """
    study = context.study
    student, taken = build_student(context, stretch.arch, seed=stretch.seed), None
    if not stretch.source:
        taken = begin(context, student, stretch.arch, stretch.recipe.start, seed=stretch.seed)
    training = Training(
        student,
        context.data,
        context.answers_on_device,
        stretch.recipe,
        loss=resolve_loss(stretch.recipe.method),
        seed=stretch.seed,
        schedule=cosine if len(study.budget.rungs) > 1 else one_cycle,
        compute=context.compute,
    )
    if stretch.source:
        training.restore(Path(stretch.source))
    return training, taken


def _can_go_on(stretch: Stretch) -> bool:
    return is_whole(Path(stretch.source), WEIGHTS, OPTIMIZER)


def exact_costs(context: Context, arch: Arch) -> dict[str, float]:
    """The objectives of an architecture that are neither trained nor timed, by name.

    Raises:
        LateError: building and measuring the student takes longer than a stretch of training may.
    """
    return in_time(context.study.budget.trial_minutes, partial(_exact_costs, context, arch), what="build")


def _exact_costs(context: Context, arch: Arch) -> dict[str, float]:
    student = context.build(arch)
    inputs = example_of(context.task)
    costs: dict[str, float] = {}
    for objective in (o for o in context.objectives if not o.trained and not o.timed):
        value = measured(objective, student, inputs)
        if not math.isfinite(value):
            raise ValueError(f"{objective.name} is {value}")
        costs[objective.name] = value
    return costs


def breaks(objective: Objective, costs: Mapping[str, float]) -> bool:
    """Whether the known costs of a student break the objective's bound."""
    if objective.bound is None or objective.name not in costs:
        return False
    return bool(
        costs[objective.name] > objective.bound
        if objective.direction == "minimize"
        else costs[objective.name] < objective.bound
    )


def resolve_loss(name: str) -> DistillationLoss:
    """The distillation loss that a recipe names."""
    loss: DistillationLoss = resolve("losses", name)
    return loss


def reason_of(error: BaseException) -> str:
    """Why a trial failed, in one line.

    The line tells lack of memory, divergence, a student that cannot be built and other errors apart.
    """
    message = said(error, first_line=True)
    if isinstance(error, MemoryError) or "can't allocate memory" in said(error) or "out of memory" in said(error):
        return "out of memory"
    if isinstance(error, FloatingPointError):
        return f"diverged: {message}"
    if isinstance(error, InfeasibleError):
        return f"cannot be built: {message}"
    if isinstance(error, LateError):
        return f"timed out: {message}"
    if isinstance(error, ObjectiveError | UnlistedError):
        return message
    if isinstance(error, UnmeasuredError):
        return f"not measured: {message}"
    return f"raised {named(error, first_line=True)}"
