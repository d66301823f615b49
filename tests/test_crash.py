"""Searches that die: killed with all their workers, or driver alone; what is lost, repeated, left behind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from claims import load_claim

from autokd.driver import load_front
from autokd.record import read_trials

kills = load_claim("kills")


@contextlib.contextmanager
def searching(study: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A search in a process tree of its own, which is killed at the end."""
    process = kills.start(study)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def workers_of(process: subprocess.Popen[bytes], home: Path, number: int) -> list[int]:
    """The processes of so many workers, once each has begun a stretch."""
    while len(found := list(dict.fromkeys(pid for _, pid in kills.begun_stretches(home)))) < number:
        assert not kills.ends_within(process, 0.02)
    return found


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_for_end(pids: list[int], *, seconds: float) -> list[int]:
    """Those that still live after so long."""
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def test_two_kills_of_the_whole_tree_lose_nothing(tmp_path: Path) -> None:
    study = kills.write_search(tmp_path, seed=0, trials=8)
    ended: dict[str, list[Any]] = {}
    for stretches in (4, 5):
        assert not kills.search_until_killed(study, stretches, 0.1)
        counts, ended = kills.count(tmp_path, ended)
        assert counts["lost"] == counts["told_twice"] == 0
        assert not load_front(tmp_path / "run").final
    assert kills.search_until_killed(study, *kills.NEVER)
    counts, _ = kills.count(tmp_path, ended)
    assert counts["lost"] == counts["told_twice"] == 0
    assert counts["repeated"] <= 2 * kills.WORKERS
    assert kills.final_counts(tmp_path / "run") == {"left_running": 0, "front_is_the_records": True}
    trained = [json.dumps([t.arch, t.recipe]) for t in read_trials(tmp_path / "run") if t.rungs]
    assert len(trained) == len(set(trained)) >= 8


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    out = tmp_path / "kills.jsonl"
    kills.main(out, kills=4, minutes=10)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sum(not line["finished"] for line in lines) == 4
    assert sum(line["lost"] + line["told_twice"] for line in lines) == 0
    for last in (line for line in lines if line["finished"]):
        killed = sum(not line["finished"] for line in lines if line["search"] == last["search"])
        assert last["repeated"] <= kills.WORKERS * killed
        assert last["left_running"] == 0
        assert last["front_is_the_records"]
    before = out.read_text()
    kills.main(out, kills=4, minutes=10)  # finished cells are not repeated
    assert out.read_text() == before


def test_workers_end_within_moments_of_their_driver(tmp_path: Path) -> None:
    study = kills.write_search(tmp_path, seed=0)
    with searching(study) as process:
        workers = workers_of(process, tmp_path, kills.WORKERS)
        assert all(map(lives, workers))
        process.kill()
        process.wait()
        assert wait_for_end(workers, seconds=5) == []


@pytest.mark.slow
def test_a_worker_that_outlives_its_driver_changes_nothing_of_the_next_one(tmp_path: Path) -> None:
    study = kills.write_search(tmp_path, seed=0, trials=6)
    run = tmp_path / "run"
    with searching(study) as process:
        outliving = workers_of(process, tmp_path, 1)
        os.kill(outliving[0], signal.SIGSTOP)  # in the midst of a stretch, so that it cannot notice
        process.kill()
        process.wait()
        assert kills.search_until_killed(study, *kills.NEVER)
        answer, files = load_front(run).to_dict(), digests(run)
        os.kill(outliving[0], signal.SIGCONT)
        assert wait_for_end(outliving, seconds=5) == []
        assert load_front(run).to_dict() == answer
        assert digests(run) == files


def digests(run: Path) -> dict[str, str]:
    """Of every file below `trials/`, but what the first driver's workers wrote."""
    paths = [path for path in run.glob("trials/*/*/**/*") if path.is_file() and "attempt-0" not in path.parts]
    assert paths
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
