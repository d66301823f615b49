"""What is known of a student before training, and the hypervolume of what is known after."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import optuna
import torch

from autokd.errors import InputError
from autokd.pareto import as_losses, hypervolume
from autokd.record import canonical, without_log
from autokd.trial import Context, build_student
from autokd.types import Arch, Objective


def random_study(seed: int) -> optuna.Study:
    """An Optuna study in memory to draw random parameters from; nothing is recorded, and nothing is logged."""
    with without_log():
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed % 2**32))


def checked(arch: object) -> Arch:
    """`arch`, if it is a dict that equals its own JSON round trip.

    Raises:
        InputError: it is not.
    """
    try:
        if isinstance(arch, dict) and json.loads(json.dumps(arch)) == arch:
            return arch
    except (TypeError, ValueError):
        pass
    raise InputError(
        f"the space's suggest returned {arch!r}; return a dict of numbers, texts, booleans, lists or dicts that equals "
        "its own JSON round trip (text keys; no tuples, tensors or numpy numbers)"
    )


def measure_costs(context: Context, arch: Arch, *, reference_ms: float) -> dict[str, float]:
    """The untrained objectives of an architecture by name, without timed ones where an exact one breaks its bound."""
    student = build_student(context, arch, seed=context.study.seed)
    inputs = torch.zeros(1, *context.task.input_shape)
    costs: dict[str, float] = {}
    for objective in sorted((o for o in context.objectives if not o.trained), key=lambda o: o.timed):
        if objective.timed and any(_breaks(other, costs) for other in context.objectives):
            continue
        settings = dict(objective.settings) | ({"reference_ms": reference_ms} if objective.timed else {})
        value = float(objective.measure(student, inputs, **settings))
        if not math.isfinite(value):
            raise ValueError(f"{objective.name} is {value}")
        costs[objective.name] = value
    return costs


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
            costs = measure_costs(replace(context, objectives=exact), arch, reference_ms=0.0)
        except InputError:
            raise
        except Exception:  # one that cannot be built; the search records why
            continue
        if not any(_breaks(objective, costs) for objective in bounded):
            return
        found[canonical(arch)] = costs
    if found:
        hopeless = [o for o in bounded if all(_breaks(o, costs) for costs in found.values())] or bounded
        words = ", ".join(_nearest_to(o, [costs[o.name] for costs in found.values()]) for o in hopeless)
        raise InputError(
            f"objectives: none of {len(found)} different random architectures is within the bounds: {words}; loosen "
            "the bounds or widen the space"
        )


def scaled_hypervolume(
    values: Sequence[Mapping[str, float]], objectives: Sequence[Objective], reference: Mapping[str, float]
) -> float:
    """Hypervolume, each objective scaled: 0 at its ideal (1 where larger is better, else 0), 1 at the reference."""
    if not values:
        return 0.0
    ideal = as_losses([{o.name: 1.0 if o.direction == "maximize" else 0.0 for o in objectives}], objectives)
    worst = as_losses([reference], objectives)
    scaled = (as_losses(values, objectives) - ideal) / (worst - ideal)
    return float(hypervolume(scaled, np.ones(len(objectives))))


def _breaks(objective: Objective, costs: Mapping[str, float]) -> bool:
    if objective.bound is None or objective.name not in costs:
        return False
    return bool(
        costs[objective.name] > objective.bound
        if objective.direction == "minimize"
        else costs[objective.name] < objective.bound
    )


def _nearest_to(objective: Objective, values: Sequence[float]) -> str:
    nearest = min(values) if objective.direction == "minimize" else max(values)
    return f"{objective.name} bound {objective.bound:g}, the nearest has {nearest:g}"
