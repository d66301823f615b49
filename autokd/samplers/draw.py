"""Proposals that are only thought of: a space's `suggest` run on a trial that no study knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
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

    def __init__(self, generator: np.random.Generator, wished: Mapping[str, Any]) -> None:
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


def draw_from(distribution: BaseDistribution, generator: np.random.Generator) -> Any:
    """A value at random: evenly, or evenly on the logarithm, on the distribution's grid where it has one."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(generator.integers(len(distribution.choices)))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if isinstance(distribution, IntDistribution) and distribution.log:
        value = np.exp(generator.uniform(np.log(low - 0.5), np.log(high + 0.5)))
        return int(min(max(round(value), low), high))
    if step is not None:
        steps = int(generator.integers(round((high - low) / step) + 1))
        return type(low)(min(low + steps * step, high))
    if distribution.log:
        return float(min(max(np.exp(generator.uniform(np.log(low), np.log(high))), low), high))
    return float(generator.uniform(low, high))


def nearby(
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    changes: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """The same values but for some: left out, to be drawn, or, where numbers, moved by about a tenth of the range."""
    wished = dict(params)
    names = list(params)
    for name in generator.choice(names, min(changes, len(names)), replace=False):
        value, distribution = wished.pop(name), distributions[name]
        if not isinstance(distribution, CategoricalDistribution) and generator.random() < 0.5:
            wished[name] = _moved(value, distribution, generator)
    return wished


def _moved(value: float, distribution: Any, generator: np.random.Generator) -> Any:
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        moved = value * np.exp(generator.normal(0, 0.1 * np.log(high / low)))
    else:
        moved = value + generator.normal(0, 0.1 * (high - low))
    if step is not None:
        towards = np.sign(moved - value) or 1.0
        moved = value + step * (round((moved - value) / step) or towards)  # at least one step
    moved = min(max(moved, low), high)
    return round(moved) if isinstance(distribution, IntDistribution) else float(moved)
