"""Tables from which nothing can be learned are refused in one line by the command line, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
from command_line import LEFT_OUT, refused_search
from people import people

DROP = ["hours", "tired", "old", "patient", "day"]


def csv(frame: pandas.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def with_second_header(frame: pandas.DataFrame) -> bytes:
    first, rest = csv(frame).split(b"\n", 1)
    return first + b"\nyears,name,,,h,,,,\n" + rest


def mixed(frame: pandas.DataFrame) -> bytes:
    return csv(frame.assign(age=frame["age"].astype(object).where(frame.index != 9, "about 30")))


FILES: dict[str, tuple[Callable[[pandas.DataFrame], bytes], str]] = {
    "an empty file": (lambda _: b"", "is empty; give a table with the names of its columns"),
    "no rows": (lambda frame: csv(frame[:0]), "no rows"),
    "two header lines": (with_second_header, "column 'age' holds numbers but in its first row, which has 'years'"),
    "mixed types": (mixed, "column 'age' holds numbers in most rows, but row 9 has 'about 30'"),
    "lines of several lengths": (lambda frame: csv(frame) + b"1,2,3,4,5,6,7,8,9,10\n", "saw 10"),
    "a column twice": (lambda frame: csv(frame).replace(b"town", b"age", 1), "two columns called 'age'"),
    "targets missing everywhere": (lambda frame: csv(frame.assign(rich=None)), "column 'rich'"),
    "targets of one value": (lambda frame: csv(frame.assign(rich="yes")), "all training labels are yes"),
    "no target column": (lambda frame: csv(frame.drop(columns="rich")), "has no column 'rich'"),
    "nothing but the target": (lambda frame: csv(frame[["rich", *DROP]]), "has no column left to learn from"),
    "no table at all": (lambda _: b"\x00\x01\x02" * 99, "people.csv"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_from_which_nothing_can_be_learned_is_refused(tmp_path: Path, what: str) -> None:
    content, words = FILES[what]
    (tmp_path / "people.csv").write_bytes(content(people()))
    task = {"data": str(tmp_path / "people.csv"), "target": "rich", "drop": DROP}
    assert words in refused_search(tmp_path, {"task": task})


KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "a wrong column": ({"target": "rihc"}, "task.target: people has no column 'rihc'; did you mean 'rich'?"),
    "no target": ({"target": None}, "task.target: it is not said what to learn from people"),
    "a date": ({"target": "rich", "drop": []}, "column 'day' holds dates, such as '2026-01-01'"),
    "a kind that does not exist": ({"heads": "numbers"}, "'numbers' given; it should be 'classes', 'labels'"),
    "a head that does not exist": ({"heads": {"a": "values"}}, "the data have no head 'a'"),
    "texts as values": ({"heads": "values"}, "which is no number"),
    "a key of arrays": ({"normalise": "none"}, "task.normalise: this is for arrays, and people is a table"),
    "a column as two things": ({"group": "rich"}, "column 'rich' is already used by task.target"),
    "one column as both kinds": ({"categories": "age", "numbers": "age"}, "'age' is named under categories, too"),
    "a split by what is no split": ({"split": "town"}, "task.split: row 0 of 'town' holds"),
    "a file of splits that is not there": ({"split": "no/such.csv"}, "no/such.csv cannot be read"),
    "time and groups": ({"order": "day", "group": "patient"}, "by time or by task.group"),
    "too small": ({"max_gb": 1e-9}, "task.max_gb"),
}


@pytest.mark.parametrize("what", KEYS)
def test_keys_that_do_not_fit_the_table_are_refused(tmp_path: Path, what: str) -> None:
    keys, words = KEYS[what]
    (tmp_path / "people.csv").write_bytes(csv(people()))
    drop = [name for name in DROP if name not in keys.values()]
    task = {"data": str(tmp_path / "people.csv"), "target": "rich", "drop": drop, **keys}
    assert words in refused_search(tmp_path, {"task": {key: value for key, value in task.items() if value is not None}})


TEACHERS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "a classifier for values": (
        {"target": "hours"},
        {"sklearn": "sklearn.tree:DecisionTreeClassifier"},
        "is no regressor, and the task has values",
    ),
    "one model for two heads": (
        {"target": {"money": "rich", "time": "hours"}},
        {"sklearn": "sklearn.tree:DecisionTreeClassifier"},
        "write a model for each, as in teacher: {heads: {money: {sklearn: ...}, time: {sklearn: ...}}}",
    ),
    "a head without a teacher": (
        {"target": {"money": "rich", "time": "hours"}},
        {"heads": {"money": {"sklearn": "sklearn.tree:DecisionTreeClassifier"}}},
        "there is no teacher for head 'time'",
    ),
    "teachers by head where there is one head": (
        {"target": {"money": "rich"}},
        {"heads": {"money": {"sklearn": "sklearn.tree:DecisionTreeClassifier"}}},
        "has one head; write its teacher without 'heads'",
    ),
    "a regressor for classes": (
        {},
        {"sklearn": "sklearn.tree:DecisionTreeRegressor"},
        "is a regressor, and the task has classes",
    ),
}


@pytest.mark.parametrize("what", TEACHERS)
def test_a_teacher_that_cannot_answer_the_heads_is_refused(tmp_path: Path, what: str) -> None:
    keys, teacher, words = TEACHERS[what]
    (tmp_path / "people.csv").write_bytes(csv(people()))
    target = keys.get("target", "rich")
    named = [*target.values()] if isinstance(target, dict) else [target]
    task = {"data": str(tmp_path / "people.csv"), "target": target}
    task["drop"] = [name for name in [*DROP, "rich"] if name not in named]
    changes = {"task": task, "teacher": teacher, "objectives": LEFT_OUT}
    assert words in refused_search(tmp_path, changes)
