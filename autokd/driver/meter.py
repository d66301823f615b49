"""Measures latencies in this process, and describes how any other place measures them."""

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
    """Measures the latencies of a run on one machine, one measurement at a time.

    Raises (all methods):
        UnmeasuredError: the machine was lost, and no machine like it came in time.
    """

    @property
    def where(self) -> str:
        """The place of the measuring, for the log; "" if it can only be this process."""

    def conditions(self, *, runtime: str, threads: int, batch: int, device: str = "cpu") -> dict[str, Any]:
        """Everything besides the student on which a latency there depends, as `latency_table.conditions` gives it."""

    def reference_ms(self, *, threads: int, device: str = "cpu") -> float:
        """The idle time of the reference network there, in ms, as `latency.measure_reference_ms` measures it."""

    def measure(
        self,
        context: Context,
        objective: Objective,
        archs: Sequence[Arch],
        *,
        reference_ms: float,
        seconds: float = SECONDS,
    ) -> list[Measurement]:
        """The latencies of students, timed together as `measure_archs` does."""


@dataclass(frozen=True)
class ThisProcess:
    """Measures in the process of the driver.

    Args:
        where: the place of the measuring, for the log.
        ready: returns when the processes beside this one have started; nothing is timed before that.
    """

    where: str = ""
    ready: Callable[[], None] = lambda: None

    def conditions(self, *, runtime: str, threads: int, batch: int, device: str = "cpu") -> dict[str, Any]:
        """The same as `latency_table.conditions`."""
        return conditions(runtime=runtime, threads=threads, batch=batch, device=device)

    def reference_ms(self, *, threads: int, device: str = "cpu") -> float:
        """The same as `latency.measure_reference_ms`."""
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
        """The same as `measure_archs`."""
        self.ready()
        return measure_archs(context, objective, archs, reference_ms=reference_ms, seconds=seconds)


IN_PROCESS = ThisProcess()


def measure_archs(
    context: Context, objective: Objective, archs: Sequence[Arch], *, reference_ms: float, seconds: float = SECONDS
) -> list[Measurement]:
    """Builds students and times them in this process, interleaved, so that they can be compared with each other.

    Args:
        context: what the trials share; the teacher is not asked.
        objective: the timed objective.
        archs: the architectures of the students.
        reference_ms: the idle time of the reference network on this machine when the run began, in ms.
        seconds: the time for each student, if the objective's settings do not say it.

    Raises:
        InfeasibleError: a student cannot be built.
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
