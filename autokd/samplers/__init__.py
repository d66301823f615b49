"""AutoKD's own sampler: it knows costs before training and proposes the student that may add most to the front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import optuna
from optuna.trial import FrozenTrial

from autokd.samplers.cost_aware import CostAwareSampler
from autokd.study import OWN_SAMPLER, make_sampler
from autokd.trial import Searched

_BUILT = 8


def sampler_for(
    context: Searched, worst: Mapping[str, float], seed: int, prior: Sequence[FrozenTrial] = ()
) -> optuna.samplers.BaseSampler:
    """The sampler of a study.

    Args:
        context: what is searched.
        worst: the worst value of each objective that still counts, as for the hypervolume of the run.
        seed: 0 .. 2**32 - 1. A resumed search needs another seed, or it repeats its suggestions.
        prior: trials of an earlier run of the same space. Only AutoKD's own sampler learns from them.
    """
    if context.study.sampler != OWN_SAMPLER:
        return make_sampler(context.study.sampler, seed)
    # A network must be built before its costs are known, which takes 8 to 45 ms.
    exact = math.inf if context.costs_are_free else _BUILT
    return CostAwareSampler(
        context.suggest,
        lambda reading, arch: context.seen_through(reading).costs(arch),
        context.objectives,
        worst=worst,
        exact=exact,
        seed=seed,
        hurried=context.study.executor != "inline",
        prior=prior,
    )


__all__ = ["CostAwareSampler", "sampler_for"]
