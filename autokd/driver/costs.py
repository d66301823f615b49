"""What is known of a student before training, and the hypervolume of what is known after."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from autokd.errors import InputError
from autokd.pareto import hypervolume, losses
from autokd.trial import Context, build_student
from autokd.types import Arch, Objective


def plain(arch: object) -> Arch:
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
        costs[objective.name] = float(objective.measure(student, inputs, **settings))
    return costs


def scaled_hypervolume(
    values: Sequence[Mapping[str, float]], objectives: Sequence[Objective], reference: Mapping[str, float]
) -> float:
    """Hypervolume, each objective scaled: 0 at its ideal (1 where larger is better, else 0), 1 at the reference."""
    if not values:
        return 0.0
    ideal = losses([{o.name: 1.0 if o.direction == "maximize" else 0.0 for o in objectives}], objectives)
    worst = losses([reference], objectives)
    scaled = (losses(values, objectives) - ideal) / (worst - ideal)
    return float(hypervolume(scaled, np.ones(len(objectives))))


def _breaks(objective: Objective, costs: Mapping[str, float]) -> bool:
    if objective.bound is None or objective.name not in costs:
        return False
    return bool(
        costs[objective.name] > objective.bound
        if objective.direction == "minimize"
        else costs[objective.name] < objective.bound
    )
