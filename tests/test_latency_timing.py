"""A student is timed so that drift, load and disturbances of the machine do not change the figure."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from conftest import needs
from torch import nn

from autokd import objectives
from autokd.errors import InputError
from autokd.latency import prediction, timing

SAMPLE = torch.zeros(1, 4)


def chain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 16), nn.Linear(16, 2))


class Clock:
    """A clock that calls move; `slowness` is how loaded the machine is."""

    def __init__(self) -> None:
        self.now, self.slowness = 0.0, 1.0

    def __call__(self) -> int:
        return int(self.now)

    def call(self, milliseconds: float, then: Callable[[], None] = lambda: None) -> Callable[[], None]:
        def run() -> None:
            self.now += milliseconds * 1e6 * self.slowness
            then()

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "thread_time_ns", made)
    monkeypatch.setattr(timing, "_calibration", lambda device: made.call(0.5))
    return made


def test_a_machine_that_slows_down_is_divided_out(clock: Clock) -> None:
    def slow_down() -> None:
        clock.slowness *= 1.01

    calls = [clock.call(2.0, slow_down), clock.call(0.1)]
    found = timing.time_calls(calls, threads=1, seconds=0.5, calibration_ms=0.5)
    assert [each.median_ms for each in found] == pytest.approx([2.0, 0.1], rel=0.05)
    assert all(each.cv < 0.05 for each in found)
    assert timing.time_calls(calls, threads=1, seconds=0.5, calibration_ms=None)[0].median_ms > 3


def test_a_round_keeps_the_calls_that_were_not_disturbed(clock: Clock) -> None:
    calls = iter(range(1_000_000))

    def disturb() -> None:
        clock.now += 9e6 * (next(calls) % 2)

    (found,) = timing.time_calls([clock.call(1.0, disturb)], threads=1, seconds=0.2, calibration_ms=0.5)
    assert found.median_ms == pytest.approx(1.0)


def test_a_slow_student_still_gets_seven_rounds_and_a_fast_one_stops_in_time(clock: Clock) -> None:
    slow = timing.time_calls([clock.call(1000.0)], threads=1, seconds=0.1, calibration_ms=None)
    fast = timing.time_calls([clock.call(0.1)], threads=1, seconds=0.1, calibration_ms=None)
    assert slow[0].rounds == 7
    assert fast[0].rounds == pytest.approx(100, rel=0.01)


@pytest.mark.slow
@needs("onnxruntime")
def test_onnx_runtime_answers_as_the_student_does_and_is_timed() -> None:
    student, sample = chain().eval(), torch.randn(1, 4)
    (answer,) = cast(list[np.ndarray], timing.RUNTIMES["onnx"](student, sample, 1)())
    assert np.allclose(answer, student(sample).detach(), atol=1e-6)
    assert timing.latency_ms(student, sample, batch=4, runtime="onnx", seconds=0.02, calibration_ms=0.2) > 0


@pytest.mark.slow
def test_every_student_is_compiled_and_none_falls_back_to_eager() -> None:
    from torch._dynamo.utils import counters

    torch.compiler.reset()
    counters.clear()
    students = [nn.Linear(4, width) for width in range(2, 12)]
    timing.measure_together(students, SAMPLE, runtime="compile", seconds=0.01)
    assert counters["stats"]["unique_graphs"] == len(students)


def test_students_are_timed_together_in_order_and_the_process_is_left_as_it_was() -> None:
    students = [chain(), chain()]
    state, collecting = torch.get_rng_state(), gc.isenabled()
    idle = timing.measure_calibration_ms()
    found = timing.measure_together(students, SAMPLE, batch=2, threads=2, seconds=0.005, calibration_ms=idle)
    assert [each.rounds >= 7 and each.median_ms > 0 for each in found] == [True, True]
    assert torch.get_num_threads() == 1
    assert gc.isenabled() == collecting
    assert not torch.is_inference_mode_enabled()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("settings_given", "message"),
    [
        ({"batch": 0}, "batch >= 1"),
        ({"threads": 0}, "threads >= 1"),
        ({"seconds": float("nan")}, "seconds > 0"),
        ({"runtime": "onx"}, "did you mean 'onnx'"),
    ],
)
def test_bad_settings_are_answered_in_words(settings_given: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        objectives.latency_ms.measure(chain(), SAMPLE, **settings_given)


def test_a_missing_onnx_runtime_is_answered_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'autokd\[onnx\]'"):
        timing.latency_ms(chain(), SAMPLE, runtime="onnx")


def test_programs_that_import_from_the_former_places_still_work() -> None:
    from autokd.objectives import latency, latency_prediction

    assert latency.latency_ms is timing.latency_ms
    assert latency_prediction.fit_latency is prediction.fit_latency
