"""What is known of a student before training, and the hypervolume of what is known after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import optuna

from autokd.errors import InputError
from autokd.pareto import as_losses, hypervolume
from autokd.record import canonical
from autokd.trial import Context, breaks
from autokd.types import Arch, Objective


def random_study(seed: int) -> optuna.Study:
    """An Optuna study in memory to draw random parameters from; nothing is recorded, and nothing is logged."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed % 2**32))
    finally:
        optuna.logging.set_verbosity(level)


def refuse_hopeless_bounds(context: Context, archs: Iterable[Arch]) -> None:
    """Refuses bounds, so far as they can be told without training or timing, that none of these architectures meets.

    Raises:
        InputError: none does; with how near they come.
    """
    exact = tuple(o for o in context.objectives if not o.trained and not o.timed)
    bounded = [objective for objective in exact if objective.bound is not None]
    found: dict[str, dict[str, float]] = {}
    for arch in archs if bounded else ():
        if canonical(arch) in found:
            continue
        try:
            costs = replace(context, objectives=exact).costs(arch, reference_ms=0.0)
        except InputError:
            raise
        except Exception:  # one that cannot be built; the search records why
            continue
        if not any(breaks(objective, costs) for objective in bounded):
            return
        found[canonical(arch)] = costs
    if found:
        hopeless = [o for o in bounded if all(breaks(o, costs) for costs in found.values())] or bounded
        words = ", ".join(_nearest_to(o, [costs[o.name] for costs in found.values()]) for o in hopeless)
        raise InputError(
            f"objectives: none of {len(found)} different architectures tried is within the bounds: {words}; loosen "
            "the bounds or widen the space"
        )


def scaled_hypervolume(
    values: Sequence[Mapping[str, float]], context: Context, reference: Mapping[str, float]
) -> float:
    """Hypervolume, each objective scaled: 0 at its ideal, 1 at the reference; one that cannot vary counts in full."""
    if not values:
        return 0.0
    objectives = context.objectives
    ideal, worst = as_losses([context.ideal], objectives), as_losses([reference], objectives)
    scaled = (as_losses(values, objectives) - ideal) / np.where(worst == ideal, 1.0, worst - ideal)
    return float(hypervolume(scaled, np.ones(len(objectives))))


def _nearest_to(objective: Objective, values: Sequence[float]) -> str:
    nearest = min(values) if objective.direction == "minimize" else max(values)
    return f"{objective.name} bound {objective.bound:g}, the nearest has {nearest:g}"
