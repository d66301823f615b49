"""What does early stopping save? This compares schedulers at equal epochs, in searches of the tables of digits.

    python studies/claims/early_stopping.py --json early_stopping.jsonl --minutes 60 --peers-env DIR

A cell is one table, one sampler, one scheduler and one seed. The search is the same code as a search that trains.
Finished cells are appended to --json and are not run again; missing cells are printed. The first table shows HV/HV*, as
in `search_efficiency.py`, of the students that were trained in full after given numbers of epochs; students that were
stopped count among the epochs. The last column shows how many epochs it took to reach what a random search without
early stopping has after 100 students. That value is the median of its cells in --json.

Two arms are not schedulers that a study can name:
    moasha     Syne Tune's MOASHA, which proposes at random. It runs in an environment of its own, which pip makes in
               --peers-env DIR.
    foresight  Random proposals, judged after the first rung with knowledge of their full training: a student goes on
               if it will extend the front of the students trained in full. No scheduler can know this.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from autokd import Study
from autokd.driver import search_study
from autokd.driver.events import progress_only
from autokd.pareto import non_dominated
from autokd.record import read_study

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing
from studies.claims.search_efficiency import environment, run_peer
from studies.claims.tables import Table, read_table, share

TABLES = Path(__file__).parents[1] / "tables"
NAMES = ("digits_labels", "digits_noise")
RUNGS = (3, 9, 27)
FULL = 100
"""The budget is the epochs of this many students trained in full."""
EPOCHS = FULL * RUNGS[-1]
MARKS = (135, 270, 540, 1080, EPOCHS)

Key = tuple[str, str, str, int]
Trained = list[tuple[int, float]]
"""Rows of the table that were trained in full, each with the epochs spent on all students by then."""


def searched(table: Table, seed: int, *, sampler: str, scheduler: str) -> Trained:
    """The students that a search trained in full and that are or were on its front."""
    settings = {
        "name": "cell",
        "task": {"table": str(table.path)},
        "budget": {"trials": len(table.codes), "epochs": EPOCHS, "rungs": RUNGS, "reseeds": 0},
        "sampler": sampler,
        "scheduler": scheduler,
        "executor": "inline",
        "seed": seed,
    }
    reached: dict[int, float] = {}

    def watch(progress: Mapping[str, Any]) -> None:
        for member in progress["front"]:
            reached.setdefault(member["trial"], progress["epochs_spent"])

    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        front = search_study(Study.model_validate(settings), run=Path(folder) / "run", tell=progress_only(watch))
        told = read_study(Path(folder) / "run").get_trials()
    for student in front:
        reached.setdefault(student.trial, front.epochs_spent)
    return [(table.row(told[trial].params), spent) for trial, spent in reached.items()]


def moasha(table: Table, seed: int, *, python: str) -> Trained:
    """The students that Syne Tune's MOASHA trained in full."""
    found = run_peer(table, "moasha", seed, FULL, python)
    return [(row, spent * RUNGS[-1]) for row, spent in zip(found["rows"], found["spent"], strict=True)]


def foresight(table: Table, seed: int) -> Trained:
    """The students that are trained in full if it is known beforehand which of them extend the front."""
    trained: Trained = []
    spent = 0
    for row in np.random.default_rng(seed).permutation(len(table.codes)).tolist():
        spent += RUNGS[0]
        if spent + RUNGS[-1] - RUNGS[0] > EPOCHS:
            break
        if non_dominated(table.losses[[*(other for other, _ in trained), row]])[-1]:
            spent += RUNGS[-1] - RUNGS[0]
            trained.append((row, spent))
    return trained


def run_cell(key: Key, table: Table, python: str) -> Cell:
    """Runs one cell: HV/HV* after each student that was trained in full."""
    _, sampler, scheduler, seed = key
    special: Mapping[str, Callable[[Table, int], Trained]] = {
        "moasha": partial(moasha, python=python),
        "foresight": foresight,
    }
    run = special.get(scheduler, partial(searched, sampler=sampler, scheduler=scheduler))
    trained = run(table, seed)
    rows, spent = [row for row, _ in trained], [epochs for _, epochs in trained]
    shares = share(table, rows, spent, spent)
    return {"key": list(key), "curve": [[float(epochs), reached] for epochs, reached in shares.items()]}


def reached_by(cell: Cell, epochs: float) -> float:
    """HV/HV* after `epochs` epochs."""
    return max((reached for spent, reached in cell["curve"] if spent <= epochs), default=0.0)


def epochs_to(cell: Cell, level: float) -> float:
    """The epochs after which HV/HV* reached a level; infinite if it did not."""
    return min((spent for spent, reached in cell["curve"] if reached >= level), default=np.inf)


def summary(cells: Mapping[Key, Cell]) -> str:
    """The medians and quartiles over the seeds, for each table, sampler and scheduler."""
    lines = []
    for name in NAMES:
        measure = [reached_by(cell, EPOCHS) for key, cell in cells.items() if key[:3] == (name, "random", "none")]
        level = float(np.median(measure)) if measure else np.inf
        lines.append(f"{name}: HV/HV* by epochs, median [quartiles], and the epochs until it is {level:.4f}")
        lines.append(f"  {'':18}seeds" + "".join(f"{mark:>20}" for mark in MARKS) + f"{'epochs':>24}")
        for sampler, scheduler in dict.fromkeys(key[1:3] for key in cells if key[0] == name):
            of = [cell for key, cell in cells.items() if key[:3] == (name, sampler, scheduler)]
            entries = [_entry([reached_by(cell, mark) for cell in of], ".3f") for mark in MARKS]
            entries.append(f"{_entry([epochs_to(cell, level) for cell in of], '.0f'):>24}")
            lines.append(f"  {f'{sampler} {scheduler}':18}{len(of):5}{''.join(entries)}")
        lines.append("")
    return "\n".join(lines)


def _entry(values: Sequence[float], form: str) -> str:
    low, middle, high = np.percentile(values, (25, 50, 75), method="lower")
    return f"{f'{middle:{form}} [{low:{form}} {high:{form}}]':>20}"


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sampler", default="random", help="a sampler of a study; moasha and foresight run only beside random"
    )
    parser.add_argument("--schedulers", default="none,halving,moasha,foresight", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--json", type=Path, default=Path("early_stopping.jsonl"), help="the file of finished cells, one a line"
    )
    parser.add_argument("--minutes", type=float, default=60, help="no cell begins after this many minutes")
    parser.add_argument("--peers-env", type=Path, help="the folder in which pip makes environments for other projects")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    schedulers = [
        each
        for each in options.schedulers.split(",")
        if options.sampler == "random" or each not in ("moasha", "foresight")
    ]
    wanted: list[Key] = [
        (name, options.sampler, scheduler, seed)
        for seed, name, scheduler in product(range(options.seeds), NAMES, schedulers)
    ]
    tables = {name: read_table(TABLES / f"{name}.csv.gz") for name in NAMES}
    python = environment("syne-tune", options.peers_env) if "moasha" in schedulers else ""
    cells = read_cells(options.json)

    def key_of(cell: Cell) -> Key:
        name, sampler, scheduler, seed = cell["key"]
        return name, sampler, scheduler, seed

    def run(key: Key) -> Cell | None:
        return run_cell(key, tables[key[0]], python) if python or key[2] != "moasha" else None

    missing = run_missing(wanted, cells, options.json, key=key_of, run=run, end=end)
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print(summary({key_of(cell): cell for cell in cells}))
    if "moasha" in schedulers and not python:
        print("moasha needs an environment of its own: the same command with --peers-env DIR makes it")
    print(f"missing cells: {', '.join(' '.join(map(str, key)) for key in missing) or 'none'}")


if __name__ == "__main__":
    main()
