"""Candidates that are not trials of a study: a space's `suggest` runs on a trial that no study knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial

Wish = Any | Callable[[BaseDistribution], Any]
"""A value, or a function that picks one from the distribution of a parameter."""


class Draw(FixedTrial):
    """A trial that suggests the wished values where they are possible, and random values otherwise.

    Args:
        generator: draws the random values.
        wished: wishes by parameter name. Values out of range and names that the space never asks for are ignored.
    """

    imagined = True
    """Tells a space that this trial itself is never trained."""

    def __init__(self, generator: Random, wished: Mapping[str, Wish]) -> None:
        super().__init__({})
        self._generator, self._wished = generator, wished

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:  # every suggest_* of Optuna calls this
        if name not in self._suggested_params:
            wish = self._wished.get(name, _NOTHING)
            wish = wish(distribution) if callable(wish) else wish
            possible = wish is not _NOTHING and holds(distribution, wish)
            self._suggested_params[name] = wish if possible else draw_from(distribution, self._generator)
            self._distributions[name] = distribution
        return self._suggested_params[name]


_NOTHING = object()


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value may be suggested from a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if isinstance(value, bool | str) or value is None:
        return False
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if distribution.step is None:
        return bool(distribution.low <= value <= distribution.high)
    return bool(distribution._contains(distribution.to_internal_repr(value)))


def draw_from(distribution: BaseDistribution, generator: Random) -> Any:
    """A random value: uniform, or uniform on the logarithm, and on the distribution's grid if it has one."""
    if isinstance(distribution, CategoricalDistribution):
        return generator.choice(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if isinstance(distribution, IntDistribution) and distribution.log:
        value = math.exp(generator.uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return min(max(round(value), low), high)
    if step is not None:
        return type(low)(min(low + generator.randrange(round((high - low) / step) + 1) * step, high))
    if distribution.log:
        return min(max(math.exp(generator.uniform(math.log(low), math.log(high))), low), high)
    return generator.uniform(low, high)


def nearby(
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    changes: int,
    generator: Random,
) -> dict[str, Any]:
    """The same values except for `changes` of them, which are left out (to be drawn anew) or, if numbers, moved.

    A number moves by about a tenth of its range.
    """
    wished = dict(params)
    for name in generator.sample(list(params), min(changes, len(params))):
        value, distribution = wished.pop(name), distributions[name]
        if not isinstance(distribution, CategoricalDistribution) and generator.random() < 0.5:
            wished[name] = _moved(value, distribution, generator)
    return wished


def _moved(value: float, distribution: Any, generator: Random) -> Any:
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        moved = value * math.exp(generator.gauss(0, 0.1 * math.log(high / low)))
    else:
        moved = value + generator.gauss(0, 0.1 * (high - low))
    if step is not None:
        moved = value + step * (round((moved - value) / step) or math.copysign(1, moved - value))  # at least one step
        # A sum of steps can miss an end by a rounding error, and an alpha just above 0 is no plain training.
        moved = next((end for end in (low, high) if abs(moved - end) < step / 1000), moved)
    moved = min(max(moved, low), high)
    return round(moved) if isinstance(distribution, IntDistribution) else float(moved)
