"""How long does a search take to begin? Seconds from the command to its first student, on digits and Fashion-MNIST.

    python studies/claims/start.py --out start.jsonl --minutes 15

A cell is a task and a repeat. The clock starts before `autokd search`. Once there is a first result, the search is
killed with its workers. The studies are those of `race.py`, with two workers. Their teacher is trained beforehand, and
asking it counts: it answers 1,797 images of digits, and 8,000 of Fashion-MNIST, whose task is made of all 70,000. A
student begins when a worker begins to train it. The studies in `studies/` train their teacher first and measure
latencies; `--study studies/digits.yaml` gives the time of that. Finished cells are appended to --out and are not run
again; missing cells are printed. Figures can be compared only if the machine does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

import torch

from autokd.errors import InputError

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing
from studies.claims.race import race_study, write_start

COMMAND = [sys.executable, "-c", "from autokd.cli import main; main()", "search"]
MARKS = {"begun": "trials/*/*", "result": "trials/*/*/*/result.json"}
"""What appears in a run folder when a worker begins its first student, and when the first stretch has ended."""
TASKS = ("digits", "fashion")
_LOOK_SECONDS = 0.005


def study_file(name: str, home: Path, *, fashion: str = "") -> Path:
    """The study file of a task in `home`. Its teacher is trained now if this has not been done before.

    Raises:
        InputError: Fashion-MNIST cannot be read.
    """
    file = home / name / "study.json"
    if not file.is_file():
        write_start(race_study(name, seed=0, fashion=fashion), file.parent)
    return file


def run_cell(study: Path, *, limit: float = 600) -> dict[str, float]:
    """Seconds from the command to each of `MARKS`. The search is then killed with its workers.

    Raises:
        RuntimeError: the search ended too early, or took longer than `limit` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        run, log = Path(folder) / "run", Path(folder) / "said.txt"
        found: dict[str, float] = {}
        with log.open("wb") as said:
            began = time.monotonic()
            env = os.environ | {"OMP_NUM_THREADS": "1"}
            command = [*COMMAND, str(study), "--run", str(run)]
            process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True, env=env)
            try:
                while len(found) < len(MARKS):
                    seconds = time.monotonic() - began
                    for name in [name for name in MARKS if name not in found and any(run.glob(MARKS[name]))]:
                        found[name] = round(seconds, 3)
                    if process.poll() is not None or seconds > limit:
                        last_words = log.read_text(encoding="utf-8", errors="replace")[-500:]
                        raise RuntimeError(f"{study}: no student was trained; {last_words}")
                    time.sleep(_LOOK_SECONDS)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return found


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """A row for each task, with median and range of the seconds to each mark."""
    lines = [f"{'task':24}{'repeats':>8}" + "".join(f"{f'seconds to first {name}':>30}" for name in MARKS)]
    for task in dict.fromkeys(cell["task"] for cell in cells):
        of = [cell for cell in cells if cell["task"] == task]
        seconds = [[cell[name] for cell in of] for name in MARKS]
        entries = [f"{median(each):.2f} ({min(each):.2f}-{max(each):.2f})" for each in seconds]
        lines.append(f"{task:24}{len(of):8}" + "".join(f"{entry:>30}" for entry in entries))
    return "\n".join(lines)


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("start.jsonl"), help="the file of finished cells, one a line")
    parser.add_argument("--minutes", type=float, default=15, help="no cell begins after this many minutes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--fashion", default="", help="an .npz file or a folder of idx files, if not the study's")
    parser.add_argument("--study", type=Path, help="a study file to measure instead of the two tasks")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    torch.set_num_threads(1)
    home, cells = options.out.with_suffix("").absolute(), read_cells(options.out)
    tasks = [str(options.study)] if options.study else list(TASKS)
    reasons: dict[tuple[str, int], str] = {}

    def run(cell: tuple[str, int]) -> Cell | None:
        task, repeat = cell
        try:
            study = options.study or study_file(task, home, fashion=options.fashion)
        except InputError as error:  # Fashion-MNIST cannot be read
            reasons[cell] = str(error)
            shutil.rmtree(home / task, ignore_errors=True)
            return None
        return {"task": task, "repeat": repeat, **run_cell(study)}

    wanted = [(task, repeat) for repeat in range(options.repeats) for task in tasks]
    left = run_missing(wanted, cells, options.out, key=itemgetter("task", "repeat"), run=run, end=end)
    missing = {f"{task}, {repeat}": reasons.get((task, repeat), "no time") for task, repeat in left}
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}\n")
    if cells:
        print(table(cells))
    print(f"missing cells: {missing or 'none'}")


if __name__ == "__main__":
    main()
