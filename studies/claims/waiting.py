"""Do workers wait for the sampler? This measures the share of their time in which workers had nothing to do.

    python studies/claims/waiting.py --out waiting.jsonl --minutes 15

A cell is a search of --study with one seed and a number of worker processes, without baselines and without fresh
seeds. The time of a worker counts from the first stretch of training that begins to the last student that begins. A
worker waits while it has no stretch. Finished cells are appended to --out and are not run again; missing cells are
printed. On a machine that has no more cores than workers, the search shares a core with a worker. Trainings then take
longer, and this does not count as waiting.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch

from autokd.driver import search_study
from autokd.executors import ProcessExecutor
from autokd.study import Study, load_study
from autokd.trial import Stretch

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import read_cells, run_missing

STUDY = Path(__file__).parents[1] / "digits.yaml"


class Watched(ProcessExecutor):
    """Worker processes that keep each stretch with the times at which it began and ended."""

    spans: list[tuple[Stretch, float, float]]

    def submit(self, fn: Any, /, stretch: Stretch) -> Future[Any]:  # type: ignore[override]
        """Does what `ProcessExecutor.submit` does, and notes the times."""
        begun = time.perf_counter()
        future = super().submit(fn, stretch)
        future.add_done_callback(lambda _: self.spans.append((stretch, begun, time.perf_counter())))
        return future


def run_cell(study: Study, workers: int, seed: int) -> dict[str, Any]:
    """Runs a search and reports how its workers spent their time."""
    changes = {"workers": workers, "seed": seed, "executor": "processes", "baselines": {}}
    changes["budget"] = study.budget.model_copy(update={"reseeds": 0})
    Watched.spans = []
    with (
        tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder,
        mock.patch("autokd.driver.loop.ProcessExecutor", Watched),
    ):
        front = search_study(study.model_copy(update=changes), run=Path(folder) / "run")
    return {
        "cell": [study.name, workers, seed],
        "seconds": seconds_of(Watched.spans),
        "waiting": waiting(Watched.spans, workers),
        "students": len({stretch.trial for stretch, _, _ in Watched.spans}),
        "hypervolume": front.hypervolume,
    }


def seconds_of(spans: Sequence[tuple[Stretch, float, float]]) -> float:
    """The seconds from the first stretch that began to the last student that began."""
    return max(begun for stretch, begun, _ in spans if stretch.start == 0) - min(begun for _, begun, _ in spans)


def waiting(spans: Sequence[tuple[Stretch, float, float]], workers: int) -> float:
    """The share of these seconds, over all workers, in which a worker had no stretch."""
    end = max(begun for stretch, begun, _ in spans if stretch.start == 0)
    busy = sum(min(ended, end) - min(begun, end) for _, begun, ended in spans)
    return 1 - busy / (workers * seconds_of(spans))


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """A row for each study and number of workers, with median and range over the seeds."""
    lines = [f"{'study':16}{'workers':>8}{'seeds':>6}{'waiting':>24}{'seconds':>20}{'hypervolume':>24}"]
    for study, workers in sorted({tuple(cell["cell"][:2]) for cell in cells}):
        of = [cell for cell in cells if cell["cell"][:2] == [study, workers]]
        entry = {name: [cell[name] for cell in of] for name in ("waiting", "seconds", "hypervolume")}
        lines.append(
            f"{study:16}{workers:8}{len(of):6}{_entry(entry['waiting'], '.1%'):>24}"
            f"{_entry(entry['seconds'], '.0f'):>20}{_entry(entry['hypervolume'], '.3f'):>24}"
        )
    return "\n".join(lines)


def _entry(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=STUDY)
    parser.add_argument("--workers", default="1,2", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--out", type=Path, default=Path("waiting.jsonl"), help="the file of finished cells, one a line"
    )
    parser.add_argument("--minutes", type=float, default=15, help="no cell begins after this many minutes")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    torch.set_num_threads(1)
    study = load_study(options.study)
    cells = read_cells(options.out)
    workers = [int(number) for number in options.workers.split(",")]
    missing = run_missing(
        [(study.name, number, seed) for seed, number in product(range(options.seeds), workers)],
        cells,
        options.out,
        key=lambda cell: (cell["cell"][0], cell["cell"][1], cell["cell"][2]),
        run=lambda cell: run_cell(study, workers=cell[1], seed=cell[2]),
        end=end,
    )
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}\n")
    if cells:
        print(table(cells))
    print(f"missing cells (workers, seed): {[cell[1:] for cell in missing] or 'none'}")


if __name__ == "__main__":
    main()
