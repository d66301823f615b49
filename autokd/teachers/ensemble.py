"""Several teachers that answer as one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from autokd.errors import InputError
from autokd.losses import log_probabilities
from autokd.teachers.answers import ask, rows_at_once
from autokd.types import Task, Teacher


@dataclass(frozen=True)
class Ensemble:
    """Teachers whose probabilities are averaged; the answer is log(max(p, 1e-7)) of the mean.

    The probabilities are averaged at temperature 1, so a sure member outvotes an unsure one, and members whose
    logits differ in scale can be mixed.

    Args:
        members: one teacher or more.
        weights: one weight for each teacher, > 0; only the ratios of the weights count.

    Source: Hinton, Vinyals, Dean (2015), https://arxiv.org/abs/1503.02531, section 1: the arithmetic mean.
    """

    members: tuple[Teacher, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.members or len(self.members) != len(self.weights):
            raise InputError(
                f"an ensemble needs one teacher or more and a weight for each, not {len(self.members)} teachers "
                f"and {len(self.weights)} weights"
            )
        if not all(0 < weight < float("inf") for weight in self.weights):
            raise InputError(f"ensemble weights {self.weights}: each must be a positive number")

    @property
    def name(self) -> str:
        """The members' names."""
        return " + ".join(member.name for member in self.members)

    @property
    def digest(self) -> str:
        """SHA-256 over the members' digests and shares."""
        parts = sorted(zip((member.digest for member in self.members), self._shares(), strict=True))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def rows_at_once(self) -> int:
        """The number of rows in one question: as many as suit every member."""
        return min(map(rows_at_once, self.members))

    def outputs(self, inputs: Tensor) -> Tensor:
        """Logarithm of the weighted mean of the members' probabilities, shape (batch, num_outputs)."""
        return self._mean([member.outputs(inputs) for member in self.members])

    def answers(self, task: Task, rows: Tensor, view: int) -> Tensor:
        """The same mean by row number; NaN where a member has no answer."""
        return self._mean([ask(member, task, rows, view) for member in self.members])

    def _mean(self, given: list[Tensor]) -> Tensor:
        probabilities = torch.stack([each.double().softmax(dim=1) for each in given])
        shares = torch.tensor(self._shares(), dtype=torch.float64, device=probabilities.device)
        return log_probabilities(torch.einsum("m,mbc->bc", shares, probabilities)).float()

    def _shares(self) -> list[float]:
        return [weight / sum(self.weights) for weight in self.weights]
