"""Texts, tokenizers and settings that do not fit are refused in one line, and nothing is left behind."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pandas
import pytest
from command_line import refused_search
from test_task_texts import LABELS, ROWS, TEXTS, frame

ENTRY_POINTS = functools.cache(entry_points)
TEXT: dict[str, Any] = {"text": "text", "target": "label"}
TEACHER = {"sklearn": "sklearn.dummy:DummyClassifier"}


@pytest.fixture(autouse=True)
def _installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plug-ins are looked up once, because each look reads the metadata of every installed package."""
    monkeypatch.setattr("autokd.registry.lookup.entry_points", ENTRY_POINTS)


def refused(folder: Path, task: dict[str, Any], file: Path, **changes: Any) -> str:
    study = {"task": {"data": str(file), **task}, "teacher": TEACHER, "space": "text", **changes}
    return refused_search(folder, study)


def csv(folder: Path, **columns: Any) -> Path:
    frame().assign(**columns).to_csv(folder / "films.csv", index=False)
    return folder / "films.csv"


ROW: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no rows": (lambda at: written(at / "films.csv", "text,label\n"), "has the names of columns but no rows"),
    "an empty file": (lambda at: written(at / "films.csv", ""), "is empty; give a table"),
    "an empty file of JSON": (lambda at: written(at / "films.jsonl", "\n"), 'is empty; give a mapping {"column"'),
    "a line that is no JSON": (
        lambda at: written(at / "films.jsonl", '{"text": "a"}\n{"text": \n'),
        "has no JSON in line 2",
    ),
    "a line that is no mapping": (lambda at: written(at / "films.jsonl", "[1]\n"), "has no mapping in line 1"),
    "a text of 10 MB": (
        lambda at: csv(at, text=["x" * 10_000_000, *TEXTS[1:]]),
        "row 0 of 'text' in films has 10,000,000 characters, more than 1,000,000",
    ),
    "numbers": (lambda at: csv(at, text=range(ROWS)), "column 'text' of films holds numbers, such as '0'"),
    "numbers in JSON": (lambda at: lines(at, text=range(ROWS)), "holds no texts but values of type int64"),
    "a missing text": (lambda at: lines(at, text=[None, *TEXTS[1:]]), "row 0 of 'text' in films has no text"),
    "a list in a row": (lambda at: lines(at, text=[["a"], *TEXTS[1:]]), "row 0 of 'text' in films is of type list"),
    "one class": (lambda at: csv(at, label="good"), "needs two classes or more"),
    "a text for a target": (lambda at: csv(at, label=[f"{n} {t}" for n, t in enumerate(TEXTS)]), "are too many"),
    "a damaged folder": (lambda at: folder_with(at, "state.json", "{}"), "state.json has no list '_data_files'"),
    "a folder of other files": (
        lambda at: folder_with(at, "state.json", '{"_data_files": ["films/state.json"]}'),
        "state.json cannot be read",
    ),
    "a folder without a file": (
        lambda at: folder_with(at, "state.json", json.dumps({"_data_files": [{"filename": "data.arrow"}]})),
        "data.arrow cannot be read",
    ),
    "a folder without training rows": (
        lambda at: folder_with(at, "dataset_dict.json", json.dumps({"splits": ["test"]})),
        "has the splits test and none called train",
    ),
}


def written(file: Path, content: str) -> Path:
    file.write_text(content)
    return file


def lines(folder: Path, **columns: Any) -> Path:
    rows = frame().assign(**columns).to_dict("records")
    return written(folder / "films.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def folder_with(folder: Path, name: str, content: str) -> Path:
    (folder / "films").mkdir()
    written(folder / "films" / name, content)
    return folder / "films"


@pytest.mark.parametrize("what", ROW)
def test_rows_that_are_no_texts_to_learn_from_are_refused(tmp_path: Path, what: str) -> None:
    make, words = ROW[what]
    assert words in refused(tmp_path, TEXT, make(tmp_path))


TASK: dict[str, tuple[dict[str, Any], str]] = {
    "no such column": ({"text": "texts"}, "task.text: films has no column 'texts'; did you mean 'text'?"),
    "the target": ({"text": "label"}, "task.text: column 'label' is already used by task.target"),
    "two columns": ({"text": ["text", "author"]}, "task.text: ['text', 'author'] given; it should be text"),
    "no target": ({"target": None}, "it is not said what to learn from films"),
    "augmented texts": ({"augment": {"views": 2, "flip": True}}, "task.augment: this is not for texts"),
    "texts as categories": ({"categories": ["author"]}, "task.categories: this is not for texts"),
    "a reading of photos": ({"reading": {"size": 8}}, "task.reading: this is for folders of images"),
    "a reading of columns": ({"reading": {"columns": ["text"]}}, "task.reading: this is for tables"),
    "no column of texts": ({"text": None, "reading": {"length": 8}}, "name the column of texts of"),
    "no length": ({"reading": {"length": 0}}, "task.reading.length: 0 given"),
    "an empty list": ({"reading": {"length": []}}, "write one or more different choices"),
    "the same length twice": ({"reading": {"length": [8, 8]}}, "[8, 8] given; write one or more different choices"),
    "a word for a length": ({"reading": {"length": "short"}}, "task.reading.length: 'short' given"),
    "an unknown key": ({"reading": {"lenght": 8}}, "task.reading"),
    "a small vocabulary": ({"reading": {"vocabulary": 3}}, "task.reading.vocabulary: 3 is too small for wordpiece"),
    "a word for a vocabulary": (
        {"reading": {"vocabulary": "sen"}},
        "task.reading.vocabulary: 'sen' given; write a whole number >= 1 or, for a tokenizer in a file, seen",
    ),
    "a trained tokenizer trimmed": (
        {"reading": {"vocabulary": [100, "seen"]}},
        "'vocabulary: seen' trims a tokenizer that is in a file, and 'wordpiece' is trained on these texts",
    ),
    "few bytes": (
        {"reading": {"tokenizer": "bpe", "vocabulary": 200}},
        "write a whole number >= 258",
    ),
    "an unknown tokenizer": ({"reading": {"tokenizer": "wordpeice"}}, "wordpeice is neither a file nor a folder"),
}


@pytest.mark.parametrize("what", TASK)
def test_settings_that_do_not_fit_texts_are_refused(tmp_path: Path, what: str) -> None:
    task, words = TASK[what]
    assert words in refused(tmp_path, {**TEXT, **task}, csv(tmp_path))


FILES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "no tokenizer": ("tokenizer.json", "{}", {}, "tokenizer.json: it describes no tokenizer"),
    "no JSON": ("tokenizer.json", "tokens", {}, "describes no tokenizer"),
    "the configuration of a model": ("config.json", '{"model_type": "bert"}', {}, "has neither tokenizer.json nor"),
    "words of no model": ("vocab.txt", "hello\nworld\n", {}, "it has no token [UNK]"),
    "the vocabulary of another model": ("vocab.txt", "[PAD]\n[UNK]\nzebra\n", {}, "does not know 100% of the tokens"),
    "few tokens of a file": (
        "vocab.txt",
        "\n".join(["[PAD]", "[UNK]", *sorted(set(" ".join(TEXTS).split()))]),
        {"vocabulary": 1},
        "task.reading.vocabulary: 1 pieces are too few, because 2 must stay (special tokens and the characters of the "
        "texts); write a whole number >= 2, or seen",
    ),
    "no place for a text": (
        "vocab.txt",
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(" ".join(TEXTS).split()))]),
        {"length": [2, 8]},
        "task.reading.length: 2 leaves no place for a token of a text beside the special ones",
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_a_tokenizer_that_does_not_fit_is_refused(tmp_path: Path, what: str) -> None:
    name, content, reading, words = FILES[what]
    (tmp_path / "words").mkdir()
    written(tmp_path / "words" / name, content)
    task = {**TEXT, "reading": {"tokenizer": str(tmp_path / "words"), **reading}}
    assert words in refused(tmp_path, task, csv(tmp_path))


def test_a_space_for_other_rows_is_refused_for_texts(tmp_path: Path) -> None:
    assert "text" in refused(tmp_path, TEXT, csv(tmp_path), space="mlp")


def test_texts_from_python_that_do_not_fit_are_refused() -> None:
    from autokd.errors import InputError
    from autokd.tasks import from_texts

    for given, words in (
        ((TEXTS, LABELS[1:]), "has 79 values for 80 texts"),
        ((TEXTS, LABELS, TEXTS), "texts_test and y_test go together"),
        (("a text", LABELS), "texts_train: of type str"),
        ((TEXTS, "labels"), "y_train: of type str"),
        ((TEXTS, pandas.DataFrame({"text": [0, 1] * 40})), "two columns called 'text'"),
        ((TEXTS, [[0, 1], *[[1]] * 79]), "rows differ in their numbers of targets"),
    ):
        with pytest.raises(InputError, match=words):
            from_texts(*given)
    with pytest.raises(InputError, match="group has 1 values for 80 texts"):
        from_texts(TEXTS, LABELS, group=["a"])
