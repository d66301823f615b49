"""Proposals that are only thought of: a space's `suggest` run on a trial that no study knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial


class Draw(FixedTrial):
    """A trial whose suggestions are the wished-for values where they are possible, else drawn at random.

    Args:
        generator: what draws.
        wished: values by parameter name; of names that are never asked for, and values out of range, nothing comes.
    """

    imagined = True
    """Tells a space that no student will come of this trial as it is."""

    def __init__(self, generator: Random, wished: Mapping[str, Any]) -> None:
        super().__init__({})
        self._generator, self._wished = generator, wished

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:  # every suggest_* of Optuna's comes here
        if name not in self._suggested_params:
            wish = self._wished.get(name, _NOTHING)
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
    """A value at random: evenly, or evenly on the logarithm, on the distribution's grid where it has one."""
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
    """The same values but for some: left out, to be drawn, or, where numbers, moved by about a tenth of the range."""
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
        moved = value + step * (round((moved - value) / step) or math.copysign(1, moved - value))  # one step or more
    moved = min(max(moved, low), high)
    return round(moved) if isinstance(distribution, IntDistribution) else float(moved)
