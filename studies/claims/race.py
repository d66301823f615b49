"""AutoKD against a script that a user would write: the hypervolume of each after given numbers of seconds.

    python studies/claims/race.py --out race.jsonl --minutes 120

The rival is `plain_optuna.py` with TPE and with NSGA-II. It runs two processes on one SQLite storage, asks the teacher
in every step and trains every student for all epochs. AutoKD has two workers and its defaults. All arms search the same
space, recipes and bound for accuracy and parameters, with the same data, teacher, batches, optimizer and largest number
of epochs. The teacher is trained beforehand, once for each task and seed.

A cell is a task, an arm and a seed. An arm is a command that is killed with its workers after --seconds. The clock
starts before the command, so imports, set-up and AutoKD's caching of the teacher's outputs count. (AutoKD makes its
task from the source, which for Fashion-MNIST is all 70,000 images; the script gets the finished arrays.) The arms take
turns, and each seed begins with another arm. Finished cells are appended to --out and are not run again; the runs are
in a folder beside --out.

The same things count for all arms: the validation accuracy of students that were trained to the end, once, and their
parameters, at the time at which the arm's Optuna storage shows them as complete. The reference point is that of the
study: accuracy 0 and the bound of the parameters. The report also gives test accuracies. They are those of the students
that are best on validation within three sizes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
import sqlalchemy
import torch
import yaml
from optuna.trial import FixedTrial, FrozenTrial, TrialState
from plotly.subplots import make_subplots
from safetensors.torch import load_file

from autokd.checkpoints import WEIGHTS, checkpoint
from autokd.distill import predict
from autokd.driver.preparation import prepare
from autokd.driver.teaching import with_test_answers
from autokd.errors import InputError
from autokd.pareto import hypervolume, non_dominated
from autokd.record import read_study, read_trials
from autokd.study import Study, dump, override
from autokd.tasks import ArrayTask
from autokd.trial import Context, context_of

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing

ARMS = ("autokd", "tpe", "nsga2")
COLORS = ("#0072b2", "#d55e00", "#8c8c8c")
RIVAL = Path(__file__).with_name("plain_optuna.py")
AUTOKD = "import sys, pathlib, autokd as a; a.search_study(a.load_study(sys.argv[1]), run=pathlib.Path(sys.argv[2]))"
SIZES = {"digits": (500, 1500, 5000), "fashion": (5000, 10000, 40000)}
"""The tasks, each with the sizes within which the best student's test accuracy is given."""
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
"""The shares of the given time after which the table shows the hypervolumes."""


def race_study(name: str, *, seed: int, fashion: str = "") -> Study:
    """The study in studies/ of that name, with method `kd`, objectives accuracy and parameters, and space `mlp`.

    A step of a fully connected student takes .4 to 4 ms. A step of a mobilenet on Fashion-MNIST takes 13 to 290 ms, so
    that few students would be trained to the end. `fashion` is the path of Fashion-MNIST, if it is not the study's.
    """
    written = yaml.safe_load((RIVAL.parents[1] / f"{name}.yaml").read_text(encoding="utf-8"))
    moved = {"data": fashion} if name == "fashion" and fashion else {}
    return Study(
        name=name,
        task=written["task"] | moved,
        teacher=written["teacher"],
        space="mlp",
        recipe=written["recipe"] | {"method": "kd"},
        objectives={"accuracy": {}, "parameters": written["objectives"]["parameters"]},
        budget={"trials": 1_000_000, "rungs": written["budget"]["rungs"]},  # type: ignore[arg-type]
        seed=seed,
    )


def run_cell(arm: str, study: Study, *, seconds: float, folder: Path) -> dict[str, Any]:
    """What one arm found in `seconds` seconds. The data, the teacher and the run of the arm are in `folder`."""
    home = folder.absolute() / f"{study.name}-{study.seed}"
    context = write_start(study, home)
    run = home / arm
    began = run_arm(arm, home, run, seed=study.seed, seconds=seconds)
    trials = recorded_trials(arm, run)
    complete = [t for t in trials if t.state == TrialState.COMPLETE and _since(began, t.datetime_complete) <= seconds]
    rows = context.task.splits["test"]
    return {
        "task": study.name,
        "arm": arm,
        "seed": study.seed,
        "seconds": seconds,
        "bound": study.objectives["parameters"]["bound"],
        "setup": context.task.summary() if isinstance(context.task, ArrayTask) else context.task.name,
        "teacher": context.task.score(context.answers[0][rows], context.task.targets(rows)),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}",
        "begun": len(trials),
        "first_begun": min((_since(began, trial.datetime_start) for trial in trials), default=None),
        "trials": sorted([_since(began, trial.datetime_complete), *trial.values] for trial in complete),
        "test": {str(size): best_below(arm, run, context, complete, size) for size in SIZES[study.name]},
    }


def write_start(study: Study, home: Path) -> Context:
    """Trains the teacher if this has not been done before, and writes the files with which the arms begin."""
    run = prepare(study, home / "prepared")
    context = context_of(run.folder, run.setup)
    task, weights = context.task, Path(shutil.copy(run.folder / "teacher" / "teacher.safetensors", home))
    teacher = {key: dump(study)["teacher"][key] for key in ("space", "arch")} | {"weights": str(weights)}
    (home / "study.json").write_text(json.dumps(dump(override(study, {"teacher": teacher}))), encoding="utf-8")
    arrays = {}
    for name in ("train", "transfer", "validation"):
        arrays[f"x_{name}"] = task.inputs(task.splits[name]).contiguous().numpy()
    for name in ("train", "validation"):  # the rival does not see the labels of other rows
        arrays[f"y_{name}"] = task.targets(task.splits[name]).numpy()
    np.savez(home / "data.npz", allow_pickle=False, **arrays)
    return with_test_answers(context, run.folder, run.setup, print, own=study)


def run_arm(arm: str, home: Path, run: Path, *, seed: int, seconds: float) -> datetime:
    """Starts an arm afresh, kills it with its workers after `seconds` seconds, and returns when it was started.

    Raises:
        RuntimeError: the arm ended with an error before that.
    """
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    if arm == "autokd":
        command = ["-c", AUTOKD, str(home / "study.json"), str(run)]
    else:
        command = [str(RIVAL), str(home), str(run), "--sampler", arm, "--seed", str(seed), "--seconds", str(seconds)]
    with (home / f"{arm}.log").open("wb") as log:
        began = datetime.now()
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, start_new_session=True, env=env)
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            code = 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code != 0:
        raise RuntimeError(f"{arm} ended with exit code {code}; see {log.name}")
    return began


def recorded_trials(arm: str, run: Path) -> list[FrozenTrial]:
    """All trials in an arm's Optuna storage; none if the arm was killed before the storage existed."""
    try:
        if arm == "autokd":
            return read_study(run).trials
        return optuna.load_study(
            study_name="plain",
            storage=sqlalchemy.URL.create("sqlite", database=str(run / "study.db")).render_as_string(),
        ).trials
    except (InputError, KeyError):
        return []


def best_below(arm: str, run: Path, context: Context, trials: Sequence[FrozenTrial], size: int) -> float | None:
    """Test accuracy of the student that is best on validation with at most `size` parameters; None if none is."""
    best = max((t for t in trials if t.values[1] <= size), key=lambda t: (t.values[0], -t.values[1]), default=None)
    if best is None:
        return None
    if arm == "autokd":
        record = read_trials(run)[best.number]
        arch, weights = record.arch or {}, (checkpoint(run, record) or run) / WEIGHTS
    else:
        arch = context.space.suggest(FixedTrial(best.params))  # type: ignore[arg-type]
        weights = run / f"{best.number}.safetensors"
    student = context.space.build(arch, context.task)
    student.load_state_dict(load_file(weights))
    rows = context.task.splits["test"]
    return context.task.score(predict(student, context.task, rows), context.task.targets(rows))


def curve(cell: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Pairs of seconds and the hypervolume from then on, a share of the box accuracy 0 .. 1, parameters 0 .. bound."""
    steps, front = [(0.0, 0.0)], np.empty((0, 2))
    for seconds, accuracy, parameters in cell["trials"]:
        front = np.vstack([front, [1 - accuracy, parameters / cell["bound"]]])
        front = front[non_dominated(front)]
        steps.append((seconds, hypervolume(front, np.ones(2))))
    return steps


def volume_after(steps: Sequence[tuple[float, float]], seconds: float) -> float:
    """The hypervolume that was reached after `seconds` seconds."""
    return max(volume for at, volume in steps if at <= seconds)


def time_to(steps: Sequence[tuple[float, float]], volume: float) -> float:
    """The seconds until a hypervolume was reached; infinite if it never was."""
    return next((at for at, reached in steps if reached >= volume - 1e-12), math.inf)


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """The hypervolume over time, test accuracies, and the time to each rival's last hypervolume, for each task."""
    lines = []
    for name in dict.fromkeys(cell["task"] for cell in cells):
        own = [cell for cell in cells if cell["task"] == name]
        seconds, sizes = own[0]["seconds"], SIZES[name]
        teacher = _spread([cell["teacher"] for cell in own])
        lines += [own[0]["setup"], f"teacher {teacher} on test; {seconds:g} s a run; {own[0]['machine']}"]
        heads = [f"after {share * seconds:.4g} s" for share in SHARES] + [f"test <= {size:,}" for size in sizes]
        lines.append(f"  {'':8s}" + "".join(f"{head:>20s}" for head in heads) + "   complete/begun, first begun after")
        for arm in sorted({cell["arm"] for cell in own}):
            ran = [cell for cell in own if cell["arm"] == arm]
            steps = [curve(cell) for cell in ran]
            columns = [[volume_after(each, share * seconds) for each in steps] for share in SHARES]
            columns += [[cell["test"][str(size)] for cell in ran] for size in sizes]
            ends = ", ".join(f"{len(c['trials'])}/{c['begun']} {c['first_begun'] or math.inf:.1f} s" for c in ran)
            lines.append(f"  {arm:8s}" + "".join(f"{_spread(column):>20s}" for column in columns) + f"   {ends}")
        lines += [*(_ratios(own, rival) for rival in ARMS[1:]), ""]
    return "\n".join(lines)


def _spread(values: Sequence[float | None]) -> str:
    """Median, smallest and largest of the values that are known."""
    known = [value for value in values if value is not None]
    return f"{median(known):.3f} ({min(known):.3f}-{max(known):.3f})" if known else "-"


def _ratios(cells: Sequence[Mapping[str, Any]], rival: str) -> str:
    """AutoKD's time to a rival's last hypervolume, as a share of the rival's own time to it."""
    steps = {(cell["arm"], cell["seed"]): curve(cell) for cell in cells}
    ratios = []
    for seed in sorted({seed for _, seed in steps}):
        if ("autokd", seed) in steps and (rival, seed) in steps:
            last = steps[rival, seed][-1][1]
            if last > 0:
                ratios.append(time_to(steps["autokd", seed], last) / time_to(steps[rival, seed], last))
    shown = [f"{ratio:.3f}" if math.isfinite(ratio) else "never (> 1)" for ratio in ratios]
    middle = "-" if not ratios else f"{median(ratios):.3f}" if math.isfinite(median(ratios)) else "> 1"
    return f"  time to {rival}'s last hypervolume, AutoKD's share: median {middle}; by seed {', '.join(shown) or '-'}"


def write_plot(cells: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Draws the hypervolume over time in one HTML file: a line for each cell, and a thicker one for each median."""
    names = list(dict.fromkeys(cell["task"] for cell in cells))
    figure = make_subplots(rows=max(1, len(names)), cols=1, subplot_titles=names)
    for row, name in enumerate(names, start=1):
        for arm, color in zip(ARMS, COLORS, strict=True):
            curves = [curve(cell) for cell in cells if (cell["task"], cell["arm"]) == (name, arm)]
            times = sorted({at for steps in curves for at, _ in steps})
            middle = [(at, median(volume_after(steps, at) for steps in curves)) for at in times]
            for steps, width in [*((steps, 0.7) for steps in curves), (middle, 3)]:
                line = {"shape": "hv", "color": color, "width": width}
                trace = {"x": [at for at, _ in steps], "y": [volume for _, volume in steps], "line": line, "name": arm}
                figure.add_scatter(**trace, mode="lines", showlegend=(row, width) == (1, 3), row=row, col=1)
    figure.update_xaxes(title="seconds")
    figure.update_yaxes(title="hypervolume")
    figure.write_html(out)


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table and writes the plot beside --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("race.jsonl"))
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--seconds", type=float, default=180, help="the length of each run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fashion", default="", help="an .npz file or a folder of idx files, if not the study's")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    cells = [cell for cell in read_cells(options.out) if cell["seconds"] == options.seconds]
    turns = [(name, ARMS[(seed + i) % 3], seed) for seed in range(options.seeds) for name in SIZES for i in range(3)]
    reasons: dict[tuple[str, str, int], str] = {}

    def run(turn: tuple[str, str, int]) -> Cell | None:
        name, arm, seed = turn
        study = race_study(name, seed=seed, fashion=options.fashion)
        try:
            return run_cell(arm, study, seconds=options.seconds, folder=options.out.with_suffix(""))
        except InputError as error:  # Fashion-MNIST cannot be read
            reasons[turn] = str(error)
            return None

    left = run_missing(turns, cells, options.out, key=itemgetter("task", "arm", "seed"), run=run, end=end)
    missing = {turn: reasons.get(turn, "no time") for turn in left}
    print(table(cells))
    write_plot(cells, options.out.with_suffix(".html"))
    print(f"plot: {options.out.with_suffix('.html')}\nmissing cells: {missing or 'none'}")


def _since(began: datetime, moment: datetime | None) -> float:
    return math.inf if moment is None else round((moment - began).total_seconds(), 3)


if __name__ == "__main__":
    main()
