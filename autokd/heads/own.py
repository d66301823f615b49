"""The one head of a task that somebody wrote with a loss and a score of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autokd.errors import InfeasibleError, InputError
from autokd.heads.classes import CERTAIN, RARE, mean_of_probabilities
from autokd.losses import soft_term
from autokd.types import DistillationLoss, Task


@dataclass(frozen=True)
class Own:
    """The head of a task without `heads`: its `num_outputs`, `hard_loss` and `score`, with answers that are logits.

    Args:
        task: the task.
    """

    task: Task

    kind = ""
    compares_logits = True

    @property
    def names(self) -> tuple[str, ...]:
        """The task's `class_names`, if it has them."""
        return tuple(getattr(self.task, "class_names", ()))

    @property
    def shape(self) -> tuple[int, ...]:
        """The outputs of the task."""
        return (self.task.num_outputs,)

    @property
    def summary(self) -> str:
        """What is answered, in a few words for the log."""
        return f"{self.task.num_outputs} outputs"

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The task's loss."""
        return self.task.hard_loss(outputs, targets)

    def soft_loss(
        self, outputs: Tensor, answers: Tensor, targets: Tensor, *, loss: DistillationLoss, temperature: float
    ) -> Tensor:
        """The distillation loss; one that needs labels is `kd` on the rows without a label, which come last."""
        return soft_term(loss, outputs, answers, targets, temperature=temperature)

    def known(self, targets: Tensor) -> Tensor:
        """The rows whose class number is not below 0; every row, if targets are not class numbers."""
        if targets.dtype == torch.int64 and targets.ndim == 1:
            return targets >= 0
        return torch.ones(len(targets), dtype=torch.bool)

    def mean(self, answers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """log(max(p, 1e-7)) of the weighted mean of probabilities."""
        return mean_of_probabilities(answers, weights)

    def blind(self, targets: Tensor) -> Tensor:
        """The logarithms of the shares of the classes, or the means of numeric targets; see `blind_answer`."""
        return blind_answer(targets, self.task.num_outputs)

    def right(self, targets: Tensor) -> Tensor:
        """A large logit for the class of each row, or the numeric targets themselves; see `right_answers`."""
        return right_answers(targets, self.task.num_outputs)

    def as_classes(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs and the targets themselves."""
        return outputs, targets

    def in_units(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs

    def predicted(self, outputs: Tensor) -> Any:
        """Refuses, because the task does not say what its outputs mean."""
        raise InputError("the task of this student does not say what its outputs mean; call outputs(rows)")

    def probabilities(self, outputs: Tensor) -> Any:
        """Refuses, because the task does not say what its outputs mean."""
        return self.predicted(outputs)

    def from_units(self, answers: Tensor) -> Tensor:
        """The answers themselves."""
        return answers

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The task's score."""
        return self.task.score(outputs, targets)

    def plain(self) -> dict[str, Any]:
        """The number of outputs, which is all that is known of them."""
        return {"kind": self.kind, "outputs": self.task.num_outputs}


def blind_answer(targets: Tensor, num_outputs: int) -> Tensor:
    """The best answer that does not look at the input: the logarithms of shares, or the means of numeric targets.

    Raises:
        InfeasibleError: the targets are neither classes nor one number for each output.
    """
    if _are_classes(targets):
        counts = targets.bincount(minlength=num_outputs).float().clamp(min=RARE)
        return (counts / counts.sum()).log()
    if targets.shape[1:] == (num_outputs,):
        return targets.float().nanmean(0)
    raise InfeasibleError(f"targets of shape {tuple(targets.shape)} have no best blind answer that AutoKD knows")


def right_answers(targets: Tensor, num_outputs: int) -> Tensor:
    """The outputs that answer every row with its target.

    Raises:
        InfeasibleError: the targets are neither classes nor one number for each output.
    """
    if _are_classes(targets):
        return CERTAIN * F.one_hot(targets, num_outputs).float()
    if targets.shape[1:] == (num_outputs,):
        return targets.float()
    raise InfeasibleError(f"targets of shape {tuple(targets.shape)} have no right answer that AutoKD knows")


def _are_classes(targets: Tensor) -> bool:
    return targets.ndim == 1 and not targets.is_floating_point() and bool((targets >= 0).all())
