"""Trains every student of the studies in studies/tables, at every recipe, and packs what came of it into tables.

    python studies/claims/digits_table.py train --out digits_table --minutes 60    # again until nothing is missing
    python studies/claims/digits_table.py pack --out digits_table                  # measures latency, on a quiet machine

A cell is one training: a table, an architecture, a recipe and a repeat (0 is the search's own seed; 1 and 2 are
trained for a sample of 200, for the noise floor). Finished cells are appended to OUT/trainings.jsonl and not repeated;
what is missing is printed. The numbers are those of a search: its teacher, seeds, rungs and stretches of training.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import itertools
import json
import os
import platform
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, variance
from typing import Any

import torch
from optuna.distributions import CategoricalDistribution
from optuna.trial import FixedTrial

from autokd import Recipe, Study, load_study
from autokd.driver.costs import random_study
from autokd.driver.preparation import prepare
from autokd.executors import one_thread
from autokd.objectives.costs import flops, parameters
from autokd.objectives.latency import measure_reference_ms, measure_together
from autokd.record import canonical
from autokd.study import resolve_space
from autokd.trial import Context, Stretch, build_student, evaluate, start_training, training_seed
from autokd.types import Arch

TABLES = Path(__file__).parents[1] / "tables"
NAMES = ("digits_labels", "digits_noise")
RESEEDED = 200
REPEATS = (1, 2)
LATENCY_SECONDS = 1.0


@dataclass(frozen=True)
class Cell:
    """One training."""

    table: str
    arch: Arch
    recipe: Recipe
    repeat: int

    @property
    def key(self) -> str:
        """The same for the same training."""
        return canonical(asdict(self))


def choices(study: Study) -> dict[str, list[Any]]:
    """The columns of a study's table: what its space and recipe choose from, by name."""
    optuna_study = random_study(0)
    optuna_study.enqueue_trial({"recipe.alpha": 1.0})  # at alpha 0 nothing else of the recipe is chosen
    trial = optuna_study.ask()
    resolve_space(study).suggest(trial)
    study.recipe.suggest(trial, epochs=study.budget.rungs[-1])
    found = {}
    for name, distribution in trial.distributions.items():
        assert isinstance(distribution, CategoricalDistribution), f"{name} is no list of choices"
        found[name.removeprefix("recipe.")] = list(distribution.choices)
    return found


def rows(study: Study) -> Iterator[tuple[dict[str, Any], Arch, Recipe]]:
    """Every row of a study's table: the choices, and the architecture and recipe they come to."""
    space, columns = resolve_space(study), choices(study)
    for picked in itertools.product(*columns.values()):
        row = dict(zip(columns, picked, strict=True))
        trial: Any = FixedTrial(row | {f"recipe.{name}": value for name, value in row.items()})
        yield row, space.suggest(trial), study.recipe.suggest(trial, epochs=study.budget.rungs[-1])


def cells(study: Study) -> list[Cell]:
    """The trainings of a table in the order in which they are run: those of the rows first, then those again."""
    found = {cell.key: cell for cell in (Cell(study.name, arch, recipe, 0) for _, arch, recipe in rows(study))}
    once = [found[key] for key in sorted(found)]
    random.Random(0).shuffle(once)
    again = [Cell(cell.table, cell.arch, cell.recipe, repeat) for cell in once[:RESEEDED] for repeat in REPEATS]
    return once + again


def train(context: Context, cell: Cell) -> dict[str, float]:
    """Validation and test accuracy of one training at every rung, by column."""
    study = context.study
    seed = training_seed(cell.arch, cell.recipe, study.seed, cell.repeat)
    training = start_training(context, Stretch(0, cell.arch, cell.recipe, seed, 0, cell.recipe.epochs, "", ""))
    values = {}
    for start, stop in itertools.pairwise((0, *study.budget.rungs)):
        training.run(start, stop)
        suffix = "" if stop == study.budget.rungs[-1] else f"@{stop}"
        values[f"accuracy{suffix}"] = evaluate(context, training.student, "validation")["accuracy"]
        values[f"test_accuracy{suffix}"] = evaluate(context, training.student, "test")["accuracy"]
    return values


def measure(context: Context, archs: Iterable[Arch]) -> dict[str, dict[str, float]]:
    """Parameters, FLOPs and latency of each architecture, by its canonical text; all are timed together, interleaved."""
    inputs = torch.zeros(1, *context.task.input_shape)
    students = {canonical(arch): build_student(context, arch, seed=0) for arch in archs}
    reference_ms = measure_reference_ms()
    timings = measure_together(
        list(students.values()), inputs, seconds=LATENCY_SECONDS, reference_ms=reference_ms
    )
    return {
        text: {
            "parameters": parameters(student, inputs),
            "flops": flops(student, inputs),
            "latency_ms": float(f"{timing.median_ms:.4g}"),
            "latency_cv": timing.cv,
        }
        for (text, student), timing in zip(students.items(), timings, strict=True)
    }


def main() -> None:
    """Trains what is missing as long as time allows, or packs what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("train", "pack"))
    parser.add_argument("--out", type=Path, default=Path("digits_table"))
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    studies = [load_study(TABLES / f"{name}.yaml") for name in NAMES]
    options.out.mkdir(parents=True, exist_ok=True)
    contexts = {study.name: prepare(study, options.out / study.name).context for study in studies}
    with one_thread():
        if options.step == "train":
            train_missing(contexts, options.out / "trainings.jsonl", end=time.monotonic() + 60 * options.minutes)


def train_missing(contexts: Mapping[str, Context], path: Path, *, end: float) -> None:
    """Appends a line for every cell that `path` lacks, until `end`, and prints what it lacks still."""
    done = set(finished(path))
    wanted = [cell for both in zip(*(cells(context.study) for context in contexts.values()), strict=True) for cell in both]
    missing = [cell for cell in wanted if cell.key not in done]
    with path.open("a") as file:
        while missing and time.monotonic() < end:
            cell = missing.pop(0)
            file.write(json.dumps({"cell": asdict(cell), "values": train(contexts[cell.table], cell)}) + "\n")
            file.flush()
    print(f"{len(wanted) - len(missing)} of {len(wanted)} cells are trained; missing:" + ("" if missing else " none"))
    for cell in missing:
        print(f"  {cell.key}")


def finished(path: Path) -> dict[str, dict[str, float]]:
    """What the cells in a file of trainings gave, by key; a line that was not written to its end is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        found[canonical(record["cell"])] = record["values"]
    return found


if __name__ == "__main__":
    main()
