"""Teachers that see of a row something else than students do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conftest import needs
from people import people
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

import autokd
from autokd.devices import pick_device
from autokd.driver import export_trial, load_front, retrain, search_study
from autokd.errors import InputError
from autokd.study import Study, override, read_setup
from autokd.tasks import TableTask, from_arrays, from_frame
from autokd.teachers.answers import ask, rows_at_once
from autokd.teachers.cache import open_outputs, teacher_outputs
from autokd.teachers.sources import load_teacher, placed
from autokd.teachers.through import Through
from autokd.testing import TinyTask
from autokd.types import Task, Teacher

DROP = ["hours", "tired", "old", "patient", "day"]
ROWS = torch.arange(240)
BOOSTING = f"{__name__}:BOOSTING_MODEL"
LOGISTIC = "sklearn.linear_model:LogisticRegression"
NET = f"{__name__}:net"


def task_of(*columns: str, target: Any = "rich") -> TableTask:
    reading = {"columns": list(columns)} if columns else None
    drop = [name for name in [*DROP, "rich"] if name not in (target if isinstance(target, str) else target.values())]
    return from_frame(people(), target=target, drop=drop, reading=reading)


def net(features: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(features, 2)


def load(source: Any, task: Task, folder: Path = Path(), train: Any = lambda *_: None) -> Teacher:
    return load_teacher(source, task, folder=folder, train=train, seed=0)


BOOSTING_MODEL = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")


class Watching(DummyClassifier):
    """A classifier that notes the columns that it gets."""

    seen: ClassVar[list[list[str]]] = []

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        self.seen.append(list(x.columns))
        return super().fit(x, y, sample_weight)

    def predict_proba(self, x: Any) -> Any:
        self.seen.append(list(x.columns))
        return super().predict_proba(x)


WATCHING = Watching()


def watched(reading: Any, task: TableTask) -> set[tuple[str, ...]]:
    Watching.seen.clear()
    section = {"sklearn": f"{__name__}:WATCHING"} | ({} if reading is None else {"reading": reading})
    ask(load(section, task), task, task.splits["train"], 0)
    return {tuple(columns) for columns in Watching.seen}


def test_a_model_of_scikit_learn_gets_the_columns_of_its_own_reading_or_else_those_of_students() -> None:
    assert watched({"columns": ["town", "works"]}, task_of("age")) == {("town", "works")}
    assert watched(None, task_of("age")) == {("age",)}
    assert watched({"columns": ["*"]}, task_of("age")) == {("age", "town", "works")}


def test_a_teacher_answers_as_it_does_in_a_task_of_what_it_sees() -> None:
    section = {"network": NET, "args": {"features": 4}}
    seen, task = task_of("town"), task_of("age")
    teacher = load({**section, "reading": {"columns": ["town"]}}, task)
    assert torch.equal(ask(teacher, task, ROWS, 0), ask(load(section, seen), seen, ROWS, 0))


def test_the_digest_covers_what_the_teacher_sees_and_not_what_students_see() -> None:
    def digest(*columns: str, of: TableTask) -> str:
        return load({"network": NET, "args": {"features": 4}, "reading": {"columns": list(columns)}}, of).digest

    assert digest("town", of=task_of("age")) == digest("t*", of=task_of("works"))
    assert digest("town", of=task_of("age")) != digest("age", of=task_of("age"))


def test_answers_of_a_teacher_with_another_reading_are_not_taken_from_the_cache(tmp_path: Path) -> None:
    task = task_of("age")
    asked = []
    for columns in (["town"], ["works"], ["town"]):
        teacher = load({"sklearn": f"{__name__}:WATCHING", "reading": {"columns": columns}}, task)
        asked.append(teacher_outputs(teacher, task, tmp_path).forward_passes > 0)
    assert asked == [True, True, False]


def test_members_of_an_ensemble_and_teachers_by_head_have_readings_of_their_own() -> None:
    targets = {"money": "rich", "state": "works"}
    task = from_frame(people(), target=targets, drop=DROP, reading={"columns": ["age"]})
    model = f"{__name__}:WATCHING"
    by_head = {"money": {"sklearn": model, "reading": {"columns": ["town"]}}, "state": {"sklearn": model}}
    Watching.seen.clear()
    assert ask(load({"heads": by_head}, task), task, ROWS, 0).shape == (240, 4)
    assert {tuple(columns) for columns in Watching.seen} == {("town",), ("age",)}
    Watching.seen.clear()
    both = {"heads": {name: {"sklearn": model} for name in targets}, "reading": {"columns": ["town"]}}
    assert ask(load(both, task), task, ROWS, 0).shape == (240, 4)
    assert {tuple(columns) for columns in Watching.seen} == {("town",)}
    members = [{"sklearn": model, "reading": {"columns": [name]}, "weight": 2} for name in ("town", "age")]
    Watching.seen.clear()
    ask(load(members, task_of("works")), task_of("works"), ROWS, 0)
    assert {tuple(columns) for columns in Watching.seen} == {("town",), ("age",)}


def test_a_teacher_that_is_trained_here_is_trained_on_what_it_sees(tmp_path: Path) -> None:
    trained: list[Task] = []

    def train(module: nn.Module, spec: object, task: Task, folder: Path) -> None:
        trained.append(task)

    arch = {"widths": [4], "activation": "relu", "batch_norm": False}
    section = {"space": "mlp", "arch": arch, "epochs": 2}
    teacher = load({**section, "reading": {"columns": ["town"]}}, task_of("age"), tmp_path, train)
    assert [task.input_shape for task in trained] == [task_of("town").input_shape]
    assert isinstance(teacher, Through)
    load({**section, "reading": {"columns": ["t*"]}}, task_of("works"), tmp_path, train)
    assert len(trained) == 1  # the same task is seen
    load({**section, "reading": {"columns": ["works"]}}, task_of("age"), tmp_path, train)
    assert len(trained) == 2


def test_a_record_of_an_earlier_version_of_a_trained_teacher_still_holds(tmp_path: Path) -> None:
    section = {"space": "mlp", "arch": {"widths": [4], "activation": "relu", "batch_norm": False}, "epochs": 2}
    load(section, task_of(), tmp_path)
    spec = json.loads((tmp_path / "teacher.json").read_text())["spec"]
    assert "reading" not in spec


def test_a_teacher_is_put_on_a_device_below_its_reading() -> None:
    teacher = load({"network": NET, "args": {"features": 4}, "reading": {"columns": ["town"]}}, task_of("age"))
    there: Any = placed(teacher, pick_device("cpu"))
    assert there.teacher.device == pick_device("cpu")
    assert there.digest == teacher.digest
    assert rows_at_once(there) == 256


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"sklearn": LOGISTIC, "reading": {"columns": ["x*"]}}, r"teacher.reading.columns: no column .* matches 'x\*'"),
        (
            {"sklearn": LOGISTIC, "reading": {"size": 32}},
            "teacher.reading.size: table is a table, which is read by",
        ),
        (
            {"sklearn": LOGISTIC, "reading": {"size": [16, 32]}},
            r"teacher.reading: size \[16, 32\] given; a teacher",
        ),
        ({"sklearn": LOGISTIC, "reading": {}}, "teacher.reading: .* a mapping with one of the keys size"),
        ({"outputs": "a.npy", "reading": {"columns": ["age"]}}, "teacher.reading: a file of answers reads no rows"),
    ],
    ids=["no column", "another kind", "searched", "nothing", "a file of answers"],
)
def test_a_reading_that_a_teacher_cannot_have_is_refused_in_one_line(teacher: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        load(teacher, task_of("age"))
    assert "\n" not in str(refused.value)


def test_a_task_whose_rows_are_kept_as_students_see_them_takes_no_reading_of_a_teacher() -> None:
    with pytest.raises(InputError, match=r"teacher\.reading: the rows of task 'arrays' are kept as students see them"):
        load({"network": NET, "reading": {"size": 8}}, from_arrays(np.eye(40), np.arange(40) % 2))


@needs("onnxruntime")
def test_an_onnx_file_that_takes_another_input_is_refused_with_both_shapes(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    given, answer = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 4]) for n in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [given], [answer])
    file = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), file)
    with pytest.raises(InputError, match=r"takes inputs of shape \(batch, 4\), and .* have \(batch, 2\)"):
        load({"onnx": str(file)}, task_of("age"))
    load({"onnx": str(file), "reading": {"columns": ["town"]}}, task_of("age"))


# Where what students see is searched


def pixels(side: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(side * side, 10))


def test_a_teacher_that_takes_inputs_says_what_to_write_where_they_are_searched(tmp_path: Path) -> None:
    section = {"network": f"{__name__}:pixels", "args": {"side": 8}}
    base = TinyTask(sizes=(4, 8))
    for source in (section, pixels(8), {"sklearn": LOGISTIC}, [section, section], f"{__name__}:NETWORK"):
        with pytest.raises(
            InputError, match=r"is searched \(size 4, 8\).*write .*\{\.\.\., reading: \{size: 8\}\}"
        ) as no:
            load(source, base)
        assert "\n" not in str(no.value)
    teacher = load({**section, "reading": {"size": 8}}, base)
    seen = base.seen_through({"size": 8})
    assert torch.equal(ask(teacher, base, torch.arange(5), 0), ask(load(section, seen), seen, torch.arange(5), 0))
    np.save(tmp_path / "answers.npy", np.zeros((64, 10), np.float32))
    load({"outputs": str(tmp_path / "answers.npy")}, base)


NETWORK = pixels(8)


def test_a_task_that_changes_more_than_what_is_seen_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd(TinyTask):
        def seen_through(self, reading: Mapping[str, Any]) -> Any:
            return TinyTask(num_outputs=3)

    with pytest.raises(
        InputError, match=r"has 64 rows, 1 view\(s\) and 10 outputs, but 64, 1 and 3 as the teacher sees"
    ):
        load({"network": f"{__name__}:pixels", "reading": {"size": 8}}, Odd(sizes=(4, 8)))


# Searches


def study_of(data: Path, **changes: Any) -> Study:
    study = {
        "name": "weak",
        "task": {
            "data": str(data),
            "target": "rich",
            "drop": [*DROP],
            "labels": 60,
            "rows": 120,
            "reading": {"columns": ["age"]},
        },
        "teacher": {"sklearn": BOOSTING, "reading": {"columns": ["*"]}},
        "space": "mlp",
        "objectives": {"accuracy": {}, "parameters": {}},
        "budget": {"trials": 2, "rungs": [1, 2], "reseeds": 1},
        "executor": "inline",
        "workers": 1,
    }
    return override(Study.model_validate(study), changes)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    people().to_csv(tmp_path / "people.csv", index=False)
    return tmp_path / "people.csv"


def test_the_test_rows_are_answered_through_the_teachers_reading_when_the_front_is_settled(
    data: Path, tmp_path: Path
) -> None:
    study = study_of(data)
    front = search_study(study, run=tmp_path / "run")
    strong = override(study, {"task.reading": {"columns": ["*"]}, "teacher": {"sklearn": BOOSTING}})
    wanted = search_study(strong, run=tmp_path / "strong").teacher
    assert (front.teacher["values"], front.teacher["test"]) == (wanted["values"], wanted["test"])
    (weak, whole) = (open_outputs(tmp_path / run / read_setup(tmp_path / run).outputs) for run in ("run", "strong"))
    assert torch.equal(weak.nan_to_num(), whole.nan_to_num())


@pytest.mark.slow
def test_a_student_of_a_weak_view_is_retrained_with_the_reserve_and_answers_its_own_columns(
    data: Path, tmp_path: Path
) -> None:
    study = study_of(data)
    search_study(study, run=tmp_path / "run")
    number = load_front(tmp_path / "run", study=study).pick(by="accuracy").trial
    assert retrain(tmp_path / "run", number, study=study, seeds=1, workers=1, reserve=True)["validation"]
    for suffix in ("safetensors", "onnx"):
        export_trial(tmp_path / "run", number, tmp_path / suffix / f"student.{suffix}", study=study)
    student = autokd.load_predictor(tmp_path / "safetensors")
    assert set(student.predict(people()[["age"]])) <= {"yes", "no"}
    assert student.predict(people().head(3)).shape == (3,)
    with pytest.raises(InputError, match=r"the rows have no column 'age'.*give the columns age"):
        student.predict(people()[["town"]])
