from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from small import small_study

from autokd.driver import search_study
from autokd.driver.loop import Jobs
from autokd.errors import NoFrontError
from autokd.executors import ProcessExecutor
from autokd.front import Front
from autokd.record import TrialRecord, read_study, read_trials
from autokd.trial import Stretch
from autokd.types import Recipe

SPACE = '''
"""Networks that misbehave when they are trained, in ways that are deadly in worker processes alone."""

import multiprocessing
import os
import signal
import sys
import time

import torch
from torch import nn

WAYS = {ways}


def suggest(trial):
    return {{"how": trial.suggest_categorical("how", WAYS)}}


def build(arch, task):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), Odd(arch["how"]))


class Odd(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        if not self.training:
            return x
        if self.how == "raises":
            raise ValueError("as it was told")
        if self.how == "nan":
            return x * float("nan")
        if self.how == "memory":
            raise MemoryError
        if self.how == "allocator":
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        if self.how == "leaves":
            sys.exit(0)
        if multiprocessing.parent_process() is not None:
            if self.how == "hangs":
                time.sleep(600)
            if self.how == "exits":
                os._exit(0)
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
        return x
'''
REASONS = {
    "raises": "raised ValueError: as it was told",
    "nan": "diverged: the loss is nan in epoch 0",
    "memory": "out of memory",
    "allocator": "out of memory",
    "leaves": "raised SystemExit: 0",
    "exits": "ended its worker process with exit code 0",
    "killed": "its process died 3 times, the last time by signal 9 (SIGKILL)",
    "hangs": "timed out: a stretch took more than 0.5 minutes",
}
INLINE = ["raises", "nan", "memory", "allocator", "leaves"]
FIXED = {"alpha": 0.5, "temperature": 4.0, "method": "kd", "lr": 0.01}


def search(folder: Path, ways: list[str], **overrides: Any) -> Front:
    """A search that tries each way once, without early stopping."""
    space = folder / "space.py"
    space.write_text(SPACE.format(ways=ways))
    given = {"space": str(space), "recipe": FIXED, "sampler": "random", "scheduler": "none", "budget.trials": len(ways)}
    return search_study(small_study(**given | {"budget.reseeds": 0} | overrides), run=folder / "run")


def by_way(folder: Path) -> dict[str, TrialRecord]:
    trials = [trial for trial in read_trials(folder / "run") if trial.state != "duplicate"]
    assert all(trial.arch is not None for trial in trials)
    return {(trial.arch or {})["how"]: trial for trial in trials}


def assert_recorded_apart(folder: Path, ways: list[str], *, well: dict[int, dict[str, float]]) -> None:
    """Each way with its own reason, and the well-behaved students as if nothing had happened."""
    trials = by_way(folder)
    assert {way: trials[way].reason for way in ways} == {way: REASONS[way] for way in ways}
    assert {trials[way].state for way in ways} == {"failed"}
    assert trials["well"].state == trials["also well"].state == "complete"
    assert trials["well"].rungs == well
    states = [trial.state for trial in read_study(folder / "run").get_trials(deepcopy=False)]
    assert states.count(TrialState.FAIL) == len(ways)
    assert TrialState.RUNNING not in states


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, float]]:
    """The numbers of the well-behaved student in a search of its own."""
    folder = tmp_path_factory.mktemp("well")
    search(folder, ["well", "also well"])
    return by_way(folder)["well"].rungs


def test_whatever_goes_wrong_inline_is_recorded_with_its_reason_and_costs_no_other_trial(
    tmp_path: Path, well: dict[int, dict[str, float]]
) -> None:
    front = search(tmp_path, ["well", "also well", *INLINE])
    assert front.trials["failed"] == len(INLINE)
    assert front.reasons[0].startswith("5 students failed: 2 × out of memory; 1 × ")
    assert_recorded_apart(tmp_path, INLINE, well=well)


def test_whatever_goes_wrong_in_a_worker_is_recorded_with_its_reason_and_costs_no_other_trial(
    tmp_path: Path, well: dict[int, dict[str, float]]
) -> None:
    options = {"executor": "processes", "workers": 2, "budget.trial_minutes": 0.5}
    front = search(tmp_path, ["well", "also well", *REASONS], **options)
    assert front.trials["failed"] == len(REASONS)
    assert_recorded_apart(tmp_path, list(REASONS), well=well)


def test_where_everything_fails_the_search_says_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(NoFrontError, match="the first 5 students all failed, the last one with this reason: "):
        search(tmp_path, INLINE, **{"budget.trials": 50})
    assert sum(trial.state == "failed" for trial in read_trials(tmp_path / "run")) == 5


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(1) as executor:
        yield executor


STRETCH = Stretch(trial=0, arch={}, recipe=Recipe(), seed=0, start=0, stop=1, source="", folder="")


def only(jobs: Jobs) -> dict[str, Any]:
    """The one result of what is under way."""
    while True:
        jobs.wait()
        for _, result in jobs.done():
            return result


def test_a_late_stretch_is_ended_and_its_worker_replaced(workers: ProcessExecutor) -> None:
    jobs = Jobs(workers, hang, minutes=1e-6)
    jobs.submit(STRETCH)
    assert only(jobs) == {"error": "timed out: a stretch took more than 1e-06 minutes"}
    assert jobs.free == 1
    jobs = Jobs(workers, answer, minutes=10)
    jobs.submit(STRETCH)
    assert only(jobs) == {"epoch": 1}


def test_as_many_students_are_proposed_ahead_as_begin_while_one_is_proposed(workers: ProcessExecutor) -> None:
    jobs = Jobs(workers, answer, minutes=10)
    assert jobs.taken_in([]) == jobs.taken_in([60.0]) == 1  # nothing has ended: how long a stretch takes is not known
    jobs.submit(STRETCH)
    only(jobs)
    (stretch,) = jobs._lasted
    assert [jobs.taken_in([stretch / 9, pauses * stretch]) for pauses in (0.5, 2.5, 90)] == [1, 3, 4]


def hang(stretch: Stretch) -> dict[str, Any]:
    time.sleep(600)
    return {}


def answer(stretch: Stretch) -> dict[str, Any]:
    return {"epoch": stretch.stop}


def test_a_script_without_a_guard_can_search_in_worker_processes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            from pathlib import Path
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from small import small_study
            from autokd import search_study

            print("begin")
            study = small_study(executor="processes", workers=1, **{{"budget.trials": 2, "budget.reseeds": 0}})
            front = search_study(study, run=Path("run"))
            print(front.trials["failed"], front.note)
            """
        )
    )
    answered = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answered.stdout == "begin\n0 2 trials are done\n", answered.stderr


ON_STDIN = """
import sys

from torch import nn

sys.path.insert(0, {tests!r})
from small import small_study
from autokd import search_study
from autokd.errors import InputError


class Mine:
    def suggest(self, trial):
        return {{"width": trial.suggest_int("width", 4, 32)}}

    def build(self, arch, task):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, arch["width"]), nn.ReLU(), nn.Linear(arch["width"], 10))


for trials in (1, 2):
    front = search_study(small_study(executor={executor!r}, space=Mine(), **{{"budget.trials": trials}}))
    print(front.note)
"""


def on_stdin(folder: Path, executor: str) -> subprocess.CompletedProcess[str]:
    script = ON_STDIN.format(tests=str(Path(__file__).parent), executor=executor)
    return subprocess.run([sys.executable, "-"], cwd=folder, input=script, capture_output=True, text=True, check=False)


def test_a_space_that_stands_in_the_script_itself_is_searched_inline(tmp_path: Path) -> None:
    answered = on_stdin(tmp_path, "inline")
    assert answered.stdout == "1 trials are done\n2 trials are done\n", answered.stderr


def test_worker_processes_cannot_have_it_and_the_last_line_says_so(tmp_path: Path) -> None:
    answered = on_stdin(tmp_path, "processes")
    last = answered.stderr.splitlines()[-1]
    assert last.startswith("autokd.errors.InputError: space: worker processes cannot import what was given;")
    assert last.endswith("or use executor='inline'")
    assert list(tmp_path.iterdir()) == []
