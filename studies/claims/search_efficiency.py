"""How near to the true front does a search come? This uses tables in which all trainings are done already.

    python studies/claims/search_efficiency.py --table T.csv.gz --samplers autokd,tpe,nsga2,random --json cells.jsonl

A cell is one table, one sampler and one seed. Finished cells are appended to --json and are not run again; missing
cells are printed. The table shows HV/HV*: the hypervolume of the rows that were tried, over that of the table's true
front. Each objective is scaled to 0 .. 1, from its best value in the table to its 99.9th percentile on the bad side.
The reference point is all ones. A repeated proposal counts as an evaluation, except for `autokd`: its search trains
nothing twice, so its repeats cost nothing and are shown. `autokd` runs the same code as a search that trains, in a run
folder of its own, and is told no scales. The other samplers are in `peers.py`, which says what they are told.

Seconds per proposal count only asking and telling for the other samplers. For `autokd` they count everything from its
first trial to the end of its last, writing the record to disk included. Samplers that take over a second for a proposal
run 3 seeds up to 100 evaluations. With --peers-env DIR, pip makes the environments of other projects in DIR.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from autokd import Study
from autokd.driver import search_study
from autokd.errors import AutoKDError, InputError
from autokd.record import read_study, read_trials

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, append_cell, read_cells
from studies.claims.efficiency_report import MARKS, draw, summary
from studies.claims.tables import Table, read_table, share

ENVIRONMENTS: Mapping[str, Sequence[str]] = {
    "pymoo": ("pymoo==0.6.2",),
    "syne-tune": ("syne-tune==0.16.0",),
    "neps": ("neural-pipeline-search==0.17.0", "torch==2.13.0", "pandas<3"),
}
"""What pip installs in each environment. NePS does not work with pandas 3, and its metadata do not say so."""
SAMPLERS: Mapping[str, str] = {
    "autokd": "",
    "random": "",
    "nsga2": "",
    "nsga3": "",
    "tpe": "",
    "pymoo-nsga3": "pymoo",
    "morea": "syne-tune",
    "moasha": "syne-tune",
    "gp": "",
    "neps": "neps",
}
"""The environment in which each sampler runs; "" is this one."""
SLOW = ("gp", "neps")
SLOW_SEEDS, SLOW_EVALUATIONS = 3, 100
Key = tuple[str, str, int]


def grid(evaluations: int) -> list[int]:
    """The evaluations at which a curve is read: the marks up to the end, and forty growing steps."""
    steps = {round(step) for step in np.geomspace(min(5, evaluations), evaluations, 40)}
    return sorted(steps | {mark for mark in MARKS if mark <= evaluations})


def run_cell(table: Table, sampler: str, seed: int, evaluations: int, python: str) -> Cell:
    """Runs one cell: what one sampler reached on one table with one seed."""
    if sampler == "autokd":
        with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
            found = searched(table, Path(folder) / "run", seed=seed, evaluations=evaluations)
    else:
        found = run_peer(table, sampler, seed, evaluations, python)
    rows, proposals = found["rows"], found["proposals"]
    return {
        "table": table.name,
        "sampler": sampler,
        "seed": seed,
        "evaluations": evaluations,
        "share": share(table, rows, found["spent"], grid(evaluations)),
        "repeats": found.get("repeats", len(rows) - len(set(rows))),
        "seconds_per_proposal": found["seconds"] / max(proposals, 1),
        "proposals": proposals,
    }


def searched(table: Table, run: Path, *, seed: int, evaluations: int, prior: Path | None = None) -> dict[str, Any]:
    """Searches a study on the table into `run`, as any other study, and returns its trials in their order."""
    settings = {
        "name": "cell",
        "task": {"table": str(table.path)},
        "budget": {"trials": evaluations, "rungs": [1], "reseeds": 0},
        "sampler": "autokd",
        "executor": "inline",
        "seed": seed,
    }
    search_study(Study.model_validate(settings), run=run, prior=prior)
    trials, told = read_trials(run), read_study(run).get_trials()
    complete = [told[trial.number] for trial in trials if trial.state == "complete"]
    ended = [trial.datetime_complete for trial in told if trial.datetime_complete]
    started = [trial.datetime_start for trial in told if trial.datetime_start]
    return {
        "rows": [table.row({name.removeprefix("recipe."): each for name, each in t.params.items()}) for t in complete],
        "spent": range(1, len(complete) + 1),
        "repeats": sum(trial.state == "duplicate" for trial in trials),
        "seconds": (max(ended) - min(started)).total_seconds(),
        "proposals": len(trials),
    }


def run_peer(table: Table, sampler: str, seed: int, evaluations: int, python: str) -> dict[str, Any]:
    """Runs `peers.py` on one thread with the Python of an environment.

    Raises:
        RuntimeError: the run failed; the message is the last line that it wrote.
    """
    varied = [i for i, known in enumerate(table.choices.values()) if len(known) > 1]
    asked = {
        "sampler": sampler,
        "seed": seed,
        "evaluations": evaluations,
        "choices": [len(known) for known in table.choices.values() if len(known) > 1],
        "codes": [[codes[i] for i in varied] for codes in table.codes],
        "losses": table.losses.tolist(),
        "rungs": {epoch: losses.tolist() for epoch, losses in table.rungs.items()},
    }
    done = subprocess.run(
        [python, Path(__file__).with_name("peers.py")],
        input=json.dumps(asked),
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(done.stdout)


def environment(name: str, folder: Path | None) -> str:
    """The Python of an environment, which is made in `folder` if it does not exist yet; "" if no folder is given."""
    if not name:
        return sys.executable
    if folder is None:
        return ""
    place, pins = folder / name, ENVIRONMENTS[name]
    python, ready = place / "bin" / "python", place / "installed.txt"
    if not ready.is_file() or ready.read_text(encoding="utf-8") != "\n".join(pins):
        print(f"making {place}: pip install {' '.join(pins)}", flush=True)
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins], check=True)
        ready.write_text("\n".join(pins), encoding="utf-8")
    return str(python)


def farthest_cells(path: Path) -> dict[Key, Cell]:
    """The finished cells in a file; of each the one that went farthest."""
    cells: dict[Key, Cell] = {}
    for cell in read_cells(path):
        key = (cell["table"], cell["sampler"], cell["seed"])
        if key not in cells or cell["evaluations"] >= cells[key]["evaluations"]:
            cells[key] = cell
    return cells


def wanted(tables: Sequence[Table], samplers: Sequence[str], seeds: int, evaluations: int) -> dict[Key, int]:
    """The evaluations that each cell should have. Seeds come in turn, so that the first cells compare all samplers."""
    cells = {}
    for seed, table, sampler in product(range(seeds), tables, samplers):
        slow = sampler in SLOW
        if (slow and seed >= SLOW_SEEDS) or (sampler == "moasha" and len(table.rungs) == 1):
            continue
        cells[table.name, sampler, seed] = min(evaluations, SLOW_EVALUATIONS) if slow else evaluations
    return cells


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table and draws the plot beside the cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--table", type=Path, action="append", required=True, help="a NAME.csv.gz; may be given several times"
    )
    parser.add_argument("--evaluations", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--samplers", default=",".join(SAMPLERS), help="default: %(default)s")
    parser.add_argument(
        "--json", type=Path, default=Path("search_efficiency.jsonl"), help="the file of finished cells, one a line"
    )
    parser.add_argument("--minutes", type=float, default=60, help="no cell begins after this many minutes")
    parser.add_argument("--peers-env", type=Path, help="the folder in which pip makes environments for other projects")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    samplers = options.samplers.split(",")
    if unknown := [sampler for sampler in samplers if sampler not in SAMPLERS]:
        parser.error(f"no sampler is named {', '.join(unknown)} (known: {', '.join(SAMPLERS)})")
    try:
        tables = {table.name: table for table in map(read_table, options.table)}
    except InputError as error:
        parser.error(str(error))
    cells = farthest_cells(options.json)
    asked = wanted([*tables.values()], samplers, options.seeds, options.evaluations)
    pythons = {name: environment(name, options.peers_env) for name in {SAMPLERS[sampler] for sampler in samplers}}
    failed: dict[tuple[str, str], str] = {}

    def missing() -> list[Key]:
        return [key for key, many in asked.items() if key not in cells or cells[key]["evaluations"] < many]

    for key in missing():
        name, sampler, seed = key
        python = pythons[SAMPLERS[sampler]]
        if not python or (name, sampler) in failed or time.monotonic() > end:
            continue
        try:
            cells[key] = run_cell(tables[name], sampler, seed, asked[key], python)
        except (RuntimeError, AutoKDError) as error:
            failed[name, sampler] = str(error)
            continue
        append_cell(options.json, cells[key])

    shown = sorted((key for key in cells if key in asked), key=lambda key: (samplers.index(key[1]), key[2]))
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print(summary([cells[key] for key in shown]))
    if shown:
        draw([cells[key] for key in shown], options.json.with_suffix(".html"))
    for (name, sampler), reason in failed.items():
        print(f"{sampler} failed on {name}: {reason}")
    for sampler in samplers:
        if not pythons[SAMPLERS[sampler]]:
            print(f"{sampler} needs an environment of its own: the same command with --peers-env DIR makes it")
    print(f"missing cells: {', '.join(' '.join(map(str, key)) for key in missing()) or 'none'}")


if __name__ == "__main__":
    main()
