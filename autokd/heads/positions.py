"""One class at every position of a row: the pixels of an image, or the words of a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from autokd.heads.classes import CERTAIN, RARE, mean_of_probabilities
from autokd.losses import soft_term
from autokd.types import DistillationLoss


@dataclass(frozen=True)
class Positions:
    """One class at every position. Targets are class numbers, int64, shape (rows, *positions).

    Places whose target is `ignored` are left out of the loss on labels, of the soft term and of every score. On rows
    without any target, which only the teacher answers, all places count.

    Args:
        names: the names of the classes by number.
        positions: the positions of a row, such as (height, width) or (length,).
        ignored: the target of a place that does not count.
    """

    names: tuple[str, ...]
    positions: tuple[int, ...]
    ignored: int = -100

    kind = "positions"
    compares_logits = True

    @property
    def shape(self) -> tuple[int, ...]:
        """One logit for each class and position: (classes, *positions)."""
        return (len(self.names), *self.positions)

    @property
    def summary(self) -> str:
        """What is answered, in a few words for the log."""
        places = "x".join(map(str, self.positions))
        return f"{len(self.names)} classes ({self.names[0]} .. {self.names[-1]}) at {places} positions"

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy in nats, as a mean over the places that count, shape ()."""
        return F.cross_entropy(outputs, targets, ignore_index=self.ignored)

    def soft_loss(
        self, outputs: Tensor, answers: Tensor, targets: Tensor, *, loss: DistillationLoss, temperature: float
    ) -> Tensor:
        """The distillation loss of logits, shape (places, classes), as a mean over all places that count."""
        counts, split = targets != self.ignored, len(targets)
        student, teacher = (
            torch.cat([_places(each[:split])[counts.flatten()], _places(each[split:])]) for each in (outputs, answers)
        )
        return soft_term(loss, student, teacher, targets[counts], temperature=temperature)

    def known(self, targets: Tensor) -> Tensor:
        """The rows of which at least one place counts."""
        return (targets != self.ignored).flatten(1).any(dim=1)

    def mean(self, answers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """log(max(p, 1e-7)) of the weighted mean of probabilities at each place."""
        rows = len(answers[0])
        places = mean_of_probabilities([_places(each) for each in answers], weights)
        return places.view(rows, -1, len(self.names)).transpose(1, 2).reshape(rows, *self.shape)

    def blind(self, targets: Tensor) -> Tensor:
        """The logarithms of the shares of the classes at each position."""
        flat = targets.flatten(1)
        counts = torch.stack([(flat == number).sum(dim=0) for number in range(len(self.names))]).float().clamp(min=RARE)
        return (counts / counts.sum(dim=0)).log().view(self.shape)

    def right(self, targets: Tensor) -> Tensor:
        """A large logit for the class of each place; equal logits where a place does not count."""
        counts = targets != self.ignored
        hot = F.one_hot(targets.where(counts, 0), len(self.names)) * counts.unsqueeze(-1)
        return CERTAIN * hot.movedim(-1, 1).float()

    def as_classes(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The places that count."""
        counts = targets != self.ignored
        return _places(outputs)[counts.flatten()], targets[counts]

    def in_units(self, outputs: Tensor) -> Tensor:
        """The logits themselves."""
        return outputs

    def predicted(self, outputs: Tensor) -> NDArray[np.str_]:
        """The name of the class with the largest logit at each position, shape (rows, *positions)."""
        return np.array(self.names)[outputs.argmax(dim=1).cpu().numpy()]

    def probabilities(self, outputs: Tensor) -> NDArray[np.float32]:
        """The probability of each class at each position."""
        return outputs.softmax(dim=1).cpu().numpy()

    def from_units(self, answers: Tensor) -> Tensor:
        """The logits themselves."""
        return answers

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The mean intersection over union of the classes that targets or answers hold. NaN if an output is NaN."""
        if outputs.isnan().any():
            return math.nan
        counts = targets != self.ignored
        wanted, given, classes = targets[counts], outputs.argmax(dim=1)[counts], len(self.names)
        table = (wanted * classes + given).bincount(minlength=classes**2).view(classes, classes).double()
        union = table.sum(0) + table.sum(1) - table.diagonal()
        return float((table.diagonal()[union > 0] / union[union > 0]).mean())

    def plain(self) -> dict[str, Any]:
        """The head as plain data."""
        return {
            "kind": self.kind,
            "names": list(self.names),
            "positions": list(self.positions),
            "ignored": self.ignored,
        }


def _places(logits: Tensor) -> Tensor:
    """The logits of each place, shape (rows * places, classes)."""
    return logits.flatten(2).transpose(1, 2).reshape(-1, logits.shape[1])
