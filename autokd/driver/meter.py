"""Where latencies are measured, and the measuring itself: in this process, or wherever a place has it done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from autokd.objectives.latency import SECONDS, measure_reference_ms, measure_together
from autokd.objectives.latency_table import Measurement, conditions
from autokd.trial import Context, build_student
from autokd.types import Arch, Objective


class Meter(Protocol):
    """Where latencies of a run are measured: one machine, and one measurement at a time.

    Raises (all methods):
        UnmeasuredError: the machine was lost, and none like it came in time.
    """

    @property
    def where(self) -> str:
        """For the log; "" where only this process comes into question."""

    def conditions(self, *, runtime: str, threads: int, batch: int, device: str = "cpu") -> dict[str, Any]:
        """What a latency there depends on besides the student; as `latency_table.conditions`."""

    def reference_ms(self, *, threads: int, device: str = "cpu") -> float:
        """Idle time of the reference network there, in ms; as `latency.measure_reference_ms`."""

    def measure(
        self,
        context: Context,
        objective: Objective,
        archs: Sequence[Arch],
        *,
        reference_ms: float,
        seconds: float = SECONDS,
    ) -> list[Measurement]:
        """Latencies of students, timed together; as `measure_archs`."""


@dataclass(frozen=True)
class ThisProcess:
    """Measures in the process of the driver.

    Args:
        where: for the log.
        ready: returns once processes beside this one have started; nothing is timed before.
    """

    where: str = ""
    ready: Callable[[], None] = lambda: None

    def conditions(self, *, runtime: str, threads: int, batch: int, device: str = "cpu") -> dict[str, Any]:
        """As `latency_table.conditions`."""
        return conditions(runtime=runtime, threads=threads, batch=batch, device=device)

    def reference_ms(self, *, threads: int, device: str = "cpu") -> float:
        """As `latency.measure_reference_ms`."""
        self.ready()
        return measure_reference_ms(threads=threads, device=device)

    def measure(
        self,
        context: Context,
        objective: Objective,
        archs: Sequence[Arch],
        *,
        reference_ms: float,
        seconds: float = SECONDS,
    ) -> list[Measurement]:
        """As `measure_archs`."""
        self.ready()
        return measure_archs(context, objective, archs, reference_ms=reference_ms, seconds=seconds)


IN_PROCESS = ThisProcess()


def measure_archs(
    context: Context, objective: Objective, archs: Sequence[Arch], *, reference_ms: float, seconds: float = SECONDS
) -> list[Measurement]:
    """Builds students and times them in this process, interleaved, so that they can be compared with each other.

    Args:
        context: what the trials share; the teacher is not asked.
        objective: the timed one.
        archs: of the students.
        reference_ms: the idle time of the reference network on this machine when the run began.
        seconds: spent on each where the objective's settings do not say.

    Raises:
        InfeasibleError: one cannot be built.
        InputError: a setting of the objective is out of range, or its runtime is not installed.
    """
    students = [build_student(context, arch, seed=context.study.seed) for arch in archs]
    inputs = torch.zeros(1, *context.task.input_shape)
    start = time.perf_counter()
    timings = measure_together(
        students, inputs, reference_ms=reference_ms, **{"seconds": seconds, **objective.settings}
    )
    taken = (time.perf_counter() - start) / max(len(students), 1)
    return [
        Measurement(arch, timing.median_ms, timing.cv, reference_ms, taken)
        for arch, timing in zip(archs, timings, strict=True)
    ]
