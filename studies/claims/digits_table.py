"""Trains every student of the studies in studies/tables with every recipe, and packs the results into tables.

    python studies/claims/digits_table.py train --out digits_table --minutes 60  # until nothing is missing
    python studies/claims/digits_table.py latency --out digits_table             # on a quiet machine
    python studies/claims/digits_table.py pack --out digits_table                # writes the tables

A cell is one training: a table, an architecture, a recipe and a repeat. Repeat 0 has the seed of a search. Repeats 1
and 2 are trained for a sample of 200 students, which gives the noise floor. Finished cells are appended to
OUT/trainings.jsonl and are not run again; missing cells are printed. The numbers are those of a search, because the
teacher, the seeds, the rungs and the learning-rate schedule are the same. 3,740 trainings took 36 minutes on one core
of a busy machine.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import itertools
import json
import math
import os
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, median, variance
from typing import Any

import torch
from optuna.distributions import CategoricalDistribution
from optuna.trial import FixedTrial
from scipy.stats import kendalltau

from autokd import Recipe, Study, load_study
from autokd.driver.costs import random_study
from autokd.driver.preparation import prepare
from autokd.driver.run import Run
from autokd.executors import one_thread
from autokd.latency.timing import measure_calibration_ms, measure_together
from autokd.objectives.costs import flops, parameters
from autokd.record import canonical
from autokd.study import resolve_objectives, resolve_space
from autokd.trial import Context, Stretch, build_student, context_of, evaluate, start_training, training_seed
from autokd.types import Arch

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import append_cell, read_cells

TABLES = Path(__file__).parents[1] / "tables"
NAMES = ("digits_labels", "digits_noise")
RESEEDED = 200
REPEATS = (1, 2)


@dataclass(frozen=True)
class Cell:
    """One training; `repeat` is 0 with the seed of a search, and 1 or more with fresh seeds."""

    table: str
    arch: Arch
    recipe: Recipe
    repeat: int

    @property
    def key(self) -> str:
        """A text that is the same for the same training."""
        return canonical(asdict(self))


def choices(study: Study) -> dict[str, list[Any]]:
    """The choices of the study's space and recipe, by column of its table."""
    optuna_study = random_study(study.seed)
    optuna_study.enqueue_trial({"recipe.alpha": 1.0})  # at alpha 0 no other part of the recipe is chosen
    trial = optuna_study.ask()
    resolve_space(study).suggest(trial)
    study.recipe.suggest(trial, epochs=study.budget.rungs[-1])
    columns = {}
    for name, distribution in trial.distributions.items():
        assert isinstance(distribution, CategoricalDistribution), f"{name} is not a list of choices"
        columns[name.removeprefix("recipe.")] = list(distribution.choices)
    return columns


def rows(study: Study) -> Iterator[tuple[dict[str, Any], Cell]]:
    """Every row of the study's table with its training. All rows of a student with alpha 0 share one training."""
    space, columns = resolve_space(study), choices(study)
    for picked in itertools.product(*columns.values()):
        row = dict(zip(columns, picked, strict=True))
        trial: Any = FixedTrial(row | {f"recipe.{name}": value for name, value in row.items()})
        recipe = study.recipe.suggest(trial, epochs=study.budget.rungs[-1])
        yield row, Cell(study.name, space.suggest(trial), recipe, 0)


def cells(study: Study) -> list[Cell]:
    """The trainings of a table in the order in which they run: first those of the rows, then repeats of a sample."""
    different = {cell.key: cell for _, cell in rows(study)}
    once = [different[key] for key in sorted(different)]
    random.Random(0).shuffle(once)
    return once + [replace(cell, repeat=repeat) for cell in once[:RESEEDED] for repeat in REPEATS]


def train(context: Context, cell: Cell) -> dict[str, float]:
    """Validation and test accuracy of one training at every rung, by column."""
    study = context.study
    seed = training_seed(cell.arch, cell.recipe, study.seed, cell.repeat)
    training, _ = start_training(context, Stretch(0, cell.arch, cell.recipe, seed, 0, cell.recipe.epochs, "", ""))
    values = {}
    for start, stop in itertools.pairwise((0, *study.budget.rungs)):
        training.run(start, stop)
        suffix = "" if stop == study.budget.rungs[-1] else f"@{stop}"
        values[f"accuracy{suffix}"] = evaluate(context, training.student, "validation")["accuracy"]
        values[f"test_accuracy{suffix}"] = evaluate(context, training.student, "test")["accuracy"]
    return values


def train_missing(contexts: Mapping[str, Context], path: Path, *, end: float) -> None:
    """Trains the cells that `path` lacks, until `end`, and prints which are still missing."""
    done = finished(path)
    in_turn = zip(*(cells(context.study) for context in contexts.values()), strict=True)
    wanted = list(itertools.chain.from_iterable(in_turn))
    missing = [cell for cell in wanted if cell.key not in done]
    while missing and time.monotonic() < end:
        cell = missing.pop(0)
        append_cell(path, {"cell": asdict(cell), "values": train(contexts[cell.table], cell)})
    print(f"{len(wanted) - len(missing)} of {len(wanted)} cells are trained; missing: {len(missing) or 'none'}")
    for (table, repeat), number in Counter((cell.table, cell.repeat) for cell in missing).items():
        print(f"  {number} of {table}, repeat {repeat}")
    for cell in missing[:10]:
        print(f"  next: {cell.key}")


def finished(path: Path) -> dict[str, dict[str, float]]:
    """The values of the finished trainings in a file, by key."""
    return {canonical(record["cell"]): record["values"] for record in read_cells(path)}


def measure(context: Context) -> dict[str, Any]:
    """The latency of each architecture, all timed in turn, with the machine and its load."""
    archs = {canonical(cell.arch): cell.arch for _, cell in rows(context.study)}
    inputs = torch.zeros(1, *context.task.input_shape)
    load = os.getloadavg()[0]
    calibration_ms = measure_calibration_ms()
    students = [build_student(context, arch, seed=0) for arch in archs.values()]
    timings = measure_together(students, inputs, seconds=2.0, calibration_ms=calibration_ms)
    return {
        "machine": {**machine(), "batch": 1, "threads": 1, "runtime": "eager"},
        "latency": {
            "reference_ms": calibration_ms,
            "rounds": timings[0].rounds,
            "load_average": load,
            "median_cv": median(timing.cv for timing in timings),
            "worst_cv": max(timing.cv for timing in timings),
        },
        "latency_ms": {arch: float(f"{timing.median_ms:.4g}") for arch, timing in zip(archs, timings, strict=True)},
    }


def machine() -> dict[str, Any]:
    """The facts of this machine on which numbers depend."""
    cpuinfo = Path("/proc/cpuinfo")
    facts = [line.split(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines()] if cpuinfo.is_file() else []
    cpu = {fact[0].strip(): fact[1].strip() for fact in facts if len(fact) == 2}
    model = " ".join(f"{part} {cpu[part]}" for part in ("cpu family", "model") if part in cpu)
    name = f"{cpu['model name']} ({model})" if "model name" in cpu else platform.processor()
    return {"cpu": name, "cores": os.cpu_count(), "system": platform.system(), "torch": torch.__version__}


def table(
    context: Context, trained: Mapping[str, Mapping[str, float]], latency: Mapping[str, float]
) -> list[dict[str, Any]]:
    """The rows of a table. The columns of fresh seeds are empty where none was trained."""
    inputs = torch.zeros(1, *context.task.input_shape)
    costs = {}
    for _, cell in rows(context.study):
        if canonical(cell.arch) not in costs:
            student = build_student(context, cell.arch, seed=0)
            costs[canonical(cell.arch)] = {
                "parameters": int(parameters(student, inputs)),
                "flops": int(flops(student, inputs)),
                "latency_ms": latency[canonical(cell.arch)],
            }
    found = []
    for row, cell in rows(context.study):
        again = {f"accuracy_seed{n}": trained.get(replace(cell, repeat=n).key, {}).get("accuracy") for n in REPEATS}
        found.append({**row, **trained[cell.key], **costs[canonical(cell.arch)], **again})
    return found


def noise(study: Study, trained: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The standard deviation between seeds, pooled over the sample, by column."""
    again = cells(study)[:RESEEDED]
    groups = [[trained[replace(cell, repeat=repeat).key] for repeat in (0, *REPEATS)] for cell in again]
    pooled = {
        column: round(math.sqrt(mean(variance(values[column] for values in group) for group in groups)), 5)
        for column in groups[0][0]
    }
    return {"trainings": len(groups), "seeds": 1 + len(REPEATS), "standard_deviation": pooled}


def pack(run: Run, trained: Mapping[str, Mapping[str, float]], measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Writes NAME.csv.gz and NAME.json into studies/tables. The same numbers give the same bytes."""
    context = context_of(run.folder, run.setup)
    study, splits = context.study, context.task.splits
    found = table(context, trained, measured["latency_ms"])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    with (TABLES / f"{study.name}.csv.gz").open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.getvalue().encode())
    about = {
        "source": f"every student and recipe of {study.name}.yaml, trained by studies/claims/digits_table.py",
        "parameters": choices(study),
        "objectives": {o.name: {"direction": o.direction, "trained": o.trained} for o in resolve_objectives(study)},
        "rungs": list(study.budget.rungs),
        "splits": {split: len(numbers) for split, numbers in splits.items()},
        "teacher": run.setup.teacher,
        "noise": noise(study, trained),
        "machine": measured["machine"],
        "latency": measured["latency"],
        "licence": "Apache-2.0; of the digits: UCI, by way of scikit-learn, CC BY 4.0",
    }
    (TABLES / f"{study.name}.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return found


def summary(found: Sequence[Mapping[str, Any]]) -> str:
    """The spread of accuracies, rank correlations of columns, the noise floor, and the gain by distillation."""
    students: dict[Any, list[Mapping[str, Any]]] = {}
    for row in found:
        students.setdefault((row["family"], row["width"], row["depth"]), []).append(row)
    firsts = [rows_of[0] for rows_of in students.values()]
    sizes, accuracies = [row["parameters"] for row in firsts], [row["accuracy"] for row in found]
    gains = []
    for rows_of in students.values():
        best = max(rows_of, key=lambda row: row["accuracy"])
        plain = next(row for row in rows_of if row["alpha"] == 0)
        usual = next(r for r in rows_of if (r["alpha"], r["temperature"], r["method"]) == (0.9, 4, "kd"))
        gains.append([best["test_accuracy"] - other["test_accuracy"] for other in (plain, usual)])
    over_plain, over_usual = (median(gain) for gain in zip(*gains, strict=True))
    return (
        f"{len(found)} rows, {len(students)} students, {min(sizes)} to {max(sizes)} parameters\n"
        f"  accuracy {min(accuracies):.3f} to {max(accuracies):.3f}, median {median(accuracies):.3f}\n"
        f"  Kendall's tau of parameters with {taus(firsts, 'parameters', 'flops', 'latency_ms')}; of accuracy with "
        f"{taus(found, 'accuracy', 'accuracy@3', 'accuracy@9', 'test_accuracy')}\n"
        f"  deviation between seeds at alpha > 0: {spread([r for r in found if r['parameters'] < 1000]):.4f} below "
        f"1,000 parameters, {spread([r for r in found if r['parameters'] >= 1000]):.4f} from there\n"
        f"  test accuracy of each student's best recipe on validation: {over_plain:+.3f} over alpha 0, "
        f"{over_usual:+.3f} over kd at T 4, alpha 0.9 (medians over students)"
    )


def taus(found: Sequence[Mapping[str, Any]], column: str, *others: str) -> str:
    """Kendall's rank correlation of a column with each of the others."""
    values = {name: [row[name] for row in found] for name in (column, *others)}
    return ", ".join(f"{name} {kendalltau(values[column], values[name]).statistic:.2f}" for name in others)


def spread(found: Sequence[Mapping[str, Any]]) -> float:
    """The pooled standard deviation of accuracy between seeds, over rows with alpha > 0 that have fresh seeds."""
    seeds = [[row["accuracy"], *(row[f"accuracy_seed{n}"] for n in REPEATS)] for row in found if row["alpha"] > 0]
    return math.sqrt(mean(variance(values) for values in seeds if None not in values))


def main() -> None:
    """Trains the missing cells as long as time allows, measures latencies, or packs the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("train", "latency", "pack"))
    parser.add_argument("--out", type=Path, default=Path("digits_table"))
    parser.add_argument("--minutes", type=float, default=60, help="`train` begins no cell after this many minutes")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    runs = {name: prepare(load_study(TABLES / f"{name}.yaml"), options.out / name) for name in NAMES}
    trainings, latencies = options.out / "trainings.jsonl", options.out / "latency.json"
    with one_thread():
        if options.step == "train":
            train_missing({name: context_of(run.folder, run.setup) for name, run in runs.items()}, trainings, end=end)
        elif options.step == "latency":
            first = runs[NAMES[0]]
            latencies.write_text(json.dumps(measure(context_of(first.folder, first.setup)), indent=1), encoding="utf-8")
        else:
            trained = finished(trainings)
            missing = sum(cell.key not in trained for run in runs.values() for cell in cells(run.context.study))
            if missing or not latencies.is_file():
                raise SystemExit(f"{missing} cells are missing: run `train`, then `latency`, before `pack`")
            for name, run in runs.items():
                found = pack(run, trained, json.loads(latencies.read_text(encoding="utf-8")))
                print(f"{name}: {summary(found)}")


if __name__ == "__main__":
    main()
