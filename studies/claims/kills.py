"""Is anything lost when a search dies? Kills searches of digits with all their workers, at random moments.

    python studies/claims/kills.py --out kills.jsonl --minutes 30
    python studies/claims/kills.py --out kills_ray.jsonl --minutes 30 --kills 25 --executor ray

A search of two workers is started, killed with signal 9, and started again by the same command, until it is done; then
the next one, until there were 30 kills. A kill comes within half a second of the moment when 1 to 12 more stretches of
training have begun, or, one time in seven, anywhere in the first ten seconds. After each kill the record and the log of
trainings are read. Finished cells are appended to --out and not repeated; the searches lie in a folder beside it.

What is counted: trials that had ended and are not in the record as they were (lost), or that ended anew (told twice);
stretches of training that were begun more than once (repeated). A stretch is known by the weights it begins with, which
depend on architecture, recipe and rung alone: the search space's networks write a line when they are first trained.
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna

from autokd.errors import InputError
from autokd.record import read_study, read_trials

WORKERS = 2
NEVER = (sys.maxsize, 0.0)
"""As a moment to kill a search."""
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


def search_until_killed(study: Path, stretches: int, seconds: float) -> bool:
    """Searches until so many more stretches have begun, and so long after; then kills the whole process tree.

    Returns:
        whether the search came to its end before.

    Raises:
        RuntimeError: it ended with an error.
    """
    enough = len(begun_stretches(study.parent)) + stretches
    process = start(study)
    try:
        while len(begun_stretches(study.parent)) < enough:
            if ends_within(process, 0.02):
                return True
        return ends_within(process, seconds)
    finally:
        kill_tree(process)


def ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a search has come to its end within so long; `RuntimeError` if with an error."""
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    if code != 0:
        raise RuntimeError(f"the search ended with exit code {code}")
    return True


def kill_moment(number: int) -> tuple[int, float]:
    """When the kill of a cell comes: after how many more stretches have begun, and seconds; drawn from its number."""
    draw = random.Random(number)
    return (0, draw.uniform(0, 10)) if draw.random() < 1 / 7 else (draw.randint(1, 12), draw.uniform(0, 0.5))


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kills a search and its workers, if they live."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def ended_trials(run: Path) -> dict[str, list[Any]]:
    """By number: the state, values and time of end of each trial that has ended; {} before there is a record."""
    try:
        trials = read_study(run).get_trials(deepcopy=False)
    except InputError:
        return {}
    return {
        str(trial.number): [trial.state.name, trial.values, str(trial.datetime_complete)]
        for trial in trials
        if trial.state.is_finished()
    }


def begun_stretches(home: Path) -> list[tuple[str, int]]:
    """The stretches of training begun so far, in order, the repeated ones among them: digest, and worker's process."""
    log = home / "stretches.log"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [(digest, int(pid)) for digest, pid in (line.split() for line in lines)]


def count(home: Path, before: Mapping[str, Sequence[Any]]) -> tuple[dict[str, int], dict[str, list[Any]]]:
    """What the record and the log say, compared with what had ended before; and what has ended now."""
    now, begun = ended_trials(home / "run"), begun_stretches(home)
    counts = {
        "ended": len(now),
        "lost": sum(number not in now or now[number][:2] != list(then[:2]) for number, then in before.items()),
        "told_twice": sum(number in now and now[number][2] != then[2] for number, then in before.items()),
        "begun": len(begun),
        "repeated": len(begun) - len({digest for digest, _ in begun}),
    }
    return counts, now


def final_counts(run: Path) -> dict[str, Any]:
    """Of a search that is done: trials left running, and whether its front is that of the record."""
    running = sum(trial.state == "running" for trial in read_trials(run))
    answered = json.loads((run / "front.json").read_text(encoding="utf-8"))["front"]
    same = {member["trial"]: member["values"] for member in answered} == front_of_record(run)
    return {"left_running": running, "front_is_the_records": same}


def front_of_record(run: Path) -> dict[int, dict[str, float]]:
    """The front anew, from the record and the results of the trainings with fresh seeds alone."""
    means: dict[int, dict[str, float]] = {}
    for trial in read_trials(run):
        results = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in run.glob(f"trials/{trial.number:05d}/seed-*/result.json")
        ]
        if trial.state == "complete" and results:
            means[trial.number] = trial.costs | {"accuracy": fmean(r["values"]["accuracy"] for r in results)}
    points = {number: (-values["accuracy"], values["parameters"]) for number, values in means.items()}
    return {
        number: means[number] for number, point in points.items() if not any(_beats(p, point) for p in points.values())
    }


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def report(lines: Sequence[Mapping[str, Any]]) -> None:
    """Prints a row for each search, and the sum."""
    columns = ("kills", "trials", "lost", "told twice", "stretches", "repeated", "left RUNNING", "front as record")
    print("search  " + "  ".join(columns))
    sums = [0] * 7
    for search in sorted({line["search"] for line in lines}):
        own = [line for line in lines if line["search"] == search]
        last = own[-1]
        kills = sum(not line["finished"] for line in own)
        row = [kills, last["ended"], sum(line["lost"] for line in own), sum(line["told_twice"] for line in own)]
        row += [last["begun"], last["repeated"], last.get("left_running", 0)]
        sums = [a + b for a, b in zip(sums, row, strict=True)]
        answer = ("yes" if last["front_is_the_records"] else "NO") if last["finished"] else "not done"
        print(f"{search:6}  " + "  ".join(f"{n:{len(c)}}" for n, c in zip([*row, answer], columns, strict=True)))
    print("all     " + "  ".join(f"{n:{len(c)}}" for n, c in zip(sums, columns, strict=False)))
    print(f"\nallowed: 0 lost, 0 told twice, 0 left running, at most {WORKERS * sums[0]} repeated")


def main(out: Path, *, kills: int, minutes: float, executor: str = "processes") -> None:
    """Kills until there were so many kills and the last search is done, then prints what all cells say."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    deadline = time.monotonic() + 60 * minutes
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
    while time.monotonic() < deadline:
        last = lines[-1] if lines else {"search": 0, "finished": False}
        killed = sum(not line["finished"] for line in lines)
        if killed >= kills and last["finished"]:
            break
        search = last["search"] + last["finished"]
        home = out.with_suffix("") / f"search-{search}"
        study = (
            home / "study.yaml"
            if (home / "study.yaml").exists()
            else write_search(home, seed=search, executor=executor)
        )
        seen = home / "seen.json"
        before = json.loads(seen.read_text(encoding="utf-8")) if seen.exists() else {}
        moment = kill_moment(len(lines)) if killed < kills else NEVER
        finished = search_until_killed(study, *moment)
        counts, now = count(home, before)
        seen.write_text(json.dumps(now), encoding="utf-8")
        line = {"search": search, "moment": moment, "finished": finished, **counts}
        lines.append(line | (final_counts(home / "run") if finished else {}))
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(lines[-1]) + "\n")
    report(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one a cell; appended to")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no cell after so long")
    parser.add_argument("--executor", choices=("processes", "ray"), default="processes")
    given = parser.parse_args()
    main(given.out, kills=given.kills, minutes=given.minutes, executor=given.executor)
