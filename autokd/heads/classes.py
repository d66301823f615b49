"""One class for each row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from autokd.losses import log_probabilities, soft_term
from autokd.types import DistillationLoss

CERTAIN = 20.0
"""The logit of a right answer, where all others have 0: nearly certain, and all probabilities still have logarithms."""
RARE = 0.5
"""A class that never occurs counts as this many rows, so that its probability has a logarithm."""


@dataclass(frozen=True)
class Classes:
    """One class for each row. Targets are class numbers, int64, shape (rows,); -1 means that the class is not known.

    Args:
        names: the names of the classes by number.
        weights: the weight of each class in the hard loss, or None. With weights the score is balanced accuracy.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and len(self.weights) != len(self.names):
            raise ValueError("each class has one weight")

    kind = "classes"
    compares_logits = True

    @property
    def shape(self) -> tuple[int, ...]:
        """One logit for each class."""
        return (len(self.names),)

    @property
    def summary(self) -> str:
        """What is answered, in a few words for the log."""
        return f"{len(self.names)} classes ({self.names[0]} .. {self.names[-1]})" if self.names else "no classes"

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy in nats, as a mean over the known rows (a weighted mean with class weights), shape ()."""
        weights = None if self._weights is None else self._weights.to(outputs.device)
        return F.cross_entropy(outputs, targets, weight=weights, ignore_index=-1)

    def soft_loss(
        self, outputs: Tensor, answers: Tensor, targets: Tensor, *, loss: DistillationLoss, temperature: float
    ) -> Tensor:
        """The distillation loss; one that needs labels is `kd` on the rows without a label, which come last."""
        return soft_term(loss, outputs, answers, targets, temperature=temperature)

    def known(self, targets: Tensor) -> Tensor:
        """The rows whose class is known."""
        return targets >= 0

    def mean(self, answers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """log(max(p, 1e-7)) of the weighted mean of probabilities."""
        return mean_of_probabilities(answers, weights)

    def blind(self, targets: Tensor) -> Tensor:
        """The logarithms of the shares of the classes."""
        counts = targets[self.known(targets)].bincount(minlength=len(self.names)).float().clamp(min=RARE)
        return (counts / counts.sum()).log()

    def right(self, targets: Tensor) -> Tensor:
        """A large logit for the class of each row."""
        return CERTAIN * F.one_hot(targets, len(self.names)).float()

    def as_classes(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The rows whose class is known."""
        known = self.known(targets)
        return (outputs, targets) if bool(known.all()) else (outputs[known], targets[known])

    def in_units(self, outputs: Tensor) -> Tensor:
        """The logits themselves."""
        return outputs

    def predicted(self, outputs: Tensor) -> NDArray[np.str_]:
        """The name of the class with the largest logit of each row."""
        return np.array(self.names)[outputs.argmax(dim=1).cpu().numpy()]

    def probabilities(self, outputs: Tensor) -> NDArray[np.float32]:
        """The probability of each class."""
        return outputs.softmax(dim=1).cpu().numpy()

    def from_units(self, answers: Tensor) -> Tensor:
        """The logits themselves."""
        return answers

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The accuracy, 0 .. 1; with class weights the mean over classes in `targets`. NaN if an output is NaN."""
        if outputs.isnan().any():
            return math.nan
        correct = (outputs.argmax(dim=1) == targets).double()
        if self.weights is None:
            return float(correct.mean())
        counts = targets.bincount(minlength=len(self.names))
        hits = targets.bincount(correct, minlength=len(self.names))
        return float((hits[counts > 0] / counts[counts > 0]).mean())

    def plain(self) -> dict[str, Any]:
        """The head as plain data."""
        weights = {} if self.weights is None else {"weights": list(self.weights)}
        return {"kind": self.kind, "names": list(self.names), **weights}

    @cached_property
    def _weights(self) -> Tensor | None:
        return None if self.weights is None else torch.tensor(self.weights)


def mean_of_probabilities(answers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """log(max(p, 1e-7)) of the weighted mean of probabilities, float32.

    The probabilities are averaged at temperature 1, so a sure member outvotes an unsure one, and members whose logits
    differ in scale can be mixed.

    Args:
        answers: logits of each member, shape (rows, classes).
        weights: one weight for each member; they sum to 1.

    Source: Hinton, Vinyals, Dean (2015), https://arxiv.org/abs/1503.02531, section 1: the arithmetic mean.
    """
    probabilities = torch.stack([each.double().softmax(dim=1) for each in answers])
    shares = torch.tensor(list(weights), dtype=torch.float64, device=probabilities.device)
    return log_probabilities(torch.einsum("m,mbc->bc", shares, probabilities)).float()
