"""Does a search stand still? This runs searches of digits in which the sampler and early stopping may disagree.

    python studies/claims/standing_still.py --out standing_still.jsonl --minutes 30

A cell is a search with one seed: digits with 100 labels, space `mlp`, accuracy and up to 20,000 parameters, in this
process, with the defaults for all else. All cells use the answers of the same teacher, which was trained with seed 0.
Finished cells are appended to --out and are not run again; missing cells are printed. The table shows three things: the
hypervolume after given numbers of epochs, summed over all students; the longest row of students that were stopped
early; and what became of repetitions. A repetition is a student that nearly equals an earlier one that was stopped: its
choices are the same, and its numbers differ by at most a third of their ranges in all.

A seed takes a minute on one core of a busy machine. With ten seeds the hypervolume was .926 / .958 / .962 / .965 after
135 / 270 / 405 / 540 epochs, and at most 4 to 6 students in a row were stopped. Before the sampler learnt which
students are trained to the end, it was .926 / .954 / .962 / .966, with 3 to 11 in a row. No search stood still on this
machine. One of 14 did on another machine, where 66 nearly equal students in a row were stopped;
`tests/test_chances.py` has searches that stand still.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import cdist

from autokd.driver import search_study
from autokd.driver.events import progress_only
from autokd.driver.preparation import prepare
from autokd.record import read_study, read_trials
from autokd.samplers.features import Encoding
from autokd.study import Study

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import read_cells, run_missing

EPOCHS = 540
MARKS = (135, 270, 405, 540)
NEAR = 0.35
TEACHER = {
    "space": "resnet",
    "arch": {
        "width": 16,
        "stages": [{"blocks": 1, "kernel": 3, "widen": 1}, {"blocks": 1, "kernel": 3, "widen": 2}],
    },
    "epochs": 15,
}


def study(teacher: Mapping[str, Any], seed: int) -> Study:
    """The study of one cell."""
    return Study.model_validate(
        {
            "name": "cell",
            "task": {"data": "digits", "labels": 100},
            "teacher": teacher,
            "space": "mlp",
            "objectives": {"accuracy": {}, "parameters": {"bound": 20000}},
            "budget": {"trials": EPOCHS, "epochs": EPOCHS, "rungs": [3, 9, 27], "reseeds": 0},
            "executor": "inline",
            "seed": seed,
        }
    )


def write_answers(path: Path) -> None:
    """Trains the teacher with seed 0 and writes its answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        run = prepare(study(TEACHER, 0), Path(folder) / "run")
        np.save(path, np.load(run.folder / run.setup.outputs))


def run_cell(answers: Path, seed: int) -> dict[str, Any]:
    """Runs a search and reports how its hypervolume grew and what became of its students."""
    begun, curve = time.process_time(), [(0, 0.0, 0.0)]

    def watch(progress: Mapping[str, Any]) -> None:
        if progress["hypervolume"] not in (None, curve[-1][2]):  # None before the first trial
            curve.append((progress["epochs_spent"], time.process_time() - begun, progress["hypervolume"]))

    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        run = Path(folder) / "run"
        search_study(study({"outputs": str(answers)}, seed), run=run, tell=progress_only(watch))
        told, trials = read_study(run).get_trials(), read_trials(run)
    stopped = [trial.state == "pruned" for trial in trials]
    proposals = [(each.params, each.distributions) for each in told]
    again = repetitions(Encoding(proposals).encode(proposals), stopped)
    return {
        "seed": seed,
        "curve": curve,
        "seconds": time.process_time() - begun,
        "students": len(trials),
        "in_full": sum(trial.state == "complete" for trial in trials),
        "in_a_row": in_a_row(stopped),
        "repetitions": sum(again),
        "stopped_repetitions": sum(each and end for each, end in zip(again, stopped, strict=True)),
    }


def repetitions(features: np.ndarray[Any, Any], stopped: Sequence[bool]) -> list[bool]:
    """Which students are nearly equal to an earlier one that was stopped."""
    near = cdist(features, features) < NEAR
    return [bool((near[i, :i] & np.array(stopped[:i], dtype=bool)).any()) for i in range(len(features))]


def in_a_row(stopped: Sequence[bool]) -> int:
    """The largest number of students in a row that were stopped."""
    return max(map(len, "".join("x" if each else " " for each in stopped).split()), default=0)


def reached(cell: Mapping[str, Any], epochs: int) -> float:
    """The hypervolume after `epochs` epochs of all students."""
    return max(volume for spent, _, volume in cell["curve"] if spent <= epochs)


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """A line for each seed, and the means."""
    lines = [
        f"{'seed':5}"
        + "".join(f"{f'after {mark}':>11}" for mark in MARKS)
        + f"{'CPU s':>8}{'students':>10}{'in full':>9}"
        f"{'stopped in a row':>18}{'repetitions':>13}{'of them stopped':>17}"
    ]
    columns = ("seconds", "students", "in_full", "in_a_row", "repetitions", "stopped_repetitions")
    rows = [[*(reached(cell, mark) for mark in MARKS), *(cell[name] for name in columns)] for cell in cells]
    names = [str(cell["seed"]) for cell in cells]
    for name, row in zip([*names, "mean"], [*rows, [fmean(column) for column in zip(*rows, strict=True)]], strict=True):
        volumes, (seconds, students, in_full, running, again, ended) = row[: len(MARKS)], row[len(MARKS) :]
        lines.append(
            f"{name:5}" + "".join(f"{volume:11.3f}" for volume in volumes) + f"{seconds:8.0f}{students:10.0f}"
            f"{in_full:9.0f}{running:18.0f}{again:13.0f}{ended:17.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--out", type=Path, default=Path("standing_still.jsonl"), help="the file of finished cells, one a line"
    )
    parser.add_argument("--minutes", type=float, default=30, help="no cell begins after this many minutes")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    torch.set_num_threads(1)
    cells, answers = read_cells(options.out), options.out.with_suffix(".npy")

    def run(seed: int) -> dict[str, Any]:
        if not answers.is_file():
            write_answers(answers)
        return run_cell(answers, seed)

    missing = run_missing(range(options.seeds), cells, options.out, key=itemgetter("seed"), run=run, end=end)
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}\n")
    if cells:
        print(table(sorted(cells, key=lambda cell: cell["seed"])))
    print(f"missing seeds: {', '.join(map(str, missing)) or 'none'}")


if __name__ == "__main__":
    main()
