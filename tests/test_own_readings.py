"""Readings that somebody wrote: code reads each row once, and ships with the student by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from people import people

import autokd
from autokd.driver import export_trial, load_front, search_study
from autokd.errors import InputError
from autokd.readings import Own, reading_of
from autokd.readings.code import code_of
from autokd.study import Study, read_setup
from autokd.study.sources import named_in_teacher
from autokd.study.teacher import read_teacher
from autokd.tasks import load_task, open_task
from autokd.tasks.own_reading import OwnTask
from autokd.teachers.answers import ask
from autokd.teachers.sources import load_teacher
from autokd.testing import ReadingContract

CODE = """
from pathlib import Path

import numpy as np


def lengths(paths, times=1):
    return np.array([[times * len(Path(path).read_text()), 1.0] for path in paths], dtype=np.float32)


class Letters:
    def __init__(self, letters="ab"):
        self.letters = letters

    def batch(self, paths):
        texts = [Path(path).read_text() for path in paths]
        return np.array([[text.count(letter) for letter in self.letters] for text in texts], dtype=np.uint8)


class Centred:
    '''Counts of letters, of which the mean over the training rows is subtracted.'''

    def fit(self, paths):
        return Letters().batch(paths).mean(axis=0).tolist()

    def batch(self, paths, state):
        return Letters().batch(paths) - np.array(state)


def ages(frame):
    return frame[["age", "works"]].fillna(0).to_numpy(dtype=np.float64)


def halves(images):
    return images[:, :, ::2, ::2]


letters = Letters()
"""


def doubled(rows: Any) -> Any:
    return 2 * rows


class OfTraining:
    """Subtracts the mean of training rows."""

    def fit(self, rows: Any) -> Any:
        return rows.mean(axis=0).tolist()

    def batch(self, rows: Any, state: Any) -> Any:
        return rows - np.array(state)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "letters.py").write_text(CODE)
    return tmp_path / "letters.py"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Files of two classes, which have more of one letter than of the other."""
    generator = np.random.default_rng(0)
    for name in ("ay", "bee"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        for i in range(40):
            often, seldom = generator.integers(4, 9), generator.integers(0, 5)
            counts = (often, seldom) if name == "ay" else (seldom, often)
            (tmp_path / "texts" / name / f"{i:02}.txt").write_text("a" * counts[0] + "b" * counts[1])
    return tmp_path / "texts"


def opened(folder: Path, reading: Any, into: str = "task", **keys: Any) -> OwnTask:
    task = open_task({"data": str(folder), "reading": reading, **keys}, seed=0, folder=folder.parent / into)
    assert isinstance(task, OwnTask)
    return task


def counts(paths: Any) -> np.ndarray[Any, Any]:
    return np.array([[Path(path).read_text().count(letter) for letter in "ab"] for path in paths])


def test_files_in_folders_are_read_by_code_and_named_by_their_folders(texts: Path, code: Path) -> None:
    task = opened(texts, f"{code}:Letters")
    rows = torch.arange(task.num_rows)
    assert task.class_names == ("ay", "bee")
    assert task.raw(rows)[0] == str(texts / "ay" / "00.txt")
    assert task.x.dtype == np.uint8
    assert np.array_equal(task.x, counts(task.raw(rows)))
    seen = torch.cat([task.splits[name] for name in ("train", "transfer", "reserve")])
    assert task.inputs(seen).mean(dim=0).abs().max() < 1e-5  # normalised as arrays are


@pytest.mark.parametrize(
    ("written", "shape"),
    [
        ("Letters", (2,)),
        ("letters", (2,)),
        ({"reading": "Letters", "args": {"letters": "abc"}}, (3,)),
        ({"reading": "lengths", "args": {"times": 2}}, (2,)),
        ("Centred", (2,)),
    ],
    ids=["a class", "an object", "a class with args", "a function with args", "fitted"],
)
def test_code_is_a_function_a_class_or_an_object(texts: Path, code: Path, written: Any, shape: tuple[int]) -> None:
    reading = (
        f"{code}:{written}" if isinstance(written, str) else {**written, "reading": f"{code}:{written['reading']}"}
    )
    task = opened(texts, reading)
    assert task.input_shape == shape
    again = load_task(texts.parent / "task")
    assert again.digest == task.digest
    assert torch.equal(again.inputs(torch.arange(9)), task.inputs(torch.arange(9)))


def test_what_is_fitted_is_fitted_on_training_rows_alone(texts: Path, code: Path) -> None:
    task = opened(texts, f"{code}:Centred")
    rows = torch.cat([task.splits["train"], task.splits["transfer"]])
    assert task.own.state == pytest.approx(counts(task.raw(rows)).mean(axis=0).tolist())


def test_targets_and_splits_are_those_of_the_data_without_the_reading(code: Path, tmp_path: Path) -> None:
    people().to_csv(tmp_path / "people.csv", index=False)
    drop = ["hours", "tired", "old", "day"]
    spec = {"data": str(tmp_path / "people.csv"), "target": "rich", "drop": drop, "group": "patient", "labels": 60}
    plain = open_task(spec, seed=3, folder=tmp_path / "plain")
    own: Any = open_task({**spec, "reading": f"{code}:ages"}, seed=3, folder=tmp_path / "own")
    assert {name: rows.tolist() for name, rows in own.splits.items()} == {
        name: rows.tolist() for name, rows in plain.splits.items()
    }
    rows = torch.arange(240)
    assert torch.equal(own.targets(rows), plain.targets(rows))
    assert torch.equal(own.groups, plain.groups)
    assert list(own.raw(rows).columns) == ["age", "town", "works"]
    assert own.input_shape == (2,)


def test_arrays_are_read_too_and_become_images_with_views(code: Path, tmp_path: Path) -> None:
    spec = {"data": "digits", "reading": f"{code}:halves", "rows": 100, "augment": {"views": 2, "flip": True}}
    task: Any = open_task(spec, seed=0, folder=tmp_path / "task")
    whole: Any = open_task({"data": "digits", "rows": 100}, seed=0, folder=tmp_path / "whole")
    assert task.input_shape == (1, 4, 4)
    assert task.views == 2
    assert np.array_equal(task.x, np.asarray(whole.x)[:, :, ::2, ::2])
    assert torch.equal(task.splits["validation"], whole.splits["validation"])


def test_a_folder_is_used_again_until_the_code_changes_what_it_gives(texts: Path, code: Path) -> None:
    task = opened(texts, f"{code}:Letters")
    code.write_text(CODE + "\n# a comment\n")
    assert opened(texts, f"{code}:Letters").digest == task.digest
    code.write_text(CODE.replace("text.count(letter)", "2 * text.count(letter)"))
    with pytest.raises(InputError, match="or the code of its reading is not what it was; put it back"):
        opened(texts, f"{code}:Letters")


BAD: dict[str, tuple[str, str]] = {
    "raises": (
        "if '07' in str(paths): raise KeyError('seven')\n    return len_(paths)",
        r"fails on row 7 \(.*07.txt\): Key",
    ),
    "raises for many": (
        "assert len(paths) < 3\n    return len_(paths)",
        "fails on rows 0 to 7 together, although it reads",
    ),
    "NaN": ("return len_(paths) + np.array([['31.txt' in p for p in paths]]).T * np.nan", "gives NaN or infinity"),
    "too large for float32": ("return len_(paths) * 1e60", r"gives NaN or infinity \(as float32\) for row 0; mend"),
    "too few": ("return len_(paths)[:-1]", r"gives shape \(7, 2\) for 8 rows from row 0 on"),
    "no rows": ("return 3", r"gives shape \(\) for 8 rows"),
    "texts": ("return [['a', 'b'] for _ in paths]", "gives <U1 from row 0 on; give an array of numbers"),
    "objects": ("return [[{}] for _ in paths]", "gives object from row 0 on"),
    "nothing": ("return None", "gives object from row 0 on; give an array of numbers"),
    "ragged": ("return [[1] * (1 + i) for i, _ in enumerate(paths)]", "gives rows of several shapes from row 0 on"),
    "one number a row": ("return len_(paths)[:, 0]", r"gives shape \(8,\); give \(rows, features\)"),
    "random": (
        "return len_(paths) + np.random.random((len(paths), 2))",
        "gives another array for row 0 when it is asked",
    ),
    "of the batch": (
        "x = len_(paths)\n    return x - x.mean()",
        "gives another array for row 0 alone than beside others?",
    ),
    "of another shape later": ("x = len_(paths)\n    return x if '00' in paths[0] else x[:, :1]", "alone than beside"),
    "arguments": ("return undefined", "fails on row 0 .*NameError"),
}


@pytest.mark.parametrize("name", BAD)
def test_code_that_gives_no_arrays_is_refused_in_one_line_and_nothing_is_written(
    texts: Path, tmp_path: Path, name: str
) -> None:
    body, message = BAD[name]
    helper = "def len_(paths):\n    return np.array([[len(Path(p).read_text()), 1.0] for p in paths])\n"
    (tmp_path / "bad.py").write_text(
        f"from pathlib import Path\nimport numpy as np\n\n{helper}\ndef read(paths):\n    {body}\n"
    )
    with pytest.raises(InputError, match=message) as refused:
        opened(texts, f"{tmp_path / 'bad.py'}:read")
    assert str(refused.value).startswith("task.reading: reading '")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "task").exists()


@pytest.mark.parametrize(
    ("reading", "keys", "message"),
    [
        ("nowhere.py:read", {}, "reading 'nowhere.py:read': AutoKD cannot read"),
        ("{code}:leters", {}, r"has no 'leters'; did you mean 'letters'\?"),
        ("{code}:CODE", {}, "has no 'CODE'"),
        (
            {"reading": "{code}:letters", "args": {"letters": "a"}},
            {},
            "is made already and takes no args; name its class",
        ),
        ({"reading": "{code}:Letters", "args": {"mels": 3}}, {}, "cannot be made: TypeError"),
        ({"reading": "{code}:lengths", "args": {"mels": 3}}, {}, "fails on row 0 .*unexpected keyword"),
        ({"reading": "{code}:np"}, {}, "is of type module; name a function of raw rows"),
        ("{code}:Letters", {"augment": {"views": 2, "flip": True}}, "task.augment: flip, crop and cutout need images"),
        ("{code}:Letters", {"layout": "channels_last"}, "task.layout: the code that task.reading names decides"),
        ("{code}:Letters", {"target": "a"}, "task.target: this is for tables"),
        ("{code}:Letters", {"max_gb": 1e-9}, "the arrays would take .* GB, more than"),
        ({"reading": "{code}:Letters", "size": 3}, {}, "there is no such key|task.reading"),
    ],
    ids=lambda given: str(given)[:30],
)
def test_settings_that_cannot_be_meant_are_refused_in_one_line(
    texts: Path, code: Path, reading: Any, keys: Any, message: str
) -> None:
    given = json.loads(json.dumps(reading).replace("{code}", str(code)))
    with pytest.raises(InputError, match=message) as refused:
        opened(texts, given, **keys)
    assert "\n" not in str(refused.value)
    assert not (texts.parent / "task").exists()


@pytest.mark.parametrize("state", ["np.zeros(2)", "{1: 2}", "(1, 2)", "object()"])
def test_what_is_fitted_must_be_plain_data(texts: Path, tmp_path: Path, state: str) -> None:
    (tmp_path / "bad.py").write_text(
        f"import numpy as np\nclass Bad:\n    def fit(self, rows):\n        return {state}\n"
        "    def batch(self, rows, state):\n        return np.ones((len(rows), 1))\n"
    )
    with pytest.raises(InputError, match=r"has a method fit that gives a .*, which is no plain data; give numbers"):
        opened(texts, f"{tmp_path / 'bad.py'}:Bad")


def test_folders_without_files_are_refused(tmp_path: Path, code: Path) -> None:
    (tmp_path / "texts").mkdir()
    with pytest.raises(InputError, match="has neither files in folders class/name nor idx files; put the files so"):
        opened(tmp_path / "texts", f"{code}:Letters")


# Teachers


def test_a_teacher_reads_the_same_rows_by_other_code(texts: Path, code: Path) -> None:
    task = opened(texts, {"reading": f"{code}:lengths"})
    section = {"sklearn": "sklearn.linear_model:LogisticRegression"}
    blind, sees = (
        load_teacher({**section, **reading}, task, folder=texts, train=lambda *_: None, seed=0)
        for reading in ({}, {"reading": {"reading": f"{code}:Letters", "args": {"letters": "ab"}}})
    )
    rows = task.splits["validation"]
    scores = [task.score(ask(teacher, task, rows, 0), task.targets(rows)) for teacher in (blind, sees)]
    assert scores[1] > max(0.8, scores[0])
    strong = opened(texts, f"{code}:Letters", into="strong")
    alone = load_teacher(section, strong, folder=texts, train=lambda *_: None, seed=0)
    assert torch.equal(ask(sees, task, rows, 0), ask(alone, strong, rows, 0))


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (
            {"columns": ["a"]},
            "teacher.reading.columns: the rows of texts are read by code; write reading: file.py:attr",
        ),
        ("nowhere.py:read", "teacher.reading.reading: reading 'nowhere.py:read': AutoKD cannot read"),
    ],
    ids=["columns", "no file"],
)
def test_a_reading_that_the_rows_cannot_have_is_refused(texts: Path, code: Path, reading: Any, message: str) -> None:
    task = opened(texts, f"{code}:Letters")
    section = {"sklearn": "sklearn.linear_model:LogisticRegression", "reading": reading}
    with pytest.raises(InputError, match=message):
        load_teacher(section, task, folder=texts, train=lambda *_: None, seed=0)


def test_the_code_of_readings_counts_as_code_of_the_teacher_wherever_it_is_named() -> None:
    reading = {"reading": {"reading": "a.py:Own"}}
    one = {"sklearn": "b:model", **reading}
    for teacher in (one, [one, "c:d"], {"heads": {"x": one}}, {"heads": {"x": {"sklearn": "b:model"}}, **reading}):
        assert ("readings", "a.py:Own") in named_in_teacher(read_teacher(teacher))


# Searches and students


def study_of(texts: Path, code: Path, **changes: Any) -> Study:
    study = {
        "name": "texts",
        "task": {"data": str(texts), "reading": f"{code}:Centred"},
        "teacher": {"sklearn": "sklearn.linear_model:LogisticRegression", "reading": f"{code}:Letters"},
        "space": "mlp",
        "objectives": {"accuracy": {}, "parameters": {}},
        "budget": {"trials": 2, "rungs": [1, 2], "reseeds": 1},
        "executor": "inline",
        "workers": 1,
    }
    return Study.model_validate({**study, **changes})


def test_a_student_ships_with_the_name_of_its_code_and_with_what_that_fitted(
    texts: Path, code: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study, run, out = study_of(texts, code), texts.parent / "run", texts.parent / "out"
    search_study(study, run=run)
    export_trial(run, load_front(run, study=study).pick(by="accuracy").trial, out / "student.safetensors", study=study)
    task: Any = load_task(run / "task")
    raw = task.raw(torch.arange(9))
    with pytest.raises(InputError, match=r"is no installed plug-in, and AutoKD imports no code.*reading='"):
        autokd.load_predictor(out)
    student = autokd.load_predictor(out, reading=f"{code}:Centred")
    assert torch.allclose(student.reading.batch(raw), task.inputs(torch.arange(9)))
    assert set(student.predict(raw)) <= {"ay", "bee"}
    assert student.predict([]).shape == (0,)
    with pytest.raises(InputError, match=r"fails on row 1 \(nowhere.txt\)"):
        student.predict([raw[0], "nowhere.txt"])
    code.write_text(CODE + "\n# edited\n")
    autokd.load_predictor(out, reading=f"{code}:Centred")
    assert "The source of reading" in caplog.text
    assert "has changed since this student was exported" in caplog.text


def test_the_code_is_needed_neither_to_train_nor_to_look_at_a_run(texts: Path, code: Path) -> None:
    study, run = study_of(texts, code), texts.parent / "run"
    search_study(study, run=run)
    code.unlink()
    assert load_front(run).pick(by="accuracy").trial >= 0
    assert load_task(run / "task").digest == read_setup(run).digests.task


@pytest.mark.slow
def test_worker_processes_have_the_numbers_of_a_search_in_one_process(texts: Path, code: Path) -> None:
    found = []
    for executor in ("inline", "processes"):
        study = study_of(texts, code, executor=executor, sampler="random", scheduler="none")
        front = search_study(study, run=texts.parent / executor)
        found.append([(student.trial, student.values) for student in front])
    assert found[0] == found[1]


def test_a_reading_is_plain_data(texts: Path, code: Path) -> None:
    own = opened(texts, f"{code}:Centred").reading
    plain = own.plain()
    assert json.loads(json.dumps(plain)) == plain
    again = reading_of(plain)
    assert isinstance(again, Own)
    assert again == own
    with pytest.raises(InputError, match="was not looked up"):
        again.batch(["x"])
    with pytest.raises(InputError, match="these data describe no reading of raw rows"):
        reading_of({**plain, "args": 3})


def test_a_table_names_files_in_a_column(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "of_table.py").write_text(
        "from pathlib import Path\n\n\ndef read(frame):\n"
        "    return [[Path(each).read_text().count(letter) for letter in 'ab'] for each in frame['file']]\n"
    )
    files = sorted(texts.rglob("*.txt"))
    pandas.DataFrame({"file": [str(each) for each in files], "kind": [each.parent.name for each in files]}).to_csv(
        tmp_path / "files.csv", index=False
    )
    task: Any = open_task(
        {"data": str(tmp_path / "files.csv"), "target": "kind", "reading": f"{tmp_path / 'of_table.py'}:read"},
        seed=0,
        folder=tmp_path / "of_table",
    )
    assert np.array_equal(task.x, counts(files))


def test_a_function_in_memory_may_be_asked_directly() -> None:
    double: Callable[[Any], Any] = lambda rows: 2 * rows  # noqa: E731
    code = code_of(double, {}, reference="double")
    assert code.array(np.ones((2, 3)), None).tolist() == [[2.0] * 3] * 2


# The contract


class TestDoubled(ReadingContract):
    reading = staticmethod(doubled)
    rows = np.arange(12.0).reshape(6, 2)


class TestOfTraining(ReadingContract):
    reading = OfTraining
    rows = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    ("reading", "test"),
    [
        (lambda rows: rows + np.random.random(rows.shape), "always_the_same"),
        (lambda rows: rows - rows.mean(), "always_the_same"),
        (lambda rows: rows * np.nan, "one_shape"),
    ],
    ids=["random", "of the batch", "NaN"],
)
def test_the_contract_finds_what_a_search_would_refuse(reading: Any, test: str) -> None:
    class Broken(ReadingContract):
        rows = np.arange(12.0).reshape(6, 2)

    Broken.reading = staticmethod(reading)
    (name,) = [name for name in vars(ReadingContract) if name.endswith(test) or test in name]
    with pytest.raises(InputError):
        getattr(Broken(), name)()
