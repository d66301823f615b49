"""Several labels for each row, each of which holds or does not."""

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

from autokd.heads.classes import CERTAIN, RARE
from autokd.losses import dist, kd, logit_std, takes_labels
from autokd.types import DistillationLoss

_LEAST = 1e-7
"""The smallest probability, so that its logarithm stays finite."""


@dataclass(frozen=True)
class Labels:
    """Labels of which several may hold at once.

    Targets are 1 (it holds), 0 (it does not) or NaN (not known), shape (rows, labels). Outputs are the logits of the
    probabilities that the labels hold.

    Args:
        names: the names of the labels.
    """

    names: tuple[str, ...]

    kind = "labels"
    compares_logits = True

    @property
    def shape(self) -> tuple[int, ...]:
        """One logit for each label."""
        return (len(self.names),)

    @property
    def summary(self) -> str:
        """What is answered, in a few words for the log."""
        return f"{len(self.names)} labels ({', '.join(self.names[:4])}{', ...' * (len(self.names) > 4)})"

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The binary cross-entropy in nats, as a mean over the known labels, shape ()."""
        is_known = ~targets.isnan()
        return F.binary_cross_entropy_with_logits(outputs[is_known], targets[is_known].to(outputs.dtype))

    def soft_loss(
        self, outputs: Tensor, answers: Tensor, targets: Tensor, *, loss: DistillationLoss, temperature: float
    ) -> Tensor:
        """The distillation loss of each label as a problem of two classes, as a mean over rows and labels.

        `dist`, `logit_std` and the losses that need labels compare how many classes relate to each other. Two classes
        have one relation only, so these losses are `kd` here.
        """
        of_many = takes_labels(loss) or loss is dist or loss is logit_std
        applied = kd if of_many else loss
        return applied(_pairs(outputs), _pairs(answers), temperature=temperature)

    def known(self, targets: Tensor) -> Tensor:
        """The rows of which at least one label is known."""
        return ~targets.isnan().all(dim=1)

    def mean(self, answers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """The logit of the weighted mean of probabilities, which is kept within 1e-7 .. 1 - 1e-7."""
        probabilities = torch.stack([each.double().sigmoid() for each in answers])
        shares = torch.tensor(list(weights), dtype=torch.float64, device=probabilities.device)
        return torch.einsum("m,mbc->bc", shares, probabilities).clamp(_LEAST, 1 - _LEAST).logit().float()

    def blind(self, targets: Tensor) -> Tensor:
        """The logit of the share of rows for which each label holds."""
        holds = targets.nansum(dim=0).clamp(min=RARE)
        fails = (1 - targets).nansum(dim=0).clamp(min=RARE)
        return (holds / fails).log().float()

    def right(self, targets: Tensor) -> Tensor:
        """A large logit where a label holds, a large negative one where it does not, and 0 where it is not known."""
        return CERTAIN * (2 * targets - 1).nan_to_num().float()

    def as_classes(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Each known label as a question of two classes: it does not hold (0), or it holds (1)."""
        is_known = ~targets.isnan()
        return _pairs(outputs[is_known]).flip(1), (targets[is_known] > 0.5).long()

    def in_units(self, outputs: Tensor) -> Tensor:
        """The logits themselves."""
        return outputs

    def predicted(self, outputs: Tensor) -> list[tuple[str, ...]]:
        """The names of the labels of each row that are more likely to hold than not."""
        return [
            tuple(name for name, holds in zip(self.names, row, strict=True) if holds) for row in (outputs > 0).tolist()
        ]

    def probabilities(self, outputs: Tensor) -> NDArray[np.float32]:
        """The probability that each label holds."""
        return outputs.sigmoid().cpu().numpy()

    def from_units(self, answers: Tensor) -> Tensor:
        """The logits themselves."""
        return answers

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The area under the ROC curve, as a mean over the labels that hold for some rows and not for others.

        NaN if an output is NaN, or if there is no such label.
        """
        if outputs.isnan().any():
            return math.nan
        from sklearn.metrics import roc_auc_score  # its import takes a second

        areas = []
        for answers, column in zip(outputs.T, targets.T, strict=True):
            there = ~column.isnan()
            if len(column[there].unique()) == 2:
                areas.append(float(roc_auc_score(column[there].numpy(), answers[there].numpy())))
        return sum(areas) / len(areas) if areas else math.nan

    def plain(self) -> dict[str, Any]:
        """The head as plain data."""
        return {"kind": self.kind, "names": list(self.names)}


def _pairs(logits: Tensor) -> Tensor:
    """The logits of two classes, `it holds` and `it does not`, for each label, shape (rows * labels, 2)."""
    flat = logits.reshape(-1)
    return torch.stack([flat, torch.zeros_like(flat)], dim=1)
