"""What is an earlier run worth? This compares searches that begin afresh with searches that learn from another run.

    python studies/claims/warm_start.py --earlier T1.csv.gz --table T2.csv.gz --json warm_start.jsonl --minutes 30

Both tables must have the same parameters. A cell is one seed: a search of --earlier with --trials trials, then two
searches of --table with that seed, one `--from` the earlier run and one without. The table shows HV/HV*, as in
`search_efficiency.py`. Finished cells are appended to --json and are not run again; missing cells are printed. The
default tables are those of the project: digits with 100 labels first, then digits with 30 % of the labels wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from autokd.errors import InputError

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import read_cells, run_missing
from studies.claims.search_efficiency import searched
from studies.claims.tables import Table, read_table, share

TABLES = Path(__file__).parents[1] / "tables"
MARKS = (10, 15, 25, 50, 100)
ARMS = ("anew", "from")


def run_cell(earlier: Table, table: Table, *, seed: int, trials: int) -> dict[str, Any]:
    """HV/HV* of both searches of a table at the marks."""
    cell: dict[str, Any] = {"earlier": earlier.name, "table": table.name, "seed": seed, "trials": trials}
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        first = Path(folder) / "earlier"
        searched(earlier, first, seed=seed, evaluations=trials)
        for arm in ARMS:
            prior = first if arm == "from" else None
            found = searched(table, Path(folder) / arm, seed=seed, evaluations=MARKS[-1], prior=prior)
            cell[arm] = share(table, found["rows"], found["spent"], MARKS)
    return cell


def summary(cells: Sequence[Mapping[str, Any]]) -> str:
    """Medians and quartiles of both searches at the marks, and in how many seeds the earlier run helped."""
    lines = [f"{'':6}" + "".join(f"{mark:>20}" for mark in MARKS)]
    for arm in ARMS:
        columns = [np.percentile([cell[arm][str(mark)] for cell in cells], (25, 50, 75)) for mark in MARKS]
        entries = [f"{middle:.3f} [{low:.3f} {high:.3f}]" for low, middle, high in columns]
        lines.append(f"{arm:6}" + "".join(f"{entry:>20}" for entry in entries))
    better = [sum(cell["from"][str(mark)] > cell["anew"][str(mark)] for cell in cells) for mark in MARKS]
    lines.append("better" + "".join(f"{f'{number} of {len(cells)}':>20}" for number in better))
    return "\n".join(lines)


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--earlier", type=Path, default=TABLES / "digits_labels.csv.gz")
    parser.add_argument("--table", type=Path, default=TABLES / "digits_noise.csv.gz")
    parser.add_argument("--trials", type=int, default=100, help="trials of the earlier run; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--json", type=Path, default=Path("warm_start.jsonl"), help="the file of finished cells, one a line"
    )
    parser.add_argument("--minutes", type=float, default=30, help="no cell begins after this many minutes")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    try:
        earlier, table = read_table(options.earlier), read_table(options.table)
    except InputError as error:
        parser.error(str(error))
    if earlier.choices != table.choices:
        parser.error(f"{options.earlier} and {options.table} differ in their parameters; give two tables of one space")
    wanted = {"earlier": earlier.name, "table": table.name, "trials": options.trials}
    cells = [cell for cell in read_cells(options.json) if wanted.items() <= cell.items()]
    missing = run_missing(
        range(options.seeds),
        cells,
        options.json,
        key=itemgetter("seed"),
        run=lambda seed: run_cell(earlier, table, seed=seed, trials=options.trials),
        end=end,
    )
    print(f"HV/HV* of {table.name} by trainings, `from` {options.trials} trials of {earlier.name} and `anew`")
    if cells:
        print(summary(cells))
    print(f"missing seeds: {', '.join(map(str, missing)) or 'none'}")


if __name__ == "__main__":
    main()
