"""How much the loss of each head counts in the loss of a student that has several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from autokd.errors import InfeasibleError


@dataclass(frozen=True)
class Weighing:
    """The weighted sum of the losses of heads.

    Args:
        weights: the weight of each head; None if they are learned.
        learned: the parameters that are trained with the student, and are no part of it.
    """

    weights: Mapping[str, float] | None
    learned: list[nn.Parameter] = field(default_factory=list)

    def __call__(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The sum of the losses, each times its weight.

        Learned weights are exp(-s), and s / 2 is added for each head, where s is the logarithm of a variance.

        Source: Kendall, Gal, Cipolla (2018), https://arxiv.org/abs/1705.07115, equation 10.
        """
        if self.weights is not None:
            return torch.stack([weight * losses[name] for name, weight in self.weights.items() if weight]).sum()
        (logs,) = self.learned
        return ((-logs).exp() * torch.stack([*losses.values()])).sum() + logs.sum() / 2


def weighing(given: Mapping[str, float] | str, heads: Sequence[str], device: torch.device) -> Weighing:
    """How the losses of these heads are summed.

    Args:
        given: weights by head, of which the ratios count, with 1 for a head that is left out; or `uncertainty`, which
            learns them, beginning with 1 for each head.
        heads: the names of the heads.
        device: where learned weights are.

    Raises:
        InfeasibleError: all weights are 0.
    """
    if isinstance(given, str):
        return Weighing(None, [nn.Parameter(torch.zeros(len(heads), device=device))])
    weights = {name: float(given.get(name, 1.0)) for name in heads}
    total = sum(weights.values())
    if total <= 0:
        raise InfeasibleError("the weights of all heads are 0, so nothing would be learned")
    return Weighing({name: weight / total for name, weight in weights.items()})
