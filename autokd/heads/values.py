"""Real numbers for each row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import InfeasibleError
from autokd.types import DistillationLoss

_LEAST_VARIANCE = 1e-4
"""The smallest variance of a teacher's answer, in standardised units: a standard deviation of a hundredth."""


@dataclass(frozen=True)
class Values:
    """Real numbers. Targets are in the user's unit, float, shape (rows, values); NaN means that a value is not known.

    Outputs are standardised: (value - centre) / scale. With `variance` they are as many means, and after them the
    logarithms of as many variances, both in standardised units.

    Args:
        names: the names of the values.
        centre: the mean of each value over the training rows, in the user's unit.
        scale: the standard deviation of each value over the training rows, > 0, in the user's unit.
        variance: whether the network also answers how far a value may lie from its mean.
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    variance: bool = False

    def __post_init__(self) -> None:
        fitted = [*self.centre, *self.scale]
        if not len(self.names) == len(self.centre) == len(self.scale) or not np.isfinite(fitted).all():
            raise ValueError("each value has one finite centre and one finite scale")
        if min(self.scale, default=1.0) <= 0:
            raise ValueError("a scale is larger than 0")

    kind = "values"
    compares_logits = False

    @property
    def shape(self) -> tuple[int, ...]:
        """One number for each value, or two with `variance`."""
        return (len(self.names) * (2 if self.variance else 1),)

    @property
    def summary(self) -> str:
        """What is answered, in a few words for the log."""
        count = "1 value" if len(self.names) == 1 else f"{len(self.names)} values"
        variance = ", each with its variance" if self.variance else ""
        return f"{count} ({', '.join(self.names[:4])}{', ...' * (len(self.names) > 4)}{variance})"

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over all known values of the squared error, or of the Gaussian's negative log-likelihood, shape ().

        Both are in standardised units. The likelihood is without its constant, and half of the log-variance plus half
        of the squared error in units of that variance.

        Source: Nix, Weigend (1994), https://doi.org/10.1109/ICNN.1994.374138, equation 2.
        """
        wanted = self.standardised(targets)
        is_known = ~wanted.isnan()
        errors = (self._means(outputs)[is_known] - wanted[is_known]) ** 2
        if not self.variance:
            return errors.mean()
        logs = self._log_variances(outputs)[is_known]
        return 0.5 * (logs + errors * (-logs).exp()).mean()

    def soft_loss(
        self, outputs: Tensor, answers: Tensor, targets: Tensor, *, loss: DistillationLoss, temperature: float
    ) -> Tensor:
        """The mean over rows and values of the squared difference from the teacher, or of the divergence from it.

        With `variance` it is the Kullback-Leibler divergence of the student's Gaussian from the teacher's: the
        likelihood of the hard loss in expectation under the teacher, less what the teacher itself would have. A
        distillation loss and its temperature do not apply to values.
        """
        answers = answers.detach()
        errors = (self._means(outputs) - self._means(answers)) ** 2
        if not self.variance:
            return errors.mean()
        logs, given = self._log_variances(outputs), self._log_variances(answers)
        return 0.5 * (logs - given + (given.exp() + errors) * (-logs).exp() - 1).mean()

    def known(self, targets: Tensor) -> Tensor:
        """The rows of which at least one value is known."""
        return ~targets.isnan().all(dim=1)

    def mean(self, answers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """The weighted mean of the members' values.

        With `variance`, the variance is that of the mixture: the mean of the members' variances and the variance of
        their means, together at least 1e-4 of the variance of the targets.
        """
        given = torch.stack([each.double() for each in answers])
        shares = torch.tensor(list(weights), dtype=torch.float64, device=given.device)
        means = self._means(given)
        mean = torch.einsum("m,mbc->bc", shares, means)
        if not self.variance:
            return mean.float()
        within = torch.einsum("m,mbc->bc", shares, self._log_variances(given).exp())
        between = torch.einsum("m,mbc->bc", shares, (means - mean) ** 2)
        return torch.cat([mean, (within + between).clamp(min=_LEAST_VARIANCE).log()], dim=1).float()

    def blind(self, targets: Tensor) -> Tensor:
        """The means of the known values, and with `variance` their log-variances."""
        wanted = self.standardised(targets).double()
        mean = wanted.nanmean(dim=0)
        if not self.variance:
            return mean.float()
        variances = ((wanted - mean) ** 2).nanmean(dim=0).clamp(min=_LEAST_VARIANCE)
        return torch.cat([mean, variances.log()]).float()

    def right(self, targets: Tensor) -> Tensor:
        """The targets as outputs, with the smallest variance; an unknown value is answered with the centre."""
        return self.from_units(targets.nan_to_num(nan=0.0) + targets.isnan() * self._centre)

    def as_classes(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Raises `InfeasibleError`, because values are no classes."""
        raise InfeasibleError("values are no classes; measure them with rmse, mae or r2")

    def in_units(self, outputs: Tensor) -> Tensor:
        """The values in the user's unit, float64, shape (rows, values); variances are left out."""
        return self._means(outputs).double() * self._scale.to(outputs.device) + self._centre.to(outputs.device)

    def predicted(self, outputs: Tensor) -> NDArray[np.float64]:
        """The values in the user's unit, shape (rows, values), or (rows,) if there is one value."""
        given = self.in_units(outputs).cpu().numpy()
        return given[:, 0] if len(self.names) == 1 else given

    def probabilities(self, outputs: Tensor) -> None:
        """Values have none."""
        return None

    def from_units(self, answers: Tensor) -> Tensor:
        """The outputs that stand for values in the user's unit, float32.

        Args:
            answers: values in the user's unit, shape (rows, values). With `variance`, they may be followed by as many
                variances in the squared unit. Answers without variances count as certain: they get the smallest one.

        Raises:
            InfeasibleError: there is another count of numbers in a row.
        """
        count = len(self.names)
        if answers.shape[1] not in ((count, 2 * count) if self.variance else (count,)):
            raise InfeasibleError(
                f"gives {answers.shape[1]} numbers in a row for {count} value(s), {', '.join(self.names)}; give one "
                "number for each value" + (", or the values and then their variances" if self.variance else "")
            )
        means = self.standardised(answers[:, : len(self.names)])
        if not self.variance:
            return means
        if answers.shape[1] == len(self.names):
            return torch.cat([means, torch.full_like(means, math.log(_LEAST_VARIANCE))], dim=1)
        variances = answers[:, len(self.names) :].double() / self._scale.to(answers.device) ** 2
        return torch.cat([means, variances.clamp(min=_LEAST_VARIANCE).log().float()], dim=1)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The coefficient of determination (r2), as a mean over the values that differ between rows.

        It is 1 for right answers and 0 for the mean of the targets. NaN if an output is NaN, or if no value differs.
        """
        given, wanted = self._means(outputs).double(), self.standardised(targets).double()
        if given.isnan().any():
            return math.nan
        spread = ((wanted - wanted.nanmean(dim=0)) ** 2).nansum(dim=0)
        errors = ((wanted - given) ** 2).nansum(dim=0)
        differs = spread > 0
        return float((1 - errors[differs] / spread[differs]).mean())

    def plain(self) -> dict[str, Any]:
        """The head as plain data."""
        fitted = {"centre": list(self.centre), "scale": list(self.scale)}
        return {"kind": self.kind, "names": list(self.names), **fitted, **({"variance": True} if self.variance else {})}

    def standardised(self, targets: Tensor) -> Tensor:
        """Values in the user's unit as float32 in standardised units; NaN stays NaN."""
        return ((targets.double() - self._centre.to(targets.device)) / self._scale.to(targets.device)).float()

    def _means(self, outputs: Tensor) -> Tensor:
        return outputs[..., : len(self.names)]

    def _log_variances(self, outputs: Tensor) -> Tensor:
        return outputs[..., len(self.names) :]

    @cached_property
    def _centre(self) -> Tensor:
        return torch.tensor(self.centre, dtype=torch.float64)

    @cached_property
    def _scale(self) -> Tensor:
        return torch.tensor(self.scale, dtype=torch.float64)
