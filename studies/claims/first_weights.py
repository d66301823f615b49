"""Do small students of texts gain by beginning from their teacher? TREC-6 and SST-2, with a teacher of six layers.

    python studies/claims/first_weights.py --trec6 trec6.csv.gz --sst2 sst2.csv.gz --encoder FOLDER --minutes 60

FOLDER holds the sentence encoder all-MiniLM-L6-v2 with its tokenizer, as `save_pretrained` writes it. It is fine-tuned
once for each data set, which takes three or four CPU minutes, and kept in a folder beside --out. All students read the
pieces of its tokenizer that occur at least twice in training texts.

A cell is a data set, a student with its recipe, a learning rate and a seed. Students with the same layers train for the
same number of epochs, as many as fit into the CPU seconds of the data set (80 for TREC-6, 60 for SST-2), but at most
20. The number is timed before the first cell of a student, on one thread. Rates are compared with seed 0 by accuracy on
validation, and the other seeds use the best one. The accuracies in the table are those on test. Beside the students,
the table has logistic regression on tf-idf weights of words and pairs of words. Finished cells are appended to --out
and are not run again; missing cells are printed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from optuna.trial import FixedTrial

from autokd import Recipe, Study
from autokd.driver.preparation import prepare
from autokd.driver.teaching import with_test_answers
from autokd.executors import one_thread
from autokd.heads import heads_of
from autokd.networks import example_of
from autokd.objectives.costs import parameters
from autokd.trial import Context, Stretch, context_of, evaluate, start_training, training_seed

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing
from studies.claims.rivals import SPLITS, scores

MOST_EPOCHS = 20
_KEY = ("data", "arm", "lr", "seed")
Key = tuple[str, str, float, int]
"""A data set, an arm, a learning rate and a seed."""


@dataclass(frozen=True)
class Data:
    """A data set.

    Args:
        task: its section of a study, without the path.
        length: the most tokens that are read of a text.
        vocabulary: the pieces of the tokenizer that stay, of which each occurs at least twice in training texts.
        teacher_epochs: for how many epochs the teacher is fine-tuned.
        seconds: the CPU seconds for which a student trains.
    """

    task: Mapping[str, Any]
    length: int
    vocabulary: int
    teacher_epochs: int
    seconds: float


DATA: Mapping[str, Data] = {
    "trec6": Data({"text": "text", "target": "coarse", "split": "split", "validation": 0.1}, 32, 4300, 3, 80),
    "sst2": Data({"text": "text", "target": "label", "split": "split"}, 48, 7700, 1, 60),
}


@dataclass(frozen=True)
class Arm:
    """A student and its recipe.

    Args:
        space: the name of the space.
        picked: what a search would pick of the space.
        start: where first weights come from.
        alpha: the weight of the teacher's answers.
        lrs: the learning rates that are compared.
    """

    space: str
    picked: Mapping[str, Any]
    start: str
    alpha: float
    lrs: tuple[float, ...]


LAYERS = {"num_hidden_layers": 3}
CNN = {"kind": "cnn", "embedding": 64, "dropout": 0.5, "kernels": 3, "narrowest_kernel": 2, "channels": 128}
BAG = {"kind": "bag", "embedding": 64, "dropout": 0.5, "layers": 1, "pooling": "mean_and_max"}
_TUNED, _NEW, _SMALL = (3e-4,), (3e-4, 1e-3), (5e-3,)
ARMS: Mapping[str, Arm] = {
    "three layers, teacher": Arm("hf", LAYERS, "teacher", 0.9, _TUNED),
    "three layers, scratch": Arm("hf", LAYERS, "scratch", 0.9, _NEW),
    "three layers, teacher, alpha 0": Arm("hf", LAYERS, "teacher", 0.0, _TUNED),
    "CNN, scratch": Arm("text", CNN, "scratch", 0.9, _SMALL),
    "CNN, teacher's table": Arm("text", CNN, "teacher", 0.9, _SMALL),
    "bag, scratch": Arm("text", BAG, "scratch", 0.9, _SMALL),
    "bag, teacher's table": Arm("text", BAG, "teacher", 0.9, _SMALL),
    "three layers, scratch, alpha 0": Arm("hf", LAYERS, "scratch", 0.0, _NEW),
}
PAIRS = (
    ("three layers, teacher", "three layers, scratch"),
    ("three layers, teacher, alpha 0", "three layers, scratch, alpha 0"),
    ("three layers, teacher", "three layers, teacher, alpha 0"),
    ("three layers, scratch", "three layers, scratch, alpha 0"),
    ("three layers, teacher", "CNN, scratch"),
    ("CNN, teacher's table", "CNN, scratch"),
    ("bag, teacher's table", "bag, scratch"),
)


def study(name: str, path: Path, encoder: Path, *, space: str, teacher: Mapping[str, Any]) -> Study:
    """A study from which the script takes the task, the teacher's answers and layers, and a space."""
    data = DATA[name]
    reading = {"tokenizer": str(encoder), "vocabulary": data.vocabulary, "length": data.length}
    return Study.model_validate(
        {
            "name": name,
            "task": {"data": str(path), **data.task, "reading": reading},
            "teacher": teacher,
            "space": space,
            "recipe": {"start": ["scratch", "teacher"]},
            "objectives": {"accuracy": {}, "parameters": {}},
            "budget": {"trials": 1, "rungs": [1]},
            "executor": "inline",
            "workers": 1,
        }
    )


def contexts_of(name: str, path: Path, encoder: Path, home: Path) -> dict[str, Context]:
    """What the students of each space share, by space. The teacher is fine-tuned now if this was not done before."""
    teacher: dict[str, Any] = {"hf": str(encoder), "lr": 1e-4, "batch_size": 32}
    teacher["epochs"] = DATA[name].teacher_epochs
    found = {}
    for space, reference in (("hf", f"hf(model={str(encoder)!r}, num_hidden_layers=(1, 6))"), ("text", "text")):
        of = study(name, path, encoder, space=reference, teacher=teacher)
        run = prepare(of, home / f"{name}-{space}", notify=print)
        found[space] = with_test_answers(context_of(run.folder, run.setup), run.folder, run.setup, print, own=of)
        answers, origin = (run.folder / file for file in (run.setup.outputs, run.setup.origins["teacher"]))
        teacher = {"outputs": str(answers), "origin": str(origin)}
    return found


def recipe_of(arm: Arm, lr: float, epochs: int) -> Recipe:
    """The recipe of an arm at a learning rate."""
    return Recipe(alpha=arm.alpha, temperature=2.0, lr=lr, batch_size=32, epochs=epochs, start=arm.start)


def run_cell(context: Context, key: Key, epochs: int) -> Cell:
    """Trains a student and scores it on validation and test."""
    _, name, lr, seed = key
    arm = ARMS[name]
    training = _training(context, arm, lr, epochs, seed)
    began = time.process_time()
    training.run(0, epochs)
    seconds = time.process_time() - began
    accuracy = {split: evaluate(context, training.student, split)["accuracy"] for split in ("validation", "test")}
    size = int(parameters(training.student, example_of(context.task)))
    found = dict(zip(_KEY, key, strict=True)) | {"epochs": epochs, "seconds": round(seconds, 1)}
    return found | {"parameters": size, **accuracy}


def epochs_within(context: Context, arm: Arm, seconds: float) -> int:
    """How many epochs of an arm fit into so many CPU seconds, from the time of one: at least one, at most 20."""
    training = _training(context, arm, arm.lrs[0], 1, 0)
    began = time.process_time()
    training.run(0, 1)
    return min(max(round(seconds / (time.process_time() - began)), 1), MOST_EPOCHS)


def _training(context: Context, arm: Arm, lr: float, epochs: int, seed: int) -> Any:
    trial: Any = FixedTrial(dict(arm.picked))
    _, arch = context.suggest_student(trial)
    recipe = recipe_of(arm, lr, epochs)
    # Not the seed of this recipe, so that all arms share the first weights of scratch and the order of batches.
    of = training_seed(arch, Recipe(), seed)
    training, _ = start_training(context, Stretch(0, arch, recipe, of, 0, epochs, "", ""))
    return training


def wanted(cells: Sequence[Cell], name: str, arm: str, seeds: int) -> list[Key]:
    """The keys of an arm: each rate with seed 0 and, once the best rate is known, this rate with the other seeds."""
    keys = [(name, arm, lr, 0) for lr in ARMS[arm].lrs]
    best = best_rate(cells, name, arm)
    return keys if best is None else keys + [(name, arm, best, seed) for seed in range(1, seeds)]


def best_rate(cells: Sequence[Cell], name: str, arm: str) -> float | None:
    """The learning rate with the best accuracy on validation with seed 0; None where a rate is still missing."""
    of = {c["lr"]: c["validation"] for c in cells if (c["data"], c["arm"], c["seed"]) == (name, arm, 0)}
    return max(of, key=lambda lr: (of[lr], -lr)) if of.keys() >= set(ARMS[arm].lrs) else None


def table(cells: Sequence[Cell], rivals: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """For each data set its arms, then the differences between arms seed by seed, on test."""
    lines = []
    for name in dict.fromkeys(cell["data"] for cell in cells):
        lines += [
            name,
            f"  {'student':34}{'seeds':>6}{'lr':>8}{'epochs':>8}{'seconds':>9}{'parameters':>12}{'test':>18}",
        ]
        tests: dict[str, dict[int, float]] = {}
        for arm in ARMS:
            lr = best_rate(cells, name, arm)
            of = [cell for cell in cells if (cell["data"], cell["arm"], cell["lr"]) == (name, arm, lr)]
            if not of:
                continue
            tests[arm] = {cell["seed"]: cell["test"] for cell in of}
            size, epochs = of[0]["parameters"], of[0]["epochs"]
            seconds = mean(cell["seconds"] for cell in of)
            figures = f"{len(of):6}{lr:8g}{epochs:8}{seconds:9.0f}{size:12,}"
            lines.append(f"  {arm:34}{figures}{_entry([*tests[arm].values()], ''):>18}")
        for rival, found in rivals.get(name, {}).items():
            lines.append(f"  {rival:34}{'':43}{found['test']:11.3f}")
        for first, second in PAIRS:
            seeds = tests.get(first, {}).keys() & tests.get(second, {}).keys()
            gains = [tests[first][seed] - tests[second][seed] for seed in sorted(seeds)]
            if gains:
                lines.append(f"  {f'{first} - {second}':72}{_entry(gains, '+'):>23}")
        lines.append("")
    return "\n".join(lines)


def _entry(values: Sequence[float], sign: str) -> str:
    spread = f" +- {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):{sign}.3f}{spread}"


def beside(contexts: Mapping[str, Context]) -> dict[str, dict[str, float]]:
    """The accuracy on validation and test of the teacher, and of logistic regression on tf-idf weights."""
    task: Any = contexts["text"].task
    answers = contexts["hf"].answers[0]
    teacher = {split: task.score(answers[task.splits[split]], task.targets(task.splits[split])) for split in SPLITS}
    found = scores(task, next(iter(heads_of(task).values())), task.targets(torch.arange(task.num_rows)))
    return {"teacher, six layers": teacher, "tf-idf, logistic regression": found["classical"]}


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trec6", type=Path, help="the questions of TREC with columns `split`, `coarse` and `text`")
    parser.add_argument("--sst2", type=Path, help="the sentences of SST-2 with columns `split`, `label` and `text`")
    parser.add_argument("--encoder", type=Path, required=True, help="the folder of the encoder and its tokenizer")
    parser.add_argument("--out", type=Path, default=Path("first_weights.jsonl"), help="the file of finished cells")
    parser.add_argument("--minutes", type=float, default=60, help="no cell begins after this many minutes")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    one_thread()
    given = {name: path for name, path in (("trec6", options.trec6), ("sst2", options.sst2)) if path is not None}
    cells, home = read_cells(options.out), options.out.with_suffix("").absolute()
    contexts = {
        name: contexts_of(name, path.absolute(), options.encoder.absolute(), home) for name, path in given.items()
    }
    epochs = {(cell["data"], str(ARMS[cell["arm"]].picked)): cell["epochs"] for cell in cells}

    def run(key: Key) -> Cell:
        name, arm = key[0], ARMS[key[1]]
        context = contexts[name][arm.space]
        if (name, str(arm.picked)) not in epochs:
            epochs[name, str(arm.picked)] = epochs_within(context, arm, DATA[name].seconds)
        return run_cell(context, key, epochs[name, str(arm.picked)])

    left: list[Key] = []
    for arm in ARMS:
        for name in given:
            for _ in range(2):  # the first round finds the rate for the second
                keys = wanted(cells, name, arm, options.seeds)
                missing = run_missing(keys, cells, options.out, key=itemgetter(*_KEY), run=run, end=end)
            left += missing
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, one thread\n")
    print(table(cells, {name: beside(found) for name, found in contexts.items()}))
    print(f"missing cells: {left or 'none'}")


if __name__ == "__main__":
    main()
