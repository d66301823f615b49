"""Does a joint search help? This compares it, on digits, with hard labels and with T=4, alpha=0.9 at equal epochs.

    python studies/claims/distillation_helps.py --out distillation_helps.jsonl --minutes 60

A cell is one of three situations and one seed: a joint search, and its baselines `hard` and `default` over the same
architectures with the same epochs. Finished cells are appended to --out and are not run again; missing cells are
printed. The table compares the test accuracy of the best student on the front within each of three sizes. The students
are chosen by validation alone.
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
from statistics import mean, median, stdev
from typing import Any

from autokd.driver import search_study
from autokd.study import Study

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import read_cells, run_missing

SITUATIONS: Mapping[str, Mapping[str, Any]] = {
    "100 labels": {"labels": 100},
    "100 labels, 30 of them for validation": {"labels": 100, "validation_from": "labels", "validation": 30},
    "30 % label noise": {"label_noise": 0.3},
}
SIZES = (500, 1500, 5000)
ARMS = ("joint", "hard", "default")


def study(situation: str, seed: int, trials: int) -> Study:
    """The study of one cell."""
    return Study.model_validate(
        {
            "name": "cell",
            "task": {"data": "digits", **SITUATIONS[situation]},
            "teacher": {
                "space": "resnet",
                "arch": {
                    "width": 16,
                    "stages": [{"blocks": 1, "kernel": 3, "widen": 1}, {"blocks": 1, "kernel": 3, "widen": 2}],
                },
                "epochs": 15,
            },
            "space": "mlp",
            "objectives": {"accuracy": {}, "parameters": {"bound": 20000}},
            "budget": {"trials": trials, "rungs": [3, 9, 27]},
            "baselines": ["hard", "default"],
            "seed": seed,
        }
    )


def run_cell(situation: str, seed: int, trials: int) -> dict[str, Any]:
    """Runs one cell: for every arm the test accuracy of the best student within each size, and the hypervolume."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        front = search_study(study(situation, seed, trials), run=Path(folder) / "run").to_dict()
    arms = {"joint": front} | front["baselines"]
    return {
        "situation": situation,
        "seed": seed,
        "trials": trials,
        "seconds": time.monotonic() - started,
        "teacher": front["teacher"],
        "validation_labels": front["validation_labels"],
        "arms": {
            arm: {
                "epochs": found["epochs_spent"],
                "hypervolume": found["hypervolume"],
                "accuracy": {str(size): best_below(found["front"], size) for size in SIZES},
            }
            for arm, found in arms.items()
        },
    }


def best_below(students: Sequence[Mapping[str, Any]], size: int) -> float | None:
    """Test accuracy of the student that is best on validation with at most `size` parameters; None if none is."""
    small = [student for student in students if student["values"]["parameters"] <= size]
    best = max(small, key=lambda student: student["values"]["accuracy"], default=None)
    return None if best is None else float(best["test"]["accuracy"])


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """Medians and spread over the seeds, and the gain of the joint search over each rival, taken seed by seed."""
    lines = []
    for situation in SITUATIONS:
        found = [cell for cell in cells if cell["situation"] == situation]
        if not found:
            continue
        teacher = mean(cell["teacher"]["test"]["accuracy"] for cell in found)
        lines += [
            f"{situation}: {len(found)} seeds, teacher {teacher:.3f} on test, "
            f"{found[0]['validation_labels']} validation labels",
            f"  {'':18s}" + "".join(f"{'<= ' + format(size, ',') + ' parameters':>24s}" for size in SIZES),
        ]
        for arm in ARMS:
            lines.append(f"  {arm:18s}" + "".join(_entry(found, arm, None, size) for size in SIZES))
        for rival in ARMS[1:]:
            lines.append(f"  {'joint - ' + rival:18s}" + "".join(_entry(found, "joint", rival, size) for size in SIZES))
        lines.append("")
    return "\n".join(lines)


def _entry(cells: Sequence[Mapping[str, Any]], arm: str, rival: str | None, size: int) -> str:
    values = []
    for cell in cells:
        value = cell["arms"][arm]["accuracy"][str(size)]
        other = 0.0 if rival is None else cell["arms"][rival]["accuracy"][str(size)]
        if value is not None and other is not None:
            values.append(value - other)
    if not values:
        return f"{'-':>24s}"
    spread = stdev(values) if len(values) > 1 else 0.0
    sign = "" if rival is None else "+"
    return f"{format(median(values), sign + '.3f') + f' +-{spread:.3f} (n={len(values)})':>24s}"


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("distillation_helps.jsonl"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=60)
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    cells = read_cells(options.out)
    missing = run_missing(
        [(situation, seed) for seed in range(options.seeds) for situation in SITUATIONS],
        cells,
        options.out,
        key=itemgetter("situation", "seed"),
        run=lambda cell: run_cell(*cell, options.trials),
        end=end,
    )
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print(table(cells))
    print(f"missing cells: {missing or 'none'}")


if __name__ == "__main__":
    main()
