"""Is anything lost when a search dies? This kills searches of digits and damages their files at random moments.

    python studies/claims/kills.py --out kills.jsonl --minutes 30
    python studies/claims/kills.py --out kills_ray.jsonl --minutes 30 --kills 25 --executor ray

A search with two workers is started and suffers one fault after another until it is done. Then the next search is
started, until there were 100 faults. Of five faults two kill a worker, two damage a file, and one kills everything:

    worker  One worker process is killed with signal 9. The search has to go on by itself.
    damage  The search is killed with all its workers, and one file of the run is damaged as `damage.py` says. The same
            command has to go on. If AutoKD refuses the damage in one line, the file is put back from a copy.
    tree    The search is killed with all its workers. The same command has to go on.

A fault comes within half a second of the moment when 1 to 12 more stretches of training have begun or, one time in
seven, at any time in the next ten seconds. After each fault the record and the log of trainings are read. A cell is a
fault. Finished cells are appended to --out and are not run again; the searches are in a folder beside --out. No worker
is killed while it might be the third that dies at one trial, because such a trial fails, as it should.

After each fault this is counted: trials that had ended and are not in the record as they were (lost), or that ended a
second time (told twice); trials that the damaged record itself no longer held (undone); stretches of training that
began more than once (repeated); and damages that were refused. Of each search that is done this is counted: trials that
are left running; trials and fresh trainings that failed, although none fails by itself; and trials that were
interrupted and get other numbers when they are trained once more in one piece (other numbers). A stretch is recognised
by the weights with which it begins, which depend on architecture, recipe and rung alone. The networks of the search
space write them to a log when they first train.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna

from autokd.checkpoints import MOST_DEATHS, deaths, deaths_of_trial

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import append_cell, read_cells
from studies.claims.damage import damage
from studies.claims.survival import FAULTS, begun_stretches, count, ended_trials, faults, final_counts, report

WORKERS = 2
NEVER = (sys.maxsize, 0.0)
"""The moment of a fault that never comes."""
_PATIENCE = 300
"""A search may take this many seconds to go on after a fault."""
COMMAND = (sys.executable, "-c", "from autokd.cli import main; main()")

SPACE = '''
import hashlib
import os
from pathlib import Path

from torch import nn

from search_spaces import mlp

LOG = Path(__file__).with_name("stretches.log")


class Logged(nn.Sequential):
    """Writes a line when it is first trained: a digest of its weights, and the process."""

    begun = False

    def forward(self, inputs):
        if self.training and not self.begun:
            self.begun = True
            weights = b"".join(value.numpy().tobytes() for value in self.state_dict().values())
            with LOG.open("a") as file:
                file.write(f"{hashlib.sha256(weights).hexdigest()[:16]} {os.getpid()}\\n")
        return super().forward(inputs)


suggest = mlp.suggest


def build(arch, task):
    return Logged(*mlp.build(arch, task))
'''


def write_search(home: Path, *, seed: int, trials: int = 40, executor: str = "processes") -> Path:
    """Writes a study of digits into a folder of its own. The run folder will be `run` in the same folder."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "space.py").write_text(SPACE, encoding="utf-8")
    study = {
        "name": "kills",
        "task": {"data": "digits", "labels": 100},
        "teacher": {"space": "mlp", "arch": {"widths": [64], "activation": "relu", "batch_norm": True}, "epochs": 10},
        "space": "space.py",
        "objectives": {"accuracy": {}, "parameters": {}},
        "budget": {"trials": trials, "rungs": [3, 9, 27], "reseeds": 1},
        "executor": executor,
        "workers": WORKERS,
        "seed": seed,
    }
    path = home / "study.yaml"
    path.write_text(json.dumps(study, indent=1), encoding="utf-8")
    return path


def start(study: Path) -> subprocess.Popen[bytes]:
    """Starts the search of a study in a session of its own, so that it can be killed with all its workers."""
    with (study.parent / "said.txt").open("ab") as said:
        return subprocess.Popen(
            [*COMMAND, "search", str(study), "--run", str(study.parent / "run")],
            stdout=said,
            stderr=said,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


class RefusedError(Exception):
    """A search ended with exit code 2."""


def search_until_killed(study: Path, stretches: int, seconds: float) -> bool:
    """Searches until `stretches` more have begun and `seconds` have passed, then kills the whole process tree.

    Returns:
        whether the search came to its end before that.

    Raises:
        RuntimeError: the search ended with an error.
    """
    process = start(study)
    try:
        return ends_before(process, study.parent, stretches, seconds)
    finally:
        kill_tree(process)


def ends_before(process: subprocess.Popen[bytes], home: Path, stretches: int, seconds: float) -> bool:
    """Whether a search comes to its end before `stretches` more have begun and `seconds` have passed."""
    enough = len(begun_stretches(home)) + stretches
    while len(begun_stretches(home)) < enough:
        if ends_within(process, 0.02):
            return True
    return ends_within(process, seconds)


def ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a search comes to its end within `seconds`.

    Raises:
        RefusedError: the search was refused.
        RuntimeError: the search ended with another error.
    """
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    if code == 2:
        raise RefusedError
    if code != 0:
        raise RuntimeError(f"the search ended with exit code {code}")
    return True


def goes_on(process: subprocess.Popen[bytes], home: Path, begun: int) -> bool:
    """Waits until a search has begun more stretches than `begun`, or has ended; returns whether it has ended.

    Raises:
        RefusedError: the search was refused.
        RuntimeError: the search ended with another error, or neither went on nor ended.
    """
    late = time.monotonic() + _PATIENCE
    while len(begun_stretches(home)) <= begun:
        if ends_within(process, 0.05):
            return True
        if time.monotonic() > late:
            raise RuntimeError(f"the search in {home} does not go on")
    return False


def fault_moment(draws: random.Random) -> tuple[int, float]:
    """The moment of a fault: the number of stretches that begin before it, and the seconds after these."""
    return (0, draws.uniform(0, 10)) if draws.random() < 1 / 7 else (draws.randint(1, 12), draws.uniform(0, 0.5))


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kills a search and its workers, if they are alive."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def kill_worker(process: subprocess.Popen[bytes], home: Path, draws: random.Random) -> bool:
    """Kills one worker as soon as no trial would fail of it; returns whether the search ended before."""
    while one_more_fails(home / "run") or not (workers := living_workers(process, home)):
        if ends_within(process, 0.1):
            return True
    os.kill(draws.choice(workers), signal.SIGKILL)
    return False


def living_workers(process: subprocess.Popen[bytes], home: Path) -> list[int]:
    """The processes below a search that have begun a stretch and are alive."""
    return [pid for pid in sorted({pid for _, pid in begun_stretches(home)}) if process.pid in _ancestors(pid)]


def _ancestors(pid: int) -> list[int]:
    found: list[int] = []
    while pid > 1:
        try:
            state, parent = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
        except OSError:
            break
        if state == "Z":
            break
        pid = int(parent)
        found.append(pid)
    return found


def one_more_fails(run: Path) -> bool:
    """Whether the next death of a worker would make a training fail that is under way."""
    most = MOST_DEATHS - 1
    fresh = [folder for folder in run.glob("trials/*/seed-*") if not (folder / "result.json").is_file()]
    trials = [int(folder.name) for folder in run.glob("trials/*")]
    weary = [number for number in trials if len(deaths_of_trial(run, number)) >= most]
    ended = ended_trials(run) if weary else {}
    return any(len(deaths([folder])) >= most for folder in fresh) or any(str(n) not in ended for n in weary)


class Search:
    """A search that suffers one fault after another. Its processes stay alive between faults that do not kill them.

    Args:
        home: the folder of the search, with its study.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.run, self.study = home, home / "run", home / "study.yaml"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """The process of the search, which is started if it does not run."""
        self.process = self.process or start(self.study)
        return self.process

    def kill(self) -> None:
        """Ends the search with all its workers."""
        if self.process is not None and self.process.poll() is None:
            kill_tree(self.process)
        self.process = None

    def meet(self, fault: str, number: int) -> dict[str, Any]:
        """What one fault does. In the result `fault` is "" if the search came to its end before the fault.

        `told` are the trials that had ended when the search was killed. `undone` are those of them that a damaged
        record no longer holds.

        Args:
            fault: one of `FAULTS`, or "" for none.
            number: the seed from which its moment and its victim are drawn.
        """
        draws = random.Random(number)
        if ends_before(self.start(), self.home, *(fault_moment(draws) if fault else NEVER)):
            return {"fault": "", "finished": True}
        begun = len(begun_stretches(self.home))
        if fault == "worker":
            if kill_worker(self.start(), self.home, draws):
                return {"fault": "", "finished": True}
            return {"fault": fault, "finished": goes_on(self.start(), self.home, begun)}
        self.kill()
        told = ended_trials(self.run)
        hit = damage(self.run, draws, kept=self.home / "kept") if fault == "damage" else None
        left = ended_trials(self.run)
        said = self.home / "said.txt"
        end = said.stat().st_size
        try:
            finished, refused = goes_on(self.start(), self.home, begun), ""
        except RefusedError:
            refused = said.read_bytes()[end:].decode().strip().splitlines()[-1]
            if hit is None or not refused.startswith("autokd: "):
                raise
            self.kill()
            hit.mend()
            finished = goes_on(self.start(), self.home, begun)
        undone = [number for number in told if told[number] != left.get(number)] if not refused else []
        line = {"fault": fault, "finished": finished, "refused": refused, "told": told, "undone": undone}
        return line | ({"damage": [hit.kind, hit.file, hit.how]} if hit else {})


def main(out: Path, *, kills: int, minutes: float, executor: str = "processes") -> None:
    """Goes on until there were `kills` faults and the last search is done, then prints the table of all cells."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    deadline = time.monotonic() + 60 * minutes
    lines = read_cells(out)
    search: Search | None = None
    try:
        while time.monotonic() < deadline:
            last = lines[-1] if lines else {"search": 0, "finished": False}
            befallen = len(faults(lines))
            if befallen >= kills and last["finished"]:
                break
            number = last["search"] + last["finished"]
            home = out.with_suffix("").absolute() / f"search-{number}"
            if not (home / "study.yaml").exists():
                write_search(home, seed=number, executor=executor)
            if search is None or search.home != home:
                search = Search(home)
            line = meet(search, FAULTS[befallen % len(FAULTS)] if befallen < kills else "", number=len(lines))
            lines.append({"search": number, **line})
            append_cell(out, lines[-1])
    finally:
        if search is not None:
            search.kill()
    report(lines, kills=kills)


def meet(search: Search, fault: str, number: int) -> dict[str, Any]:
    """Runs a cell: a fault, and what the record and the log then hold, compared with before."""
    seen = search.home / "seen.json"
    before: dict[str, Any] = {"ended": {}, "repeated": 0}
    if seen.exists():
        before = json.loads(seen.read_text(encoding="utf-8"))
    line: dict[str, Any] = {"undone": [], **search.meet(fault, number)}
    had_ended = {**line.pop("told", {}), **before["ended"]}
    counts, now = count(search.home, {trial: had_ended[trial] for trial in had_ended if trial not in line["undone"]})
    seen.write_text(json.dumps({"ended": now, "repeated": counts["repeated"]}), encoding="utf-8")
    final = final_counts(search.run) if line["finished"] else {}
    return {**line, **counts, "again": counts["repeated"] - before["repeated"], **final}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the file of finished cells, one a line")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0, help="no cell begins after this many minutes")
    parser.add_argument("--executor", choices=("processes", "ray"), default="processes")
    given = parser.parse_args()
    main(given.out, kills=given.kills, minutes=given.minutes, executor=given.executor)
