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
from collections.abc import Mapping
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from autokd.samplers.draw import Wish, holds

PREFIX = "recipe."
"""How the names of a recipe's parameters begin."""

_RECOMMENDED = ((1.0, 1.0), (2.0, 0.9))
"""Temperatures and alphas, which take turns. The smallest of the first five students is the third of them."""
_METHOD = "kd"
_RATE = 7 / 8
"""The learning rate's place in its range, which is .02 in the default range."""


def recommended(place: int) -> dict[str, Wish]:
    """What to wish for the recipe of one of the first students, by the name of the parameter.

    A number outside the range of a study becomes the nearest possible one, so the bounds that a user sets always hold.
    Each choice of `recipe.start` has its turn, the teacher's and pretrained weights first.

    Args:
        place: how many students the search began before this one.
    """
    temperature, alpha = _RECOMMENDED[place % len(_RECOMMENDED)]
    return {
        f"{PREFIX}temperature": partial(_nearest, temperature),
        f"{PREFIX}alpha": partial(_nearest, alpha),
        f"{PREFIX}method": _METHOD,
        f"{PREFIX}lr": _rate,
        f"{PREFIX}start": partial(_start, place),
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


def _rate(distribution: BaseDistribution) -> Any:
    """The learning rate in the upper part of its range, on a logarithmic scale if the range has one."""
    if isinstance(distribution, CategoricalDistribution):
        numbers = _numbers(distribution)
        return numbers[int(_RATE * len(numbers))] if numbers else None
    found: Any = distribution
    if found.log:
        return _nearest(found.low * math.exp(_RATE * math.log(found.high / found.low)), found)
    return _nearest(found.low + _RATE * (found.high - found.low), found)


def _start(place: int, distribution: BaseDistribution) -> Any:
    """The start whose turn it is."""
    if not isinstance(distribution, CategoricalDistribution):
        return None
    starts = sorted(distribution.choices, key=lambda start: start == "scratch")  # keeps the order of the others
    return starts[(place + 1) // 2 % len(starts)]  # so that each start meets each recipe


def _numbers(distribution: CategoricalDistribution) -> list[float]:
    return sorted(choice for choice in distribution.choices if isinstance(choice, int | float))
