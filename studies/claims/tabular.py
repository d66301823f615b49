"""Can a small network stand in for gradient boosting? Four tables, students by `autokd.search`, scores and time a row.

    python studies/claims/tabular.py --adult adult.csv.gz --out tabular.jsonl --minutes 60

`--adult` names the file of the UCI Adult data with a column `split` of train and test; without it this table is left
out. The other tables come with scikit-learn or are made by it. A cell is a table, a way to give the teacher and a seed.
The teacher is scikit-learn's histogram gradient boosting: unfitted, so that AutoKD fits it and asks it out of fold, or
fitted on the training rows beforehand, so that it answers the very rows that it has seen. Each search has the score on
validation and the latency of a batch of 1,000 rows as objectives, and the bound of the latency is a fifth of what the
teacher takes. The student is the one of the front that is best on validation. It is exported to ONNX, and its score is
that of the file's answers to the columns of the test rows as they are. The teacher answers the same rows.

Time is measured on one thread by turns, for one row and for 1,000 rows: the teacher reads its DataFrame, the network
reads encoded features in torch, and ONNX Runtime reads the columns as they are. A ratio is the student's time divided
by the teacher's. Finished cells are appended to --out and are not run again; missing cells are printed.

A cell takes 20 to 50 CPU seconds. The first 28 of 40 cells, four seeds of Adult and of breast cancer and three of the
others, on two loaded cores of an AMD EPYC with torch 2.13 (mean +- standard deviation of the scores; median and largest
ratio):

                                   teacher          student    network, 1000 rows    ONNX, 1000 rows
    adult, out of fold          0.875 +- 0.001   0.867 +- 0.005       0.07 (0.09)        0.10 (0.11)
    adult, fitted               0.875 +- 0.001   0.867 +- 0.004       0.06 (0.07)        0.09 (0.10)
    breast_cancer, out of fold  0.947 +- 0.007   0.970 +- 0.011       0.04 (0.09)        0.06 (0.15)
    breast_cancer, fitted       0.947 +- 0.007   0.965 +- 0.010       0.05 (0.09)        0.06 (0.15)
    hastie, out of fold         0.918 +- 0.011   0.968 +- 0.015       0.15 (0.19)        0.13 (0.19)
    hastie, fitted              0.918 +- 0.011   0.972 +- 0.005       0.10 (0.15)        0.08 (0.13)
    friedman, out of fold       0.921 +- 0.002   0.947 +- 0.003       0.06 (0.16)        0.05 (0.12)
    friedman, fitted            0.921 +- 0.002   0.949 +- 0.003       0.14 (0.19)        0.12 (0.17)

For one row the largest ratio was 0.17. There were no losers.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, make_friedman1, make_hastie_10_2
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, r2_score
from threadpoolctl import threadpool_limits

import autokd
from autokd.executors import one_thread
from autokd.latency.timing import time_calls
from autokd.tasks import from_frame

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing

WAYS = ("out of fold", "fitted")
BATCHES = (1, 1000)
MOST_LOST, LARGEST_RATIO = 0.02, 0.25
"""What is asked for: the score that a student may lose, and the share of the teacher's time that it may take."""
BOUND = 0.2
"""The bound of the search as a share of the teacher's time. It is below the target, because a timing has a spread."""

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Table:
    """A table that students are searched for.

    Args:
        make: gives the rows of a seed, with the target.
        target: the column of the target.
        score: the main objective.
        rungs: the epochs of the search.
        batch_size: the rows of a training step.
    """

    make: Callable[[int], pd.DataFrame]
    target: str
    score: str
    rungs: tuple[int, ...]
    batch_size: int

    @property
    def estimator(self) -> Any:
        """The unfitted teacher. Columns of the dtype `category` are its categories."""
        kind = HistGradientBoostingClassifier if self.score == "accuracy" else HistGradientBoostingRegressor
        return kind(categorical_features="from_dtype", random_state=0)


def tables(adult: Path | None) -> dict[str, Table]:
    """The tables by name."""

    def read(seed: int) -> pd.DataFrame:
        frame = pd.read_csv(adult)
        texts = [name for name in frame.select_dtypes(exclude="number") if name not in ("income-per-year", "split")]
        return frame.astype(dict.fromkeys(texts, "category"))

    found = {"adult": Table(read, "income-per-year", "accuracy", (2, 6), 256)} if adult else {}
    return found | {
        "breast_cancer": Table(_breast_cancer, "target", "accuracy", (9, 27), 32),
        "hastie": Table(_hastie, "target", "accuracy", (4, 12), 64),
        "friedman": Table(_friedman, "target", "r2", (8, 24), 64),
    }


def _breast_cancer(seed: int) -> pd.DataFrame:
    bunch: Any = load_breast_cancer(as_frame=True)
    return bunch.frame.assign(target=bunch.target.map(dict(enumerate(bunch.target_names))))


def _hastie(seed: int) -> pd.DataFrame:
    x, y = make_hastie_10_2(6000, random_state=seed)
    return _frame(x).assign(target=np.where(y > 0, "far", "near"))


def _friedman(seed: int) -> pd.DataFrame:
    x, y = make_friedman1(3000, noise=1.0, random_state=seed)
    return _frame(x).assign(target=y)


def _frame(x: Any) -> pd.DataFrame:
    return pd.DataFrame(x, columns=[f"x{column}" for column in range(x.shape[1])])


def run_cell(table: Table, key: Key, trials: int) -> Cell:
    """Searches, exports the student that is best on validation, and measures it and its teacher on the test rows."""
    name, way, seed = key
    began = time.process_time()
    frame = table.make(seed)
    task = from_frame(
        frame,
        name=name,
        target=table.target,
        split="split" if "split" in frame else None,
        validation=0.2,
        test=0.25,
        seed=seed,
    )
    splits = {split: rows.numpy() for split, rows in task.splits.items()}
    training = np.concatenate([splits["train"], splits["transfer"], splits["reserve"]])
    x = frame.drop(columns=[table.target, "split"], errors="ignore")
    teacher = clone(table.estimator).fit(x.iloc[training], frame[table.target].iloc[training])
    test = x.iloc[splits["test"]]
    rows = {batch: test.iloc[np.resize(np.arange(len(test)), batch)] for batch in BATCHES}
    bound = BOUND * _times([_answering(teacher, rows[1000])], seconds=0.3)[0]
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        study = autokd.Study.model_validate(
            {
                "name": name,
                "task": task,
                "teacher": teacher if way == "fitted" else clone(table.estimator),
                "space": "table",
                "objectives": {
                    table.score: {},
                    "latency_ms": {"batch": 1000, "seconds": 0.05, "bound": bound},
                },
                "recipe": {"batch_size": table.batch_size},
                "budget": {"trials": trials, "rungs": table.rungs, "reseeds": 0},
                "executor": "inline",
                "seed": seed,
            }
        )
        front = autokd.search_study(study, run=Path(folder) / "run")
        student = max(front, key=lambda each: each.values[table.score])
        student.export(Path(folder) / "student.onnx")
        network = student.load()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            Path(folder) / "student.onnx", options, providers=["CPUExecutionProvider"]
        )
    classes = getattr(task, "class_names", ())
    wanted = frame[table.target].iloc[splits["test"]]
    (answers,) = session.run(None, columns_for(session, test))
    given = [classes[each] for each in answers.argmax(1)] if table.score == "accuracy" else answers.reshape(-1)
    score = accuracy_score if table.score == "accuracy" else r2_score
    ms = {}
    for batch, frame_of in rows.items():
        calls = [
            _answering(teacher, frame_of),
            _called(network, task.reading.batch(frame_of)),
            _called(session.run, None, columns_for(session, frame_of)),
        ]
        ms[str(batch)] = dict(zip(("teacher", "network", "onnx"), _times(calls, seconds=1), strict=True))
    return {
        "table": name,
        "way": way,
        "seed": seed,
        "trials": trials,
        "score": table.score,
        "rows": {split: len(numbers) for split, numbers in splits.items()},
        "teacher": float(score(wanted, teacher.predict(test))),
        "teacher_of_search": front.teacher["test"][table.score],
        "student": float(score(wanted, given)),
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "arch": student.arch,
        "recipe": student.recipe,
        "ms": ms,
        "seconds": time.process_time() - began,
    }


def columns_for(session: Any, frame: pd.DataFrame) -> dict[str, Any]:
    """The columns of a frame as an exported file takes them: numbers in float64, and texts."""
    return {
        each.name: frame[[each.name]].to_numpy(np.float64)
        if each.type == "tensor(double)"
        else frame[[each.name]].astype(object).fillna("").to_numpy(object)
        for each in session.get_inputs()
    }


def _answering(teacher: Any, frame: pd.DataFrame) -> Callable[[], object]:
    return _called(teacher.predict_proba if hasattr(teacher, "predict_proba") else teacher.predict, frame)


def _called(function: Callable[..., object], *given: Any) -> Callable[[], object]:
    return lambda: function(*given)


def _times(calls: Sequence[Callable[[], object]], *, seconds: float) -> list[float]:
    """Milliseconds of each call on one thread, measured by turns."""
    with threadpool_limits(1):
        return [timing.median_ms for timing in time_calls(calls, threads=1, seconds=seconds, calibration_ms=None)]


def ratios(cell: Mapping[str, Any]) -> dict[str, float]:
    """The student's time as a share of the teacher's, by form and batch."""
    return {
        f"{form} {batch}": cell["ms"][str(batch)][form] / cell["ms"][str(batch)]["teacher"]
        for form in ("network", "onnx")
        for batch in BATCHES
    }


def lost(cell: Mapping[str, Any]) -> list[str]:
    """What of the targets a cell missed, in words; nothing if it met all of them."""
    missed = []
    if cell["teacher"] - cell["student"] > MOST_LOST:
        missed.append(f"{cell['score']} {cell['student']:.3f} beside the teacher's {cell['teacher']:.3f}")
    slow = [(name, ratio) for name, ratio in ratios(cell).items() if ratio >= LARGEST_RATIO]
    return missed + [f"{name} takes {ratio:.2f} of the teacher's time" for name, ratio in slow]


def report(cells: Sequence[Mapping[str, Any]]) -> str:
    """The table of all cells by table and way, and the losers."""
    lines = [
        "scores: mean +- standard deviation over seeds; times: medians over seeds, the largest ratio in brackets",
        f"{'table':14s}{'way':12s}{'n':>2s}  {'teacher':>15s}  {'student':>15s}  {'student - teacher':>17s}"
        f"{'parameters':>12s}" + "".join(f"  {name:>14s}" for name in ratios_of_all(cells)),
    ]
    for table, way in dict.fromkeys((cell["table"], cell["way"]) for cell in cells):
        group = [cell for cell in cells if (cell["table"], cell["way"]) == (table, way)]
        gaps = [cell["student"] - cell["teacher"] for cell in group]
        scores = [_spread([cell[who] for cell in group]) for who in ("teacher", "student")]
        lines.append(
            f"{table:14s}{way:12s}{len(group):2d}  {scores[0]:>15s}  {scores[1]:>15s}  {_spread(gaps, '+'):>17s}"
            f"{median(cell['parameters'] for cell in group):12,.0f}"
            + "".join(f"  {f'{median(each):.3f} ({max(each):.3f})':>14s}" for each in ratios_of_all(group).values())
        )
    lines.append("\nmilliseconds a call, medians over seeds: teacher, network, ONNX file from raw columns")
    for table in dict.fromkeys(cell["table"] for cell in cells):
        for batch in map(str, BATCHES):
            times = [cell["ms"][batch] for cell in cells if cell["table"] == table]
            shown = ", ".join(f"{median(each[who] for each in times):.3f}" for who in ("teacher", "network", "onnx"))
            lines.append(f"  {table:14s} batch {batch:>5s}: {shown}")
    losers = [(cell, what) for cell in cells for what in lost(cell)]
    lines.append(f"\nlosers: {len({id(cell) for cell, _ in losers})} of {len(cells)} cells")
    lines += [f"  {cell['table']}, {cell['way']}, seed {cell['seed']}: {what}" for cell, what in losers]
    return "\n".join(lines)


def ratios_of_all(cells: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The ratios of several cells, by form and batch."""
    found = [ratios(cell) for cell in cells]
    return {name: [each[name] for each in found] for name in (found[0] if found else ())}


def _spread(values: Sequence[float], sign: str = "") -> str:
    return f"{mean(values):{sign}.3f} +- {stdev(values) if len(values) > 1 else 0.0:.3f}"


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the tables and the losers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adult", type=Path, help="the file of the Adult data with a column `split`")
    parser.add_argument("--out", type=Path, default=Path("tabular.jsonl"))
    parser.add_argument("--minutes", type=float, default=60, help="no cell begins after this many minutes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=12)
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    known = tables(options.adult)
    cells = read_cells(options.out)
    with one_thread():
        missing = run_missing(
            [(name, way, seed) for seed in range(options.seeds) for name in known for way in WAYS],
            cells,
            options.out,
            key=itemgetter("table", "way", "seed"),
            run=lambda key: run_cell(known[key[0]], key, options.trials),
            end=end,
        )
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, one thread\n")
    print(report(cells))
    print(f"missing cells: {missing or 'none'}")


if __name__ == "__main__":
    main()
