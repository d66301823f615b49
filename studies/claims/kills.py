"""Is anything lost when a search dies? Kills and damages searches of digits at random moments.

    python studies/claims/kills.py --out kills.jsonl --minutes 30
    python studies/claims/kills.py --out kills_ray.jsonl --minutes 30 --kills 25 --executor ray

A search of two workers is started, and one fault after another befalls it until it is done; then the next search is
started, until there were 100 faults. Of five faults two kill a worker, two damage a file, one kills everything:

    worker  One worker process is killed with signal 9. The search has to go on by itself.
    damage  The search is killed with all its workers, and one file of the run is damaged as `damage.py` says. The same
            command has to go on. Where AutoKD refuses the damage in one line, the file is put back from a copy.
    tree    The search is killed with all its workers. The same command has to go on.

A fault comes within half a second of the moment when 1 to 12 more stretches of training have begun, or, one time in
seven, anywhere in the next ten seconds. After each, the record and the log of trainings are read. Finished cells are
appended to --out and not repeated; the searches lie in a folder beside it. No worker is killed while it might be the
third that dies at one trial: such a trial fails, as it should.

What is counted: trials that had ended and are not in the record as they were (lost), or that ended anew (told twice);
those that the damaged record itself no longer held (undone); stretches of training that were begun more than once
(repeated); damages that were refused. Of each search that is done: trials that are left running; trials and fresh
trainings that failed, of which none does by itself; trials that were interrupted and do not have the numbers that they
get when they are trained once more in one piece (other numbers). A stretch is known by the weights it begins with,
which depend on architecture, recipe and rung alone: the search space's networks write a line when they first train.
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
"""As a moment for a fault."""
_PATIENCE = 300
"""Seconds that a search may take to go on after a fault."""
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
    """A study of digits in a folder of its own; its run is `run` beside it."""
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
    """The search of a study in a session of its own, so that it can be killed with all its workers."""
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
    """Searches until so many more stretches have begun, and so long after; then kills the whole process tree.

    Returns:
        whether the search came to its end before.

    Raises:
        RuntimeError: it ended with an error.
    """
    process = start(study)
    try:
        return ends_before(process, study.parent, stretches, seconds)
    finally:
        kill_tree(process)


def ends_before(process: subprocess.Popen[bytes], home: Path, stretches: int, seconds: float) -> bool:
    """Whether a search comes to its end before so many more stretches have begun, and so long after."""
    enough = len(begun_stretches(home)) + stretches
    while len(begun_stretches(home)) < enough:
        if ends_within(process, 0.02):
            return True
    return ends_within(process, seconds)


def ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a search has come to its end within so long.

    Raises:
        RefusedError: it was refused.
        RuntimeError: it ended with another error.
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
    """Returns when a search has begun a stretch beyond so many, or has come to its end, and then True.

    Raises:
        RefusedError: it was refused.
        RuntimeError: it ended with another error, or did neither for too long.
    """
    late = time.monotonic() + _PATIENCE
    while len(begun_stretches(home)) <= begun:
        if ends_within(process, 0.05):
            return True
        if time.monotonic() > late:
            raise RuntimeError(f"the search in {home} does not go on")
    return False


def fault_moment(draws: random.Random) -> tuple[int, float]:
    """When a fault comes: after how many more stretches have begun, and seconds."""
    return (0, draws.uniform(0, 10)) if draws.random() < 1 / 7 else (draws.randint(1, 12), draws.uniform(0, 0.5))


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kills a search and its workers, if they live."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def kill_worker(process: subprocess.Popen[bytes], home: Path, draws: random.Random) -> bool:
    """Kills one worker of a search as soon as that makes no trial fail; whether the search has ended before."""
    while one_more_fails(home / "run") or not (workers := living_workers(process, home)):
        if ends_within(process, 0.1):
            return True
    os.kill(draws.choice(workers), signal.SIGKILL)
    return False


def living_workers(process: subprocess.Popen[bytes], home: Path) -> list[int]:
    """The processes below a search that have begun a stretch of it, and live."""
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
    """Whether there is a training under way that the next death of a worker would make fail."""
    most = MOST_DEATHS - 1
    fresh = [folder for folder in run.glob("trials/*/seed-*") if not (folder / "result.json").is_file()]
    trials = [int(folder.name) for folder in run.glob("trials/*")]
    weary = [number for number in trials if len(deaths_of_trial(run, number)) >= most]
    ended = ended_trials(run) if weary else {}
    return any(len(deaths([folder])) >= most for folder in fresh) or any(str(n) not in ended for n in weary)


class Search:
    """A search that one fault after another befalls; its processes live from one to the next, if they are left alive.

    Args:
        home: its folder, with the study.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.run, self.study = home, home / "run", home / "study.yaml"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """The search, started anew if it does not run."""
        self.process = self.process or start(self.study)
        return self.process

    def kill(self) -> None:
        """Ends it with all its workers."""
        if self.process is not None and self.process.poll() is None:
            kill_tree(self.process)
        self.process = None

    def meet(self, fault: str, number: int) -> dict[str, Any]:
        """What one fault does; `fault` is "" in it where the search came to its end before.

        `told` are the trials that had ended when the search was killed, `undone` those of them that a record which was
        damaged does not hold any more.

        Args:
            fault: one of `FAULTS`, or "" for none.
            number: from which its moment and its victim are drawn.
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
    """Goes on until there were so many faults and the last search is done, then prints what all cells say."""
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
    """A cell: what a fault does to a search, and what the record and the log say then, compared with before."""
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
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one a cell; appended to")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no cell after so long")
    parser.add_argument("--executor", choices=("processes", "ray"), default="processes")
    given = parser.parse_args()
    main(given.out, kills=given.kills, minutes=given.minutes, executor=given.executor)
