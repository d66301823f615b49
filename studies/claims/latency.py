"""Is a latency steady enough to search for? This measures 20 students 10 times, idle and while two others train.

    python studies/claims/latency.py --out latency.jsonl

All cells take 4 minutes on 2 cores of an AMD EPYC. One run there with torch 2.13 gave (seed 0; Kendall's tau over all
pairs of repeats, CV over students):

    load      runtime  tau mean  tau min  CV median  CV max
    idle      eager       0.988    0.968      0.5%     0.8%
    idle      onnx        0.979    0.958      0.6%     1.3%
    training  eager       0.994    0.989      0.4%     0.7%
    training  onnx        0.970    0.905      1.0%     3.3%

While other jobs took up to both cores as well, the smallest tau of ONNX Runtime was .937 idle and .895 beside training,
and its largest CV was 4.4 %. ONNX Runtime is 2 to 26 times faster than eager torch and ranks these students differently
(Kendall's tau between the two is .67), so measure in the runtime that you ship.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import optuna
import torch
import typer
from scipy.stats import kendalltau
from sklearn.datasets import load_digits
from torch import nn

from autokd.latency.timers import Call
from autokd.latency.timing import RUNTIMES, measure_calibration_ms, time_calls
from search_spaces import mlp, mobilenet, resnet

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import append_cell, read_cells

STUDENTS, REPEATS, WORKERS = 20, 10, 2
ASKED = {"idle": (0.95, 0.05), "training": (0.90, 0.10)}
"""What is asked for at each load: the smallest Kendall tau of two repeats, and the largest coefficient of variation."""
RUNTIMES_SHOWN = ("eager", "onnx")

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Digits:
    """What a search space needs to know of the task: its inputs are 8x8 images of ten digits."""

    input_shape: tuple[int, ...] = (1, 8, 8)
    num_outputs: int = 10


def main(
    out: Annotated[Path, typer.Option(help="the file of finished cells, one a line")],
    minutes: Annotated[float, typer.Option(help="no measurement begins after this many minutes")] = 30.0,
) -> None:
    """Measures the cells (load, runtime, repeat) that `out` lacks, then prints the tables of all cells."""
    deadline = time.monotonic() + 60 * minutes
    torch.set_num_threads(1)
    lines = read_cells(out)
    if not lines:
        lines.append({"machine": machine(), "reference_ms": measure_calibration_ms()})
        append_cell(out, lines[0])
    calibration_ms = lines[0]["reference_ms"]
    done = {(line["load"], line["runtime"], line["repeat"]): line["ms"] for line in lines[1:]}
    students = sample_students()
    for load, runtime in product(ASKED, RUNTIMES_SHOWN):
        missing = [repeat for repeat in range(REPEATS) if (load, runtime, repeat) not in done]
        if not missing or time.monotonic() > deadline:
            continue
        calls = [RUNTIMES[runtime](student, torch.randn(1, 1, 8, 8), 1) for student in students]
        with training(WORKERS if load == "training" else 0):
            for repeat in missing:
                if time.monotonic() > deadline:
                    break
                done[load, runtime, repeat] = ms = measure(calls, calibration_ms)
                append_cell(out, {"load": load, "runtime": runtime, "repeat": repeat, "ms": ms})
    report(lines[0], done, students)


def sample_students() -> list[nn.Module]:
    """Students in eval mode, drawn at random from three search spaces; they are the same every time."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.manual_seed(0)
    students = []
    for i in range(STUDENTS):
        space: Any = (mlp, resnet, mobilenet)[i % 3]
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=i)).ask()
        students.append(space.build(space.suggest(trial), Digits()).eval())
    return students


def measure(calls: Sequence[Call], calibration_ms: float) -> list[float]:
    """Milliseconds of each student, measured one after the other as in a search."""
    return [time_calls([call], threads=1, seconds=0.2, calibration_ms=calibration_ms)[0].median_ms for call in calls]


@contextmanager
def training(workers: int) -> Iterator[None]:
    """Trains in `workers` processes of one thread during the block, which begins when all of them have begun."""
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    started = [spawn.Event() for _ in range(workers)]
    processes = [spawn.Process(target=train, args=(stop, each), daemon=True) for each in started]
    for process in processes:
        process.start()
    try:
        if not all(each.wait(60) for each in started):
            raise RuntimeError("a training process did not begin within a minute")
        yield
    finally:
        stop.set()
        for process in processes:
            process.join()


def train(stop: Any, started: Any) -> None:
    """Trains a residual network on digits until `stop` is set."""
    torch.set_num_threads(1)
    digits = load_digits()
    images = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    stages = [{"blocks": 1, "kernel": 3, "widen": 1}, {"blocks": 1, "kernel": 3, "widen": 2}]
    student = resnet.build({"width": 12, "stages": stages}, Digits())
    optimizer = torch.optim.AdamW(student.parameters(), lr=5e-3)
    while not stop.is_set():
        for rows in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(student(images[rows]), labels[rows]).backward()
            optimizer.step()
        started.set()


def report(header: dict[str, Any], done: dict[Key, list[float]], students: list[nn.Module]) -> None:
    """Prints agreement and spread for each load and runtime, each student's median, and the missing cells."""
    print(f"{STUDENTS} students, {REPEATS} repeats, one thread, batch 1, on {header['machine']}")
    print(f"calibration network: {header['reference_ms']:.3f} ms\n")
    print("load      runtime  repeats  tau mean  tau min  CV median  CV max   asked")
    medians = {}
    for load, runtime in product(ASKED, RUNTIMES_SHOWN):
        rows = [ms for (of_load, of_runtime, _), ms in sorted(done.items()) if (of_load, of_runtime) == (load, runtime)]
        if len(rows) < 2:
            continue
        times = np.array(rows)
        taus = [kendalltau(one, other).statistic for one, other in combinations(times, 2)]
        spreads = times.std(0, ddof=1) / times.mean(0)
        medians[load, runtime] = np.median(times, axis=0)
        tau, spread = ASKED[load]
        met = "met" if min(taus) >= tau and spreads.max() <= spread else "MISSED"
        print(
            f"{load:9} {runtime:7} {len(rows):8} {np.mean(taus):9.3f} {min(taus):8.3f} {np.median(spreads):9.1%} "
            f"{spreads.max():8.1%}   tau >= {tau}, CV <= {spread:.0%}: {met}"
        )
    if medians:
        print(
            "\nstudent  parameters" + "".join(f"  {load + ' ' + runtime:>15}" for load, runtime in medians) + "  (ms)"
        )
        for i, student in enumerate(students):
            size = sum(weight.numel() for weight in student.parameters())
            print(f"{i:7}  {size:10}" + "".join(f"  {column[i]:15.4f}" for column in medians.values()))
    for (one, first), (other, second) in combinations(medians.items(), 2):
        print(f"Kendall tau between {' '.join(one)} and {' '.join(other)}: {kendalltau(first, second).statistic:.3f}")
    missing = [key for key in product(ASKED, RUNTIMES_SHOWN, range(REPEATS)) if key not in done]
    print(f"\nmissing cells: {', '.join(f'{a} {b} {c}' for a, b, c in missing) or 'none'}")


def machine() -> str:
    """The number of cores and the name of the processor."""
    info = Path("/proc/cpuinfo")
    named = (
        [line for line in info.read_text(encoding="utf-8").splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    name = named[0].split(":")[1].strip() if named else platform.processor()
    return f"{os.cpu_count()} cores of {name}, torch {torch.__version__}"


if __name__ == "__main__":
    typer.run(main)
