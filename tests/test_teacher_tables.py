"""Models of scikit-learn that teach about the rows of a table: they read the table itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pandas
import pytest
import torch
from people import people
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from torch import Tensor

from autokd.errors import InputError
from autokd.heads import apart, heads_of
from autokd.tasks import TableTask, from_frame
from autokd.teachers.answers import ask, rows_at_once
from autokd.teachers.by_head import OneHead
from autokd.teachers.sources import load_teacher
from autokd.types import Task, Teacher

DROP = ["rich", "hours", "tired", "old", "patient", "day"]


def task_of(target: Any = "rich", frame: pandas.DataFrame | None = None, **keys: Any) -> TableTask:
    named = [target] if isinstance(target, str) else list(target)
    drop = [name for name in DROP if name not in named and name not in keys.values()]
    return from_frame(people() if frame is None else frame, target=target, drop=drop, **keys)


def load(source: Any, task: Task) -> Teacher:
    return load_teacher(source, task, folder=Path(), train=lambda *_: None, seed=0)


def answers(source: Any, task: Task, split: str = "validation") -> Tensor:
    return ask(load(source, task), task, task.splits[split], 0)


class Watching(DummyClassifier):
    """A classifier that notes the frames that it gets."""

    seen: ClassVar[list[Any]] = []

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        self.seen.append(x)
        return super().fit(x, y, sample_weight)


def test_an_unfitted_model_reads_the_columns_of_the_table_with_categories_as_pandas_has_them() -> None:
    Watching.seen.clear()
    task = task_of()
    answers(Watching(), task, "train")
    frame = Watching.seen[0]
    assert list(frame.columns) == ["age", "town", "works"]
    assert frame.dtypes.astype(str).tolist() == ["float64", "category", "category"]
    assert frame["age"].isna().any()


def test_gradient_boosting_handles_categories_and_missing_values_itself() -> None:
    boosting = HistGradientBoostingClassifier(max_iter=20, categorical_features="from_dtype")
    task = task_of()
    given = answers(boosting, task)
    assert task.score(given, task.targets(task.splits["validation"])) > task.chance + 0.2


def test_a_pipeline_reads_columns_by_name_or_by_dtype() -> None:
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")), ("drop", ["age"])
    )
    given = answers(make_pipeline(encode, LogisticRegression()), task_of())
    assert torch.isfinite(given).all()


def test_a_fitted_model_reads_the_rows_as_the_data_have_them_with_the_columns_that_it_knows() -> None:
    frame = people()
    frame["town"] = frame["town"].fillna("?")
    task = task_of(frame=frame)
    train = task.splits["train"].numpy()
    columns = ["works", "town", "patient"]  # in another order, and one that the student does not read
    encode = make_column_transformer((OneHotEncoder(), ["town"]), remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression()).fit(frame[columns].iloc[train], frame["rich"].iloc[train])
    rows = task.splits["validation"]
    expected = model.predict_proba(frame[columns].iloc[rows.numpy()])
    assert answers(model, task).exp().numpy() == pytest.approx(expected, abs=1e-5)


def test_a_fitted_model_that_needs_a_target_is_refused() -> None:
    frame = people()
    model = KNeighborsClassifier().fit(frame[["hours", "old"]], frame["rich"])
    task = from_frame(frame.drop(columns="hours"), target="rich", drop=["day"])
    with pytest.raises(InputError, match="was fitted on column 'hours', which the table lacks"):
        answers(model, task)


def test_a_regressor_answers_values_out_of_fold_in_standardised_units() -> None:
    task = task_of("hours")
    boosting = HistGradientBoostingRegressor(max_iter=30)
    head = heads_of(task)[""]
    for split in ("train", "validation"):
        targets = task.targets(task.splits[split])
        given = answers(boosting, task, split)
        assert given.shape == targets.shape
        assert 0.3 < head.score(given, targets) < 0.99


@pytest.mark.parametrize("columns", [["hours"], ["hours", "old"]], ids=["one", "two"])
def test_a_fitted_regressor_gives_what_it_predicts(columns: list[str]) -> None:
    frame = people()
    task = from_frame(frame, target=columns, heads="values", drop=[name for name in DROP if name not in columns])
    model = LinearRegression().fit(frame[["works"]], frame[columns])
    rows = task.splits["validation"]
    given = heads_of(task)[""].in_units(answers(model, task))
    assert given.numpy() == pytest.approx(model.predict(frame[["works"]].iloc[rows.numpy()]), abs=1e-4)


def test_values_with_a_variance_are_answered_with_certainty() -> None:
    task = task_of("hours", heads={"kind": "values", "variance": True})
    assert answers(HistGradientBoostingRegressor(max_iter=5), task).shape == (len(task.splits["validation"]), 2)


def test_rows_with_an_unknown_value_are_not_fitted_on() -> None:
    frame = people()
    frame["hours"] = frame["hours"].where(frame.index % 3 > 0)
    task = task_of("hours", frame)
    assert torch.isfinite(answers(DummyRegressor(), task, "transfer")).all()


@pytest.mark.parametrize(
    "model",
    [MultiOutputClassifier(HistGradientBoostingClassifier(max_iter=5)), RandomForestClassifier(9)],
    ids=["wrapped", "of several outputs"],
)
def test_a_model_of_several_outputs_answers_labels(model: Any) -> None:
    task = task_of(["tired", "old"])
    if isinstance(model, RandomForestClassifier):
        encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town", "works"]))
        model = make_pipeline(encode, model)
    given = answers(model, task)
    head = heads_of(task)[""]
    assert given.shape == (len(given), 2)
    assert head.score(given, task.targets(task.splits["validation"])) > 0.6


def test_a_label_that_training_never_holds_in_a_fold_is_answered_with_no() -> None:
    frame = people()
    task = task_of(["tired", "old"], frame)
    train = task.splits["train"]
    frame["tired"] = 0
    frame.loc[train[:1].numpy(), "tired"] = 1
    scarce = task_of(["tired", "old"], frame)
    assert torch.equal(scarce.splits["train"], train)
    given = answers(MultiOutputClassifier(HistGradientBoostingClassifier(max_iter=3)), scarce, "train")
    assert given[0, 0] < -15  # the one row that holds it is answered by a model that never saw it hold


@pytest.mark.parametrize(
    ("heads", "model"),
    [("classes", KNeighborsClassifier(1)), ("values", KNeighborsRegressor(1))],
    ids=["classes", "values"],
)
def test_no_row_is_answered_by_a_model_that_knows_another_row_of_its_group(heads: str, model: Any) -> None:
    frame = people()[["patient"]].assign(tells=people()["patient"] * 1.0, odd=people()["patient"] % 2)
    train_right = {}
    for group in (None, "patient"):
        drop = [] if group else ["patient"]
        task = from_frame(frame, target="odd", heads=heads, drop=drop, group=group)
        rows = task.splits["train"]
        train_right[group] = heads_of(task)[""].score(answers(model, task, "train"), task.targets(rows))
    assert train_right[None] > 0.7  # another row of the patient tells the answer
    assert train_right["patient"] < 0.6  # the nearest other patient does not


@pytest.mark.parametrize(
    ("target", "model", "message"),
    [
        ("hours", HistGradientBoostingClassifier(), "is no regressor, and the task has values"),
        ("rich", HistGradientBoostingRegressor(), "is a regressor, and the task has classes"),
        (["tired", "old"], Ridge(), "is a regressor, and the task has labels"),
    ],
    ids=["a classifier", "a regressor", "no probabilities"],
)
def test_a_model_that_cannot_answer_the_head_is_refused(target: Any, model: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        answers(model, task_of(target))
    assert "\n" not in str(refused.value)


def test_a_model_that_reads_neither_texts_nor_missing_numbers_reads_the_features_of_students(
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = task_of()
    with caplog.at_level("INFO", logger="autokd"):
        given = answers(LogisticRegression(), task, "validation")
    assert caplog.text.count("so it reads the features of students") == 1
    labelled = task.splits["train"]
    model = LogisticRegression().fit(task.inputs(labelled).numpy(), task.targets(labelled).numpy())
    expected = model.predict_proba(task.inputs(task.splits["validation"]).numpy())
    assert given.exp().numpy() == pytest.approx(expected, abs=1e-5)


def test_one_model_for_several_heads_is_refused_with_what_to_write() -> None:
    task = from_frame(people(), target={"money": "rich", "time": "hours"}, drop=["tired", "old", "patient", "day"])
    with pytest.raises(
        InputError, match=r"has the heads money, time; write a model for each, as in teacher: \{heads: \{money:"
    ):
        load(HistGradientBoostingClassifier(), task)


HEADS = {"money": "rich", "time": "hours", "state": ["tired", "old"]}
BY_HEAD = {
    "heads": {
        "time": HistGradientBoostingRegressor(max_iter=5),
        "money": HistGradientBoostingClassifier(max_iter=5),
        "state": MultiOutputClassifier(HistGradientBoostingClassifier(max_iter=5)),
    }
}


def test_teachers_by_head_answer_side_by_side_in_the_order_of_the_task() -> None:
    task = from_frame(people(), target=HEADS, drop=["patient", "day"])
    given = answers(BY_HEAD, task)
    assert {name: part.shape[1] for name, part in apart(given, task.heads).items()} == {
        "money": 2,
        "time": 1,
        "state": 2,
    }
    for name, part in apart(given, task.heads).items():
        head = task.heads[name]
        alone = ask(
            load(BY_HEAD["heads"][name], OneHead(task, name)), OneHead(task, name), task.splits["validation"], 0
        )
        assert torch.equal(part, alone)
        assert head.score(part, task.targets(task.splits["validation"])[name]) > 0.2
    assert load(BY_HEAD, task).name.startswith("HistGradientBoostingClassifier of money, ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": None}, "there is no teacher for head 'state'"),
        ({"mood": Ridge()}, "has no head 'mood'; its heads are money, time, state"),
    ],
    ids=["too few", "too many"],
)
def test_teachers_that_do_not_match_the_heads_are_refused(change: dict[str, Any], message: str) -> None:
    task = from_frame(people(), target=HEADS, drop=["patient", "day"])
    heads = {name: model for name, model in {**BY_HEAD["heads"], **change}.items() if model is not None}
    with pytest.raises(InputError, match=message):
        load({"heads": heads}, task)


def test_teachers_by_head_are_refused_where_there_is_one_head() -> None:
    with pytest.raises(InputError, match="has one head; write its teacher without 'heads'"):
        load(BY_HEAD, task_of())


def test_a_table_is_asked_about_in_large_batches_and_an_ensemble_in_those_of_its_smallest_member() -> None:
    task = task_of()
    model = HistGradientBoostingClassifier(max_iter=3)
    assert rows_at_once(load(model, task)) == 8_192
    assert rows_at_once(load([model, model], task)) == 8_192
    network = torch.nn.Linear(task.input_shape[0], 2)
    assert rows_at_once(load([model, network], task)) == 256


def test_an_ensemble_of_regressors_answers_with_their_mean_and_how_far_they_differ() -> None:
    plain = task_of("hours")
    members = [HistGradientBoostingRegressor(max_iter=9), DummyRegressor(strategy="constant", constant=20.0)]
    alone = [answers(member, plain) for member in members]
    assert answers(members, plain).numpy() == pytest.approx(torch.stack(alone).mean(dim=0).numpy(), abs=1e-5)
    both = answers(members, task_of("hours", heads={"kind": "values", "variance": True}))
    differ = (alone[0] - alone[1]) ** 2 / 4
    assert both[:, 1:].exp().numpy() == pytest.approx(differ.numpy(), rel=0.05, abs=1e-3)


def test_a_network_and_a_model_of_scikit_learn_answer_together() -> None:
    task = task_of()
    network = torch.nn.Linear(task.input_shape[0], 2)
    assert torch.isfinite(answers([network, HistGradientBoostingClassifier(max_iter=3)], task)).all()
