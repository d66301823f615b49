"""Does a long search lose anything because its models learn from a part of the record? On tables of finished trainings.

    python studies/claims/long_search.py --tables A.csv.gz,B.csv.gz --seeds 10 --out long_search.jsonl

Above 500 students the sampler's models learn from 200 of them (`autokd/samplers/selection.py`), because their cost
grows with the cube of that number. A cell is one table and one seed: a search of 500 students, which both ways have in
common, goes on to --trials twice, once as shipped and once with models that learn from every student. Shown is HV/HV*
as in `search_efficiency.py`: mean and standard error over the seeds. A cell takes four to six CPU minutes at 750
trials. Finished cells are appended to --out and not repeated; what is missing is printed.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from autokd.samplers import outlook

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import read_cells, run_missing
from studies.claims.search_efficiency import searched
from studies.claims.tables import Table, read_table, share

BEGINNING = 500
WAYS: Mapping[str, Mapping[str, int]] = {
    "part": {},
    "all": {"_ALL_LEARNT_FROM": sys.maxsize, "_CHANCES_OF": sys.maxsize},
}
"""What the models learn from, and the sampler's constants that make it so."""


def run_cell(table: Table, seed: int, trials: int) -> dict[str, Any]:
    """The share of the true front's hypervolume after the common beginning, and after so many trials each way."""
    marks = [BEGINNING, trials]
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        begun = Path(folder) / "begun"
        searched(table, begun, seed=seed, evaluations=BEGINNING)
        cell: dict[str, Any] = {"table": table.name, "seed": seed, "trials": trials}
        for way, constants in WAYS.items():
            run = Path(folder) / way
            shutil.copytree(begun, run)
            with _set(constants):
                found = searched(table, run, seed=seed, evaluations=trials)
            cell[way] = share(table, found["rows"], found["spent"], marks)
    return cell


@contextmanager
def _set(constants: Mapping[str, int]) -> Iterator[None]:
    """The sampler with these constants, as long as this is entered."""
    before = {name: getattr(outlook, name) for name in constants}
    try:
        for name, value in constants.items():
            setattr(outlook, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(outlook, name, value)


def table_of(cells: Sequence[Mapping[str, Any]], trials: int) -> str:
    """A row for each table: where both ways begin, how far each comes, and the mean of their differences."""
    lines = [f"{'table':<28}{'seeds':>6}{'at ' + str(BEGINNING):>10}{'part':>18}{'all':>18}{'part - all':>20}"]
    for name in sorted({cell["table"] for cell in cells}):
        mine = [cell for cell in cells if cell["table"] == name]
        ends = {way: [cell[way][str(trials)] for cell in mine] for way in WAYS}
        gains = [part - everyone for part, everyone in zip(ends["part"], ends["all"], strict=True)]
        begun = fmean(cell["part"][str(BEGINNING)] for cell in mine)
        shown = "".join(f"{_with_error(each, 4):>18}" for each in ends.values())
        lines.append(f"{name:<28}{len(mine):6}{begun:10.4f}{shown}{_with_error(gains, 5):>20}")
    return "\n".join(lines)


def _with_error(values: Sequence[float], digits: int) -> str:
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{fmean(values):.{digits}f} ± {error:.{digits}f}"


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", required=True, help="NAME.csv.gz with a NAME.json beside each; by commas")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=750, help=f"where both ways end; more than {BEGINNING}")
    parser.add_argument("--out", type=Path, default=Path("long_search.jsonl"), help="one finished cell a line")
    parser.add_argument("--minutes", type=float, default=60, help="no cell begins after so long")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    tables = [read_table(Path(path)) for path in options.tables.split(",")]
    wanted = [
        (table.name, seed) for seed in range(options.seeds) for table in tables
    ]  # first seeds of all tables first
    by_name = {table.name: table for table in tables}
    cells = [cell for cell in read_cells(options.out) if cell["trials"] == options.trials]
    missing = run_missing(
        wanted,
        cells,
        options.out,
        key=itemgetter("table", "seed"),
        run=lambda cell: run_cell(by_name[cell[0]], cell[1], options.trials),
        end=end,
    )
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}\n")
    if cells:
        print(table_of(cells, options.trials))
    print(f"missing cells: {', '.join(f'{name} seed {seed}' for name, seed in missing) or 'none'}")


if __name__ == "__main__":
    main()
