"""What does a search cost as it grows? CPU seconds of a proposal and of reading the run, and memory of the driver.

    python studies/claims/growth.py --table NAME.csv.gz --trials 2000,10000 --out growth.jsonl

A cell is a number of trials. A search of the table runs to its end in a process of its own, with the executor `inline`.
The cost of a proposal is everything between two trials, writing the record to disk included, on average over the last
hundred. Then `autokd front`, `pick` and `report` run on this search. The memory is the most that a process held at any
time. With the default sampler a cell of 2,000 trials takes about four minutes, and one of 10,000 about twenty. Finished
cells are appended to --out and are not run again; missing cells are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from autokd import Study
from autokd.driver import search_study
from autokd.driver.events import progress_only

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import read_cells, run_missing

COMMAND = [sys.executable, "-c", "from autokd.cli import main; main()"]
READING = ("front", "pick", "report")
_LAST = 100


def run_cell(table: Path, trials: int, sampler: str) -> dict[str, Any]:
    """The figures of a search of `trials` trials, and of each command that reads it."""
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        run = str(Path(folder) / "run")
        words = ["--search", run, "--table", str(table), "--trials", str(trials), "--sampler", sampler]
        searched, _, peak = used([sys.executable, str(Path(__file__).absolute()), *words])
        found = {"trials": trials, "sampler": sampler, **json.loads(searched.splitlines()[-1]), "search_mb": peak}
        for command in READING:
            _, seconds, peak = used([*COMMAND, command, run])
            found |= {f"{command}_seconds": seconds, f"{command}_mb": peak}
    return found


def search(table: Path, trials: int, sampler: str, run: Path) -> dict[str, float]:
    """Searches a table in this process and returns the CPU seconds of a proposal, averaged over the last hundred."""
    marks = []

    def watch(progress: Mapping[str, Any]) -> None:
        marks.append((sum(progress["trials"].values()), time.process_time()))

    study = Study.model_validate(
        {
            "name": "growth",
            "task": {"table": str(table)},
            "budget": {"trials": trials, "rungs": [1]},
            "executor": "inline",
            "sampler": sampler,
        }
    )
    search_study(study, run=run, tell=progress_only(watch))
    return {"proposal_seconds": per_proposal(marks)}


def per_proposal(marks: Sequence[tuple[int, float]]) -> float:
    """CPU seconds from one trial to the next, over the last hundred of `marks`: (trials begun, CPU seconds so far)."""
    by_trials: dict[int, float] = {}
    for begun, seconds in marks:
        by_trials.setdefault(begun, seconds)
    last = max(by_trials)
    first = max((begun for begun in by_trials if begun <= last - _LAST), default=min(by_trials))
    return (by_trials[last] - by_trials[first]) / max(last - first, 1)


def used(command: Sequence[str]) -> tuple[str, float, float]:
    """What a command prints, the CPU seconds that it takes, and the most memory that it holds, in MB.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, env=os.environ | {"OMP_NUM_THREADS": "1"})
        _, status, spent = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        return out.read(), spent.ru_utime + spent.ru_stime, _megabytes(spent)


def _megabytes(spent: resource.struct_rusage) -> float:
    return spent.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def table_of(cells: Sequence[Mapping[str, Any]]) -> str:
    """A row for each cell."""
    names = ["proposal_seconds", *(f"{command}_seconds" for command in READING), "search_mb", "report_mb"]
    lines = [f"{'trials':>8}{'sampler':>10}" + "".join(f"{name.replace('_', ' '):>18}" for name in names)]
    for cell in cells:
        lines.append(f"{cell['trials']:8}{cell['sampler']:>10}" + "".join(f"{cell[name]:18.3g}" for name in names))
    return "\n".join(lines)


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="a NAME.csv.gz with a NAME.json beside it")
    parser.add_argument("--trials", default="2000,10000", help="numbers of trials, a cell for each")
    parser.add_argument("--sampler", default="autokd")
    parser.add_argument("--out", type=Path, default=Path("growth.jsonl"), help="the file of finished cells, one a line")
    parser.add_argument("--minutes", type=float, default=60, help="no cell begins after this many minutes")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)  # one cell's search, in this process
    options = parser.parse_args()
    wanted = [int(number) for number in options.trials.split(",")]
    if options.search is not None:
        print(json.dumps(search(options.table, wanted[0], options.sampler, options.search)))
        return
    end = time.monotonic() + 60 * options.minutes
    cells = read_cells(options.out)
    missing = run_missing(
        [(trials, options.sampler) for trials in wanted],
        cells,
        options.out,
        key=itemgetter("trials", "sampler"),
        run=lambda cell: run_cell(options.table, *cell),
        end=end,
    )
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}\n")
    if cells:
        print(table_of(cells))
    print(f"missing cells: {', '.join(str(trials) for trials, _ in missing) or 'none'}")


if __name__ == "__main__":
    main()
