"""Several teachers that answer as one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from torch import Tensor

from autokd.errors import InputError
from autokd.heads import apart, flat, heads_of
from autokd.heads.classes import mean_of_probabilities
from autokd.teachers.answers import ask, rows_at_once
from autokd.types import Task, Teacher


@dataclass(frozen=True)
class Ensemble:
    """Teachers whose answers are averaged: probabilities, of which the logarithm is taken, or values.

    The probabilities are averaged at temperature 1, so a sure member outvotes an unsure one, and members whose
    logits differ in scale can be mixed. If a task asks for the variance of values, it is that of the mixture.

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
        """Logarithm of the weighted mean of the members' probabilities, shape (batch, num_outputs).

        This is for members that answer with the logits of classes; `answers` is for any task.
        """
        return mean_of_probabilities([member.outputs(inputs) for member in self.members], self._shares())

    def answers(self, task: Task, rows: Tensor, view: int) -> Tensor:
        """The mean of the members' answers by row number, as each head combines them; NaN where one has no answer."""
        heads = heads_of(task)
        given = [apart(ask(member, task, rows, view), heads) for member in self.members]
        means = {name: head.mean([each[name] for each in given], self._shares()) for name, head in heads.items()}
        return flat(means, heads)

    def _shares(self) -> list[float]:
        return [weight / sum(self.weights) for weight in self.weights]
