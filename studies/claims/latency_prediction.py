"""How well are latencies predicted? This splits 160 measured architectures of a space into fitted and others, 20 times.

    python studies/claims/latency_prediction.py --out latencies --minutes 30

The script measures 160 architectures for each space and runtime, as `autokd latency-table` does. This takes about 25
minutes on two idle cores, nearly all of it for ONNX Runtime. The script prints Spearman's correlation and the median of
|predicted / measured - 1| on the architectures that were not fitted, as means ± standard deviations over 20 splits
(digits, batch 1, one thread), and the seconds that one measurement takes.
"""

from __future__ import annotations

import json
import time
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.stats import spearmanr

from autokd.driver import measure_device
from autokd.latency.prediction import fit_latency
from autokd.study import load_study

SPACES, RUNTIMES = ("mobilenet", "resnet", "vit", "mlp"), ("onnx", "eager")
ARCHITECTURES, STEP, SPLITS = 160, 10, 20
FITTED_ON = (20, 40, 100)
STUDY = Path(__file__).parents[1] / "digits.yaml"


def main(
    out: Annotated[
        Path, typer.Option(help="The folder of the tables, one for each space and runtime; it is extended.")
    ],
    minutes: Annotated[float, typer.Option(help="No measurement begins after this many minutes.")] = 30.0,
) -> None:
    """Measures what the tables in `out` lack, then prints the figures of the complete tables."""
    deadline = time.monotonic() + 60 * minutes
    print(f"{'space':10s} {'runtime':8s} {'fitted on':>9s} {'Spearman':>14s} {'median error':>16s} {'seconds':>8s}")
    missing = []
    for space, runtime in product(SPACES, RUNTIMES):
        table = out / f"{space}-{runtime}.jsonl"
        study = load_study(STUDY, [f"space={space}", f"objectives.latency_ms.runtime={runtime}"])
        done = lines_of(table)
        while done < ARCHITECTURES and time.monotonic() < deadline:
            measure_device(study, table, done + STEP, notify=lambda message: None)
            done = lines_of(table)
        if done < ARCHITECTURES:
            missing.append(f"{space} {runtime}: {ARCHITECTURES - done} of {ARCHITECTURES}")
            continue
        show(space, runtime, table)
    print("missing: " + ("; ".join(missing) or "nothing"))


def lines_of(table: Path) -> int:
    """The number of measurements in a table."""
    return len(table.read_text(encoding="utf-8").splitlines()) if table.exists() else 0


def show(space: str, runtime: str, table: Path) -> None:
    """Prints a line for each number of fitted architectures."""
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    archs, ms = [row["arch"] for row in rows], np.array([row["median_ms"] / row["reference_ms"] for row in rows])
    seconds = np.median([row["seconds"] for row in rows])
    for number in FITTED_ON:
        found = []
        for split in range(SPLITS):
            order = np.random.default_rng(split).permutation(len(rows))
            known, others = order[:number], order[number:]
            predict = fit_latency([archs[i] for i in known], list(ms[known])).predict
            predicted = predict([archs[i] for i in others])
            error = float(np.median(np.abs(predicted / ms[others] - 1)))
            found.append((float(spearmanr(predicted, ms[others]).statistic), error))
        (rank, error), (rank_spread, error_spread) = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
        print(
            f"{space:10s} {runtime:8s} {number:9d} {rank:7.3f} ± {rank_spread:.3f} "
            f"{error:8.1%} ± {error_spread:4.1%} {seconds:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
