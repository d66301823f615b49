"""Prints what a teacher and students score beside answers without looking, a linear and a classical model.

    autokd search studies/adult.yaml && python studies/claims/rivals.py runs/adult

All are fitted on the labelled training rows of the run's task and scored on its validation and test rows: accuracy for
classes, and the root of the mean squared error for values. The linear model is logistic or ridge regression on the
inputs of the students, or of the best one where the size of photos is searched, and for texts on counts of words. The
classical one is gradient boosting for a table, which gets the table's columns, logistic or ridge regression on tf-idf
weights of words and pairs of words for texts, and a random forest for arrays. Where a task asks for a class at every
pixel, the score is the mean intersection over union, and `pixel_rivals.py` says what the models are. The teacher's
score and the best student's are those of the run's front.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from autokd.heads import heads_of
from autokd.tasks import PhotoTask, TableTask, TextTask, load_task
from autokd.types import Head
from studies.claims.pixel_rivals import pixel_scores

SPLITS = ("validation", "test")


def of_table(head: Head) -> dict[str, Any]:
    """Unfitted models for a head of a table, by name."""
    if head.kind == "values":
        boosting: Any = HistGradientBoostingRegressor(categorical_features="from_dtype", random_state=0)
        return {"blind": DummyRegressor(), "linear": RidgeCV(), "classical": boosting}
    boosting = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)
    return {"blind": DummyClassifier(), "linear": LogisticRegression(max_iter=2000), "classical": boosting}


def of_texts(head: Head) -> dict[str, Any]:
    """Unfitted models for a head of texts, by name."""
    counts, weights = CountVectorizer(), TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True)
    if head.kind == "values":
        ridges = (make_pipeline(each, RidgeCV()) for each in (counts, weights))
        return {"blind": DummyRegressor(), **dict(zip(("linear", "classical"), ridges, strict=True))}
    linear = make_pipeline(counts, LogisticRegression(max_iter=2000))
    classical = make_pipeline(weights, LogisticRegression(C=10, max_iter=2000))
    return {"blind": DummyClassifier(), "linear": linear, "classical": classical}


def of_arrays(head: Head) -> dict[str, Any]:
    """Unfitted models for a head of arrays, by name."""
    if head.kind == "values":
        return {"blind": DummyRegressor(), "linear": RidgeCV(), "classical": RandomForestRegressor(300, random_state=0)}
    forest = RandomForestClassifier(300, random_state=0)
    return {"blind": DummyClassifier(), "linear": LogisticRegression(max_iter=2000), "classical": forest}


def scores(task: Any, head: Head, targets: Tensor) -> dict[str, dict[str, float]]:
    """The score of each rival by split."""
    train = task.splits["train"]
    train = train[head.known(targets[train])]
    measure = root_mean_squared_error if head.kind == "values" else accuracy_score
    found: dict[str, dict[str, float]] = {}
    table, texts = isinstance(task, TableTask), isinstance(task, TextTask)
    rivals = of_table(head) if table else of_texts(head) if texts else of_arrays(head)
    for name, model in rivals.items():
        read = task.raw if texts else _columns(task) if table and name == "classical" else _features(task)
        given = {split: read(rows) for split, rows in {"train": train, **task.splits}.items()}
        model.fit(given["train"], targets[train].numpy().squeeze())
        found[name] = {}
        for split in SPLITS:
            rows = head.known(targets[task.splits[split]]).numpy()
            answers = model.predict(given[split])[rows]
            found[name][split] = float(measure(targets[task.splits[split]].numpy()[rows].squeeze(), answers))
    return found


def _features(task: Any) -> Callable[[Tensor], Any]:
    return lambda rows: task.inputs(rows).flatten(1).numpy()


def _columns(task: Any) -> Callable[[Tensor], Any]:
    """The columns of a table, with categories as such."""
    return lambda rows: task.reading.cleaned(task.raw(rows))


def of_front(front: Mapping[str, Any], objective: str) -> dict[str, dict[str, float]]:
    """The scores of the teacher and of the best student, by split, as far as the front has them."""
    better = min if objective.endswith("rmse") else max
    student = better(front["front"], key=lambda each: each["values"][objective])
    parts = {"teacher": front["teacher"], "best student": student}
    named = {"validation": "values", "test": "test"}
    return {
        name: {split: part[key][objective] for split, key in named.items() if objective in (part.get(key) or {})}
        for name, part in parts.items()
    }


def main() -> None:
    """Prints a table for each head of a run."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("run", type=Path, help="the run folder of a finished search")
    run = given.parse_args().run
    front, task = json.loads((run / "front.json").read_text(encoding="utf-8")), load_task(run / "task")
    if isinstance(task, PhotoTask):
        best = max(front["front"], key=lambda each: each["values"]["accuracy"])
        task = task.seen_through(best.get("reading", {}))
    heads, everything = heads_of(task), task.targets(torch.arange(task.num_rows))
    for name, head in heads.items():
        targets = everything if isinstance(everything, Tensor) else everything[name]
        measure = {"values": "rmse", "positions": "miou"}.get(head.kind, "accuracy")
        objective = f"{name}.{measure}" if len(heads) > 1 else measure
        print(f"{task.name}: {objective}")
        pixels = head.kind == "positions"
        simple = pixel_scores(task, head, targets, SPLITS) if pixels else scores(task, head, targets)
        for rival, found in {**simple, **of_front(front, objective)}.items():
            print(f"  {rival:<13}" + "  ".join(f"{split} {value:.4f}" for split, value in found.items()))


if __name__ == "__main__":
    main()
