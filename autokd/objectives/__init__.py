"""The objectives that ship with AutoKD. Each one is a number that is measured on a student or on its answers.

All of them are registered as plug-ins in the entry-point group `autokd.objectives`, like those that others write.
"""

from __future__ import annotations

from collections.abc import Callable

from autokd.latency import timing
from autokd.objectives import costs, quality
from autokd.types import Direction, Objective, share_error

_CLASSES = ("classes", "labels", "positions")
_ONE_OF_MANY = ("classes", "positions")
_VALUES = ("values",)


def _quality(
    name: str,
    measure: Callable[..., float],
    heads: tuple[str, ...],
    *,
    direction: Direction = "maximize",
    unit: str = "",
    ideal: float,
    worst: float | None = None,
    is_share: bool = False,
) -> Objective:
    """An objective of a trained student's answers, for these kinds of heads."""
    error = share_error if is_share else None
    return Objective(name, direction, unit, True, measure, ideal=ideal, worst=worst, standard_error=error, heads=heads)


accuracy = _quality("accuracy", quality.accuracy, _CLASSES, ideal=1.0, worst=0.0, is_share=True)
error = _quality("error", quality.error, _CLASSES, direction="minimize", ideal=0.0, worst=1.0, is_share=True)
agreement = _quality("agreement", quality.agreement, _CLASSES, ideal=1.0, worst=0.0, is_share=True)
balanced_accuracy = _quality("balanced_accuracy", quality.balanced_accuracy, _ONE_OF_MANY, ideal=1.0, worst=0.0)
f1 = _quality("f1", quality.f1, _CLASSES, ideal=1.0, worst=0.0)
ece = _quality("ece", quality.ece, _CLASSES, direction="minimize", ideal=0.0, worst=1.0)
nll = _quality("nll", quality.nll, _CLASSES, direction="minimize", unit="nats", ideal=0.0)
miou = _quality("miou", quality.miou, _ONE_OF_MANY, ideal=1.0, worst=0.0)
mcc = _quality("mcc", quality.mcc, _ONE_OF_MANY, ideal=1.0, worst=0.0)
auc = _quality("auc", quality.auc, ("classes", "labels"), ideal=1.0, worst=0.5)
average_precision = _quality("average_precision", quality.average_precision, ("classes", "labels"), ideal=1.0)
rmse = _quality("rmse", quality.rmse, _VALUES, direction="minimize", ideal=0.0)
mae = _quality("mae", quality.mae, _VALUES, direction="minimize", ideal=0.0)
r2 = _quality("r2", quality.r2, _VALUES, ideal=1.0, worst=0.0)

parameters = Objective("parameters", "minimize", "", False, costs.parameters, by_ratio=True)
flops = Objective("flops", "minimize", "", False, costs.flops, by_ratio=True)
size_mb = Objective("size_mb", "minimize", "MB", False, costs.size_mb, by_ratio=True)
peak_memory_mb = Objective("peak_memory_mb", "minimize", "MB", False, costs.peak_memory_mb, by_ratio=True)
latency_ms = Objective("latency_ms", "minimize", "ms", False, timing.latency_ms, timed=True)
