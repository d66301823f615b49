"""What does a trial cost? Samples per second of a distilling step against its rivals, and the driver's time per trial.

    python studies/claims/throughput.py --out throughput.jsonl --minutes 10

Steps: these use one thread, batches of 64, data in memory and fused AdamW, without a DataLoader. The same student is
trained side by side by AutoKD (`distill.Training` over cached answers, as in a trial) and by loops written by hand:
`plain` trains on labels alone, `live` asks the teacher in every step, and `torchdistill` does so with that package's
`KDLoss`. A teacher has the student's own layers, repeated until its FLOPs are about 4 or 16 times the student's. In a
round the arms take turns, each with a block of the same number of steps; ratios are taken within a round. `limit` is
how much faster than `live` the student trains on labels alone. The arm torchdistill needs its package:

    pip install --no-deps --target torchdistill torchdistill==1.1.5    # then run with PYTHONPATH=torchdistill

Driver: this runs a whole search in this process, with random proposals, three rungs and a record in SQLite. A function
that returns a number takes the place of training, so that only the driver's time is left. Finished cells are appended
to --out and are not run again; missing cells are printed. All cells take 12 minutes on 2 cores of an AMD EPYC.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import importlib.util
import itertools
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from unittest import mock

import optuna
import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd.distill import Training
from autokd.driver import search_study
from autokd.driver.events import progress_only
from autokd.losses import kd
from autokd.objectives import flops
from autokd.study import Study
from autokd.tasks import from_arrays
from autokd.tasks.task import ArrayTask
from autokd.teachers.cache import open_outputs, teacher_outputs
from autokd.teachers.networks import NetworkTeacher
from autokd.trial import Stretch
from autokd.types import Recipe
from search_spaces import mlp, resnet

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing

BATCH, ROUNDS = 64, 12
FACTORS = (1, 4, 16)
RECIPE = Recipe(alpha=0.9, temperature=4.0, batch_size=BATCH, epochs=1000)
SIZES: Mapping[str, Sequence[int]] = {"none": (100, 1000, 10_000), "halving": (100, 1000, 10_000)}
"""For each scheduler the numbers of trials in the record at which the driver is timed."""
WINDOW = 50
"""This many trials are timed before each size."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A function of outputs, inputs and labels."""


Build = Callable[[int, ArrayTask], nn.Module]
"""Makes a network whose layers are repeated the given number of times; 1 gives the student."""


def _mlp(times: int, task: ArrayTask) -> nn.Module:
    return mlp.build({"widths": [64, 64] * times, "activation": "relu", "batch_norm": True}, task)


def _resnet(width: int, *widen: int) -> Build:
    def build(times: int, task: ArrayTask) -> nn.Module:
        stages = [{"blocks": times, "kernel": 3, "widen": each} for each in widen]
        return resnet.build({"width": width, "stages": stages}, task)

    return build


STUDENTS: Mapping[str, tuple[tuple[int, ...], int, Build]] = {
    "mlp 64-64, 1x8x8": ((1, 8, 8), 400, _mlp),
    "resnet 20, 1x8x8": ((1, 8, 8), 30, _resnet(20, 1, 2)),
    "resnet 8, 3x32x32": ((3, 32, 32), 6, _resnet(8, 1, 2, 2)),
}
"""For each name the shape of an input, the steps of a block, and the function that builds the network."""


def run_steps(name: str, factor: int) -> dict[str, Any]:
    """Seconds of each block of each arm, round by round, for a student and a teacher with `factor` times its FLOPs."""
    shape, steps, build = STUDENTS[name]
    torch.manual_seed(0)
    data = torch.randn((steps + 2) * BATCH, *shape)
    labels = torch.arange(len(data)) % 10
    task = from_arrays(
        data[:-BATCH], labels[:-BATCH], data[-BATCH:], labels[-BATCH:], validation=BATCH, normalise="none"
    )
    inputs, targets = task.inputs(task.splits["train"]), task.targets(task.splits["train"])
    sizes = {times: flops.measure(build(times, task), data[:1]) for times in range(1, 2 * factor + 1)}
    repeats = min(sizes, key=lambda times: abs(sizes[times] - factor * sizes[1]))
    teacher = channels_last(build(repeats, task), shape).eval().requires_grad_(False)
    student = channels_last(build(1, task), shape)
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        started = time.perf_counter()
        cached = teacher_outputs(NetworkTeacher("teacher", f"{factor}", teacher), task, Path(folder))
        filled = time.perf_counter() - started
        training = Training(copy.deepcopy(student), task, open_outputs(cached.path), RECIPE, loss=kd, seed=0)
        epochs = itertools.count()

        def train_epoch() -> None:
            epoch = next(epochs)
            training.run(epoch, epoch + 1)

        arms: dict[str, Callable[[], None]] = {"autokd": train_epoch}
        for arm, loss in rivals(teacher).items():
            arms[arm] = hand_written(copy.deepcopy(student), inputs, targets, loss)
        for block in arms.values():
            block()
        seconds: dict[str, list[float]] = {arm: [] for arm in arms}
        for number in range(ROUNDS):
            order = list(arms)
            for arm in order[number % len(order) :] + order[: number % len(order)]:
                started = time.perf_counter()
                arms[arm]()
                seconds[arm].append(time.perf_counter() - started)
    known = {"cell": [name, factor], "steps": steps, "flops": [sizes[1], sizes[repeats]]}
    return {**known, "fill_seconds": filled, "seconds": seconds}


def channels_last(network: nn.Module, shape: Sequence[int]) -> nn.Module:
    """The network in the memory format that is fastest for images on a CPU."""
    return network.to(memory_format=torch.channels_last) if len(shape) == 3 else network  # type: ignore[call-overload]


def rivals(teacher: nn.Module) -> dict[str, Loss]:
    """The losses that the loops written by hand minimise, by name."""
    alpha, temperature = RECIPE.alpha, RECIPE.temperature

    def plain(outputs: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, labels)

    def live(outputs: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            answers = teacher(inputs)
        soft = functional.kl_div(
            functional.log_softmax(outputs / temperature, dim=1),
            functional.softmax(answers / temperature, dim=1),
            reduction="batchmean",
        )
        return alpha * temperature**2 * soft + (1 - alpha) * functional.cross_entropy(outputs, labels)

    losses: dict[str, Loss] = {"plain": plain, "live": live}
    if has_torchdistill():
        make = importlib.import_module("torchdistill.losses.mid_level").KDLoss
        criterion = make("logits", "output", "logits", "output", temperature=temperature, alpha=1 - alpha)

        def torchdistill(outputs: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
            with torch.no_grad():
                answers = teacher(inputs)
            return criterion({"logits": {"output": outputs}}, {"logits": {"output": answers}}, labels)

        losses["torchdistill"] = torchdistill
    return losses


def has_torchdistill() -> bool:
    """Whether the arm torchdistill can be run."""
    return importlib.util.find_spec("torchdistill") is not None


def hand_written(student: nn.Module, inputs: Tensor, targets: Tensor, loss: Loss) -> Callable[[], None]:
    """A function that trains for an epoch, written as by hand, at a constant learning rate."""
    optimizer = torch.optim.AdamW(student.parameters(), lr=RECIPE.lr, weight_decay=RECIPE.weight_decay, fused=True)

    def train_epoch() -> None:
        student.train()
        for rows in torch.randperm(len(inputs)).split(BATCH):
            batch, labels = inputs[rows], targets[rows]
            optimizer.zero_grad()
            loss(student(batch), batch, labels).backward()
            optimizer.step()

    return train_epoch


class _Enough(Exception):  # noqa: N818
    """Ends a search from within."""


def run_driver(scheduler: str, end: float) -> dict[str, Any] | None:
    """Milliseconds of each of the last trials before each size; None if the time is over before."""
    sizes = SIZES[scheduler]
    study = Study.model_validate(
        {
            "name": "trivial",
            "task": {"data": "digits", "labels": 60, "rows": 240, "validation": 120},
            "teacher": {"sklearn": "sklearn.neighbors:KNeighborsClassifier"},
            "space": "mlp",
            "objectives": {"accuracy": {}, "parameters": {}},
            "budget": {"trials": 2 * sizes[-1], "rungs": [3, 9, 27]},
            **{"scheduler": scheduler, "sampler": "random", "executor": "inline", "workers": 1},
        }
    )
    moments: dict[int, float] = {}

    def watch(progress: Mapping[str, Any]) -> None:
        now, size = time.perf_counter(), sum(progress["trials"].values())
        moments.setdefault(size, now)
        if size > sizes[-1] or time.monotonic() > end:
            raise _Enough

    untrained = mock.patch("autokd.trial.training.run_stretch", trivial)
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder, untrained, contextlib.suppress(_Enough):
        search_study(study, run=Path(folder) / "run", tell=progress_only(watch))
    if max(moments) <= sizes[-1]:
        return None
    last = {size: [m for number, m in moments.items() if size - WINDOW <= number <= size] for size in sizes}
    ms = {str(size): [1000 * (b - a) for a, b in itertools.pairwise(last[size])] for size in sizes}
    return {"cell": ["driver", scheduler], "ms": ms}


def trivial(context: Any, stretch: Stretch) -> dict[str, Any]:
    """Takes the place of training and returns an accuracy that depends on the stretch alone."""
    draw = random.Random(f"{stretch.seed} {stretch.stop}")
    return {"epoch": stretch.stop, "values": {"accuracy": draw.random()}, "seconds": 0.0}


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Medians and quartiles over the rounds, with a row for each student and teacher and for each scheduler."""
    text = [
        f"{'student':18} {'MFLOPs':>7} {'teacher':>8} {'step ms':>8} {'samples/s':>10} {'of plain time':>18}"
        f"{'faster than live':>20}{'than torchdistill':>20}{'limit':>7}{'cache s':>9}"
    ]
    for line in (line for line in lines if "seconds" in line):
        seconds, (small, large) = line["seconds"], line["flops"]
        samples = line["steps"] * BATCH / median(seconds["autokd"])
        text.append(
            f"{line['cell'][0]:18} {small / 1e6:7.3f} {large / small:7.1f}x"
            f" {1000 * median(seconds['plain']) / line['steps']:8.2f} {samples:10,.0f}"
            f" {spread(ratios(seconds, 'autokd', 'plain')):>18}"
            + "".join(f"{spread(ratios(seconds, rival, 'autokd')):>20}" for rival in ("live", "torchdistill"))
            + f"{median(ratios(seconds, 'live', 'plain')):7.2f}{line['fill_seconds']:9.2f}"
        )
    sizes = max(SIZES.values(), key=len)
    text += ["", f"{'scheduler':10}" + "".join(f"{f'ms at {size:,} trials':>24}" for size in sizes)]
    for line in (line for line in lines if "ms" in line):
        found = [spread(line["ms"].get(str(size), ())) for size in sizes]
        text.append(f"{line['cell'][1]:10}" + "".join(f"{each:>24}" for each in found))
    return "\n".join(text)


def ratios(seconds: Mapping[str, Sequence[float]], one: str, other: str) -> list[float]:
    """The time of one arm over that of another, round by round; empty if an arm was not run."""
    return [a / b for a, b in zip(seconds.get(one, ()), seconds[other], strict=False)]


def spread(values: Sequence[float]) -> str:
    """Median and quartiles, or "missing" if there are no values."""
    if not values:
        return "missing"
    low, _, high = quantiles(values, n=4)
    return f"{median(values):.2f} ({low:.2f}-{high:.2f})"


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("throughput.jsonl"))
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    end = time.monotonic() + 60 * options.minutes
    lines = read_cells(options.out)
    if has_torchdistill():  # a cell without this arm is not finished
        lines = [line for line in lines if "torchdistill" in line.get("seconds", {"torchdistill"})]
    wanted: list[list[Any]] = [[name, factor] for name in STUDENTS for factor in FACTORS] + [
        ["driver", name] for name in SIZES
    ]

    def run(cell: list[Any]) -> Cell | None:
        return run_driver(cell[1], end) if cell[0] == "driver" else run_steps(cell[0], cell[1])

    missing = run_missing(wanted, lines, options.out, key=itemgetter("cell"), run=run, end=end)
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, one thread\n")
    print(table(lines))
    print(f"\nmissing cells: {missing or 'none'}{'' if has_torchdistill() else '; torchdistill is not installed'}")


if __name__ == "__main__":
    main()
