"""Tasks in which students see some columns of a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from people import people

from autokd.errors import InputError
from autokd.tasks import TableTask, from_frame, load_task, open_task, save_task

DROP = ["hours", "tired", "old", "patient", "day"]


def task_of(*columns: str) -> TableTask:
    reading = {"columns": list(columns)} if columns else None
    return from_frame(people(), target="rich", drop=DROP, reading=reading)


def test_a_column_becomes_the_same_features_whichever_other_columns_are_read() -> None:
    whole, rows = task_of(), torch.arange(240)
    for names in (["age"], ["town"], ["works", "age"]):
        seen = task_of(*names)
        wanted = [i for column in whole.columns for i in range(column.start, column.stop) if column.name in _and(names)]
        assert torch.equal(seen.inputs(rows), whole.inputs(rows)[:, wanted])
        assert all(torch.equal(seen.splits[split], whole.splits[split]) for split in whole.splits)


def _and(names: list[str]) -> list[str]:
    return [*names, *(f"{name} is missing" for name in names)]


@pytest.mark.parametrize(
    ("patterns", "read"),
    [
        (["age"], ("age",)),
        (["town", "age"], ("age", "town")),
        (["t*"], ("town",)),
        (["[aw]*"], ("age", "works")),
        (["*n", "town"], ("town",)),
    ],
    ids=["a name", "in the order of the table", "a pattern", "a set of letters", "twice"],
)
def test_columns_are_named_or_matched(patterns: list[str], read: tuple[str, ...]) -> None:
    task = task_of(*patterns)
    assert task.encoding.names == read
    assert tuple(task.raw(torch.arange(3)).columns) == read
    assert task.input_shape == (task.columns[-1].stop,)


def test_a_name_that_is_no_pattern_is_a_name() -> None:
    frame = people().rename(columns={"age": "age [years]"})
    task = from_frame(frame, target="rich", drop=DROP, reading={"columns": ["age [years]"]})
    assert task.encoding.names == ("age [years]",)


def test_all_columns_are_the_task_without_a_reading() -> None:
    whole, all_columns = task_of(), task_of("*")
    assert all_columns.digest == whole.digest
    assert task_of("age").seen_through({"columns": ["*"]}).digest == whole.digest
    assert task_of("age").seen_through({}).encoding.names == ("age",)


def test_the_digest_tells_which_columns_are_read_and_not_how_they_were_written() -> None:
    assert task_of("age").digest == task_of("a*").digest == task_of("town").seen_through({"columns": ["age"]}).digest
    assert len({task_of(*columns).digest for columns in ([], ["age"], ["town"], ["age", "town"])}) == 4


def test_a_task_of_some_columns_is_opened_from_its_folder_with_all_columns_to_be_seen(tmp_path: Path) -> None:
    task = task_of("age")
    there = save_task(task, tmp_path / "task")
    assert isinstance(there, TableTask)
    assert (there.digest, there.encoding, there.whole) == (task.digest, task.encoding, task.whole)
    assert torch.equal(there.inputs(torch.arange(9)), task.inputs(torch.arange(9)))
    other = there.seen_through({"columns": ["town", "works"]})
    assert other.digest == task_of("town", "works").digest
    assert torch.equal(other.inputs(torch.arange(240)), task_of("town", "works").inputs(torch.arange(240)))


def test_a_folder_of_a_table_whose_columns_are_all_read_has_no_new_key(tmp_path: Path) -> None:
    save_task(task_of(), tmp_path / "task")
    assert "all_columns" not in json.loads((tmp_path / "task" / "task.json").read_text())


def test_a_study_says_which_columns_students_see(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    people().to_csv(tmp_path / "people.csv", index=False)
    spec = {"data": str(tmp_path / "people.csv"), "target": "rich", "drop": DROP, "reading": {"columns": ["t*", "age"]}}
    with caplog.at_level("INFO", logger="autokd"):
        task = open_task(spec, seed=0, folder=tmp_path / "task")
    assert "Students see 2 of 3 columns: age and town." in caplog.text
    assert isinstance(task, TableTask)
    assert task.encoding.names == ("age", "town")
    assert open_task(spec, seed=0, folder=tmp_path / "task").digest == task.digest
    with pytest.raises(InputError, match="holds the task of other settings: reading"):
        open_task({**spec, "reading": {"columns": ["age"]}}, seed=0, folder=tmp_path / "task")


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (
            {"columns": ["agee"]},
            r"task.reading.columns: no column .* matches 'agee'; did you mean 'age'\?; name",
        ),
        ({"columns": ["age", "x*"]}, r"matches 'x\*'; name some of age, town and works"),
        ({"columns": ["day"]}, "matches 'day'"),
        ({"columns": ["rich"]}, "matches 'rich'"),
        ({"columns": []}, r"task.reading.columns: \[\] given; it should be a list of one or more"),
        ({"columns": [3]}, "task.reading.columns.0: 3 given; it should be text"),
        ({"columns": ["age"], "size": 3}, "this is for folders of images|there is no such key"),
        ({"size": 8}, "task.reading.size: table is a table, which is read by columns"),
        ({"colums": ["age"]}, "a mapping with one of the keys size, columns"),
    ],
    ids=["misspelt", "no match", "dropped", "a target", "none", "a number", "two forms", "a size", "no form"],
)
def test_columns_that_cannot_be_meant_are_refused_in_one_line(reading: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        from_frame(people(), target="rich", drop=DROP, reading=reading)
    assert "\n" not in str(refused.value)


def test_columns_of_data_that_are_no_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"task\.reading: this is for tables, and digits has none; leave it out"):
        open_task({"data": "digits", "reading": {"columns": ["a"]}}, seed=0, folder=tmp_path / "task")
    assert not (tmp_path / "task").exists()


def test_a_folder_of_an_earlier_version_can_be_seen_through_some_of_its_columns(tmp_path: Path) -> None:
    save_task(task_of(), tmp_path / "task")
    seen = load_task(tmp_path / "task").seen_through({"columns": ["town"]})
    assert seen.digest == task_of("town").digest
