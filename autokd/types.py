"""The nouns: task, search space, teacher, loss, objective and recipe. This file holds no behaviour.

Protocols describe what plug-ins provide. Frozen dataclasses are plain values that travel between the parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import optuna
    from numpy.typing import NDArray
    from onnx import ModelProto
    from torch import Tensor, nn

Arch = dict[str, Any]
"""An architecture as `suggest` picked it: plain data, equal to its own JSON round trip."""

Direction = Literal["maximize", "minimize"]

SCRATCH, PRETRAINED, FROM_TEACHER = "scratch", "pretrained", "teacher"
"""Where first weights come from: drawn at random, from elsewhere as the search space knows, or from the teacher."""


class Task(Protocol):
    """Data with fixed splits, the loss on its labels, and a score. All rows are numbered; splits are row numbers.

    Further members are optional, so that a task without them is a task:

    - `readings`: a mapping from names, such as `size`, to tuples of choices, which a search suggests as `reading.size`.
      Choices are plain data. Without choices, the way in which rows are read is not searched.
    - `seen_through(reading)`: the task whose rows are read with these settings, such as `{"size": 24}`; what is not
      given is as in the task itself. A task with `readings` needs it. Nothing trains on the inputs of such a task
      itself, whose `digest` must not depend on the choices, and whose `input_shape` is that of any of them. The
      digest of the task that comes back must depend on the reading.
    - `example(rows)`: a batch of the form that `inputs` has, where that is not float32 zeros of `input_shape`.
    - `in_memory`: whether `inputs` reads no file. If it is False, a thread calls `inputs` for the next batches while a
      student trains.
    - `stored(rows)` and `viewed(inputs, rows, view)`: images in uint8, and the normalised images as a view shows them,
      on the device of `inputs`. A task with both, whose `reading.graph()` normalises, is copied to a GPU in bytes.
    - `vocabulary`: the number of different tokens, padding included, of a task whose rows are texts.
    - `pieces`: the texts of these tokens by number, so that a student can take over the embeddings of other networks.
    """

    @property
    def name(self) -> str:
        """The name of the task in tables and reports."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample without the batch: (channels, height, width) or (features,)."""

    @property
    def num_outputs(self) -> int:
        """The length of a network's output, such as the number of classes."""

    @property
    def num_rows(self) -> int:
        """The number of rows in all splits together; row numbers are 0 .. num_rows - 1."""

    @property
    def views(self) -> int:
        """The number of deterministic augmentations of each training row, >= 1; view 0 is the unaugmented row."""

    @property
    def digest(self) -> str:
        """A hex digest of data, labels, splits and augmentation; equal digests mean equal numbers."""

    @property
    def splits(self) -> Mapping[str, Tensor]:
        """Row numbers (int64) by split: `train` (labels used), `transfer` (labels hidden), `validation`, `test`,
        `reserve` (training rows that a search leaves out, for retraining). The splits are disjoint, and all but `train`
        and `validation` may be empty.
        """

    @property
    def chance(self) -> float:
        """The score on validation of the best answer that does not look at the input."""

    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        """Normalised float32 inputs, shape (len(rows), *input_shape).

        Those of texts are the numbers of tokens, int64, shape (len(rows), tokens of the longest of these texts), with 0
        for padding at the end. `input_shape` is then the largest number of tokens.
        """

    def targets(self, rows: Tensor) -> Any:
        """The targets with which the hard loss and the score compare, a tensor of shape (len(rows), ...). If they are
        class numbers, a row of `transfer` without a label has -1. A task with several heads gives a dict with a tensor
        for each of them.
        """

    def hard_loss(self, outputs: Tensor, targets: Any) -> Tensor:
        """The mean over the batch of the loss on labels, shape (); `targets` are what `targets` gave."""

    def score(self, outputs: Tensor, targets: Any) -> float:
        """The score of outputs; larger is better."""


class Head(Protocol):
    """What one named answer of a network means: classes, labels, values, or classes at positions.

    Outputs and answers of one head have the shape (rows, *shape). Inside AutoKD they are what a network gives, such as
    logits or standardised values; `in_units` turns them into what a user reads.
    """

    @property
    def kind(self) -> str:
        """`classes`, `labels`, `values` or `positions`; "" for the head of a task that has its own loss and score."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a network's answer to one row."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes, labels or values by number; empty if they have none."""

    @property
    def summary(self) -> str:
        """What is answered, in a few words for the log."""

    @property
    def compares_logits(self) -> bool:
        """Whether the answers are logits, so that a recipe's method and temperature apply to them."""

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean of the loss over all known targets, of which there is at least one, shape ()."""

    def soft_loss(
        self, outputs: Tensor, answers: Tensor, targets: Tensor, *, loss: DistillationLoss, temperature: float
    ) -> Tensor:
        """The mean over rows of what separates a student from its teacher, shape ().

        The targets belong to the first rows; all further rows have no label.
        """

    def known(self, targets: Tensor) -> Tensor:
        """Which rows have at least one known target, bool, shape (rows,)."""

    def mean(self, answers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """The answer of several teachers together; the weights sum to 1."""

    def blind(self, targets: Tensor) -> Tensor:
        """The best answer that does not look at the input, shape `shape`."""

    def right(self, targets: Tensor) -> Tensor:
        """The outputs that answer with these targets."""

    def as_classes(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """All known questions as questions for a class: logits, shape (questions, classes), and the right classes.

        Raises:
            InfeasibleError: the head answers with values.
        """

    def in_units(self, outputs: Tensor) -> Tensor:
        """What objectives read: values in the user's unit, and the outputs themselves for all other kinds."""

    def predicted(self, outputs: Tensor) -> Any:
        """What the outputs say in the user's terms, one answer for each row, as a numpy array or a list."""

    def probabilities(self, outputs: Tensor) -> NDArray[np.float32] | None:
        """The probabilities of what the head may answer, of the shape of the outputs; None if they are no logits."""

    def from_units(self, answers: Tensor) -> Tensor:
        """The outputs that stand for answers in the user's unit: the opposite of `in_units`."""

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The score of outputs; larger is better."""

    def plain(self) -> dict[str, Any]:
        """The head as plain data, from which `autokd.heads.head_of` makes it again."""


class Reading(Protocol):
    """How raw rows become the input of a network. A reading ships with an exported student."""

    def batch(self, rows: Any) -> Tensor:
        """The inputs of raw rows as the task keeps them, in the form that `Task.inputs` has."""

    def graph(self) -> nn.Module | None:
        """A network without weights from a tensor of raw rows to inputs; None if raw rows are no tensor."""

    def onnx(self, rows: Any, *, opset: int) -> tuple[ModelProto, dict[str, NDArray[Any]]] | None:
        """A model of ONNX from raw rows to one output, the inputs, and these rows as the model takes them.

        None if `graph` is not None, or if ONNX has no such model.
        """

    @property
    def words(self) -> str:
        """What raw rows are, for people: "a table with the columns age and town"."""

    def plain(self) -> dict[str, Any]:
        """The reading as plain data, from which `autokd.readings.reading_of` makes it again."""


class SearchSpace(Protocol):
    """Two functions; a module, an object or a file that has them is a search space.

    Two further functions are optional. Each gives tensors by the names of the student's state dict. A larger tensor
    than the student's gives its leading part. Names that the student does not have are left out, and its other tensors
    stay as `build` made them:

    - `pretrained(arch, task)`: the weights that somebody trained for this architecture, for students whose recipe has
      `start: pretrained`. It raises ValueError where there are no such weights.
    - `inherit(arch, teacher_arch, teacher_weights)`: the weights that a student takes over of its teacher, for
      `start: teacher`. `teacher_arch` is the teacher's architecture in the terms of the space that built it, and is
      empty if that is not known. `teacher_weights` are its tensors by name; of an embedding of texts they hold the rows
      of the student's own pieces. The function gets the task if it has a parameter `task`. Without this function, a
      student takes over the tensors of its own names and shapes.
    """

    def suggest(self, trial: optuna.Trial) -> Arch:
        """Picks numbers with `trial.suggest_*`, and computes nothing. It gets the task if it has a parameter `task`."""

    def build(self, arch: Arch, task: Task) -> nn.Module:
        """Makes the network for `arch`, and chooses nothing."""


class Teacher(Protocol):
    """A frozen network, or anything else that answers inputs."""

    @property
    def name(self) -> str:
        """The name of the teacher in tables and reports."""

    @property
    def digest(self) -> str:
        """A hex digest of everything on which the answers depend."""

    def outputs(self, inputs: Tensor) -> Any:
        """Logits, or log-probabilities if the teacher has no logits, float32, shape (batch, num_outputs).

        Values are in the user's unit. For a task of several heads, a dict may hold a tensor for each of them.
        """


class DistillationLoss(Protocol):
    """The soft term of the loss.

    A loss with a keyword parameter `labels`, int64, shape (batch,), gets labelled rows only; other rows get `kd`.
    """

    def __call__(self, student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        """The mean over the batch, shape (); `student` and `teacher` are logits, shape (batch, num_outputs)."""


@dataclass(frozen=True)
class Recipe:
    """How a student is trained.

    Args:
        alpha: the weight of the teacher, 0 .. 1; 0 is plain training, 1 only distils.
        temperature: the softening of both outputs, > 0.
        method: the name of a distillation loss.
        lr: the peak learning rate of AdamW.
        weight_decay: the weight decay of AdamW.
        batch_size: the number of rows in a step, >= 2; labelled and unlabelled rows each have a batch of this size.
        epochs: the full budget, from which the learning-rate schedule is computed.
        head_weights: how much the loss of each head counts where a task has several, by name: numbers of 0 or more, of
            which the ratios count, and 1 for a head that is left out; or `uncertainty`, which learns the weights.
        start: where the first weights come from: `scratch`, `pretrained`, `teacher`, or the name of a file of weights.
    """

    alpha: float = 0.9
    temperature: float = 4.0
    method: str = "kd"
    lr: float = 5e-3
    weight_decay: float = 1e-4
    batch_size: int = 64
    epochs: int = 27
    head_weights: Mapping[str, float] | str = field(default_factory=dict)
    start: str = SCRATCH


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The settings of a recipe as plain data. Those that came later are left out where they have their default.

    So the recipes of earlier versions keep their seeds, and are told apart from others as before.
    """
    settings = dict(vars(recipe))
    if not recipe.head_weights:
        del settings["head_weights"]
    if recipe.start == SCRATCH:
        del settings["start"]
    return settings


def choices_of(reading: Mapping[str, Any], arch: Arch) -> dict[str, Any]:
    """What a search picked of a reading, under names such as `reading.size`, and then the architecture."""
    return {**{f"reading.{name}": value for name, value in reading.items()}, **arch}


@dataclass(frozen=True)
class Evaluation:
    """The input of trained objectives: the answers of one head on one split, row by row.

    Args:
        outputs: the student's outputs, shape (rows, num_outputs); logits, or values in the user's unit.
        targets: the task's targets, shape (rows, ...).
        teacher: the teacher's outputs on the same rows, shape (rows, num_outputs).
        head: what the outputs mean; None if they are the logits of classes.
    """

    outputs: Tensor
    targets: Tensor
    teacher: Tensor
    head: Head | None = None


@dataclass(frozen=True)
class Objective:
    """A number that is measured on a student.

    Args:
        name: the name in the study and in tables; the name of a measured objective ends in its unit.
        direction: whether larger or smaller values are better.
        unit: the unit in tables; "" if there is none.
        trained: True if `measure` takes an `Evaluation`; False if the number is known before training, and `measure`
            takes (student, inputs), where inputs are a batch of one sample, shape (1, *input_shape).
        measure: gives the number; keyword parameters after the first arguments are settings that a study may give.
        timed: True if `measure` times the student; it is then measured against a calibration network, and again for the
            final front.
        bound: the worst value that a student may have; None accepts any value.
        table: for a timed objective, the file that keeps measurements for other runs; "" keeps them in the run folder.
        settings: keyword arguments for `measure`, from the study.
        ideal: the best possible value, such as 1 for an accuracy; if it is None, right answers are measured instead.
        worst: the worst value that counts, such as 0 for an accuracy; if it is None, the best answer that does not look
            at the input is measured instead. The hypervolume counts from the ideal to the bound or the worst value.
        standard_error: for a trained objective, gives the standard error of a value on so many rows; if it is None,
            the error is found by measuring rows that are drawn anew, with replacement.
        heads: for a trained objective, the kinds of heads that it can measure; () for any.
        head: the name of the head that it measures, where the task has several; AutoKD sets it.
        by_ratio: whether the default sampler compares values by their ratio, as sizes are compared, and not by their
            difference. Only for a number above 0 that is known before training and should be small.
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
    heads: tuple[str, ...] = ()
    head: str = ""
    by_ratio: bool = False


def share_error(value: float, rows: int) -> float:
    """The binomial standard error of a share of `rows` rows; 0 if there are no rows."""
    return math.sqrt(max(value * (1 - value), 0.0) / rows) if rows else 0.0


@dataclass(frozen=True)
class Point:
    """The numbers that are known of a trial after so many epochs.

    Args:
        trial: the trial's number in the record.
        epoch: the number of epochs trained; 0 if only costs are known.
        values: the values by objective name.
    """

    trial: int
    epoch: int
    values: Mapping[str, float]


class Scheduler(Protocol):
    """Decides which trials go on training."""

    def __call__(self, point: Point, peers: Sequence[Point]) -> bool | None:
        """Whether the trial of `point` goes on; `peers` are the points of all trials at this epoch, `point` included.

        None means that there are too few peers to tell. The scheduler is then asked again when another trial reaches
        this epoch. If none can, the trial goes on.
        """
