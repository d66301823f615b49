"""Tasks of tables: targets become heads, rows are split, and the folder holds it all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from people import INPUTS, people

from autokd.errors import InputError
from autokd.heads import heads_of
from autokd.tasks import TableTask, from_frame, load_task, open_task, save_task
from autokd.tasks.splits import SPLITS

OTHERS = ["rich", "hours", "tired", "old", "patient", "day"]


def task_of(target: Any = "rich", frame: pandas.DataFrame | None = None, **keys: Any) -> TableTask:
    """A task on the columns of INPUTS; all other columns that no key names are dropped."""
    frame = people() if frame is None else frame
    named = [target] if isinstance(target, str) else [*(target.values() if isinstance(target, dict) else target)]
    named = [name for each in named for name in ([each] if isinstance(each, str) else each)]
    kept = {*INPUTS, *named, *(keys.get(key) for key in ("group", "order", "split"))}
    drop = keys.pop("drop", [name for name in frame.columns if name not in kept])
    return from_frame(frame, target=target, drop=drop, **keys)


# What is learned


@pytest.mark.parametrize(
    ("target", "kinds"),
    [
        ("rich", {"": "classes"}),
        ("works", {"": "classes"}),
        ("hours", {"": "values"}),
        ("tired", {"": "classes"}),
        ("patient", {"": "values"}),
        (["tired", "old"], {"": "labels"}),
        (["hours", "age"], {"": "values"}),
        ({"answer": "rich"}, {"": "classes"}),
        (
            {"money": "rich", "time": ["hours"], "state": ["tired", "old"]},
            {"money": "classes", "time": "values", "state": "labels"},
        ),
    ],
    ids=str,
)
def test_kinds_of_targets_are_guessed(target: Any, kinds: dict[str, str]) -> None:
    frame = people()
    frame["age"] = frame["age"].fillna(40.5)
    task = task_of(target, frame)
    assert {name: head.kind for name, head in heads_of(task).items()} == kinds


def test_heads_override_the_guess() -> None:
    task = task_of("tired", heads={"kind": "values", "variance": True})
    assert heads_of(task)[""].shape == (2,)
    both = task_of({"a": "tired", "b": "old"}, heads={"b": "values"})
    assert [head.kind for head in heads_of(both).values()] == ["classes", "values"]


def test_targets_are_no_inputs_and_are_kept_in_the_users_unit() -> None:
    task = task_of("hours")
    assert [column.name for column in task.columns] == ["age", "age is missing", "town", "works"]
    assert "hours" not in task.raw(torch.tensor([0])).columns
    assert task.targets(torch.arange(240))[:, 0].numpy() == pytest.approx(people()["hours"].to_numpy())
    head = heads_of(task)[""]
    train = task.targets(task.splits["train"])
    assert head.from_units(train).mean().item() == pytest.approx(0, abs=1e-6)


def test_the_inputs_of_rows_are_what_the_reading_makes_of_raw_rows() -> None:
    task, frame = task_of(), people()
    rows = torch.tensor([7, 3, 0])
    assert torch.equal(task.reading.batch(task.raw(rows)), task.inputs(rows))
    assert torch.equal(task.reading.batch(frame.iloc[rows.numpy()]), task.inputs(rows))


def test_the_encoding_is_fitted_without_validation_test_and_reserve() -> None:
    task = task_of(rows=100)
    frame = people()
    seen = torch.cat([task.splits["train"], task.splits["transfer"]]).numpy()
    assert task.encoding.numbers[0].mean == pytest.approx(frame["age"].iloc[seen].mean())


def test_rows_without_a_target_join_the_transfer_set() -> None:
    frame = people()
    frame["rich"] = frame["rich"].where(frame.index >= 30, "?")
    frame["hours"] = frame["hours"].where(frame.index >= 20)
    task = task_of("rich", frame)
    assert task.splits["transfer"].tolist() == list(range(30))
    both = task_of({"money": "rich", "time": "hours"}, frame)
    assert both.splits["transfer"].tolist() == list(range(20))
    assert set(range(20, 30)) <= set(torch.cat([both.splits[name] for name in SPLITS]).tolist())


def test_the_log_tells_what_columns_are_taken_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "autokd"):
        task_of()
    assert "The target rich is taken for classes." in caplog.text
    assert "Columns: 1 of numbers (age); 2 of categories" in caplog.text


# Splits


def of_split(task: TableTask, values: pandas.Series) -> dict[str, set[Any]]:
    return {name: set(values.iloc[rows.numpy()]) for name, rows in task.splits.items()}


def assert_disjoint(sets: dict[str, set[Any]]) -> None:
    found = [each for values in sets.values() for each in values]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("target", ["rich", "hours", ["tired", "old"]], ids=str)
@pytest.mark.parametrize("keys", [{}, {"rows": 100, "labels": 0.5}, {"validation": 0.3, "test": 0.4}], ids=str)
def test_a_group_is_in_one_split_only(target: Any, keys: dict[str, Any]) -> None:
    task = task_of(target, group="patient", **keys)
    assert_disjoint(of_split(task, people()["patient"]))
    rows = sum(len(task.splits[name]) for name in SPLITS)
    assert rows == 240
    assert len(task.splits["test"]) == pytest.approx(240 * keys.get("test", 0.2), abs=20)
    assert "patient" not in [column.name for column in task.columns]


def test_groups_of_rows_without_a_target_do_not_join_the_transfer_set_of_what_is_held_out() -> None:
    frame = people()
    frame["rich"] = frame["rich"].where(frame.index % 5 > 0)
    task = task_of("rich", frame, group="patient")
    assert 0 < len(task.splits["transfer"]) < 48
    assert_disjoint(of_split(task, frame["patient"]))


@pytest.mark.parametrize("order", ["day", "hours"])
def test_rows_are_split_by_time(order: str) -> None:
    task = task_of(order=order)
    times = {name: sorted(values) for name, values in of_split(task, people()[order]).items() if values}
    assert times["train"][-1] < times["validation"][0]
    assert times["validation"][-1] < times["test"][0]
    assert len(task.splits["test"]) == 48


def test_rows_of_one_time_stay_together() -> None:
    frame = people()
    frame["week"] = frame.index // 7
    assert_disjoint(of_split(task_of(frame=frame, order="week"), frame["week"]))


def test_a_column_or_a_file_assigns_rows_to_splits(tmp_path: Path) -> None:
    frame = people()
    words = pandas.Series(np.array(["Train", "val", "test"])[np.minimum(frame.index % 5, 2)])
    by_column = task_of(frame=frame.assign(part=words), split="part")
    words.to_frame("part").to_csv(tmp_path / "parts.csv", index=False)
    by_file = task_of(frame=frame, split=str(tmp_path / "parts.csv"))
    for task in (by_column, by_file):
        assert task.splits["train"].tolist() == frame.index[words == "Train"].tolist()
        assert task.splits["validation"].tolist() == frame.index[words == "val"].tolist()
    without = task_of(frame=frame.assign(part=words.replace("val", "train")), split="part")
    assert len(without.splits["validation"]) == pytest.approx(0.2 * (words != "test").sum(), abs=1)


# The folder


@pytest.mark.parametrize("target", ["rich", "hours", {"money": "rich", "state": ["tired", "old"]}], ids=str)
def test_a_task_is_the_same_when_it_is_opened_from_its_folder(tmp_path: Path, target: Any) -> None:
    task = task_of(target, group="patient")
    there = save_task(task, tmp_path / "task")
    assert isinstance(there, TableTask)
    assert there.digest == task.digest
    assert there.encoding == task.encoding
    assert heads_of(there) == heads_of(task)
    rows = torch.tensor([0, 11, 5])
    assert torch.equal(there.inputs(rows), task.inputs(rows))
    pandas.testing.assert_frame_equal(there.raw(rows), task.raw(rows))
    assert there.groups is not None
    assert torch.equal(there.groups, task.groups)
    given, expected = there.targets(rows), task.targets(rows)
    for name in given if isinstance(given, dict) else ():
        assert torch.equal(given[name], expected[name])


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz", "people.parquet"])
def test_a_file_gives_the_task_of_the_frame(tmp_path: Path, name: str) -> None:
    frame = people()
    file = tmp_path / name
    frame.to_parquet(file) if file.suffix == ".parquet" else frame.to_csv(file, index=False)
    keys = {"target": "rich", "drop": [each for each in OTHERS if each != "rich"]}
    task = open_task({"data": str(file), **keys}, seed=0, folder=tmp_path / "task")
    direct = from_frame(frame, **keys)
    assert task.name == "people"
    assert torch.equal(task.inputs(torch.arange(240)), direct.inputs(torch.arange(240)))
    assert open_task({"data": str(file), **keys}, seed=0, folder=tmp_path / "task").digest == task.digest


def test_a_changed_file_is_refused_where_its_task_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    people().to_csv(file, index=False)
    spec = {"data": str(file), "target": "rich", "drop": ["hours", "day"]}
    open_task(spec, seed=0, folder=tmp_path / "task")
    people().assign(age=3).to_csv(file, index=False)
    with pytest.raises(InputError, match="holds the task of other data"):
        open_task(spec, seed=0, folder=tmp_path / "task")


@pytest.mark.parametrize("module", ["pandas.DataFrame", "pyarrow.table"])
def test_a_reference_may_give_a_frame(tmp_path: Path, module: str) -> None:
    (tmp_path / "mine.py").write_text(
        f"import pandas, pyarrow\ndef rows():\n    return {module}({{'a': range(3, 83), 'b': [0, 1] * 40}})\n",
        encoding="utf-8",
    )
    task = open_task({"data": f"{tmp_path}/mine.py:rows", "target": "b"}, seed=0, folder=tmp_path / "task")
    assert task.name == "rows"
    assert task.input_shape == (1,)


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    save_task(task_of(), tmp_path / "task")
    (tmp_path / "task" / "rows.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"rows\.parquet is not the file that was written"):
        load_task(tmp_path / "task")


@pytest.mark.parametrize(
    "change",
    [
        {"frame": people().assign(age=people()["age"] + 1e-9)},
        {"frame": people().assign(unused=3.5), "drop": ["hours", "tired", "old", "patient", "day", "unused"]},
        {"seed": 1},
        {"categories": ["age"]},
        {"target": "tired"},
    ],
    ids=["a value", "a column", "the seed", "a kind", "the target"],
)
def test_the_digest_changes_with_data_encoding_and_splits(change: dict[str, Any]) -> None:
    assert task_of().digest == task_of().digest
    assert task_of(**change).digest != task_of().digest


# What is refused


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"target": "wealth"}, r"task\.target: table has no column 'wealth'"),
        ({"target": "rihc"}, "did you mean 'rich'"),
        ({"target": []}, r"task\.target: it is not said what to learn from table; name a column; its columns are age"),
        ({"target": "rich", "drop": ["rich"]}, r"task\.drop: column 'rich' is already used by task\.target"),
        ({"target": "rich", "drop": ["agee"]}, r"task\.drop: table has no column 'agee'; did you mean 'age'"),
        ({"target": "rich", "group": "doctor"}, r"task\.group: table has no column 'doctor'"),
        ({"target": ["rich", "hours"]}, "some hold texts; write a mapping"),
        ({"target": {"a": "rich", "b": []}}, r"task\.target\.b: no column is named"),
        ({"target": "rich", "heads": "values"}, "which is no number; write numbers, or heads: classes"),
        ({"target": "hours", "heads": "classes"}, "240 classes in 240 rows, which are too many"),
        ({"target": "hours", "heads": "labels"}, "write 1 where a label holds"),
        ({"target": "rich", "heads": "positions"}, "a table has no positions"),
        ({"target": ["tired", "old"], "heads": "classes"}, "2 columns cannot be one class"),
        ({"target": {"a": "rich", "b": "hours"}, "heads": "values"}, "the data have the heads a, b"),
        ({"target": {"a": "rich", "b": "hours"}, "heads": {"c": "values"}}, "the data have no head 'c'"),
        ({"target": "rich", "split": "town"}, r"task\.split: row 0 of 'town' holds"),
        (
            {"target": "rich", "order": "town"},
            r"task\.order: column 'town' of table holds '\w+'; give numbers, or dates",
        ),
        ({"target": "rich", "order": "age"}, "is empty in row 0"),
        ({"target": "rich", "order": "day", "group": "patient"}, "by time or by task.group"),
        ({"target": "hours", "label_noise": 0.1}, r"task\.label_noise: this is for classes"),
        ({"target": "hours", "class_weights": "balanced"}, r"task\.class_weights: there is no head of classes"),
        ({"target": "rich", "test": 0.99, "group": "works"}, "group"),
        ({"target": "hours", "rows": 999}, r"task\.rows: 999 cannot be drawn from 154 rows; give a count of 1 to 154"),
        (
            {"target": "hours", "test": 0.999},
            r"task\.test: 0.999 of 240 rows, which is 240, cannot be drawn from 240 rows",
        ),
        ({"target": "rich", "split": "parts.csv"}, r"parts\.csv cannot be read"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_are_refused_in_one_line(keys: dict[str, Any], message: str) -> None:
    frame = people()
    keys = {"drop": ["day"] if keys.get("order") != "day" else [], **keys}
    with pytest.raises(InputError, match=message) as refused:
        from_frame(frame, **keys)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None] * 240, "empty in all rows"),
        (["?"] * 240, "empty in all rows"),
        ([float("nan")] * 240, "empty in all rows"),
        (["one"] * 240, "all training labels are one; classification needs two classes"),
        ([0.5] * 240, "is 0.5 in all rows of train"),
        ([0.5, float("inf")] * 120, "column 'y' of table is infinite in row 1"),
        (pandas.date_range("2026-01-01", periods=240), "give numbers, such as days"),
    ],
    ids=["none", "marks", "NaN", "one class", "one value", "infinity", "dates"],
)
def test_targets_from_which_nothing_can_be_learned_are_refused(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_frame(people()[INPUTS].assign(y=values), target="y")


def test_frames_that_are_no_table_are_refused() -> None:
    frame = people()[INPUTS]
    with pytest.raises(InputError, match="two columns called 'age'"):
        from_frame(pandas.concat([frame, frame], axis=1), target="town")
    with pytest.raises(InputError, match="2 lines of names"):
        from_frame(pandas.concat({"a": frame}, axis=1), target="town")
    with pytest.raises(InputError, match="has no rows"):
        from_frame(frame[:0], target="town")
    with pytest.raises(InputError, match=r"task\.max_gb"):
        from_frame(frame.assign(y=[0, 1] * 120), target="y", max_gb=1e-7)


def test_keys_of_arrays_and_of_tables_are_refused_where_they_do_nothing(tmp_path: Path) -> None:
    people().to_csv(tmp_path / "people.csv", index=False)
    with pytest.raises(InputError, match=r"task\.augment: this is for arrays"):
        open_task(
            {"data": str(tmp_path / "people.csv"), "target": "rich", "augment": {"flip": True}},
            seed=0,
            folder=tmp_path / "t",
        )
    with pytest.raises(InputError, match=r"task\.target: this is for tables"):
        open_task({"data": "digits", "target": "rich"}, seed=0, folder=tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_groups_that_straddle_given_splits_are_refused() -> None:
    frame = people()
    frame["part"] = np.where(frame.index % 2, "train", "test")
    with pytest.raises(InputError, match=r"task\.group: rows of '\d+' in column 'patient' are in train and in test"):
        task_of(frame=frame, group="patient", split="part")


def test_a_class_that_training_lacks_after_a_split_by_time_is_refused() -> None:
    frame = people()
    frame["rich"] = np.where(frame.index > 220, "very", frame["rich"])
    with pytest.raises(InputError, match=r"task\.order: no row of class 'very' is left in train"):
        task_of(frame=frame, order="day")


# What would silently be another table


def test_truth_values_that_are_partly_unknown_keep_their_names() -> None:
    rich = people()["rich"] == "yes"
    for known in (rich.astype("boolean"), rich.astype(object), rich.astype("bool[pyarrow]")):
        task = task_of(frame=people().assign(rich=known.where(known.index >= 9)))
        assert task.class_names == ("False", "True")
        assert task.splits["transfer"].tolist() == list(range(9))


def test_words_for_missing_are_no_numbers_and_may_be_a_class(caplog: pytest.LogCaptureFixture) -> None:
    hours = people()["hours"].astype(str).where(people().index >= 9, "NA")
    task = task_of("hours", people().assign(hours=hours))
    assert heads_of(task)[""].kind == "values"
    assert task.splits["transfer"].tolist() == list(range(9))
    frame = people().assign(rich=people()["rich"].where(people().index >= 9, "NA"))
    assert task_of(frame=frame).class_names == ("NA", "no", "yes")
    assert "Target 'rich' has a class called 'NA'. If no class is known there, write unlabelled: ['NA']." in caplog.text
    assert task_of(frame=frame, unlabelled=["NA"]).class_names == ("no", "yes")


def test_the_index_that_pandas_writes_without_a_name_is_no_input(tmp_path: Path) -> None:
    frame = people()[[*INPUTS, "rich"]].sample(frac=1, random_state=0)
    frame.to_csv(tmp_path / "people.csv")
    task = open_task({"data": str(tmp_path / "people.csv"), "target": "rich"}, seed=0, folder=tmp_path / "task")
    assert isinstance(task, TableTask)
    assert {column.name for column in task.columns} == {"age", "age is missing", "town", "works"}


def test_a_table_with_a_method_to_pandas_is_read() -> None:
    class Table:
        def to_pandas(self) -> pandas.DataFrame:
            return people()

    table: Any = Table()
    assert from_frame(table, target="rich", drop=OTHERS[1:]).digest == task_of().digest


def test_columns_named_by_numbers_are_read_again() -> None:
    frame = people()[[*INPUTS, "rich"]].set_axis(range(4), axis=1)
    task = from_frame(frame, target="3")
    assert torch.equal(task.reading.batch(frame), task.inputs(torch.arange(240)))


@pytest.mark.parametrize("values", ["durations", "Arrow lists", "lists"])
def test_columns_that_hold_no_numbers_or_texts_are_refused(values: str) -> None:
    import pyarrow

    column: dict[str, Any] = {
        "durations": pandas.to_timedelta(range(240), unit="s"),
        "Arrow lists": pandas.Series([[1]] * 240).astype(pandas.ArrowDtype(pyarrow.list_(pyarrow.int64()))),
        "lists": [[1]] * 240,
    }
    frame = people()[["rich", "town"]].assign(x=column[values])
    uses: list[dict[str, Any]] = [{"target": "rich"}, {"target": "x"}, {"target": "rich", "group": "x"}]
    for use in uses[:1] if values == "durations" else uses:
        with pytest.raises(InputError, match="column 'x'"):
            from_frame(frame, **use)
