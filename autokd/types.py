"""The nouns: what a task, a search space, a teacher, a loss, an objective and a recipe are. No behaviour.

Protocols describe what plug-ins provide; frozen dataclasses are plain values that travel between the parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import optuna
    from torch import Tensor, nn

Arch = dict[str, Any]
"""An architecture as `suggest` picked it: plain data, equal to its own JSON round trip."""

Direction = Literal["maximize", "minimize"]


class Task(Protocol):
    """Data with fixed splits, the loss on its labels, and a score. All rows are numbered; splits are row numbers."""

    @property
    def name(self) -> str:
        """What tables and reports call it."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample without the batch: (channels, height, width) or (features,)."""

    @property
    def num_outputs(self) -> int:
        """Length of a network's output, e.g. the number of classes."""

    @property
    def num_rows(self) -> int:
        """Rows over all splits; row numbers are 0 .. num_rows - 1."""

    @property
    def views(self) -> int:
        """Deterministic augmentations of each training row, >= 1; view 0 is always the unaugmented row."""

    @property
    def digest(self) -> str:
        """Hex digest of data, labels, splits and augmentation: equal digests mean equal numbers."""

    @property
    def splits(self) -> Mapping[str, Tensor]:
        """Row numbers (int64) by split: `train` (labels used), `transfer` (labels hidden), `validation`, `test`,
        `reserve` (training rows a search leaves out, for retraining picks). Disjoint; all but `train` and `validation`
        may be empty.
        """

    @property
    def chance(self) -> float:
        """The score on validation of the best answer that does not look at the input."""

    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        """Normalised float32 inputs, shape (len(rows), *input_shape)."""

    def targets(self, rows: Tensor) -> Tensor:
        """What the hard loss and the score compare with, shape (len(rows), ...). Where these are class numbers, a row
        of `transfer` that has no label at all has -1.
        """

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss on labels, mean over the batch, shape ()."""

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """How good outputs are; larger is better."""


class SearchSpace(Protocol):
    """Two functions; a module, an object or a file that has them is a search space."""

    def suggest(self, trial: optuna.Trial) -> Arch:
        """Picks numbers with `trial.suggest_*`; computes nothing. It is told the task if it takes a `task`, too."""

    def build(self, arch: Arch, task: Task) -> nn.Module:
        """Makes the network for `arch`; chooses nothing."""


class Teacher(Protocol):
    """A frozen network or anything else that answers inputs."""

    @property
    def name(self) -> str:
        """What tables and reports call it."""

    @property
    def digest(self) -> str:
        """Hex digest of everything its answers depend on."""

    def outputs(self, inputs: Tensor) -> Tensor:
        """Logits, or log-probabilities where it knows only those, float32, shape (batch, num_outputs)."""


class DistillationLoss(Protocol):
    """The soft term. One with a keyword parameter `labels`, int64, (batch,), gets labelled rows; `kd` does the rest."""

    def __call__(self, student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        """Mean over the batch, shape (); `student` and `teacher` are logits, shape (batch, num_outputs)."""


@dataclass(frozen=True)
class Recipe:
    """How a student is trained.

    Args:
        alpha: weight of the teacher, 0 .. 1; 0 is plain training, 1 only distils.
        temperature: softening of both outputs, > 0.
        method: name of a distillation loss.
        lr: peak learning rate of AdamW.
        weight_decay: of AdamW.
        batch_size: rows a step, >= 2; labelled and unlabelled rows are drawn in a batch of this size each.
        epochs: the full budget, from which the learning-rate schedule is computed.
    """

    alpha: float = 0.9
    temperature: float = 4.0
    method: str = "kd"
    lr: float = 5e-3
    weight_decay: float = 1e-4
    batch_size: int = 64
    epochs: int = 27


@dataclass(frozen=True)
class Evaluation:
    """What trained objectives read: answers on one split, row by row.

    Args:
        outputs: the student's, shape (rows, num_outputs).
        targets: the task's, shape (rows, ...).
        teacher: the teacher's outputs on the same rows, shape (rows, num_outputs).
    """

    outputs: Tensor
    targets: Tensor
    teacher: Tensor


@dataclass(frozen=True)
class Objective:
    """A number read off a student.

    Args:
        name: as the study and the tables write it; a measured one ends in its unit.
        direction: which end is better.
        unit: for tables; "" where there is none.
        trained: True if `measure` takes an `Evaluation`; False if it is known before training and takes (student,
            inputs), inputs being a batch of one sample, shape (1, *input_shape).
        measure: gives the number; keyword parameters after the first arguments are settings a study may give.
        timed: True if it times the student: measured against a reference network, and again for the final front.
        bound: the worst value a student may have; None accepts any.
        table: of a timed one: the file in which measurements are kept for other runs; "" keeps them in the run's own.
        settings: keyword arguments for `measure`, from the study.
        ideal: the best value there can be, as 1 of an accuracy; where it is None, right answers are measured instead.
        worst: the worst value that counts, as 0 of an accuracy; where it is None, the best answer that does not look at
            the input is measured instead. The hypervolume counts from the ideal to the bound or the worst value.
        standard_error: of a trained one, that of a value on so many rows; where it is None, it is found by measuring
            rows that are drawn anew, with replacement.
    """

    name: str
    direction: Direction
    unit: str
    trained: bool
    measure: Callable[..., float]
    timed: bool = False
    bound: float | None = None
    table: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    ideal: float | None = None
    worst: float | None = None
    standard_error: Callable[[float, int], float] | None = None


def share_error(value: float, rows: int) -> float:
    """The binomial standard error of a share of `rows` rows; 0 where there are none."""
    return math.sqrt(max(value * (1 - value), 0.0) / rows) if rows else 0.0


@dataclass(frozen=True)
class Point:
    """Where a trial stands: the numbers known of it after so many epochs.

    Args:
        trial: its number in the record.
        epoch: epochs trained; 0 where only costs are known.
        values: by objective name.
    """

    trial: int
    epoch: int
    values: Mapping[str, float]


class Scheduler(Protocol):
    """Who trains on."""

    def __call__(self, point: Point, peers: Sequence[Point]) -> bool | None:
        """Whether `point`'s trial goes on; `peers` are all trials' points at the same epoch, itself among them.

        None where there are too few peers to tell: it is asked again when another has come, and where none will come
        any more the trial goes on.
        """
