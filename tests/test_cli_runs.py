"""The commands on run folders: `runs`, which only reads, and `clean`, which deletes."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from command_line import autokd, refused
from conftest import ROOT
from filelock import FileLock

from autokd.record import is_held

OLD = ROOT / "tests" / "data" / "run_v0"
"""A finished run of four complete trials."""

KEYS = {"run", "state", "changed", "problem", "study", "trials", "front", "hypervolume", "best"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(OLD, tmp_path / "runs" / "digits")


def listed(folder: Path) -> dict[str, Any]:
    """What `autokd runs --json` says of each run, by the name of its folder."""
    answer = autokd("runs", folder, "--json")
    assert (answer.code, answer.err) == (0, "")
    return {Path(each["run"]).name: each for each in json.loads(answer.out)}


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Each file of a folder, with what it holds and its time."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_finished_run_is_listed_with_what_it_reached(run: Path) -> None:
    found = listed(run.parent)["digits"]
    front = json.loads((run / "front.json").read_text())
    assert found.keys() == KEYS
    assert (found["state"], found["problem"], found["study"]) == ("finished", "", front["study"])
    assert (found["front"], found["hypervolume"]) == (len(front["front"]), front["hypervolume"])
    best = max(front["front"], key=lambda member: member["values"]["accuracy"])
    assert found["best"] == {
        "objective": "accuracy",
        "value": best["values"]["accuracy"],
        "trial": best["trial"],
    }
    assert datetime.fromisoformat(found["changed"]).tzinfo is not None


def test_a_run_without_its_final_front_was_stopped_and_one_whose_lock_is_held_is_running(run: Path) -> None:
    (run / "front.json").unlink()
    assert listed(run.parent)["digits"]["state"] == "stopped"
    with FileLock(run / "record.lock"):
        assert listed(run.parent)["digits"]["state"] == "running"
    assert listed(run.parent)["digits"]["state"] == "stopped"


def test_a_run_whose_record_a_search_is_just_making_is_running(run: Path) -> None:
    (run / "record.db").write_bytes(b"")
    assert listed(run.parent)["digits"]["state"] == "unreadable"
    with FileLock(run / "record.lock"):
        found = listed(run.parent)["digits"]
        assert "digits  running: a search is still preparing this run\n" in autokd("runs", run.parent).out
        for command in ("front", "pick", "report"):
            assert refused(command, run).startswith(f"autokd: a search is still preparing {run}, so there is nothing")
    assert (found["state"], found["problem"]) == ("running", "a search is still preparing this run")
    assert "holds no search; start over in a new folder" in refused("front", run)


def test_whether_a_run_is_held_is_seen_without_making_a_file(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert not list(tmp_path.iterdir())


def test_listing_changes_nothing_and_a_damaged_run_gets_a_line_that_says_so(run: Path) -> None:
    damaged = {"cut": "front.json", "torn": "record.db", "odd": "study.json"}
    for name, file in damaged.items():
        shutil.copytree(OLD, run.parent / name)
        (run.parent / name / file).write_text("{")
    (run.parent / "empty").mkdir()
    (run.parent / "notes.txt").write_text("mine")
    before = contents(run.parent)
    lines = autokd("runs", run.parent).out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "cut", "digits", "odd", "torn"]
    for line in (line for line in lines if line.split()[0] in damaged):
        assert "unreadable: " in line
        assert damaged[line.split()[0]] in line
    found = listed(run.parent)
    assert {name: found[name]["state"] for name in damaged} == dict.fromkeys(damaged, "unreadable")
    assert contents(run.parent) == before


def test_listing_opens_no_record_outside_a_run_and_imports_nothing_that_it_names(run: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
    setup = json.loads((run / "study.json").read_text())
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE mine (a)")
    setup["study"] |= {"space": str(tmp_path / "evil.py"), "record": f"sqlite:///{tmp_path / 'other.db'}"}
    (run / "study.json").write_text(json.dumps(setup))
    before = contents(tmp_path)
    assert "opened only for the study file that names it" in listed(run.parent)["digits"]["problem"]
    del setup["study"]["record"]
    (run / "study.json").write_text(json.dumps(setup))
    assert listed(run.parent)["digits"]["state"] == "finished"
    assert not (tmp_path / "ran").exists()
    assert (tmp_path / "other.db").read_bytes() == before[tmp_path / "other.db"][0]


def test_a_folder_without_runs_is_said_to_have_none_and_one_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert autokd("runs", tmp_path).out == f"There are no runs in {tmp_path}.\n"
    assert json.loads(autokd("runs", tmp_path, "--json").out) == []
    said = refused("runs", tmp_path / "nothere")
    assert f"there is no folder {tmp_path / 'nothere'}; give the folder that holds your runs, or begin one" in said
    (tmp_path / "file").touch()
    assert "cannot be read (Not a directory)" in refused("runs", tmp_path / "file")


def test_a_run_folder_itself_is_listed_alone(run: Path) -> None:
    assert list(listed(run)) == ["digits"]


def test_finished_runs_are_listed_without_torch_and_optuna(run: Path) -> None:
    program = f"""
import sys
from autokd.cli import main
sys.argv[1:] = ["runs", {str(run.parent)!r}]
try:
    main()
finally:
    print({{"torch", "optuna", "sqlalchemy", "sklearn", "pandas"}} & sys.modules.keys(), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"
    assert "finished" in done.stdout


def test_clean_deletes_nothing_where_nobody_can_be_asked(run: Path) -> None:
    before = contents(run)
    said = refused("clean", run)
    assert "clean would delete the weights of " in said
    assert "nobody can be asked here; add --yes to delete them" in said
    assert contents(run) == before


@pytest.mark.slow
def test_clean_says_what_it_would_delete_and_an_answer_of_no_deletes_nothing(run: Path) -> None:
    before = contents(run)
    answer = on_a_terminal(run, "n")
    assert answer.returncode == 1
    assert "students that were stopped early and" in answer.stdout
    assert f"GB in {run})? [y/N]" in answer.stdout
    assert answer.stdout.endswith("Nothing was deleted.\n")
    assert contents(run) == before


@pytest.mark.slow
def test_clean_deletes_after_an_answer_of_yes(run: Path) -> None:
    answer = on_a_terminal(run, "y")
    assert answer.returncode == 0
    assert answer.stdout.endswith(" GB were freed.\n")
    members = {member["trial"] for member in json.loads((run / "front.json").read_text())["front"]}
    assert {int(path.name) for path in (run / "trials").iterdir()} <= members


def test_clean_prints_what_it_deleted_as_json_and_a_second_time_finds_nothing(run: Path) -> None:
    names = {path.name for path in (run / "trials").iterdir()}
    found = json.loads(autokd("clean", run, "--yes", "--json").out)
    left = {path.name for path in (run / "trials").iterdir()}
    assert {f"{each['trial']:05d}" for each in found["deleted"]} == names - left
    assert found["freed_gb"] == pytest.approx(sum(each["gb"] for each in found["deleted"]))
    assert autokd("clean", run).out == "There is nothing to delete.\n"


def on_a_terminal(run: Path, answer: str) -> subprocess.CompletedProcess[str]:
    """`autokd clean` with its words where a terminal would ask; all that is shown comes as stdout."""
    program = f"""
import os, pty, sys
master, terminal = pty.openpty()
os.write(master, {(answer + chr(10)).encode()!r})
os.dup2(terminal, 0)
os.dup2(1, 2)
from autokd.cli import main
sys.argv[1:] = ["clean", {str(run)!r}]
main()
"""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
