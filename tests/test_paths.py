"""Run folders and files may have names that mean something in a URL, a pattern, markup or a shell."""

from __future__ import annotations

import shlex
import sqlite3
from pathlib import Path

import pytest
from command_line import autokd, refused, write_study
from small import small_study

from autokd.driver import load_front, search_study
from autokd.record import database_file, open_storage, read_trials
from autokd.registry import resolve
from autokd.study import space_in
from autokd.study.paths import absolute

NAMES = ["keep?a", "my%20run", "e#f", "with space", "[x]"]
MORE = ["a&b=c", "{d}", "quote's", "~tilde", "a*b", "col:on", "$HOME"]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_has_its_own_record_in_a_folder_of_any_name(name: str, tmp_path: Path) -> None:
    study = write_study(tmp_path, {"budget.trials": 1, "budget.reseeds": 0})
    run = tmp_path / name
    assert autokd("search", study, "--run", run).code == 0
    assert (run / "record.db").is_file()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [name]
    assert len(read_trials(run)) == 1
    assert autokd("search", study, "budget.trials=2", "--run", run).code == 0
    assert len(read_trials(run)) == 2
    assert autokd("report", run).code == 0


def test_runs_whose_names_differ_after_a_question_mark_differ_in_their_records(tmp_path: Path) -> None:
    for name, trials in (("keep?a", 1), ("keep?b", 2), ("keep", 3)):
        search_study(small_study(**{"budget.trials": trials, "budget.reseeds": 0}), run=tmp_path / name)
    assert [len(read_trials(tmp_path / name)) for name in ("keep?a", "keep?b", "keep")] == [1, 2, 3]


@pytest.mark.parametrize("name", NAMES + MORE)
def test_the_database_is_the_file_of_that_very_name(name: str, tmp_path: Path) -> None:
    storage = open_storage(database_file(tmp_path / f"{name}.db"))
    storage.engine.dispose()
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.db"]
    with sqlite3.connect(tmp_path / f"{name}.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("name", ["with space", "quote's", "$HOME"])
def test_commands_that_are_printed_can_be_pasted(name: str, tmp_path: Path) -> None:
    run = tmp_path / name
    search_study(small_study(**{"budget.trials": 1, "budget.reseeds": 0}), run=run)
    line = autokd("pick", run).out.splitlines()[-1]
    assert shlex.split(line)[3] == str(run)
    said = refused("export", run, tmp_path / "x.onnx", "--trial", "7")
    assert shlex.quote(str(run)) in said
    init = autokd("init", tmp_path / f"{name} begun").out.splitlines()[-1]
    assert shlex.split(init)[2] == str(tmp_path / f"{name} begun")


def test_a_space_may_lie_in_a_folder_with_brackets(tmp_path: Path) -> None:
    file = tmp_path / "my (1) [x]" / "space.py"
    file.parent.mkdir()
    file.write_text(
        "class Made:\n    def __init__(self, width=1):\n        self.width = width\n"
        "    def suggest(self, trial):\n        return {}\n    def build(self, arch, task):\n        pass\n"
    )
    assert resolve("search_spaces", f"{file}:Made(width=3)").space.width == 3
    assert absolute("my (1) [x]/space.py:Made(width=3)", tmp_path) == f"{file}:Made(width=3)"
    assert space_in(file, f"{tmp_path}/old (2)/space.py:Made(width=3)") == f"{file}:Made(width=3)"
    assert space_in(file, "my_pkg.spaces:wide") == f"{file}:wide"


def test_a_baseline_whose_name_is_no_folder_s_is_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"baselines": {"../out": {"budget.trials": 1}}})
    assert "'../out' given as a name; write a name without '/'" in refused("search", study, "--run", tmp_path / "run")


def test_a_database_of_sqlite_takes_no_settings(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"record": f"sqlite:///{tmp_path}/a.db?timeout=3"})
    assert "AutoKD takes no settings after a question mark" in refused("search", study, "--run", tmp_path / "run")
    assert not list(tmp_path.glob("a.db*"))


def test_the_front_of_such_a_run_is_read(tmp_path: Path) -> None:
    search_study(small_study(**{"budget.trials": 1, "budget.reseeds": 0}), run=tmp_path / "keep?a")
    (tmp_path / "keep?a" / "front.json").unlink()
    assert load_front(tmp_path / "keep?a").trials["complete"] == 1
