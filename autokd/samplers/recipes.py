"""Recipes that the field recommends. The first students of a search have them, because nothing is known yet.

What a recipe does is much the same for most architectures, but a random recipe is rarely a good one: most have a low
learning rate, or labels that outweigh the teacher. The recipes here differ from each other, so that the search learns
from its first students which one suits the data.

Sources: Hinton et al. (2015), https://arxiv.org/abs/1503.02531, who found that small students want lower temperatures
than large ones (section 3); Beyer et al. (2022), https://arxiv.org/abs/2106.05237, whose students follow the teacher
alone, without labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from autokd.samplers.draw import Wish, holds
from autokd.types import SCRATCH

PREFIX = "recipe."
"""How the names of a recipe's parameters begin."""

_RECOMMENDED = ((1.0, 1.0), (2.0, 0.9))
"""Temperatures and alphas, which take turns. The smallest of the first five students is the third of them."""
_METHOD = "kd"
_RATE, _RATE_OF_TRAINED = 7 / 8, 1 / 4
"""The learning rate's place in its range, which is .02 in the default range; and for layers that were trained before.

On TREC-6, with rates from .0001 to .01, three layers of the teacher were best at .0003, a quarter of the range.
"""


def recommended(place: int, starts: Sequence[Any] = ()) -> dict[str, Wish]:
    """What to wish for the recipe of one of the first students, by the name of the parameter.

    A number outside the range of a study becomes the nearest possible one, so the bounds that a user sets always hold.
    Each choice of `recipe.start` has its turn, the teacher's and pretrained weights first. Every second student that
    does not begin from scratch has a small learning rate, which suits layers that were trained before. The others have
    a large one, which suits new layers above the teacher's embeddings.

    Args:
        place: how many students the search began before this one.
        starts: the choices of `recipe.start`; empty if it is not searched.
    """
    temperature, alpha = _RECOMMENDED[place % len(_RECOMMENDED)]
    in_turn = sorted(starts, key=lambda start: start == SCRATCH)  # keeps the order of the others
    start = in_turn[(place + 1) // 2 % len(in_turn)] if in_turn else SCRATCH  # so that each start meets each recipe
    rate = _RATE if start == SCRATCH or place % 2 else _RATE_OF_TRAINED
    return {
        f"{PREFIX}temperature": partial(_nearest, temperature),
        f"{PREFIX}alpha": partial(_nearest, alpha),
        f"{PREFIX}method": _METHOD,
        f"{PREFIX}lr": partial(_rate, rate),
        f"{PREFIX}start": start,
    }


def has_recipe(params: Mapping[str, Any]) -> bool:
    """Whether a part of the recipe is among the parameters."""
    return any(name.startswith(PREFIX) for name in params)


def _nearest(value: float, distribution: BaseDistribution) -> Any:
    """The possible number that is nearest to a value; the value itself if no number is possible."""
    if isinstance(distribution, CategoricalDistribution):
        return min(_numbers(distribution), key=lambda number: abs(number - value), default=value)
    found: Any = distribution
    value = min(max(value, found.low), found.high)
    if found.step is None or holds(found, value):
        return value
    return min(found.low + round((value - found.low) / found.step) * found.step, found.high)


def _rate(share: float, distribution: BaseDistribution) -> Any:
    """The learning rate at this share of its range, on a logarithmic scale if the range has one."""
    if isinstance(distribution, CategoricalDistribution):
        numbers = _numbers(distribution)
        return numbers[int(share * len(numbers))] if numbers else None
    found: Any = distribution
    if found.log:
        return _nearest(found.low * math.exp(share * math.log(found.high / found.low)), found)
    return _nearest(found.low + share * (found.high - found.low), found)


def _numbers(distribution: CategoricalDistribution) -> list[float]:
    return sorted(choice for choice in distribution.choices if isinstance(choice, int | float))
