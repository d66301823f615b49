"""Searches that are killed whole, by driver or by worker, and damaged files: what is lost, and what is repeated."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from claims import load_claim
from conftest import ROOT
from small import small_driver, small_run

from autokd.driver import load_front
from autokd.record import read_trials
from studies.claims.damage import damage

kills = load_claim("kills")

SOUND = {"left_running": 0, "front_is_the_records": True, "failed": [], "other_numbers": []}
"""What the end of a search is whose faults were all of the machine."""


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
    assert kills.final_counts(tmp_path / "run") == SOUND
    trained = [json.dumps([t.arch, t.recipe]) for t in read_trials(tmp_path / "run") if t.rungs]
    assert len(trained) == len(set(trained)) >= 8


@pytest.mark.slow
def test_faults_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    out = tmp_path / "kills.jsonl"
    kills.main(out, kills=5, minutes=10)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert kills.faults(lines) == list(kills.FAULTS)
    assert sum(line["lost"] + line["told_twice"] for line in lines) == 0
    for last in (line for line in lines if line["finished"]):
        befallen = kills.faults([line for line in lines if line["search"] == last["search"]])
        assert last["repeated"] <= kills.WORKERS * len(befallen) + befallen.count("damage")  # whose file is lost, too
        assert {key: last[key] for key in SOUND} == SOUND
    before = out.read_text()
    kills.main(out, kills=5, minutes=10)  # finished cells are not repeated
    assert out.read_text() == before


@pytest.mark.slow
def test_a_search_goes_on_by_itself_when_a_worker_is_killed(tmp_path: Path) -> None:
    study = kills.write_search(tmp_path, seed=0, trials=8)
    with searching(study) as process:
        workers_of(process, tmp_path, 1)
        assert not kills.kill_worker(process, tmp_path, random.Random(0))
        begun = kills.begun_stretches(tmp_path)
        assert not kills.goes_on(process, tmp_path, len(begun))
    deaths = [path.read_text() for path in tmp_path.glob("run/trials/*/*/*/deaths.txt")]
    assert deaths in ([], ["by signal 9 (SIGKILL)\n"])  # none where the worker had nothing to do


def test_what_ended_otherwise_or_anew_is_counted(tmp_path: Path) -> None:
    driver = small_driver(small_run(tmp_path))
    proposed = driver.propose()
    assert proposed is not None
    driver.advance(0, {"error": "out of memory"})
    driver.record.close()
    (state, values, when), *_ = kills.ended_trials(tmp_path / "run").values()
    assert (state, values) == ("FAIL", None)

    def counted(**before: list[Any]) -> tuple[int, int]:
        counts, now = kills.count(tmp_path, {name[1:]: trial for name, trial in before.items()})
        assert list(now) == ["0"]
        return counts["lost"], counts["told_twice"]

    assert counted(_0=[state, values, when]) == (0, 0)
    assert counted(_0=["COMPLETE", [0.5], when]) == (1, 0)
    assert counted(_0=[state, values, "earlier"]) == (0, 1)
    assert counted(_0=[state, values, when], _1=[state, values, when]) == (1, 0)


@pytest.mark.parametrize("number", range(12))
def test_a_file_that_was_damaged_is_put_back_as_it_was(tmp_path: Path, number: int) -> None:
    run = shutil.copytree(ROOT / "tests" / "data" / "run_v0", tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    hit = damage(run, random.Random(number), kept=tmp_path / "kept")
    assert hit is not None
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert {path for path in before if after.get(path) != before[path]} <= {run / hit.file}
    hit.mend()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_report_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"finished": False, "lost": 0, "told_twice": 0, "undone": [], "again": 1, "refused": ""}
    lines = [
        line | {"fault": "worker"},
        line | {"fault": "damage", "damage": ["task", "x.npy", "cut"], "refused": "no"},
    ]
    kills.report(lines, kills=5)
    said = capsys.readouterr().out
    assert "| damage | 1 | 0 | 0 | 0 | 1 | 1 |" in said
    assert "missing: 1 worker, 1 damage, 1 tree" in said


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
