"""Measures the latencies of a run's students, in this process or on another machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from autokd.errors import InputError
from autokd.latency.table import Measurement, conditions
from autokd.latency.timing import SECONDS, measure_calibration_ms, measure_together
from autokd.networks import example_of
from autokd.types import Arch, Objective, Task


class Candidates(Protocol):
    """The students of a search, or of one of its readings, that may be timed; a trial's context has these members."""

    @property
    def study(self) -> Any:
        """The study, which is all that another machine needs besides the task."""

    @property
    def task(self) -> Task:
        """The task for which students are built."""

    @property
    def reading(self) -> Mapping[str, Any]:
        """What was picked of the way in which the task reads its rows; empty if nothing was."""

    def build(self, arch: Arch) -> nn.Module:
        """The untrained student of an architecture.

        Raises:
            InfeasibleError: the student cannot be built.
        """


def _here(function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    return function(*args, **settings)


def _as_they_are(candidates: Candidates) -> Candidates:
    return candidates


@dataclass(frozen=True)
class Meter:
    """Measures the latencies of a run on one machine, one measurement at a time; by default in this process.

    All methods raise UnmeasuredError if the machine was lost and no machine like it came in time.

    Args:
        where: the place of the measuring, for the log; "" if it can only be this process.
        ready: returns when the processes beside the one that measures have started; nothing is timed before that.
        run: calls a function on the machine that measures, with these arguments, and returns its result.
        send: gives candidates in a form that `run` can pass to that machine.
    """

    where: str = ""
    ready: Callable[[], None] = lambda: None
    run: Callable[..., Any] = _here
    send: Callable[[Candidates], Candidates] = _as_they_are

    def conditions(self, *, runtime: str, threads: int, batch: int, device: str = "cpu") -> dict[str, Any]:
        """Everything besides the student on which a latency there depends; see `table.conditions`."""
        found: dict[str, Any] = self.run(conditions, runtime=runtime, threads=threads, batch=batch, device=device)
        return found

    def calibration_ms(self, *, threads: int, device: str = "cpu") -> float:
        """The idle time of the calibration network there, in ms; see `timing.measure_calibration_ms`."""
        self.ready()
        return float(self.run(measure_calibration_ms, threads=threads, device=device))

    def measure(
        self,
        students: Sequence[tuple[Candidates, Arch]],
        settings: Mapping[str, Any],
        *,
        calibration_ms: float,
        seconds: float = SECONDS,
    ) -> list[Measurement]:
        """The latencies of students, timed together there; see `measure_students`."""
        self.ready()
        measured: list[Measurement] = self.run(
            measure_students,
            [(self.send(candidates), arch) for candidates, arch in students],
            settings,
            calibration_ms=calibration_ms,
            seconds=seconds,
        )
        return measured


IN_PROCESS = Meter()


def measure_students(
    students: Sequence[tuple[Candidates, Arch]],
    settings: Mapping[str, Any],
    *,
    calibration_ms: float,
    seconds: float = SECONDS,
) -> list[Measurement]:
    """Builds students and times them in this process, interleaved, so that they can be compared with each other.

    Args:
        students: the architecture of each student, with the candidates that build it.
        settings: the settings of the timed objective.
        calibration_ms: the idle time of the calibration network on this machine when the run began, in ms.
        seconds: the time for each student, if the settings do not say it.

    Raises:
        InfeasibleError: a student cannot be built.
        InputError: a setting of the objective is out of range, or its runtime is not installed.
    """
    networks = [candidates.build(arch) for candidates, arch in students]
    inputs = [example_of(candidates.task) for candidates, _ in students]
    start = time.perf_counter()
    timings = measure_together(networks, inputs, calibration_ms=calibration_ms, **{"seconds": seconds, **settings})
    taken = (time.perf_counter() - start) / max(len(students), 1)
    return [
        Measurement(arch, timing.median_ms, timing.cv, calibration_ms, taken)
        for (_, arch), timing in zip(students, timings, strict=True)
    ]


def idle_calibration_ms(objectives: Sequence[Objective], meter: Meter) -> float:
    """The time of the calibration network now, on the device of the timed objectives, in ms; 0 if none is timed.

    Raises:
        InputError: the objectives are timed on several devices, or nothing can be timed on their device.
    """
    how = [conditions_of(objective) for objective in objectives if objective.timed]
    devices = sorted({str(each["device"]) for each in how})
    if len(devices) > 1:
        raise InputError(
            f"objectives are timed on {' and '.join(devices)}; a run times on one device only, so choose one of them"
        )
    return meter.calibration_ms(threads=max(each["threads"] for each in how), device=devices[0]) if how else 0.0


def conditions_of(objective: Objective) -> dict[str, Any]:
    """The settings of a timed objective on which a latency depends."""
    given = objective.settings
    return {
        "runtime": given.get("runtime", "eager"),
        "threads": given.get("threads", 1),
        "batch": given.get("batch", 1),
        "device": given.get("device", "cpu"),
    }
