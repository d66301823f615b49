"""What does early stopping save? Searches of the tables of digits, by scheduler, at equal epochs.

    python studies/claims/early_stopping.py --json early_stopping.jsonl --minutes 60 --peers-env DIR

A cell is one table, one sampler, one scheduler and one seed; the search is the very one that trains. Finished cells are
appended to --json and not repeated; what is missing is printed. Shown is HV/HV* as in `search_efficiency.py`, of the
students trained in full after so many epochs of all students, the stopped ones among them; and the epochs it took to
what a random search that stops nobody has after 100 students, which is the median of its cells in --json.

Beside any scheduler that a study may name there are two that are none:
    moasha     Syne Tune's, which proposes at random; in an environment of its own, made by pip in --peers-env DIR
    foresight  random proposals, judged after the first rung by one who knows what full training will give: it goes on
               where it will extend the front of those trained in full. What no scheduler can know.
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
"""So many students trained in full are the measure."""
EPOCHS = FULL * RUNGS[-1]
MARKS = (135, 270, 540, 1080, EPOCHS)

Key = tuple[str, str, str, int]
Trained = list[tuple[int, float]]
"""Rows of the table that were trained in full, each with the epochs spent on all students by then."""


def searched(table: Table, seed: int, *, sampler: str, scheduler: str) -> Trained:
    """What a search has trained in full, and is or was on its front."""
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
    """What Syne Tune's MOASHA has trained in full."""
    found = run_peer(table, "moasha", seed, FULL, python)
    return [(row, spent * RUNGS[-1]) for row, spent in zip(found["rows"], found["spent"], strict=True)]


def foresight(table: Table, seed: int) -> Trained:
    """What is trained in full by one who knows beforehand what extends the front."""
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
    """One cell: HV/HV* after each student that was trained in full."""
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
    """HV/HV* after so many epochs."""
    return max((reached for spent, reached in cell["curve"] if spent <= epochs), default=0.0)


def epochs_to(cell: Cell, level: float) -> float:
    """Epochs spent when HV/HV* came to a level; infinite where it did not."""
    return min((spent for spent, reached in cell["curve"] if reached >= level), default=np.inf)


def summary(cells: Mapping[Key, Cell]) -> str:
    """For each table, sampler and scheduler the medians and quartiles over the seeds."""
    lines = []
    for name in NAMES:
        measure = [reached_by(cell, EPOCHS) for key, cell in cells.items() if key[:3] == (name, "random", "none")]
        level = float(np.median(measure)) if measure else np.inf
        lines.append(f"{name}: HV/HV* after so many epochs, median [quartiles]; then epochs to {level:.4f}")
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
    parser.add_argument("--sampler", default="random", help="as a study's; moasha and foresight run beside random only")
    parser.add_argument("--schedulers", default="none,halving,moasha,foresight", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", type=Path, default=Path("early_stopping.jsonl"), help="one finished cell a line")
    parser.add_argument("--minutes", type=float, default=60, help="no cell begins after so long")
    parser.add_argument("--peers-env", type=Path, help="folder of the environments of other projects; made by pip")
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
