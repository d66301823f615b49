from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import refused_search

from autokd.driver.loop import open_executor
from autokd.driver.workplaces import Here
from autokd.errors import InputError
from autokd.latency import timing
from autokd.latency.meter import IN_PROCESS, idle_calibration_ms
from autokd.latency.timers import timer, timing_device
from autokd.types import Objective

CUDA = torch.device("cuda")


class GPU:
    """What CUDA does, as far as a timer sees it: work is queued, and runs when it is waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.queue = 0.0, list[Any]()
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
        monkeypatch.setattr(torch.cuda, "synchronize", self.wait)
        monkeypatch.setattr(torch.cuda, "Event", self.event)

    def work(self, milliseconds: float) -> None:
        def run() -> None:
            self.now += milliseconds

        self.queue.append(run)

    def wait(self) -> None:
        while self.queue:
            self.queue.pop(0)()

    def event(self, *, enable_timing: bool) -> Any:
        assert enable_timing
        gpu = self

        class Event:
            def record(self) -> None:
                gpu.queue.append(lambda: setattr(self, "at", gpu.now))

            def synchronize(self) -> None:
                gpu.wait()

            def elapsed_time(self, end: Any) -> float:
                return float(end.at - self.at)  # type: ignore[attr-defined]

        return Event()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> GPU:
    return GPU(monkeypatch)


def test_a_gpu_is_timed_by_its_own_clock_until_the_answer_is_there_and_from_when_it_is_idle(gpu: GPU) -> None:
    timed = timer(CUDA, threads=1)
    gpu.work(100.0)
    assert timed.spent(lambda: gpu.work(2.5)) == 2_500_000


def test_on_a_gpu_as_on_the_cpu_what_slows_all_is_divided_out(gpu: GPU, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_calibration", lambda device: lambda: gpu.work(1.0))  # it took .5 when idle
    calls = [lambda: gpu.work(4.0), lambda: gpu.work(0.2)]
    found = timing.time_calls(calls, threads=1, seconds=0.01, calibration_ms=0.5, device=CUDA)
    assert [each.median_ms for each in found] == pytest.approx([2.0, 0.1])


def test_one_thread_is_timed_by_its_own_clock_and_several_by_the_clock_on_the_wall() -> None:
    cpu = torch.device("cpu")
    assert timer(cpu, threads=1).now is time.thread_time_ns
    assert timer(cpu, threads=2).now is time.perf_counter_ns


def test_the_device_is_named_and_the_cpu_where_nothing_else_is_said(gpu: GPU) -> None:
    assert timing_device("cpu", runtime="onnx").type == "cpu"
    assert timing_device("auto", runtime="compile") == CUDA
    with pytest.raises(InputError, match="students cannot be timed on cuda with runtime 'onnx'; write cpu"):
        timing_device("cuda", runtime="onnx")
    with pytest.raises(InputError, match="'gpu' given; write cpu, cuda"):
        timing_device("gpu", runtime="eager")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_search_that_times_on_a_gpu_is_refused_where_there_is_none(tmp_path: Path) -> None:
    objectives = {"accuracy": {}, "latency_ms": {"device": "cuda"}}
    assert "objectives.latency_ms.device: cuda is not there" in refused_search(tmp_path, {"objectives": objectives})


def test_a_run_times_on_one_device() -> None:
    timed = [Objective(d, "minimize", "ms", False, len, timed=True, settings={"device": d}) for d in ("cpu", "cuda")]
    with pytest.raises(InputError, match="timed on cpu and cuda"):
        idle_calibration_ms(timed, IN_PROCESS)
    assert idle_calibration_ms([], IN_PROCESS) == 0


def test_nothing_is_timed_while_workers_start() -> None:
    with open_executor("processes", 2) as executor:
        place = Here(executor)
        meter = place.meter
        place.start()
        assert meter.calibration_ms(threads=1) > 0
        assert [executor.submit(abs, -1).result(timeout=1) for _ in range(2)] == [1, 1]
