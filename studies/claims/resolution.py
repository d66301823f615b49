"""Is resolution worth searching? Photos of CIFAR-10 at 16, 24 and 32 pixels: searched, and fixed at each, equal epochs.

    python studies/cifar_photos.py cifar10_lossless_5k.npz cifar_photos
    python studies/claims/resolution.py --data cifar_photos --weights resnet20.npz --out resolution.jsonl --minutes 60

A cell is an arm and a seed: a search in which a student's size is one of the three, or in which it is fixed. All arms
have the same space, recipe and teacher, a published ResNet-20 that reads the photos at 32 pixels, and spend the same
epochs over all students. An epoch at 16 pixels takes less time than one at 32, so equal epochs favour the larger sizes.
Hypervolume is that of the front of accuracy on validation against latency, each scaled from its ideal (1 and 0 ms) to
its worst value (0 and the bound), with the students of the front trained again with a fresh seed and timed again
together. Latencies are of one thread of one machine, so run all cells on the same one. Finished cells are appended to
--out and are not run again; missing cells are printed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, stdev
from typing import Any

from autokd.driver import search_study
from autokd.study import Study

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing

SIZES = (16, 24, 32)
ARMS: Mapping[str, Any] = {"searched": list(SIZES), **{f"fixed at {size}": size for size in SIZES}}
"""The size of the photos as the study states it, by arm."""
BOUND_MS = 2.0
PUBLISHED = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
"""How photos were normalised when the teacher was trained."""

Key = tuple[str, int]
"""An arm and a seed."""


def study(arm: str, seed: int, *, data: str, weights: str, epochs: int, workers: int) -> Study:
    """The study of one cell."""
    fit = "stretch"  # the photos are nearly square
    return Study.model_validate(
        {
            "name": "resolution",
            "task": {"data": data, "validation": 1000, "reading": {"size": ARMS[arm], "fit": fit}},
            "teacher": {
                "network": str(Path(__file__).parents[1] / "cifar_resnet.py:resnet20"),
                "weights": weights,
                "saw_training_rows": True,
                "reading": {"size": 32, "fit": fit, "normalise": PUBLISHED},
            },
            "space": "resnet",  # its cost follows the size; the stem of mobilenet halves larger images
            "recipe": {
                "temperature": {"low": 1, "high": 16, "log": True},
                "alpha": {"low": 0, "high": 1},
                "lr": {"low": 0.001, "high": 0.03, "log": True},
            },
            "objectives": {"accuracy": {}, "latency_ms": {"bound": BOUND_MS}},
            "budget": {"trials": 1000, "epochs": epochs, "rungs": [2, 6, 18], "reseeds": 1},
            "workers": workers,
            "seed": seed,
        }
    )


def run_cell(key: Key, *, data: str, weights: str, epochs: int, workers: int) -> Cell:
    """Runs one cell: the hypervolume, and the students of the front with their sizes."""
    arm, seed = key
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        of = study(arm, seed, data=data, weights=weights, epochs=epochs, workers=workers)
        front = search_study(of, run=Path(folder) / "run").to_dict()
    return {
        "arm": arm,
        "seed": seed,
        "budget": epochs,
        "epochs": front["epochs_spent"],
        "seconds": time.monotonic() - started,
        "hypervolume": front["hypervolume"],
        "trials": front["trials"],
        "front": [
            {
                "size": each.get("reading", {}).get("size", ARMS[arm]),
                "values": each["values"],
                "test": each["test"],
            }
            for each in front["front"]
        ],
    }


def table(cells: Sequence[Cell]) -> str:
    """A row for each arm: hypervolume, how the search compares with it seed by seed, and the best student."""
    lines = [
        f"{'arm':14}{'seeds':>6}{'hypervolume':>20}{'searched - it':>20}{'epochs':>8}{'minutes':>9}  "
        f"{'best on validation':20}{'test':>7}{'ms':>7}  sizes of the front"
    ]
    by_seed = {cell["seed"]: cell["hypervolume"] for cell in cells if cell["arm"] == "searched"}
    for arm in ARMS:
        of = [cell for cell in cells if cell["arm"] == arm]
        if not of:
            continue
        beside = [by_seed[cell["seed"]] - cell["hypervolume"] for cell in of if cell["seed"] in by_seed]
        best = [max(cell["front"], key=lambda each: each["values"]["accuracy"]) for cell in of]
        sizes = Counter(str(each["size"]) for cell in of for each in cell["front"])
        accuracy, test, ms = (
            median(each[part][name] for each in best)
            for part, name in (("values", "accuracy"), ("test", "accuracy"), ("values", "latency_ms"))
        )
        lines.append(
            f"{arm:14}{len(of):6}{_spread([cell['hypervolume'] for cell in of], ''):>20}"
            f"{'' if arm == 'searched' else _spread(beside, '+'):>20}{median(cell['epochs'] for cell in of):8.0f}"
            f"{median(cell['seconds'] for cell in of) / 60:9.1f}  {accuracy:<20.3f}{test:7.3f}{ms:7.3f}  "
            + ", ".join(f"{size}: {sizes[size]}" for size in sorted(sizes))
        )
    return "\n".join(lines)


def _spread(values: Sequence[float], sign: str) -> str:
    if not values:
        return "-"
    return f"{median(values):{sign}.4f} +- {stdev(values) if len(values) > 1 else 0.0:.4f}"


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder that studies/cifar_photos.py wrote")
    parser.add_argument("--weights", required=True, help="the weights of the ResNet-20, resnet20.npz")
    parser.add_argument("--out", type=Path, default=Path("resolution.jsonl"), help="the file of finished cells")
    parser.add_argument("--minutes", type=float, default=60, help="no cell begins after this many minutes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=360, help="the epochs of a search over all its students")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    cells = [cell for cell in read_cells(options.out) if cell["budget"] == options.epochs]
    given = {"data": options.data, "weights": options.weights, "epochs": options.epochs, "workers": options.workers}
    left = run_missing(
        [(arm, seed) for seed in range(options.seeds) for arm in ARMS],
        cells,
        options.out,
        key=lambda cell: (cell["arm"], cell["seed"]),
        run=lambda key: run_cell(key, **given),
        end=end,
    )
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}; {options.epochs} epochs a search\n")
    if cells:
        print(table(cells))
    print(f"missing cells: {[', '.join(map(str, key)) for key in left] or 'none'}")


if __name__ == "__main__":
    main()
