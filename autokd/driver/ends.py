"""The ends between which the hypervolume of a run counts, for each objective. They are fixed when the run begins."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch

from autokd.driver.costs import MOST_LOST, Costs, draw_students, open_latencies
from autokd.errors import FOREIGN, InputError, LateError, UnmeasuredError
from autokd.heads import by_head, heads_of
from autokd.latency.meter import Meter
from autokd.objectives.ends import find_ends
from autokd.record import student_key
from autokd.trial import Context, as_evaluations, reason_of
from autokd.types import Objective

_LOG = logging.getLogger("autokd")
_SAMPLES = 64
_TIMED_SAMPLES = 16


def end_points(
    context: Context, folder: Path, meter: Meter, calibration_ms: float
) -> tuple[dict[str, float], dict[str, float]]:
    """The ideal value, and the worst value that counts, each by objective.

    The worst value is the objective's bound, or else the worst value that the objective declares. If it has neither,
    the worst value of a trained objective is the score of answers that do not look at the input, and that of a cost
    lies a tenth above a random sample. See `find_ends` and `_cost_ends`.

    Raises:
        InputError: no architecture of the sample can be built, or the ends of an objective cannot be found.
    """
    costs = _sample(context, folder, meter, calibration_ms)
    found: dict[str, tuple[float, float]] = {}
    for objective in context.objectives:
        if objective.trained:
            found[objective.name] = _trained_ends(objective, context)
        else:
            found[objective.name] = _cost_ends(objective, [c[objective.name] for c in costs if objective.name in c])
    return {name: ideal for name, (ideal, _) in found.items()}, {name: worst for name, (_, worst) in found.items()}


def _trained_ends(objective: Objective, context: Context) -> tuple[float, float]:
    task = context.task
    unknown = torch.empty(len(task.splits["validation"]), task.num_outputs)
    learnt = by_head(task.targets(task.splits["train"]), heads_of(task))[objective.head]
    ideal, worst = find_ends(objective, as_evaluations(context, unknown, "validation")[objective.head], learnt)
    if objective.ideal is None or (objective.worst is None and objective.bound is None):
        best = "the score of right answers" if objective.ideal is None else "its ideal"
        least = "the score of answers that ignore the input" if objective.worst is None else "its worst value"
        said = least if objective.bound is None else "its bound"
        _LOG.info(
            "For %s the hypervolume counts from %.4g (%s) to %.4g (%s).", objective.name, ideal, best, worst, said
        )
    return ideal, worst


def _cost_ends(objective: Objective, sample: list[float]) -> tuple[float, float]:
    """The ideal and the worst value of a cost.

    A cost that is minimised counts from 0 if no value of the sample is below 0. A cost that is maximised counts from 1
    if no value of the sample is above 1, and to 0 if none is below 0. Other ends lie a tenth beyond the sample.
    """
    low, high = min(sample), max(sample)
    below, above = low - 0.1 * abs(low), high + 0.1 * abs(high) if high < 0 else 1.1 * high
    if objective.direction == "minimize":
        ideal, worst = 0.0 if low >= 0 else below, above
    else:
        ideal, worst = 1.0 if high <= 1 else above, 0.0 if low >= 0 else below
    if objective.worst is not None:
        worst = objective.worst
    return ideal if objective.ideal is None else objective.ideal, worst if objective.bound is None else objective.bound


def _sample(context: Context, folder: Path, meter: Meter, calibration_ms: float) -> list[dict[str, float]]:
    """The costs of random architectures, regardless of the bounds; only the first that can be built are timed."""
    free = replace(context, objectives=tuple(replace(objective, bound=None) for objective in context.objectives))
    measured = Costs(free, open_latencies(free, folder, meter=meter, calibration_ms=calibration_ms))
    costs: list[dict[str, float]] = []
    reason, late = "", set[str]()
    for seen, arch in draw_students(free, _SAMPLES, folder=folder):
        key = student_key(seen.reading, arch)
        if key in late:
            continue
        try:
            costs.append(measured.measure(seen.reading, arch) if len(costs) < _TIMED_SAMPLES else seen.costs(arch))
        except (InputError, UnmeasuredError):
            raise
        except FOREIGN as error:
            reason = f"{arch}: {reason_of(error)}"
            if isinstance(error, LateError):
                late.add(key)
                if len(late) == MOST_LOST:
                    break
    if not costs:
        raise InputError(
            f"space {context.study.space!r}: none of {_SAMPLES} random architectures can be built for this task; "
            f"the last one is {reason}; `autokd check` says more"
        )
    return costs
