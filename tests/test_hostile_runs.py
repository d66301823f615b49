"""A run folder that came from elsewhere may hold pipes, devices, links, and numbers and names that nobody measures."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import autokd, refused, write_study

from autokd import AutoKDError, load_front, trials_dataframe
from autokd.files import append_line, open_file


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    assert autokd("search", write_study(folder), "--run", folder / "run").code == 0
    return folder / "run"


@pytest.fixture
def run(searched: Path, tmp_path: Path) -> Path:
    return shutil.copytree(searched, tmp_path / "run")


def change(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads((run / "front.json").read_text())
    change(data)
    (run / "front.json").write_text(json.dumps(data))


def rename(run: Path, name: str) -> None:
    text = (run / "front.json").read_text().replace('"accuracy"', json.dumps(name))
    (run / "front.json").write_text(text)


def in_its_place(kind: str, path: Path) -> None:
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_neither_waited_for_nor_read_for_ever(kind: str, tmp_path: Path) -> None:
    in_its_place(kind, tmp_path / "file")
    with pytest.raises(OSError, match=r"not a regular file|No such device"):
        open_file(tmp_path / "file")
    with pytest.raises(OSError, match=r"not a regular file|No such device"):
        append_line(tmp_path / "file", "words")


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", ["record.lock", "record.db-wal", "task/x.npy"])
def test_a_pipe_or_a_device_in_a_run_hangs_no_command(run: Path, name: str, kind: str) -> None:
    in_its_place(kind, run / name)
    assert autokd("runs", run).code == 0
    if name == "record.db-wal":
        assert "not a regular file" in refused("clean", run, "--yes")
    if name.startswith("task"):
        assert "not a regular file" in refused("retrain", run, "--trial", str(load_front(run)[0].trial))


def test_a_pipe_in_place_of_a_student_s_answers_does_not_hang_what_loads_the_student(run: Path) -> None:
    for path in run.glob("trials/*/*/**/answers.safetensors"):
        in_its_place("pipe", path)
    with pytest.raises(AutoKDError):
        load_front(run)[0].load()


def test_a_record_that_says_to_be_larger_than_the_disk_is_not_copied(run: Path) -> None:
    os.truncate(run / "record.db", 2**43)
    assert "No space left" in refused("front", run)


def test_folders_with_names_that_no_driver_gives_are_passed_over(run: Path) -> None:
    trial = run / "trials" / f"{load_front(run)[0].trial:05d}"
    (trial / "attempt-x").mkdir()
    (trial / "attempt-0" / "epoch-y").mkdir()
    load_front(run)[0].load()


def test_clean_deletes_nothing_outside_the_run(run: Path, tmp_path: Path) -> None:
    shutil.move(run / "trials", tmp_path / "elsewhere")
    (run / "trials").symlink_to(tmp_path / "elsewhere")
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    assert "is a link" in refused("clean", run, "--yes")
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before


@pytest.mark.parametrize("part", ["spread", "test"])
def test_a_whole_number_that_no_float_holds_is_refused(run: Path, part: str) -> None:
    change(run, lambda data: data["front"][0].update({part: {"accuracy": 10**400}}))
    assert "front.json is damaged" in refused("front", run)


def test_json_on_stdout_has_null_for_what_is_no_number(run: Path) -> None:
    def spoil(data: dict[str, Any]) -> None:
        data["front"][0]["spread"] = {"accuracy": float("inf")}
        data["front"][0]["arch"]["\x7f"] = float("nan")

    change(run, spoil)
    printed = json.loads(autokd("front", run, "--json").out, parse_constant=pytest.fail)
    assert printed["front"][0]["spread"] == {"accuracy": None}
    assert printed["front"][0]["arch"]["\x7f"] is None


def test_a_front_beyond_what_axes_can_span_is_refused_and_a_notebook_shows_its_table(run: Path) -> None:
    change(run, lambda data: data["front"][0].update(values={"accuracy": 1e308, "parameters": 1e308}))
    assert "cannot be drawn" in refused("plot", run, run / "front.svg")
    assert "<svg" not in (load_front(run)._repr_html_() or "")


@pytest.mark.parametrize("name", ["a\ud800b", "a\x1b[31m\u202eb", "$\\frac{$", "a" * 100_000])
def test_a_name_of_any_letters_is_drawn_and_has_a_column_with_its_values(run: Path, name: str) -> None:
    rename(run, name)
    assert autokd("plot", run, run / "front.svg").code == 0
    table = load_front(run).to_dataframe()
    assert table.iloc[:, 1].notna().all()
    assert str(table)


def test_an_objective_of_odd_letters_has_a_column_of_trials(run: Path) -> None:
    setup = (run / "study.json").read_text()
    (run / "study.json").write_text(setup.replace('"accuracy"', '"acc\\u001b[31m"'))
    assert "acc\\x1b[31m" in trials_dataframe(run).columns


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["UPDATE trials SET number = '../../x' WHERE number = 2"], "no number"),
        (["UPDATE trials SET number = -5 WHERE number = 2"], "no number"),
        (
            [
                "ALTER TABLE trials RENAME TO kept",
                "CREATE VIEW trials AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "
                "SELECT kept.* FROM kept, r",
            ],
            "views or triggers",
        ),
    ],
)
def test_a_record_with_odd_numbers_or_code_in_it_is_refused(run: Path, statements: list[str], words: str) -> None:
    with sqlite3.connect(run / "record.db") as database:
        for statement in statements:
            database.execute(statement)
    database.close()
    (run / "front.json").unlink()
    assert words in refused("front", run)
    assert words in autokd("runs", run).out


@pytest.mark.parametrize("value", ["Infinity", "1" + "0" * 400])
def test_a_record_with_values_that_no_student_is_told_with_is_refused(run: Path, value: str) -> None:
    with sqlite3.connect(run / "record.db") as database:
        sql = "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'epoch 2'"
        database.execute(sql, [f'{{"accuracy": {value}}}'])
    database.close()
    (run / "front.json").unlink()
    assert "cannot be used as a record" in refused("front", run)
    assert "cannot be used as a record" in refused("report", run)
