"""The objectives that ship with AutoKD. Each one is a number that is measured on a student or on its answers.

All of them are registered as plug-ins in the entry-point group `autokd.objectives`, like those that others write.
"""

from __future__ import annotations

from autokd.latency import timing
from autokd.objectives import costs, quality
from autokd.types import Objective, share_error

accuracy = Objective(
    "accuracy", "maximize", "", True, quality.accuracy, ideal=1.0, worst=0.0, standard_error=share_error
)
error = Objective("error", "minimize", "", True, quality.error, ideal=0.0, worst=1.0, standard_error=share_error)
agreement = Objective(
    "agreement", "maximize", "", True, quality.agreement, ideal=1.0, worst=0.0, standard_error=share_error
)
balanced_accuracy = Objective(
    "balanced_accuracy", "maximize", "", True, quality.balanced_accuracy, ideal=1.0, worst=0.0
)
f1 = Objective("f1", "maximize", "", True, quality.f1, ideal=1.0, worst=0.0)
ece = Objective("ece", "minimize", "", True, quality.ece, ideal=0.0, worst=1.0)
nll = Objective("nll", "minimize", "nats", True, quality.nll, ideal=0.0)

parameters = Objective("parameters", "minimize", "", False, costs.parameters)
flops = Objective("flops", "minimize", "", False, costs.flops)
size_mb = Objective("size_mb", "minimize", "MB", False, costs.size_mb)
peak_memory_mb = Objective("peak_memory_mb", "minimize", "MB", False, costs.peak_memory_mb)
latency_ms = Objective("latency_ms", "minimize", "ms", False, timing.latency_ms, timed=True)
