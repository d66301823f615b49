"""What does Ray cost? This compares time and memory of the same trials on Ray and in local processes.

    python studies/claims/ray_overhead.py --out ray_overhead.jsonl --minutes 30

Trivial trials are whole searches of a table with one rung and random proposals. A training is then a look-up, and only
the time of the driver, of Ray Tune and of the messages between them is left. There are 100 and 1,000 trials, in this
process, in two worker processes, and on Ray with two workers. Ray is started before the clock.

Digits is the whole of `studies/digits.yaml` without its baseline, with random proposals, so that the trials are the
same everywhere. It gives the wall-clock time and the memory of driver and workers, which is their largest resident set;
workers share pages of torch. Finished cells are appended to --out and are not run again; missing cells are printed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing

PLACES: Mapping[str, Mapping[str, Any]] = {
    "inline": {"executor": "inline", "workers": 1},
    "pool of 2": {"executor": "processes", "workers": 2},
    "ray, 2 workers": {"executor": "ray", "workers": 2},
}
SIZES = (100, 1000)
DIGITS = Path(__file__).parents[1] / "digits.yaml"
CELLS = [["trivial", size, place] for size in SIZES for place in PLACES] + [["digits", 0, place] for place in PLACES]


def write_table(folder: Path) -> Path:
    """Writes a table of 10,000 rows with an accuracy and a size."""
    choices = list(range(100))
    rows = [f"{a},{b},{(a * 37 + b * 61) % 997 / 997},{a * b + 1}" for a in choices for b in choices]
    path = folder / "trivial.csv.gz"
    path.write_bytes(gzip.compress("\n".join(["a,b,accuracy,parameters", *rows]).encode()))
    description = {
        "parameters": {"a": choices, "b": choices},
        "objectives": {
            "accuracy": {"direction": "maximize", "trained": True},
            "parameters": {"direction": "minimize", "trained": False},
        },
    }
    (folder / "trivial.json").write_text(json.dumps(description), encoding="utf-8")
    return path


def run_cell(kind: str, size: int, place: str) -> dict[str, Any]:
    """Seconds and memory of one search, without the start of Ray. Call it in a process of its own."""
    from autokd.driver import search_study
    from autokd.driver.events import progress_only
    from autokd.study import Study, load_study, override

    torch.set_num_threads(1)
    if place.startswith("ray"):
        import ray

        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as name:
        folder = Path(name)
        if kind == "trivial":
            budget = {"trials": size, "rungs": [1]}
            study = Study.model_validate({"name": kind, "task": {"table": str(write_table(folder))}, "budget": budget})
        else:
            study = override(load_study(DIGITS), {"baselines": {}})
        study = override(
            study, {"sampler": "random", "scheduler": "none" if kind == "trivial" else "halving", **PLACES[place]}
        )
        largest = _Memory()
        started = time.perf_counter()
        front = search_study(study, run=folder / "run", tell=progress_only(largest.look))
        seconds = time.perf_counter() - started
    return {
        "cell": [kind, size, place],
        "seconds": seconds,
        "trials": front.trials,
        "driver_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "workers_mb": largest.workers_mb,
    }


class _Memory:
    """The largest resident sets of the training processes below this one, in MB, in falling order."""

    def __init__(self) -> None:
        self.workers_mb: list[float] = []
        self._looked = 0.0

    def look(self, progress: Mapping[str, Any]) -> None:
        if time.monotonic() - self._looked < 2:
            return
        self._looked = time.monotonic()
        listed = subprocess.run(
            ["ps", "-eo", "pid,ppid,rss,args"], capture_output=True, encoding="utf-8", check=True
        ).stdout
        rows = [line.split(None, 3) for line in listed.splitlines()[1:]]
        parents = {int(pid): int(parent) for pid, parent, *_ in rows}
        found = sorted(
            (int(rss) / 1000 for pid, _, rss, args in rows if _below(int(pid), parents) and _trains(args)), reverse=True
        )
        self.workers_mb = max(self.workers_mb, found, key=sum)


def _trains(command: str) -> bool:
    return "spawn_main" in command or "StretchTrainable" in command or "ray::train" in command


def _below(pid: int, parents: Mapping[int, int]) -> bool:
    while pid in parents and pid > 1:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """A row for each cell."""
    text = [f"{'search':16}{'place':18}{'seconds':>9}{'ms a trial':>12}{'driver MB':>11}  workers MB"]
    for line in lines:
        kind, size, place = line["cell"]
        count = size or sum(line["trials"].values())
        each = f"{1000 * line['seconds'] / count:.1f}"
        workers = ", ".join(f"{mb:.0f}" for mb in line["workers_mb"]) or "-"
        text.append(
            f"{f'{kind} {count}':16}{place:18}{line['seconds']:9.1f}{each:>12}{line['driver_mb']:11.0f}  {workers}"
        )
    return "\n".join(text)


def main() -> None:
    """Runs the missing cells, each in a process of its own, as long as time allows; then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("ray_overhead.jsonl"))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print(json.dumps(run_cell(*json.loads(options.cell))))
        return
    end = time.monotonic() + 60 * options.minutes
    lines = read_cells(options.out)

    def run(cell: list[Any]) -> Cell:
        command = [sys.executable, __file__, "--cell", json.dumps(cell)]
        said = subprocess.run(
            command, stdout=subprocess.PIPE, encoding="utf-8", check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        found: Cell = json.loads(said.stdout.splitlines()[-1])
        return found

    missing = run_missing(CELLS, lines, options.out, key=itemgetter("cell"), run=run, end=end)
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, one thread a worker\n")
    print(table(lines))
    print(f"\nmissing cells: {missing or 'none'}")


if __name__ == "__main__":
    main()
