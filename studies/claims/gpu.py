"""Does AutoKD do on a GPU what its documentation says? One check for each claim of `docs/gpu.md`.

    python studies/claims/gpu.py --out gpu.jsonl --minutes 8

Each check compares a device with the CPU of the same machine: the numbers of a training, bf16, the compiler, data that
are copied whole or batch by batch, class weights, the teacher's answers, latencies by events, four students at once, a
search that goes on elsewhere, and samples a second. Finished checks are appended to --out and not repeated; what is
missing is printed. `--device cpu` runs the same checks with the CPU in the place of the GPU, which shows that the
script works and says nothing about a GPU.

The script was never run on a GPU, for want of one. With `--device cpu` it takes two to three minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
from safetensors.torch import load_file
from scipy.stats import kendalltau
from torch import Tensor, nn

from autokd import devices, search_study
from autokd.distill import Training
from autokd.driver.preparation import prepare
from autokd.latency.timing import time_student
from autokd.losses import kd
from autokd.record import read_trials
from autokd.study import Study, override
from autokd.tasks import from_arrays
from autokd.tasks import task as tasks_in_memory
from autokd.teachers.networks import NetworkTeacher
from autokd.trial import Stretch, context_of, run_stretch
from autokd.types import Recipe
from search_spaces import mlp, resnet

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that the script finds its neighbours when it is run by path
from studies.claims.cells import read_cells, run_missing

RECIPE = Recipe(alpha=0.5, temperature=2.0, method="kd", lr=0.01, batch_size=64, epochs=9)
STAGES = [{"blocks": 1, "kernel": 3, "widen": 1}, {"blocks": 1, "kernel": 3, "widen": 2}]
ARCHS: Mapping[str, Mapping[str, Any]] = {
    "mlp": {"widths": [64], "activation": "relu", "batch_norm": True},
    "resnet": {"width": 12, "stages": STAGES},
}
"""A student of each space. Neither draws at random in its forward pass, as dropout does, so that numbers compare."""
ROUNDING, POINTS = 0.05, 0.03
"""What may lie between two devices: of weights after one epoch as a share of their size (cuDNN multiplies in TF32, and
sums in another order), and of accuracy on 288 labels, whose standard error is .008 to .02."""


@dataclass(frozen=True)
class Finding:
    """One figure, what it should be, and whether it is."""

    what: str
    found: str
    expected: str
    holds: bool


@dataclass(frozen=True)
class Trained:
    """What came of a training: its accuracy on validation and its weights, on the CPU."""

    accuracy: float
    weights: Mapping[str, Tensor]

    def differs(self, other: Trained) -> float:
        """The mean difference between two weights, as a share of the mean weight, both without their signs.

        The largest difference would say little: Adam's first steps have the size of the learning rate whatever the
        gradient, so where that is nearly 0, rounding alone decides on the direction.
        """
        names = [name for name, value in self.weights.items() if value.is_floating_point()]
        here, there = (torch.cat([each.weights[name].flatten() for name in names]) for each in (self, other))
        return ((here - there).abs().mean() / here.abs().mean()).item()


Check = Callable[[str, Path], list[Finding]]
"""Takes the device's name and an empty folder."""


def _study(space: str, **overrides: Any) -> Study:
    plain = {
        "name": "gpu",
        "task": {"data": "digits", "labels": 400, "validation": 288},
        "teacher": {"space": "mlp", "arch": {**ARCHS["mlp"], "widths": [256]}, "epochs": 10},
        "space": space,
        "objectives": {"accuracy": {}, "parameters": {}},
        "budget": {"trials": 8, "rungs": [3, 9], "reseeds": 0},
        "executor": "inline",
        "workers": 1,
    }
    return override(Study.model_validate(plain), overrides)


def _trained(space: str, folder: Path, parts: Sequence[int], **overrides: Any) -> Trained:
    """A student of a space, trained up to the last of `parts` and interrupted at the others."""
    context = context_of(folder, prepare(_study(space, **overrides), folder).setup)
    source, values = "", dict[str, float]()
    for start, stop in zip((0, *parts), parts, strict=False):
        stretch = Stretch(0, dict(ARCHS[space]), RECIPE, 1, start, stop, source, str(folder / f"epoch-{stop}"))
        values, source = run_stretch(context, stretch)["values"], stretch.folder
    return Trained(values["accuracy"], load_file(Path(source) / "weights.safetensors"))


def check_training(device: str, folder: Path) -> list[Finding]:
    """A student trains on the device as on the CPU, and again as it did there."""
    findings = []
    for space in ARCHS:
        here = _trained(space, folder / f"{space}-cpu", (1, 9))
        there = _trained(space, folder / f"{space}-device", (1, 9), device=device)
        whole = _trained(space, folder / f"{space}-whole", (9,), device=device)
        one = _trained(space, folder / f"{space}-cpu-1", (1,))
        other = _trained(space, folder / f"{space}-device-1", (1,), device=device)
        findings += [
            _at_most(f"{space}: weights after one epoch, beside the CPU's", one.differs(other), ROUNDING),
            _at_most(f"{space}: accuracy after nine, beside the CPU's", abs(here.accuracy - there.accuracy), POINTS),
            _at_most(f"{space}: accuracy with and without a stop", abs(whole.accuracy - there.accuracy), POINTS),
        ]
    return findings


def check_numbers(device: str, folder: Path) -> list[Finding]:
    """bf16 and the compiler change what they should: weights stay float32, and accuracy stays where it was."""
    plain = _trained("mlp", folder / "plain", (9,), device=device)
    bf16 = _trained("mlp", folder / "bf16", (9,), device=device, precision="bf16")
    compiled = _trained("mlp", folder / "compiled", (1,), device=device, compile=True)
    eager = _trained("mlp", folder / "eager", (1,), device=device)
    kinds = {str(value.dtype) for value in bf16.weights.values() if value.is_floating_point()}
    return [
        _at_most("bf16: accuracy beside float32's", abs(bf16.accuracy - plain.accuracy), POINTS),
        Finding("bf16: kind of the weights", ", ".join(sorted(kinds)), "torch.float32", kinds == {"torch.float32"}),
        Finding("bf16: weights differ from float32's", _yes(bf16.differs(plain) > 0), "yes", bf16.differs(plain) > 0),
        _at_most("compiler: weights after one epoch, beside eager", compiled.differs(eager), ROUNDING),
    ]


def check_data(device: str, folder: Path) -> list[Finding]:
    """Data copied whole, by the batch or read ahead, views and class weights give what they give on the CPU."""
    views = {"task.augment": {"views": 3, "crop": 1}}
    weights = {"task.class_weights": [0.5, *[1.0] * 8, 3.0]}
    findings = []
    for what, overrides in (("views", views), ("class weights", weights)):
        here = _trained("mlp", folder / f"{what} here", (1,), **overrides)
        there = _trained("mlp", folder / f"{what} there", (1,), device=device, **overrides)
        findings.append(_at_most(f"{what}: weights after one epoch, beside the CPU's", here.differs(there), ROUNDING))
    whole = _trained("mlp", folder / "whole", (1,), device=device)
    with mock.patch.object(devices, "WHOLE_BYTES", 0):
        batches = _trained("mlp", folder / "batches", (1,), device=device)
        with mock.patch.object(tasks_in_memory, "WHOLE_BYTES", 0):
            ahead = _trained("mlp", folder / "ahead", (1,), device=device)
    return [
        *findings,
        _at_most("copied batch by batch: weights beside copied whole", whole.differs(batches), 1e-6),
        _at_most("read ahead from the file: weights beside copied whole", whole.differs(ahead), 1e-6),
    ]


def check_teacher(device: str, folder: Path) -> list[Finding]:
    """A teacher that is a network answers on the device as on the CPU, and stays where its owner has it."""
    torch.manual_seed(0)
    task = _images(512)
    network = resnet.build(dict(ARCHS["resnet"]), task).eval()
    inputs = task.inputs(task.splits["train"])
    here = NetworkTeacher("network", "1", network).outputs(inputs)
    there = NetworkTeacher("network", "1", network, torch.device(device)).outputs(inputs).cpu()
    share = ((here - there).abs().max() / here.abs().max()).item()
    at = str(next(network.parameters()).device)
    return [
        _at_most("answers beside the CPU's", share, ROUNDING),
        Finding("where the network is afterwards", at, "cpu", at == "cpu"),
    ]


def check_latency(device: str, folder: Path) -> list[Finding]:
    """Latencies agree between repeats and with a clock on the wall, and larger students take longer."""
    torch.manual_seed(0)
    task = _images(64)
    on_gpu = torch.device(device).type == "cuda"
    widths, batch, repeats = ((16, 32, 64, 128, 256), 64, 4) if on_gpu else ((4, 8, 16), 1, 2)
    students = [resnet.build({"width": width, "stages": STAGES}, task).eval() for width in widths]
    inputs = task.inputs(task.splits["train"][:1])
    timings = [
        [time_student(student, inputs, batch=batch, device=device, seconds=0.1) for student in students]
        for _ in range(repeats)
    ]
    times = [[timing.median_ms for timing in repeat] for repeat in timings]
    taus = [kendalltau(a, b).statistic for a, b in combinations(times, 2)]
    cv = max(timing.cv for repeat in timings for timing in repeat)
    beside = [ms / _wall_ms(student, inputs, batch, device) for ms, student in zip(times[-1], students, strict=True)]
    compiled = time_student(students[-1], inputs, batch=batch, device=device, runtime="compile", seconds=0.1)
    in_order = times[-1] == sorted(times[-1])
    return [
        _at_least("least Kendall tau of two repeats", float(min(taus)), 0.8),
        _at_most("largest spread (CV)", cv, 0.1),
        Finding("larger students take longer", _yes(in_order), "yes", in_order),
        Finding(
            "events beside a clock on the wall, ratio",
            f"{min(beside):.2f} to {max(beside):.2f}",
            "0.5 to 1.2",
            min(beside) >= 0.5 and max(beside) <= 1.2,
        ),
        Finding("compiled, largest student", f"{compiled.median_ms:.3f} ms", f"eager {times[-1][-1]:.3f} ms", True),
    ]


def check_workers(device: str, folder: Path) -> list[Finding]:
    """Four students train at once on one device, none is lost, and their numbers are those of one at a time."""
    found, seconds = {}, {}
    for workers in (1, 4):
        run = folder / f"workers-{workers}"
        more = {"executor": "processes", "workers": workers, "sampler": "random", "scheduler": "none"}
        started = time.monotonic()
        search_study(_study("mlp", device=device, **more), run=run)
        seconds[workers] = time.monotonic() - started
        found[workers] = {trial.number: trial for trial in read_trials(run)}
    states = sorted({trial.state for trial in found[4].values()})
    gaps = [abs(found[1][n].values["accuracy"] - found[4][n].values["accuracy"]) for n in found[1] if n in found[4]]
    return [
        Finding("four workers: how trials ended", ", ".join(states), "complete", states == ["complete"]),
        _at_most("four workers: accuracy beside one worker's", max(gaps), POINTS),
        Finding("four workers: seconds of the search", f"{seconds[4]:.0f}", f"one worker {seconds[1]:.0f}", True),
    ]


def check_moving(device: str, folder: Path) -> list[Finding]:
    """A search goes on with another device, from its checkpoints and the answers of its teacher."""
    run = folder / "run"
    search_study(_study("mlp", **{"budget.trials": 3}), run=run)
    front = search_study(_study("mlp", device=device, **{"budget.trials": 6}), run=run)
    ended = sum(front.trials[state] for state in ("complete", "pruned"))
    return [Finding("begun on the CPU, gone on there: trials", str(ended), "6", ended == 6)]


def check_speed(device: str, folder: Path) -> list[Finding]:
    """Samples a second of a distilling step on the device, beside those of one thread of the CPU."""
    findings = []
    for name, build, batch in (
        ("mlp", lambda task: mlp.build(dict(ARCHS["mlp"]), task), 64),
        ("resnet", lambda task: resnet.build({"width": 32, "stages": STAGES}, task), 256),
    ):
        rates = {each: _samples_a_second(build, batch, each) for each in ("cpu", device)}
        ratio = rates[device] / rates["cpu"]
        found = f"{rates[device]:,.0f} a second"
        findings.append(Finding(f"{name}, batches of {batch}", found, f"CPU {rates['cpu']:,.0f} ({ratio:.1f}x)", True))
    return findings


def _samples_a_second(build: Callable[[Any], nn.Module], batch: int, device: str) -> float:
    """Of three epochs, the median; one more goes before them."""
    torch.manual_seed(0)
    task = _images(8 * batch)
    answers = torch.randn(1, task.num_rows, 10)
    compute = devices.Compute(torch.device(device))
    recipe = replace(RECIPE, batch_size=batch)
    data: Any = devices.on_device(task, compute.device)
    teacher = devices.answers_on(answers, compute.device)
    training = Training(build(task), data, teacher, recipe, loss=kd, seed=0, compute=compute)
    seconds = []
    for epoch in range(4):
        started = time.perf_counter()
        training.run(epoch, epoch + 1)
        _settle(device)
        seconds.append(time.perf_counter() - started)
    return 8 * batch / median(seconds[1:])


def _wall_ms(student: nn.Module, inputs: Tensor, batch: int, device: str) -> float:
    """Milliseconds of a batch by the clock on the wall, from an idle device until its answer is there; the fastest."""
    student, batch_of = student.to(device), inputs.expand(batch, *inputs.shape[1:]).contiguous().to(device)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(30):
            _settle(device)
            started = time.perf_counter()
            student(batch_of)
            _settle(device)
            best = min(best, time.perf_counter() - started)
    student.cpu()
    return 1000 * best


def _settle(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _images(rows: int) -> Any:
    """Rows of noise, as images of 3x32x32 in ten classes, all of them for training but ten."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(rows + 20, 3, 32, 32, generator=generator)
    labels = torch.arange(rows + 20) % 10
    return from_arrays(images[10:], labels[10:], images[:10], labels[:10], validation=10, normalise="none")


def _at_most(what: str, found: float, most: float) -> Finding:
    return Finding(what, f"{found:.2g}", f"{most:g} at most", found <= most)


def _at_least(what: str, found: float, least: float) -> Finding:
    return Finding(what, f"{found:.2f}", f"{least:g} at least", found >= least)


def _yes(claim: bool) -> str:
    return "yes" if claim else "no"


CHECKS: Mapping[str, Check] = {
    "training": check_training,
    "latency": check_latency,
    "workers": check_workers,
    "speed": check_speed,
    "numbers": check_numbers,
    "data": check_data,
    "teacher": check_teacher,
    "moving": check_moving,
}


def run_check(name: str, device: str) -> dict[str, Any]:
    """The findings of a check, or why there are none: a check that fails says so and the others go on."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        try:
            findings = CHECKS[name](device, Path(folder))
        except Exception as error:  # whatever it is, it is what this script is there to find
            findings = [Finding("the check itself", f"{type(error).__name__}: {error}"[:300], "no error", False)]
    seconds = round(time.monotonic() - started, 1)
    return {"check": name, "device": device, "seconds": seconds, "findings": [asdict(each) for each in findings]}


def table_of(cells: Sequence[Mapping[str, Any]]) -> str:
    """A row of Markdown for each finding."""
    lines = ["| check | what | found | expected | holds |", "|---|---|---|---|---|"]
    for cell in cells:
        for each in cell["findings"]:
            words = (cell["check"], each["what"], each["found"], each["expected"], _yes(each["holds"]))
            lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines)


def machine(device: str) -> str:
    """What was compared with what."""
    gpu = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "no GPU"
    return f"{gpu}; {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}"


def main() -> None:
    """Runs the missing checks as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="what is checked: cuda, cuda:1, or cpu for a dry run")
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"), help="one finished check a line")
    parser.add_argument("--minutes", type=float, default=8, help="no check begins after so long")
    options = parser.parse_args()
    device = str(devices.pick_device(options.device))
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * options.minutes
    cells = [cell for cell in read_cells(options.out) if cell["device"] == device]
    missing = run_missing(
        CHECKS,
        cells,
        options.out,
        key=itemgetter("check"),
        run=lambda name: run_check(name, device),
        end=end,
    )
    print(f"machine: {machine(device)}\n")
    print(table_of(cells))
    print(f"\nmissing checks: {', '.join(missing) or 'none'}")


if __name__ == "__main__":
    main()
