"""How much longer does an epoch take that does not fit into memory? 50,000 made-up photos of 96 pixels.

    python studies/claims/reading_ahead.py --out reading_ahead.jsonl --minutes 15

A cell is a network and a repeat. In it, a student is trained in three ways that take turns: from normalised inputs in
memory, from the file of bytes with the thread that reads ahead, and from that file without the thread. A turn is a part
of an epoch: batches of 64 photos drawn from all 50,000, distilled with alpha 0.9, on one thread of torch. Each turn
begins with another one of the ways. It is timed by three clocks: the one on the wall, which other programs on the
machine disturb; the processor's time of the whole process, which is what an epoch takes if the thread finds no free
core; and the processor's time of the training alone, which is what it takes at least if there is one. A ratio is that
of neighbours in time, beside memory; shown are the median of all ratios, the half of them in the middle, and the range
of the medians of the repeats. Memory must have room for 7 GB (`--photos 10000` needs 1.5 GB, and reads as much for a
batch). Finished cells are appended to --out and are not run again; missing cells are printed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from unittest import mock

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from autokd.distill import Training
from autokd.losses import kd
from autokd.tasks import ArrayTask, Augmentation
from autokd.tasks import task as in_memory
from autokd.types import Recipe
from search_spaces import mlp, mobilenet
from studies.claims.cells import Cell, read_cells, run_missing

SIDE, BATCH, CLASSES = 96, 64, 10
_STAGE = {"blocks": 1, "kernel": 3, "expansion": 3, "squeeze_excite": False, "widen": 2}
NETWORKS: Mapping[str, tuple[Any, dict[str, Any], int]] = {
    "small mobilenet": (
        mobilenet,
        {"width": 4, "activation": "relu", "stages": [{**_STAGE, "expansion": 1}] * 2},
        60,
    ),
    "mid mobilenet": (mobilenet, {"width": 12, "activation": "relu", "stages": [_STAGE] * 3}, 15),
    "mlp": (mlp, {"widths": [16], "activation": "relu", "batch_norm": True}, 200),
}
"""The space and the architecture of each network, and the batches of a turn."""
WAYS = ("memory", "read ahead", "no thread")
CLOCKS = {"wall": time.perf_counter, "process": time.process_time, "training": time.thread_time}

Key = tuple[str, int, int]
"""A network, the number of photos, and a repeat."""


@dataclass(frozen=True)
class Part:
    """A part of an epoch, which draws its rows from all photos.

    Args:
        task: the photos.
        splits: the rows of the part.
        in_memory: what the training takes the task for; with True nothing is read ahead.
    """

    task: ArrayTask
    splits: Mapping[str, torch.Tensor]
    in_memory: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)


def photos(path: Path, count: int) -> ArrayTask:
    """Photos of noise in a file of bytes, which is written if it is missing."""
    shape = (count, 3, SIDE, SIDE)
    if not path.is_file():
        noise = np.random.default_rng(0).integers(0, 256, (512, *shape[1:]), dtype=np.uint8)
        into = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        for start in range(0, count, len(noise)):
            into[start : start + len(noise)] = noise[: count - start]
        into.flush()
    rows = torch.arange(count)
    return ArrayTask(
        name="photos",
        x=np.load(path, mmap_mode="r"),
        y=rows % CLASSES,
        class_names=tuple("abcdefghij"),
        splits={"train": rows, **dict.fromkeys(("transfer", "validation", "test", "reserve"), rows[:0])},
        shift=(127.5,) * 3,
        divisor=(73.9,) * 3,
        augmentation=Augmentation(),
        digest="0",
    )


def run_cell(key: Key, folder: Path, *, turns: int) -> Cell:
    """Seconds of a step by turn, in each way and by each clock."""
    network, count, repeat = key
    task = photos(folder / f"{count}.npy", count)
    answers = torch.randn(1, count, CLASSES, generator=torch.Generator().manual_seed(0))
    space, arch, steps = NETWORKS[network]
    trainings = {}
    for way in WAYS:
        torch.manual_seed(0)
        part: Any = Part(task, task.splits, in_memory=way != "read ahead")
        recipe = Recipe(alpha=0.9, batch_size=BATCH, epochs=turns + 1)
        with _limit(way):
            trainings[way] = Training(space.build(arch, task), part, answers, recipe, loss=kd, seed=repeat)
    found: dict[str, dict[str, list[float]]] = {way: {clock: [] for clock in CLOCKS} for way in WAYS}
    drawn = torch.Generator().manual_seed(repeat)
    for turn in range(turns + 1):  # the first one is warm-up
        first = (turn + repeat) % len(WAYS)
        for way in (*WAYS[first:], *WAYS[:first]):
            rows = torch.randperm(count, generator=drawn)[: steps * BATCH]
            part = Part(task, {**task.splits, "train": rows}, in_memory=way != "read ahead")
            trainings[way].task = part
            with _limit(way):
                began = {name: clock() for name, clock in CLOCKS.items()}
                trainings[way].run(turn, turn + 1)
                took = {name: clock() - began[name] for name, clock in CLOCKS.items()}
            for name, seconds in took.items() if turn else ():
                found[way][name].append(seconds / steps)
    return {"network": network, "photos": count, "repeat": repeat, "seconds": found}


def _limit(way: str) -> Any:
    """What lets a task hold its inputs in memory, or not."""
    return mock.patch.object(in_memory, "WHOLE_BYTES", 10**12 if way == "memory" else 0)


def table(cells: Sequence[Cell]) -> str:
    """A row for each network, way and clock: milliseconds of a step, and their ratio to memory with its spread."""
    lines = [
        f"{'network':17}{'photos':>8}{'repeats':>8}  {'way':12}{'clock':9}{'ms a step':>10}{'ratio':>7}"
        f"{'middle half':>15}{'of repeats':>15}"
    ]
    for network, count in dict.fromkeys((cell["network"], cell["photos"]) for cell in cells):
        of = [cell for cell in cells if (cell["network"], cell["photos"]) == (network, count)]
        for way in WAYS:
            for clock in CLOCKS:
                here, there = ([cell["seconds"][each][clock] for cell in of] for each in (way, "memory"))
                ratios = [[a / b for a, b in zip(*pair, strict=True)] for pair in zip(here, there, strict=True)]
                low, middle, high = quantiles((ratio for each in ratios for ratio in each), n=4, method="inclusive")
                medians = [median(each) for each in ratios]
                ms = 1000 * median(seconds for each in here for seconds in each)
                lines.append(
                    f"{network:17}{count:8,}{len(of):8}  {way:12}{clock:9}{ms:10.2f}{middle:7.3f}"
                    f"{f'{low:.3f}-{high:.3f}':>15}{f'{min(medians):.3f}-{max(medians):.3f}':>15}"
                )
    return "\n".join(lines)


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("reading_ahead.jsonl"), help="the file of finished cells")
    parser.add_argument("--minutes", type=float, default=15, help="no cell begins after this many minutes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--turns", type=int, default=20, help="how many turns each way has in a cell")
    parser.add_argument("--photos", type=int, default=50_000)
    options = parser.parse_args()
    end, cells = time.monotonic() + 60 * options.minutes, read_cells(options.out)
    torch.set_num_threads(1)
    wanted = [(network, options.photos, i) for i in range(options.repeats) for network in NETWORKS]
    with tempfile.TemporaryDirectory() as folder:

        def run(key: Key) -> Cell:
            return run_cell(key, Path(folder), turns=options.turns)

        left = run_missing(
            wanted,
            cells,
            options.out,
            key=lambda cell: (cell["network"], cell["photos"], cell["repeat"]),
            run=run,
            end=end,
        )
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}\n")
    if cells:
        print(table(cells))
    print(f"missing cells: {[', '.join(map(str, key)) for key in left] or 'none'}")


if __name__ == "__main__":
    main()
