"""How long a student takes to answer, measured so that the figure can be trusted.

A round calls the calibration network and the students in turn, several times, and keeps the fastest call of each. The
latency is the median over rounds of student / calibration network, times the time of the calibration network on the
idle machine. If the processor slows down, both calls slow down, and the ratio stays.

Two choices come from measuring 20 students on two cores. With one thread the clock is the processor time of that
thread, which equals wall time on an idle core and stops while another process has the core. With two processes
training, the spread of the worst student was 3 %, and 8 % in wall time. With several threads the clock is wall time,
because processor time of one thread does not include the work of the others. The second choice is that a round has ten
calls. If eight processes share the two cores, most calls are slowed down, and those of a student more than those of
the calibration network. The median of the fastest of ten calls then agreed better between repeats (Kendall tau .96)
than that of the fastest of two (.93).

On a GPU only the clock differs: CUDA events time a call from an idle GPU until its answer is there.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from autokd.devices import compiled_call
from autokd.errors import InputError, nearest
from autokd.latency.timers import Call, Timer, timer, timing_device
from autokd.networks import in_eval_mode, quiet_tracing

_CPU = torch.device("cpu")
SECONDS = 0.2
"""The default time spent on timing a student."""
_FEWEST_ROUNDS = 7
_TURNS_A_ROUND = 5
_WARM_UP_CALLS = 5


@dataclass(frozen=True)
class Timing:
    """The result of timing one student.

    Args:
        median_ms: median over rounds, in milliseconds per batch.
        cv: spread between rounds as a fraction of the median. It is the interquartile range, scaled to equal the
            coefficient of variation if rounds are normal, so a few disturbed rounds do not matter.
        rounds: the number of rounds.
    """

    median_ms: float
    cv: float
    rounds: int


def latency_ms(
    student: nn.Module,
    inputs: Tensor,
    *,
    batch: int = 1,
    threads: int = 1,
    runtime: str = "eager",
    device: str = "cpu",
    seconds: float = SECONDS,
    calibration_ms: float | None = None,
) -> float:
    """The median time to answer one batch, in milliseconds per batch (not per sample); see `time_student`."""
    timing = time_student(
        student,
        inputs,
        batch=batch,
        threads=threads,
        runtime=runtime,
        device=device,
        seconds=seconds,
        calibration_ms=calibration_ms,
    )
    return timing.median_ms


def time_student(
    student: nn.Module,
    inputs: Tensor,
    *,
    batch: int = 1,
    threads: int = 1,
    runtime: str = "eager",
    device: str = "cpu",
    seconds: float = SECONDS,
    calibration_ms: float | None = None,
) -> Timing:
    """Times one student; the same as `measure_together` with this student alone."""
    return measure_together(
        [student],
        inputs,
        batch=batch,
        threads=threads,
        runtime=runtime,
        device=device,
        seconds=seconds,
        calibration_ms=calibration_ms,
    )[0]


def measure_together(
    students: Sequence[nn.Module],
    inputs: Tensor | Sequence[Tensor],
    *,
    batch: int = 1,
    threads: int = 1,
    runtime: str = "eager",
    device: str = "cpu",
    seconds: float = SECONDS,
    calibration_ms: float | None = None,
) -> list[Timing]:
    """Times students interleaved, in rounds that call all of them, so that they can be compared with each other.

    Args:
        students: networks on the CPU. They run in eval mode, and each module gets its own mode back.
        inputs: one sample as a batch of one, shape (1, *input_shape); or such a sample for each student.
        batch: how often that sample is repeated for one call.
        threads: the number of threads within an operation; the caller's number is restored.
        runtime: a name in `RUNTIMES`.
        device: cpu, cuda, cuda:1 or auto. Students are moved there for the time of measuring.
        seconds: the time spent on each student; there are 7 rounds at least.
        calibration_ms: the result of `measure_calibration_ms` on the idle machine for this device and this number of
            threads. None measures without the calibration network, so that drift and load of the machine affect the
            figures.

    Returns:
        a timing for each student, in the order of `students`.

    Raises:
        InputError: a setting is out of range or unknown, or the runtime is not installed.
    """
    if min(batch, threads) < 1 or not seconds > 0:
        raise InputError(
            f"latency_ms needs batch >= 1, threads >= 1 and seconds > 0, not {batch}, {threads} and {seconds}. "
            "Correct them under objectives.latency_ms"
        )
    if runtime not in RUNTIMES:
        raise InputError(
            f"latency_ms knows no runtime '{runtime}'{nearest(runtime, RUNTIMES)}: write one of {', '.join(RUNTIMES)}"
        )
    place = timing_device(device, runtime=runtime)
    given = [inputs] * len(students) if isinstance(inputs, Tensor) else inputs
    batches = [each.expand(batch, *each.shape[1:]).contiguous().to(place) for each in given]
    with ExitStack() as stack:
        for student in students:
            stack.enter_context(in_eval_mode(student))
            stack.callback(student.cpu)
            student.to(place)
        calls = [RUNTIMES[runtime](student, each, threads) for student, each in zip(students, batches, strict=True)]
        return time_calls(
            calls, threads=threads, seconds=seconds * len(calls), calibration_ms=calibration_ms, device=place
        )


def measure_calibration_ms(*, threads: int = 1, device: str = "cpu") -> float:
    """The time of the calibration network, in milliseconds. Measure it once, before any worker trains."""
    place = timing_device(device, runtime="eager")
    calls = [_calibration(place)]
    return time_calls(calls, threads=threads, seconds=2 * SECONDS, calibration_ms=None, device=place)[0].median_ms


def time_calls(
    calls: Sequence[Call], *, threads: int, seconds: float, calibration_ms: float | None, device: torch.device = _CPU
) -> list[Timing]:
    """Times calls interleaved, for `seconds` in all. `measure_together` calls this when its students are ready."""
    timed = timer(device, threads=threads)
    lanes = list(calls) if calibration_ms is None else [*calls, _calibration(device)]
    rounds: list[list[int]] = []
    with _undisturbed(threads):
        for call in lanes:
            for _ in range(_WARM_UP_CALLS):
                call()
        end = timed.now() + seconds * 1e9
        while timed.now() < end or len(rounds) < _FEWEST_ROUNDS:
            turns = [[_fastest_of_two(call, timed) for call in lanes] for _ in range(_TURNS_A_ROUND)]
            rounds.append([min(spent) for spent in zip(*turns, strict=True)])
    times = np.array(rounds) / 1e6
    if calibration_ms is not None:
        times = times[:, :-1] / times[:, -1:] * calibration_ms
    low, median, high = np.quantile(times, [0.25, 0.5, 0.75], axis=0)
    spread = (high - low) / 1.349 / median
    return [Timing(float(m), float(cv), len(rounds)) for m, cv in zip(median, spread, strict=True)]


def _fastest_of_two(call: Call, timed: Timer) -> int:
    """The faster of two calls in nanoseconds, >= 1; the first one also warms the caches after the other students."""
    return max(min(timed.spent(call), timed.spent(call)), 1)


@contextmanager
def _undisturbed(threads: int) -> Iterator[None]:
    """Turns off gradients and garbage collection and sets the number of threads; restores all of this afterwards."""
    threads_before, collecting = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(threads)
    gc.disable()
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads_before)
        if collecting:
            gc.enable()


def _calibration(device: torch.device) -> Call:
    """A small convolutional network, always the same. Like small students, it takes part arithmetic, part overhead."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for channels_in, channels_out in pairwise((1, 16, 16, 16, 16, 16, 32, 32)):
            convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
            layers += [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)).eval()
        return functools.partial(network.to(device), torch.randn(1, 1, 8, 8).to(device))


def _eager(student: nn.Module, inputs: Tensor, threads: int) -> Call:
    return functools.partial(student, inputs)


def _compile(student: nn.Module, inputs: Tensor, threads: int) -> Call:
    with quiet_tracing(), torch.inference_mode():
        compiled = compiled_call(student)
        compiled(inputs)
    return functools.partial(compiled, inputs)


def _onnx(student: nn.Module, inputs: Tensor, threads: int) -> Call:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as missing:
        raise InputError(
            f"latency_ms with runtime 'onnx' needs {missing.name}; run: pip install 'autokd[onnx]'"
        ) from missing
    with quiet_tracing():
        program = torch.onnx.export(student, (inputs,), dynamo=True, verbose=False)
    assert program is not None  # it is None only for the older exporter
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return functools.partial(session.run, None, {session.get_inputs()[0].name: inputs.numpy()})


RUNTIMES: Mapping[str, Callable[[nn.Module, Tensor, int], Call]] = {
    "eager": _eager,
    "compile": _compile,
    "onnx": _onnx,
}
"""Ways to run a student: each function takes (student, inputs, threads) and returns a call that answers the inputs."""
