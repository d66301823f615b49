"""Tables, splits, heads and teachers that do not fit are refused in one line before a teacher is fitted."""

from __future__ import annotations

import functools
import gzip
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from command_line import LEFT_OUT, refused_search
from people import people

ROWS = 240
DROP = ["hours", "tired", "old", "patient", "day"]
CLASSIFIER = {"sklearn": "sklearn.ensemble:HistGradientBoostingClassifier", "args": {"max_iter": 3}}
REGRESSOR = {"sklearn": "sklearn.ensemble:HistGradientBoostingRegressor", "args": {"max_iter": 3}}
BY_HEAD = {"heads": {"money": CLASSIFIER, "time": REGRESSOR}}
ONE: dict[str, Any] = {"target": "rich", "drop": DROP}
VALUES: dict[str, Any] = {"target": "hours", "drop": ["rich", *DROP[1:]]}
TWO: dict[str, Any] = {"target": {"money": "rich", "time": "hours"}, "drop": DROP[1:]}
RMSE: dict[str, Any] = {"rmse": {}, "parameters": {}}
OF_TWO: dict[str, Any] = {"money.accuracy": {}, "time.rmse": {}}
ENTRY_POINTS = functools.cache(entry_points)
PARTS = np.array(["train", "validation", "test"])[np.arange(ROWS) % 3]


def csv(frame: pandas.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


@pytest.fixture(autouse=True)
def _installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plug-ins are looked up once, because each look reads the metadata of every installed package."""
    monkeypatch.setattr("autokd.registry.lookup.entry_points", ENTRY_POINTS)


def refused(folder: Path, task: dict[str, Any], content: bytes | None = None, **changes: Any) -> str:
    """The one line with which a search on a table is refused; nothing is left behind and no teacher is fitted."""
    file = folder / changes.pop("file", "people.csv")
    file.write_bytes(csv(people()) if content is None else content)
    study = {"task": {"data": str(file), **task}, "teacher": CLASSIFIER, "space": "mlp", **changes}
    return refused_search(folder, study)


FILES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "no Parquet": ("people.parquet", lambda table: table, "cannot be read as Parquet"),
    "no gzip": ("people.csv.gz", lambda table: table, "cut short or not of the kind its name says"),
    "a cut gzip": ("people.csv.gz", lambda table: gzip.compress(table)[:-99], "cut short or not of the kind"),
    "a spreadsheet": ("people.csv", lambda _: b"PK\x03\x04" + bytes(range(256)), "save the table as CSV in UTF-8"),
    "a cut line": ("people.csv", lambda table: table[:-40], "values in line 241; the file may be cut short"),
    "an open quote": ("people.csv", lambda table: table + b'"1,2\n', "EOF inside string"),
    "a title": ("people.csv", lambda table: b"Census\n" + table, "no line before the one with the names"),
    "a title in a cell": ("people.csv", lambda table: b"Census,,,,,,,,\n" + table, "has no column 'rich'"),
    "semicolons without names": ("people.csv", lambda _: b"1;2\n3;4\n", "has no column 'rich'"),
    "blank lines": ("people.csv", lambda _: b"\n\n\n", "is empty; give a table"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_holds_no_table_is_refused(tmp_path: Path, what: str) -> None:
    name, damage, words = FILES[what]
    assert words in refused(tmp_path, ONE, damage(csv(people())), file=name)


COLUMNS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a target that is dropped": ({}, {**ONE, "drop": ["rich"]}, "task.drop: column 'rich' is already used by"),
    "an empty target": ({}, {**ONE, "target": ""}, "it is not said what to learn from people; name a column"),
    "no column in a list": ({}, {**ONE, "target": []}, "it is not said what to learn from people; name a column"),
    "targets of marks": ({"rich": "?"}, ONE, "column 'rich' of people is empty in all rows"),
    "targets of one value": ({"hours": 3.5}, VALUES, "'hours' is 3.5 in all rows of train"),
    "an infinite target": (
        {"hours": np.where(np.arange(ROWS) == 4, np.inf, 1)},
        VALUES,
        "'hours' of people is infinite in row 4",
    ),
    "a date as target": ({}, {"target": "day"}, "column 'day' of people holds dates, such as '2026-01-01'"),
    "a key as target": (
        {"key": [f"k{row}" for row in range(ROWS)]},
        {**ONE, "target": "key"},
        "column 'key' of people has 240 classes in 240 rows, which are too many",
    ),
    "an infinite number": ({"age": np.where(np.arange(ROWS) == 4, np.inf, 1)}, ONE, "'age': row 4 is infinite"),
    "a huge number": ({"age": np.where(np.arange(ROWS) % 2, 1e300, -1e300)}, ONE, "numbers as large as 1e+300"),
    "nothing but targets": ({}, {"target": "rich", "drop": [*DROP, "age", "town", "works"]}, "no column left"),
    "nothing but an index": (
        {"n": range(ROWS)},
        {"target": "rich", "drop": [*DROP, "age", "town", "works"]},
        "no column left to learn from: Column 'n' counts the rows",
    ),
    "numbers with commas": ({"age": ["1,500"] * ROWS}, ONE, "leave out commas between thousands"),
    "a number that is none": ({}, {**ONE, "numbers": ["agee"]}, "task.numbers: people has no column 'agee' among"),
    "a category that is the target": ({}, {**ONE, "categories": ["rich"]}, "no column 'rich' among its inputs"),
    "labels of texts": ({}, {**ONE, "heads": "labels"}, "write 1 where a label holds, 0 where it does not"),
    "labels of fractions": ({}, {**VALUES, "heads": "labels"}, "write 1 where a label holds, 0 where it does not"),
    "values of texts": ({}, {**ONE, "heads": "values"}, "'yes', which is no number"),
    "positions": ({}, {**ONE, "heads": "positions"}, "a table has no positions"),
    "variance of classes": ({}, {**ONE, "heads": {"kind": "classes", "variance": True}}, "'variance' is for values"),
    "noise on values": ({}, {**VALUES, "label_noise": 0.2}, "task.label_noise: this is for classes"),
    "weights of classes of values": ({}, {**VALUES, "class_weights": "balanced"}, "there is no head of classes"),
    "augmented rows": ({}, {**ONE, "augment": {"views": 2, "flip": True}}, "task.augment: this is for arrays"),
}


@pytest.mark.parametrize("what", COLUMNS)
def test_columns_that_do_not_fit_are_refused(tmp_path: Path, what: str) -> None:
    columns, task, words = COLUMNS[what]
    assert words in refused(tmp_path, task, csv(people().assign(**columns)))


SPLITS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "an unknown word": (np.where(np.arange(ROWS) == 7, "holdout", PARTS), {"split": "by"}, "row 7 of 'by' holds 'hol"),
    "no word": (np.where(np.arange(ROWS) == 7, "", PARTS), {"split": "by"}, "row 7 of 'by' holds nothing"),
    "no training row": ("test", {"split": "by"}, "no row of 'by' is for train"),
    "no such column": (0, {"split": "bye"}, "people has no column 'bye'; did you mean 'by'?"),
    "a text as split": (0, {"split": "./parts.txt"}, "parts.txt is no table; give a column, or a .csv or .parquet"),
    "one group": ("a", {"group": "by"}, "0.2 cannot be drawn from 240 rows of 1 group(s) of 'by'"),
    "two groups": (np.arange(ROWS) % 2, {"group": "by"}, "cannot be drawn from 120 rows of 1 group(s)"),
    "no group": (np.nan, {"group": "by"}, "task.group: column 'by' is empty in all rows"),
    "a group as target": (0, {"group": "rich"}, "column 'rich' is already used by task.target"),
    "texts as times": (people()["town"].fillna("x"), {"order": "by"}, "holds 'x'; give numbers, or dates written as"),
    "a time that is missing": (np.where(np.arange(ROWS) == 7, "", PARTS), {"order": "by"}, "task.order: column 'by'"),
    "an impossible date": (np.where(np.arange(ROWS) == 7, "2026-13-45", "2026-12-31"), {"order": "by"}, "is no date"),
    "one time": (1, {"order": "by"}, "the last 0.2 of 240 rows by 'by' leave no earlier ones"),
    "later rows as transfer": (
        np.arange(ROWS),
        {"order": "by", "labels": 100, "validation_from": "labels"},
        "with task.order, validation rows are the last ones of all rows",
    ),
}


@pytest.mark.parametrize("what", SPLITS)
def test_splits_that_cannot_be_are_refused(tmp_path: Path, what: str) -> None:
    by, keys, words = SPLITS[what]
    assert words in refused(tmp_path, {**ONE, **keys}, csv(people().assign(by=by)))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pandas.DataFrame({"part": PARTS[:50]}), "has 1 column(s) of 50 rows, and people has 240 rows"),
        (pandas.DataFrame({"part": PARTS, "other": PARTS}), "has 2 column(s) of 240 rows"),
        (pandas.DataFrame({"part": ["test"] * ROWS}), "is for train"),
    ],
    ids=["rows", "columns", "words"],
)
def test_a_file_of_splits_for_other_rows_is_refused(tmp_path: Path, frame: pandas.DataFrame, words: str) -> None:
    (tmp_path / "parts.csv").write_bytes(csv(frame))
    assert words in refused(tmp_path, {**ONE, "split": str(tmp_path / "parts.csv")})


def test_a_group_in_two_splits_is_refused(tmp_path: Path) -> None:
    table = csv(people().assign(by=PARTS, pair=np.arange(ROWS) // 2))
    words = "rows of '0' in column 'pair' are in train and in validation"
    assert words in refused(tmp_path, {**ONE, "split": "by", "group": "pair"}, table)


HEADS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an objective of classes for values": (
        VALUES,
        {"teacher": REGRESSOR, "objectives": {"accuracy": {}, "flops": {}}},
        "objectives.accuracy: accuracy is for classes and labels and positions, and the task's answers are values",
    ),
    "an objective of values for classes": (ONE, {"objectives": RMSE}, "rmse is for values, and the task's answers are"),
    "an unknown head in an objective": (
        TWO,
        {"objectives": {"mony.accuracy": {}, "time.rmse": {}}},
        "the task has the heads money, time; write money.accuracy",
    ),
    "an objective of another head": (
        TWO,
        {"objectives": {"time.accuracy": {}, "parameters": {}}},
        "and head 'time' answers with values; write one of time.mae",
    ),
    "a cost of a head": (TWO, {"objectives": {"money.parameters": {}, "time.rmse": {}}}, "is not measured on a head"),
    "a head where there is one": (ONE, {"objectives": {"money.accuracy": {}, "flops": {}}}, "the task has one head"),
    "a kind of another head": ({**TWO, "heads": {"mony": "classes"}}, {}, "the data have no head 'mony'"),
    "one kind for two heads": ({**TWO, "heads": "values"}, {}, "the data have the heads money, time"),
    "a head without columns": ({**TWO, "target": {"money": "rich", "time": []}}, {}, "task.target.time: no column"),
    "a head without a name": ({**TWO, "target": {"": "rich", "time": "hours"}}, {}, "a head is called ''"),
    "a head with a dot": ({**TWO, "target": {"mo.ney": "rich", "time": "hours"}}, {}, "a head is called 'mo.ney'"),
    "a column of two heads": ({**TWO, "target": {"a": "rich", "b": "rich"}}, {}, "already used by task.target"),
    "weights that sum to nothing": (TWO, {"recipe": {"head_weights": {"money": 0, "time": 0}}}, "are 0, so nothing"),
    "a negative weight": (TWO, {"recipe": {"head_weights": {"money": -1, "time": 2}}}, "should be 0 or more"),
    "a weight of an unknown head": (
        TWO,
        {"recipe": {"head_weights": {"money": 1, "tim": 1}}},
        "the task has no head 'tim'; its heads are money, time; did you mean 'time'?",
    ),
    "uncertainty of one head": (ONE, {"recipe": {"head_weights": "uncertainty"}}, "the task has one head"),
    "a space that reads photos": (ONE, {"space": "resnet"}, "these installed spaces can read the task: mlp, table"),
}


@pytest.mark.parametrize("what", HEADS)
def test_heads_that_do_not_fit_are_refused(tmp_path: Path, what: str) -> None:
    task, changes, words = HEADS[what]
    teacher = BY_HEAD if isinstance(task["target"], dict) else CLASSIFIER
    objectives = OF_TWO if isinstance(task["target"], dict) else LEFT_OUT
    assert words in refused(tmp_path, task, **{"teacher": teacher, "objectives": objectives, **changes})


TEACHERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a model of other columns": (ONE, "of_other_columns", "was fitted on column 'income', which the table lacks"),
    "a model of the target": (ONE, "of_the_target", "was fitted on column 'rich', which the table lacks, has as"),
    "a model of an array": (ONE, "of_an_array", "was fitted on an array, which does not tell which columns"),
    "a model of other classes": (ONE, "of_other_classes", "knows 2 classes (ja, nein), but task 'people' has 2"),
    "a fitted regressor": (ONE, "of_values", "is a regressor, and the task has classes; give a classifier"),
    "a fitted classifier": (VALUES, "of_classes", "is no regressor, and the task has values; give a regressor"),
    "a model of two values": (VALUES, "of_two_values", "gives 2 numbers in a row for 1 value(s), hours"),
    "a pipeline of other columns": (ONE, "not_fitted", "cannot be fitted"),
}
MODELS = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from people import INPUTS, people
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier
rows = people()
def pipeline(model, *names):
    return make_pipeline(make_column_transformer((OneHotEncoder(handle_unknown="ignore"), list(names))), model)
of_other_columns = pipeline(DecisionTreeClassifier(), "town").fit(rows[["town"]].assign(income=1), rows.rich)
of_the_target = pipeline(DecisionTreeClassifier(), "rich").fit(rows[["rich"]], rows.rich)
of_an_array = DecisionTreeClassifier().fit(rows[["old", "tired"]].to_numpy(), rows.rich)
german = rows.rich.map({{"yes": "ja", "no": "nein"}})
of_other_classes = pipeline(DecisionTreeClassifier(), "town").fit(rows[INPUTS], german)
of_values = pipeline(Ridge(), "town").fit(rows[INPUTS], rows.hours)
of_classes = pipeline(DecisionTreeClassifier(), "town").fit(rows[INPUTS], rows.rich)
of_two_values = pipeline(Ridge(), "town").fit(rows[INPUTS], rows[["old", "hours"]])
not_fitted = pipeline(DecisionTreeClassifier(), "town", "twon")
"""


@pytest.mark.parametrize("what", TEACHERS)
def test_a_teacher_that_cannot_answer_is_refused(tmp_path: Path, what: str) -> None:
    task, model, words = TEACHERS[what]
    (tmp_path / "models.py").write_text(MODELS, encoding="utf-8")
    teacher = f"{tmp_path}/models.py:{model}"
    objectives = RMSE if task is VALUES else LEFT_OUT
    assert words in refused(tmp_path, task, teacher={"sklearn": teacher}, objectives=objectives)
