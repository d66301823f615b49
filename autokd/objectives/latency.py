"""How long a student takes to answer, measured so that the figure can be believed.

A round calls the reference network and the students in turn, several times over, and keeps the fastest call of
each; the figure is the median over rounds of student / reference, times what the reference takes on the idle
machine. So a processor that slows down, for both, is divided out.

Two choices are from measuring 20 students on two cores. On one thread the clock is that thread's processor time:
it equals wall time on an idle core and does not run while another process has the core. With two processes
training, the spread of the worst student was 3 %, and 8 % in wall time; on several threads, whose work it does
not see, the clock is wall time all the same. And a round is ten calls: where eight processes share the two cores
most calls are slowed, a student's more than the reference's, and the median of the fastest of ten agreed better
between repeats (Kendall tau .96) than that of the fastest of two (.93).

On a GPU all is the same but the clock: a call is timed by events of CUDA, from an idle GPU until its answer is there.
"""

from __future__ import annotations

import functools
import gc
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from autokd.devices import compiled_call
from autokd.errors import InputError, nearest
from autokd.objectives.costs import evaluating
from autokd.objectives.timers import Call, Timer, timer, timing_device

_CPU = torch.device("cpu")
SECONDS = 0.2
"""Spent on timing a student where nothing else is said."""
_FEWEST_ROUNDS = 7
_TURNS_A_ROUND = 5
_WARM_UP_CALLS = 5


@dataclass(frozen=True)
class Timing:
    """What repeated measuring of one student gave.

    Args:
        median_ms: median over rounds, milliseconds a batch.
        cv: spread between rounds as a fraction of the median: the interquartile range, scaled to be the
            coefficient of variation where rounds are normal (a few rounds that were disturbed do not count).
        rounds: how many there were.
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
    reference_ms: float | None = None,
) -> float:
    """Median time to answer one batch, in milliseconds a batch (not a sample); as `time_student`."""
    timing = time_student(
        student,
        inputs,
        batch=batch,
        threads=threads,
        runtime=runtime,
        device=device,
        seconds=seconds,
        reference_ms=reference_ms,
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
    reference_ms: float | None = None,
) -> Timing:
    """Times one student; as `measure_together` with it alone."""
    return measure_together(
        [student],
        inputs,
        batch=batch,
        threads=threads,
        runtime=runtime,
        device=device,
        seconds=seconds,
        reference_ms=reference_ms,
    )[0]


def measure_together(
    students: Sequence[nn.Module],
    inputs: Tensor,
    *,
    batch: int = 1,
    threads: int = 1,
    runtime: str = "eager",
    device: str = "cpu",
    seconds: float = SECONDS,
    reference_ms: float | None = None,
) -> list[Timing]:
    """Times students interleaved, each once a round, so that they can be compared with each other.

    Args:
        students: on the CPU; run in eval mode, and left in the mode they were in.
        inputs: one sample as a batch of one, shape (1, *input_shape).
        batch: samples a call; that one sample, repeated.
        threads: within an operation; the caller's number is restored.
        runtime: a name in `RUNTIMES`.
        device: cpu, cuda, cuda:1 or auto; a student is there only while it is timed.
        seconds: spent on each student; at least 7 rounds are made.
        reference_ms: what `measure_reference_ms` gave on the idle machine for this device and as many threads; None
            measures without the reference network, so that drift and load stay in the figures.

    Returns:
        in the order of `students`.

    Raises:
        InputError: a setting is out of range or unknown, or the runtime is not installed.
    """
    if min(batch, threads) < 1 or not seconds > 0:
        raise InputError(
            f"latency_ms needs batch >= 1, threads >= 1 and seconds > 0, not {batch}, {threads} and "
            f"{seconds}: correct them under objectives.latency_ms"
        )
    if runtime not in RUNTIMES:
        raise InputError(
            f"latency_ms knows no runtime '{runtime}'{nearest(runtime, RUNTIMES)}: write one of {', '.join(RUNTIMES)}"
        )
    place = timing_device(device, runtime=runtime)
    inputs = inputs.expand(batch, *inputs.shape[1:]).contiguous().to(place)
    with ExitStack() as stack:
        for student in students:
            stack.enter_context(evaluating(student))
            stack.callback(student.cpu)
            student.to(place)
        calls = [RUNTIMES[runtime](student, inputs, threads) for student in students]
        return time_calls(calls, threads=threads, seconds=seconds * len(calls), reference_ms=reference_ms, device=place)


def measure_reference_ms(*, threads: int = 1, device: str = "cpu") -> float:
    """Time of the reference network, in milliseconds; to be taken once, before any worker trains."""
    place = timing_device(device, runtime="eager")
    calls = [_reference(place)]
    return time_calls(calls, threads=threads, seconds=2 * SECONDS, reference_ms=None, device=place)[0].median_ms


def time_calls(
    calls: Sequence[Call], *, threads: int, seconds: float, reference_ms: float | None, device: torch.device = _CPU
) -> list[Timing]:
    """Times calls interleaved, for `seconds` in all: `measure_together` once its students are ready to run."""
    timed = timer(device, threads=threads)
    lanes = list(calls) if reference_ms is None else [*calls, _reference(device)]
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
    if reference_ms is not None:
        times = times[:, :-1] / times[:, -1:] * reference_ms
    low, median, high = np.quantile(times, [0.25, 0.5, 0.75], axis=0)
    spread = (high - low) / 1.349 / median
    return [Timing(float(m), float(cv), len(rounds)) for m, cv in zip(median, spread, strict=True)]


def _fastest_of_two(call: Call, timed: Timer) -> int:
    """Nanoseconds, >= 1; the first call also warms the caches that the others in turn have cooled."""
    return max(min(timed.spent(call), timed.spent(call)), 1)


@contextmanager
def _undisturbed(threads: int) -> Iterator[None]:
    """No gradients, no garbage collection, so many threads; then as before."""
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


def _reference(device: torch.device) -> Call:
    """A small convolutional network, always the same: part arithmetic, part overhead, as small students are."""
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
    with _silenced(), torch.inference_mode():
        compiled = compiled_call(student)
        compiled(inputs)
    return functools.partial(compiled, inputs)


def _onnx(student: nn.Module, inputs: Tensor, threads: int) -> Call:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as missing:
        raise InputError(
            f"latency_ms with runtime 'onnx' needs {missing.name}: run `pip install 'autokd[onnx]'`"
        ) from missing
    with _silenced():
        program = torch.onnx.export(student, (inputs,), dynamo=True, verbose=False)
    assert program is not None  # it is None only for the older exporter
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return functools.partial(session.run, None, {session.get_inputs()[0].name: inputs.numpy()})


@contextmanager
def _silenced() -> Iterator[None]:
    """Hides what torch's compiler and exporter say of torch's own code, which no user can act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


RUNTIMES: Mapping[str, Callable[[nn.Module, Tensor, int], Call]] = {
    "eager": _eager,
    "compile": _compile,
    "onnx": _onnx,
}
"""Ways to run a student: each takes (student, inputs, threads) and gives a call that answers the inputs."""
