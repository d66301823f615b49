"""Timers for one call on a device: the processor's clock, or events on a GPU."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from autokd.devices import pick_device
from autokd.errors import InputError

Call = Callable[[], object]


@dataclass(frozen=True)
class Timer:
    """Times calls on one device, in nanoseconds.

    Args:
        now: reads a clock, which decides how long measuring goes on.
        spent: gives the time that one call takes until its answer is there.
    """

    now: Callable[[], int]
    spent: Callable[[Call], int]


def timing_device(name: str, *, runtime: str) -> torch.device:
    """The device on which students are timed in a runtime.

    Raises:
        InputError: there is no such device, or students cannot be timed on it.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(name)):
        raise InputError(f"objectives.latency_ms.device: {name!r} given; write cpu, cuda, cuda:1 or auto")
    try:
        device = pick_device(name)
    except InputError as error:
        raise InputError(f"objectives.latency_ms.{error}") from None
    if device.type not in _TIMERS or (runtime == "onnx" and device.type != "cpu"):
        raise InputError(
            f"objectives.latency_ms.device: students cannot be timed on {device.type} with runtime '{runtime}'; write "
            "cpu"
        )
    return device


def timer(device: torch.device, *, threads: int) -> Timer:
    """The timer of calls on a device."""
    return _TIMERS[device.type](device, threads)


def _on_processor(device: torch.device, threads: int) -> Timer:
    clock = time.thread_time_ns if threads == 1 else time.perf_counter_ns

    def spent(call: Call) -> int:
        start = clock()
        call()
        return clock() - start

    return Timer(clock, spent)


def _on_gpu(device: torch.device, threads: int) -> Timer:
    def spent(call: Call) -> int:
        with torch.cuda.device(device):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize()
            start.record()
            call()
            end.record()
            end.synchronize()
            return round(start.elapsed_time(end) * 1e6)

    return Timer(time.perf_counter_ns, spent)


_TIMERS: Mapping[str, Callable[[torch.device, int], Timer]] = {"cpu": _on_processor, "cuda": _on_gpu}
