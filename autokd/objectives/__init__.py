"""The objectives that ship with AutoKD: each a number read off a student, trained or not.

All are registered as plug-ins in the entry-point group `autokd.objectives`, with no privilege over others' own.
"""

from __future__ import annotations

from autokd.objectives import costs, latency, quality
from autokd.types import Objective

accuracy = Objective("accuracy", "maximize", "", True, quality.accuracy)
error = Objective("error", "minimize", "", True, quality.error)
balanced_accuracy = Objective("balanced_accuracy", "maximize", "", True, quality.balanced_accuracy)
f1 = Objective("f1", "maximize", "", True, quality.f1)
agreement = Objective("agreement", "maximize", "", True, quality.agreement)
ece = Objective("ece", "minimize", "", True, quality.ece)
nll = Objective("nll", "minimize", "nats", True, quality.nll)

parameters = Objective("parameters", "minimize", "", False, costs.parameters)
flops = Objective("flops", "minimize", "", False, costs.flops)
size_mb = Objective("size_mb", "minimize", "MB", False, costs.size_mb)
peak_memory_mb = Objective("peak_memory_mb", "minimize", "MB", False, costs.peak_memory_mb)
latency_ms = Objective("latency_ms", "minimize", "ms", False, latency.latency_ms, timed=True)
