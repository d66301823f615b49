"""Tasks of texts: from files, from folders of the library datasets and from Python; what is read and what is kept."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from pyarrow import ipc

from autokd.errors import InputError
from autokd.tasks import TextTask, from_texts, load_task, open_task, save_task
from autokd.tasks.rows import with_reserve

GOOD, BAD = ["good", "great", "lovely", "fine"], ["bad", "dull", "awful", "poor"]
ROWS = 80


def sentence(row: int) -> str:
    words = GOOD if row % 2 else BAD
    return " ".join(["the film is", *(words[(row // 2 + step) % 4] for step in range(1 + row % 7))])


TEXTS = [sentence(row) for row in range(ROWS)]
LABELS = ["good" if row % 2 else "bad" for row in range(ROWS)]


def frame() -> pandas.DataFrame:
    texts = ["", "NA", *TEXTS[2:]]
    return pandas.DataFrame({"text": texts, "label": LABELS, "author": [f"a{row // 8}" for row in range(ROWS)]})


def opened(data: Path, folder: Path, **settings: Any) -> TextTask:
    task = open_task({"data": str(data), "text": "text", "target": "label", **settings}, seed=0, folder=folder)
    assert isinstance(task, TextTask)
    return task


def written(name: str, folder: Path) -> Path:
    file, table = folder / name, frame()
    if name.endswith(".parquet"):
        table.to_parquet(file)
    elif ".jsonl" in name:
        lines = "".join(json.dumps(row) + "\n" for row in table.to_dict("records"))
        file.write_bytes(gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode())
    else:
        table.to_csv(file, index=False, sep="\t" if ".tsv" in name else ",")
    return file


def test_each_file_of_the_same_texts_gives_the_same_task(tmp_path: Path) -> None:
    names = ["a.csv", "a.csv.gz", "a.tsv", "a.parquet", "a.jsonl", "a.jsonl.gz"]
    tasks = [opened(written(name, tmp_path), tmp_path / f"task of {name}") for name in names]
    assert len({task.digest for task in tasks}) == 1
    assert tasks[0].raw(torch.tensor([0, 1, 5])) == ["", "NA", TEXTS[5]]
    assert tasks[0].class_names == ("bad", "good")


def saved(folder: Path, rows: pandas.DataFrame, features: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    table = pyarrow.Table.from_pandas(rows, preserve_index=False)
    with (
        pyarrow.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
        ipc.new_stream(sink, table.schema) as out,
    ):
        out.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))


def numbered(rows: pandas.DataFrame) -> pandas.DataFrame:
    return rows.assign(label=[["bad", "good"].index(label) for label in rows["label"]])


CLASSES = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["bad", "good"], "_type": "ClassLabel"}}


def test_a_folder_that_the_library_datasets_saved_is_read_with_its_class_names(tmp_path: Path) -> None:
    saved(tmp_path / "data", numbered(frame()), CLASSES)
    task = opened(tmp_path / "data", tmp_path / "task")
    assert task.digest == opened(written("a.csv", tmp_path), tmp_path / "other").digest


def test_the_splits_of_a_saved_folder_are_used_and_one_without_labels_is_drawn_anew(tmp_path: Path) -> None:
    rows = numbered(frame())
    saved(tmp_path / "data" / "train", rows[:60], CLASSES)
    saved(tmp_path / "data" / "validation", rows[60:], CLASSES)
    saved(tmp_path / "data" / "test", rows[:9].assign(label=-1), CLASSES)
    saved(tmp_path / "data" / "unsupervised", rows[:5].assign(label=-1), CLASSES)
    (tmp_path / "data" / "dataset_dict.json").write_text(
        json.dumps({"splits": ["train", "validation", "test", "unsupervised"]})
    )
    task = opened(tmp_path / "data", tmp_path / "task")
    assert len(task.splits["validation"]) == 20
    assert len(task.splits["transfer"]) == 5
    assert len(task.splits["test"]) + len(task.splits["train"]) == 60


def test_texts_from_python_are_those_of_a_file(tmp_path: Path) -> None:
    task = from_texts(frame()["text"], frame()["label"])
    assert task.digest == opened(written("a.csv", tmp_path), tmp_path / "task").digest
    lists = from_texts(list(frame()["text"]), np.array(LABELS))
    assert lists.digest == task.digest


def test_test_texts_groups_and_heads_may_be_given_from_python() -> None:
    sizes = {"kind": LABELS[:60], "size": np.array([len(text) / 3 for text in TEXTS[:60]])}
    others = {"kind": LABELS[60:], "size": np.array([len(text) / 3 for text in TEXTS[60:]])}
    task = from_texts(TEXTS[:60], sizes, TEXTS[60:], others)
    assert task.splits["test"].tolist() == [*range(60, 80)]
    assert {name: head.kind for name, head in task.heads.items()} == {"kind": "classes", "size": "values"}
    held = from_texts(TEXTS, LABELS, group=frame()["author"])
    assert held.groups is not None
    parts = [set(held.groups[rows].tolist()) for rows in held.splits.values()]
    assert sum(map(len, parts)) == 10


def test_inputs_are_ids_of_the_longest_text_of_a_batch_and_those_of_the_reading() -> None:
    task = from_texts(TEXTS, LABELS, reading={"length": 6, "vocabulary": 60})
    rows = torch.tensor([0, 6, 79])
    inputs = task.inputs(rows)
    assert inputs.dtype == torch.int64
    assert inputs.shape == (3, 6)
    assert inputs.max() < task.vocabulary
    assert inputs.equal(task.reading.batch(task.raw(rows)))
    assert task.inputs(rows[:1]).equal(inputs[:1, : int((inputs[0] != 0).sum())])
    assert task.example(2).shape == (2, 6)


def test_a_saved_task_is_the_same_in_another_process_and_damage_is_said(tmp_path: Path) -> None:
    task = save_task(from_texts(TEXTS, LABELS, reading={"length": 6, "vocabulary": [40, 60]}), tmp_path / "task")
    there = load_task(tmp_path / "task")
    assert isinstance(there, TextTask)
    assert there.digest == task.digest
    assert there.readings == {"vocabulary": (40, 60)}
    rows = torch.arange(9)
    assert there.inputs(rows).equal(task.inputs(rows))
    assert there.raw(rows) == task.raw(rows)
    with (tmp_path / "task" / "tokens-wordpiece-60.flat.npy").open("ab") as file:
        file.write(b"x")
    again = load_task(tmp_path / "task")
    with pytest.raises(InputError, match=r"tokens-wordpiece-60\.flat\.npy is not the file that was written"):
        again.inputs(rows)


def test_another_choice_changes_nothing_of_the_others(tmp_path: Path) -> None:
    file, rows = written("a.csv", tmp_path), torch.arange(ROWS)
    few = opened(file, tmp_path / "few", reading={"length": [4, 8], "vocabulary": [40]})
    many = opened(file, tmp_path / "many", reading={"length": [16, 4, 8], "vocabulary": [60, 40]})
    widened = opened(file, tmp_path / "few", reading={"length": [4, 8, 16], "vocabulary": [40, 60]})
    assert few.digest == many.digest == widened.digest
    for length in (4, 8):
        one, other = (task.seen_through({"length": length, "vocabulary": 40}) for task in (few, many))
        assert one.digest == other.digest
        assert one.inputs(rows).equal(other.inputs(rows))
    one, other = (task.seen_through({"length": 16, "vocabulary": 60}) for task in (widened, many))
    assert one.digest == other.digest
    alone = opened(file, tmp_path / "alone", reading={"length": 4, "vocabulary": 40})
    assert alone.digest == few.seen_through({"length": 4, "vocabulary": 40}).digest


def test_a_tokenizer_is_trained_on_train_and_transfer_rows_only() -> None:
    split = from_texts(TEXTS[:60], LABELS[:60], [f"zzz {text}" for text in TEXTS[60:]], LABELS[60:])
    assert "z" not in split.reading.tokens.tokenizer.get_vocab()
    left_out = from_texts(TEXTS, LABELS, rows=20)
    assert len(left_out.splits["reserve"])
    seen: Any = with_reserve(left_out)
    assert seen.reading == left_out.reading
    assert seen.seen_through({"vocabulary": 40}).reading == left_out.seen_through({"vocabulary": 40}).reading


def test_a_teacher_may_have_another_tokenizer_and_keeps_what_it_does_not_name() -> None:
    task = from_texts(TEXTS, LABELS, reading={"length": 6, "vocabulary": 60})
    other = task.seen_through({"tokenizer": "bpe", "vocabulary": 300})
    assert other.input_shape == (6,)
    assert other.vocabulary > task.vocabulary
    assert other.digest != task.digest
    assert task.seen_through({"length": 9}).reading.tokens == task.reading.tokens
    with pytest.raises(InputError, match="length: it is searched"):
        from_texts(TEXTS, LABELS, reading={"length": [4, 8]}).seen_through({"vocabulary": 60})


def test_a_tokenizer_in_a_file_is_kept_with_the_task(tmp_path: Path) -> None:
    words = from_texts(TEXTS, LABELS, reading={"vocabulary": 60})
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "tokenizer.json").write_text(words.reading.tokens.json)
    file = written("a.csv", tmp_path)
    task = opened(file, tmp_path / "task", reading={"tokenizer": str(tmp_path / "words"), "length": [4, 8]})
    assert task.readings == {"length": (4, 8)}
    shutil.rmtree(tmp_path / "words")
    there: Any = load_task(tmp_path / "task")
    seen = there.seen_through({"length": 4})
    assert seen.inputs(torch.arange(9)).equal(task.seen_through({"length": 4}).inputs(torch.arange(9)))


def test_a_changed_text_is_another_task(tmp_path: Path) -> None:
    file = written("a.csv", tmp_path)
    opened(file, tmp_path / "task")
    file.write_text(file.read_text().replace("lovely", "lovely!"))
    with pytest.raises(InputError, match="holds the task of other data"):
        opened(file, tmp_path / "task")


def test_a_quote_that_swallows_lines_of_a_table_with_tabs_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"{text}\t{label}" for text, label in zip(TEXTS, LABELS, strict=True)]
    rows[4], rows[7] = f'" {rows[4]}', f'"{rows[7]}'
    (tmp_path / "a.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    task = opened(tmp_path / "a.tsv", tmp_path / "task")
    assert task.num_rows < ROWS
    assert "hold line breaks in 1 rows, such as row 4" in caplog.text


def test_half_of_a_surrogate_pair_is_read_as_a_question_mark(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(TEXTS, LABELS, strict=True)]
    lines[0] = lines[0].replace("the film", "\\ud800 film")
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert from_texts(["\ud800", *TEXTS[1:]], LABELS).raw(torch.tensor([0])) == ["?"]
    assert opened(tmp_path / "a.jsonl", tmp_path / "task").raw(torch.tensor([0]))[0].startswith("? film")


def test_the_log_says_how_long_texts_are_and_what_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = opened(written("a.csv", tmp_path), tmp_path / "task", reading={"length": [4, 64], "vocabulary": 60})
    assert "80 texts of 7 tokens in the median and 10 at most" in task.summary()
    assert "of which are cut: 84% at 4 tokens and 0% at 64 tokens" in task.summary()
    assert "Students read 'text' only. Other columns are left out: author." in caplog.text
    assert "Texts that are empty: 1." in caplog.text
