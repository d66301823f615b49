"""How soon does a search know a good recipe? This measures the hypervolume after given CPU seconds of one process.

    python studies/claims/recipe_early.py --json recipe_early.jsonl --minutes 60
    python studies/claims/recipe_early.py --tasks trec6 --data trec6=trec6.csv.gz --json recipe_early.jsonl

A cell is one task, one arm and one seed. The search runs in this process, on one thread, with the default ranges of the
recipe and with rungs 3, 9 and 27. It has two objectives: validation accuracy, and parameters up to a bound. The teacher
of a task is trained once, and all cells use its answers. Finished cells are appended to --json and are not run again;
missing cells are printed.

The clock is the processor's time of this process and starts before the first proposal. What counts is the hypervolume
of the students that were trained in full by then, over accuracy from 0 to 1 and the logarithm of the parameters from
the smallest student's to the bound, as a share of that area.

The arms:
    autokd  the default sampler: the first students have recommended recipes, and sizes count by their ratio.
    drawn   the first students have random recipes instead.
    before  in addition, sizes count by their difference, and not by their ratio.
    fixed   temperature 1, alpha 1 and learning rate .03 for all students, which is a good recipe for digits.
    random  random students with random recipes.

Tasks: digits (100 labels), digits_all (all labels), fashion (500 labels) and trec6 (all labels; texts of 16 tokens).
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from unittest import mock

import numpy as np
import torch

from autokd import Study, objectives
from autokd.driver import search_study
from autokd.driver.preparation import prepare
from autokd.pareto import hypervolume
from autokd.samplers import cost_aware

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing

MARKS = (7, 14, 28)
EPOCHS = (190, 375)
"""The CPU seconds, and the epochs of all students, after which the table shows the hypervolume.

CPU seconds grow with the load of the machine, because programs share its caches and its memory. Epochs do not. On a
quiet machine 375 epochs took about 14 CPU seconds."""

_RESNET = {
    "space": "resnet",
    "arch": {
        "width": 16,
        "stages": [{"blocks": 1, "kernel": 3, "widen": 1}, {"blocks": 1, "kernel": 3, "widen": 2}],
    },
    "epochs": 15,
}
_MLP = {
    "space": "mlp",
    "arch": {"widths": [256, 256], "activation": "relu", "batch_norm": True},
    "epochs": 10,
}
_TEXTS = {"sklearn": f"{Path(__file__).parents[1] / 'texts.py'}:two_models"}
_TREC6 = {"text": "text", "target": "coarse", "split": "split", "reading": {"length": 16, "vocabulary": 4000}}

TASKS: Mapping[str, tuple[dict[str, Any], dict[str, Any], str, tuple[int, int]]] = {
    "digits": ({"data": "digits", "labels": 100}, _RESNET, "mlp", (310, 20_000)),
    "digits_all": ({"data": "digits"}, _RESNET, "mlp", (310, 20_000)),
    "fashion": ({"data": "fashion_mnist.npz", "rows": 3000, "labels": 500}, _MLP, "mlp", (3_190, 100_000)),
    "trec6": ({"data": "trec6.csv.gz", "validation": 0.2, **_TREC6}, _TEXTS, "text", (1_000, 300_000)),
}
"""The data, the teacher, the space, and the parameters from the smallest student to the bound, of each task."""

GOOD = {"temperature": 1.0, "alpha": 1.0, "lr": 0.03}
ARMS: Mapping[str, Mapping[str, Any]] = {
    "autokd": {},
    "drawn": {},
    "before": {},
    "fixed": {"recipe": GOOD},
    "random": {"sampler": "random"},
}
"""What the study of each arm has beside the others."""

Key = tuple[str, str, int]


class EnoughError(Exception):
    """Ends a search when its time is over."""


def study(task: str, seed: int, *, teacher: Mapping[str, Any], data: str, changed: Mapping[str, Any]) -> Study:
    """The study of one cell; `data` is the path of the task's data, or "" for the one that it names."""
    written, _, space, (_, bound) = TASKS[task]
    return Study.model_validate(
        {
            "name": "cell",
            "task": written | ({"data": data} if data else {}),
            "teacher": teacher,
            "space": space,
            "objectives": {"accuracy": {}, "parameters": {"bound": bound}},
            "budget": {"trials": 1_000_000, "rungs": [3, 9, 27], "reseeds": 0},
            "executor": "inline",
            "seed": seed,
            **changed,
        }
    )


def write_answers(path: Path, task: str, data: str) -> None:
    """Trains the teacher of a task with seed 0 and writes its answers, unless they are there."""
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        run = prepare(study(task, 0, teacher=TASKS[task][1], data=data, changed={}), Path(folder) / "run")
        np.save(path, np.load(run.folder / run.setup.outputs))


def switched(arm: str) -> ExitStack:
    """What makes the sampler that of an arm."""
    stack = ExitStack()
    if arm in ("drawn", "before"):
        stack.enter_context(mock.patch.object(cost_aware, "recommended", return_value={}))
    if arm == "before":
        by_difference = replace(objectives.parameters, by_ratio=False)
        stack.enter_context(mock.patch.object(objectives, "parameters", by_difference))
    return stack


def run_cell(key: Key, answers: Path, data: str, seconds: float) -> Cell:
    """Runs one search, and tells when each student was trained in full and what it reached."""
    task, arm, seed = key
    began = 0.0
    epochs: dict[int, int] = {}
    students: list[tuple[float, int, float, int]] = []

    def watch(event: Mapping[str, Any]) -> None:
        nonlocal began
        now = time.process_time()
        if event["event"] == "search_began":
            began = now
        if event["event"] == "stretch_ended":
            epochs[event["trial"]] = event["epoch"]
        if event["event"] == "trial_ended" and event["state"] == "complete":
            values = event["values"]
            students.append((now - began, sum(epochs.values()), values["accuracy"], int(values["parameters"])))
        if began and now - began > seconds:
            raise EnoughError

    asked = study(task, seed, teacher={"outputs": str(answers)}, data=data, changed=ARMS[arm])
    wall = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder, switched(arm), suppress(EnoughError):
        search_study(asked, run=Path(folder) / "run", tell=watch)
    return {"key": list(key), "students": students, "wall_seconds": time.monotonic() - wall}


def reached(cell: Cell, *, seconds: float = math.inf, epochs: float = math.inf) -> float:
    """The hypervolume, 0 .. 1, of the students that were trained in full after some CPU seconds and some epochs."""
    least, most = map(math.log10, TASKS[cell["key"][0]][3])
    losses = [
        (1 - accuracy, (math.log10(parameters) - least) / (most - least))
        for after, spent, accuracy, parameters in cell["students"]
        if after <= seconds and spent <= epochs
    ]
    return float(hypervolume(np.array(losses).reshape(-1, 2), np.ones(2)))


def table(cells: Sequence[Cell]) -> str:
    """A row for each task and arm, with means over the seeds and their standard errors."""
    columns = [f"{mark} s" for mark in MARKS] + [f"{mark} epochs" for mark in EPOCHS]
    lines = [f"{'task':12}{'arm':8}{'seeds':>6}" + "".join(f"{each:>15}" for each in columns) + f"{'in full':>9}"]
    for task, arm in dict.fromkeys((cell["key"][0], cell["key"][1]) for cell in sorted(cells, key=_order)):
        of = [cell for cell in cells if cell["key"][:2] == [task, arm]]
        volumes = [[reached(cell, seconds=mark) for cell in of] for mark in MARKS]
        volumes += [[reached(cell, epochs=mark) for cell in of] for mark in EPOCHS]
        entries = [
            f"{mean(each):.3f}" + (f" +- {stdev(each) / math.sqrt(len(each)):.3f}" if len(each) > 1 else "")
            for each in volumes
        ]
        trained = mean(len(cell["students"]) for cell in of)
        lines.append(f"{task:12}{arm:8}{len(of):6}{''.join(f'{entry:>15}' for entry in entries)}{trained:9.0f}")
    return "\n".join(lines)


def _order(cell: Cell) -> tuple[int, str]:
    return list(TASKS).index(cell["key"][0]), cell["key"][1]


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="digits,digits_all", help=f"of {', '.join(TASKS)}; default: %(default)s")
    parser.add_argument("--arms", default=",".join(ARMS), help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", action="append", default=[], help="TASK=PATH, where the data of a task are")
    parser.add_argument("--json", type=Path, default=Path("recipe_early.jsonl"), help="the file of finished cells")
    parser.add_argument("--minutes", type=float, default=60, help="no cell begins after this many minutes")
    options = parser.parse_args()
    tasks, arms = options.tasks.split(","), options.arms.split(",")
    if unknown := [each for each in (*tasks, *arms) if each not in TASKS and each not in ARMS]:
        parser.error(f"{', '.join(unknown)} is no task and no arm (known: {', '.join((*TASKS, *ARMS))})")
    data = dict(each.split("=", 1) for each in options.data)
    end, cells = time.monotonic() + 60 * options.minutes, read_cells(options.json)
    torch.set_num_threads(1)
    answers = {task: options.json.with_suffix("") / f"{task}.npy" for task in tasks}
    for task, path in answers.items():
        write_answers(path, task, data.get(task, ""))

    def key_of(cell: Cell) -> Key:
        task, arm, seed = cell["key"]
        return task, arm, seed

    missing = run_missing(
        [(task, arm, seed) for seed, task, arm in product(range(options.seeds), tasks, arms)],
        cells,
        options.json,
        key=key_of,
        run=lambda key: run_cell(key, answers[key[0]].absolute(), data.get(key[0], ""), MARKS[-1]),
        end=end,
    )
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}\n")
    print(table([cell for cell in cells if cell["key"][0] in tasks and cell["key"][1] in arms]))
    print(f"missing cells: {', '.join(' '.join(map(str, key)) for key in missing) or 'none'}")


if __name__ == "__main__":
    main()
