"""Is a training step of a small MLP as fast as it was? This checkout against another, measured by turns.

    git worktree add /elsewhere/before COMMIT
    python studies/claims/step_time.py --against /elsewhere/before --out step_time.jsonl --minutes 15

A cell is a network, a batch size and a repeat. Each checkout searches one student of digits in a process of its own.
The two processes take turns: one trains a stretch of epochs while the other waits, and each turn begins with the other
one of the two. A turn is timed in seconds of its process's CPU, because other programs disturb these least, and is
divided by its number of steps. It holds one validation and one checkpoint, which cost as much as one step in a
hundred. The ratio of two turns is that of neighbours in time; shown are the median of all ratios, the half of them in
the middle, and the range of the medians of the repeats. Both students are trained with the same seed, and the table
says whether the two have the same values, bit for bit. Finished cells are appended to --out and are not run again;
missing cells are printed. Another commit here or there needs another --out. `--against .` shows how large a ratio
chance makes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import IO, Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing

HERE = Path(__file__).parents[2]
WIDTHS = {"310 parameters": [4], "1,210 parameters": [16], "8,970 parameters": [64, 64]}
"""The hidden layers of each network."""
BATCHES = (64, 128)
ROWS, EPOCHS = 1000, 10
"""The rows of an epoch, of which 100 have labels, and the epochs of a turn."""
SEARCH = """
import json, os, sys, tempfile, time
import numpy, torch
torch.set_num_threads(1)
import autokd
from sklearn.datasets import load_digits

study = json.loads(sys.argv[1])
began = 0.0


def on_event(event):
    global began
    if event["event"] == "stretch_ended":
        print(json.dumps({"seconds": time.process_time() - began, "values": event["values"]}), flush=True)
    if event["event"] in ("trial_began", "stretch_ended"):
        sys.stdin.readline()
        began = time.process_time()


with tempfile.TemporaryDirectory() as folder:
    answers = 4 * numpy.eye(10)[load_digits().target] + numpy.random.default_rng(0).normal(size=(1797, 10))
    numpy.save(f"{folder}/answers.npy", answers.astype("float32"))
    study["teacher"] = {"outputs": f"{folder}/answers.npy"}
    print(json.dumps(os.path.dirname(os.path.dirname(autokd.__file__))), flush=True)
    autokd.search_study(autokd.Study.model_validate(study), run=f"{folder}/run", on_event=on_event)
"""
"""What a checkout runs: it waits for a line before each stretch, and writes a line after it. All of it is public."""

Key = tuple[str, int, int]


def study_of(network: str, batch: int, turns: int) -> dict[str, Any]:
    """The study, without its teacher: one student that is trained to the end, in `turns` stretches."""
    widths = {"widths": WIDTHS[network], "activation": "relu", "batch_norm": False}
    recipe = {"alpha": 0.9, "temperature": 4, "method": "kd", "lr": 0.01, "batch_size": batch}
    return {
        "name": "step-time",
        "task": {"data": "digits", "labels": 100, "rows": ROWS},
        "space": {"space": "mlp", "archs": [widths]},
        "recipe": recipe,
        "objectives": {"nll": {}, "parameters": {}},
        "budget": {"trials": 1, "rungs": [EPOCHS * (turn + 1) for turn in range(turns)], "reseeds": 0},
        "scheduler": "none",
        "executor": "inline",
        "workers": 1,
    }


def run_cell(against: Path, key: Key, *, turns: int) -> dict[str, Any]:
    """Seconds a step by turn, here and there, and whether both students have the same values.

    Raises:
        RuntimeError: a checkout cannot run the search.
    """
    network, batch, repeat = key
    steps = EPOCHS * math.ceil(ROWS / batch)
    with ExitStack() as stack:
        study = study_of(network, batch, turns)
        said = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(2)]
        sides = [_Side(*each, study, stack) for each in zip((HERE, against), said, strict=True)]
        seconds: tuple[list[float], list[float]] = ([], [])
        same = True
        for turn in range(turns):
            order = (0, 1) if (turn + repeat) % 2 == 0 else (1, 0)
            found = {side: sides[side].turn() for side in order}
            for side in order:
                seconds[side].append(found[side]["seconds"] / steps)
            same = same and found[0]["values"] == found[1]["values"]
    return {"network": network, "batch": batch, "repeat": repeat, "here": seconds[0], "there": seconds[1], "same": same}


class _Side:
    """A process that searches with the code of one checkout, and trains a stretch when it is told to."""

    def __init__(self, checkout: Path, said: IO[str], study: Mapping[str, Any], stack: ExitStack) -> None:
        self.said = said
        command = [sys.executable, "-c", SEARCH, json.dumps(study)]
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        self.process = stack.enter_context(
            subprocess.Popen(
                command,
                cwd=checkout,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                encoding="utf-8",
            )
        )
        stack.callback(self.process.kill)
        found = Path(self._answer())
        if found.resolve() != checkout.resolve():
            raise RuntimeError(f"{checkout}: the code of {found} was run; name a checkout of AutoKD")

    def turn(self) -> dict[str, Any]:
        """One stretch of training: its seconds and the student's values."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.said.seek(0)
            raise RuntimeError(f"the search ended too early: {self.said.read()[-800:]}")
        return json.loads(line)


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """A row for each network and batch size: step times, their ratio with its spread, and whether values agree."""
    lines = [
        f"{'network':18}{'batch':>6}{'repeats':>8}{'ms here':>9}{'ms there':>9}{'ratio':>7}{'middle half':>15}"
        f"{'of repeats':>15}  same values"
    ]
    for network, batch in dict.fromkeys((cell["network"], cell["batch"]) for cell in cells):
        of = [cell for cell in cells if (cell["network"], cell["batch"]) == (network, batch)]
        ratios = [[here / there for here, there in zip(cell["here"], cell["there"], strict=True)] for cell in of]
        low, middle, high = quantiles((ratio for each in ratios for ratio in each), n=4, method="inclusive")
        medians = [median(each) for each in ratios]
        here, there = (1000 * median(s for cell in of for s in cell[side]) for side in ("here", "there"))
        lines.append(
            f"{network:18}{batch:6}{len(of):8}{here:9.3f}{there:9.3f}{middle:7.3f}{f'{low:.3f}-{high:.3f}':>15}"
            f"{f'{min(medians):.3f}-{max(medians):.3f}':>15}  {'yes' if all(cell['same'] for cell in of) else 'NO'}"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--against", type=Path, required=True, help="another checkout of AutoKD, such as a git worktree"
    )
    parser.add_argument("--out", type=Path, default=Path("step_time.jsonl"), help="the file of finished cells")
    parser.add_argument("--minutes", type=float, default=15, help="no cell begins after this many minutes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--turns", type=int, default=24, help="how many turns each checkout has in a cell")
    options = parser.parse_args()
    if not (options.against / "autokd").is_dir():
        parser.error(f"{options.against} is no checkout of AutoKD; make one with `git worktree add`")
    end, cells = time.monotonic() + 60 * options.minutes, read_cells(options.out)
    wanted = [(network, batch, i) for i in range(options.repeats) for batch in BATCHES for network in WIDTHS]

    def run(key: Key) -> Cell:
        return run_cell(options.against.absolute(), key, turns=options.turns)

    left = run_missing(
        wanted, cells, options.out, key=lambda cell: (cell["network"], cell["batch"], cell["repeat"]), run=run, end=end
    )
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}\n")
    if cells:
        print(table(cells))
    print(f"missing cells: {[', '.join(map(str, key)) for key in left] or 'none'}")


if __name__ == "__main__":
    main()
