"""Teachers of more classes than the task has: their columns are found by the names of the classes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import refused_search
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from autokd.errors import InputError
from autokd.heads.classes import Classes
from autokd.heads.values import Values
from autokd.teachers.columns import for_classes
from autokd.teachers.networks import NetworkTeacher
from autokd.teachers.sources import load_teacher, placed
from autokd.testing import TinyTask
from autokd.types import Task, Teacher

NAMES = [
    "tench, Tinca tinca",
    "Egyptian cat",
    "golden retriever",
    "crane",
    "crane",
    "lesser panda, red panda, panda",
    "panda, giant panda",
]
FEATURES = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


class Asked:
    """A task of one head."""

    name, num_rows, views, input_shape, splits = "pets", 5, 1, (3,), {"train": torch.arange(5)}

    def __init__(self, head: Any) -> None:
        self.heads = {"": head}


def task_of(*classes: str) -> Task:
    task: Any = Asked(Classes(classes))
    return task


def teacher_of(count: int = len(NAMES)) -> NetworkTeacher:
    torch.manual_seed(0)
    return NetworkTeacher("net", "0", nn.Linear(3, count))


def for_(task: Task, names: list[str] = NAMES, **chosen: str | int) -> Teacher:
    return for_classes(teacher_of(len(names)), task, names=names, chosen=chosen, instead="; or train it")


def columns_of(teacher: Teacher) -> list[int]:
    """Which columns of all are answered."""
    every = teacher_of().outputs(FEATURES)
    return [(every == column[:, None]).all(dim=0).nonzero().item() for column in teacher.outputs(FEATURES).T]  # type: ignore[misc]


def test_columns_are_found_by_name_whatever_its_case_and_separators(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "autokd"):
        teacher = for_(task_of("Golden_Retriever", "tinca-tinca", "egyptianCat"))
    assert columns_of(teacher) == [2, 0, 1]
    assert (
        "Golden_Retriever: golden retriever; tinca-tinca: tench, Tinca tinca; egyptianCat: Egyptian cat" in caplog.text
    )


def test_the_class_that_has_a_name_first_comes_before_those_that_list_it_later() -> None:
    assert columns_of(for_(task_of("panda", "red panda"))) == [6, 5]


def test_a_class_may_be_named_by_the_user_or_numbered() -> None:
    assert columns_of(for_(task_of("kitty", "bird", "tench"), kitty="egyptian cat", bird=3)) == [1, 3, 0]
    unnamed = for_classes(teacher_of(), task_of("a", "b"), names=[], chosen={"a": 4, "b": 0})
    assert columns_of(unnamed) == [4, 0]


@given(st.permutations(range(5)))
def test_the_order_of_the_tasks_classes_is_the_order_of_the_answers(order: list[int]) -> None:
    names = ["a", "b", "c", "d", "e"]
    answers = teacher_of(5).outputs(FEATURES)
    teacher = for_(task_of(*(names[i] for i in order)), names)
    assert torch.equal(teacher.outputs(FEATURES), answers[:, order])
    assert (teacher.digest == "0") == (order == sorted(order))


def test_as_many_classes_with_other_names_are_taken_in_their_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "autokd"):
        assert isinstance(for_(task_of("0", "1"), ["yes", "no"]), NetworkTeacher)
    assert "have other names than those of the task, so they are taken in their order" in caplog.text


def test_where_no_names_are_known_the_teacher_stays_as_it_is() -> None:
    assert isinstance(for_classes(teacher_of(), task_of("a"), names=[], chosen={}), NetworkTeacher)


def test_the_digest_holds_the_columns_and_the_network_can_be_placed() -> None:
    one, other = for_(task_of("tench", "panda")), for_(task_of("panda", "tench"))
    assert len({one.digest, other.digest, teacher_of().digest}) == 3
    moved: Any = placed(one, torch.device("cpu"))
    assert moved.digest == one.digest


@pytest.mark.parametrize(
    ("classes", "chosen", "words"),
    [
        (
            ("egyptian_cats", "tench", "dogs"),
            {},
            "teacher 'net' has 7 classes, and none is named 'egyptian_cats' (nor one for dogs); the nearest names are "
            "'Egyptian cat'; write under its key classes which of its classes each class of the task is, by name or by "
            "number, as in classes: {egyptian_cats: 0}; or train it",
        ),
        (("crane",), {}, "teacher 'net' has several classes named 'crane': crane (3) and crane (4); write under"),
        (("a",), {"b": 1}, "teacher.classes: task 'pets' has no class 'b'; its classes are a"),
        (("a",), {"a": 7}, "teacher.classes: teacher 'net' has 7 classes, counted from 0, so none is 7; write"),
        (
            ("a",),
            {"a": "tensh"},
            "teacher.classes: teacher 'net' has 7 classes, and none is named 'tensh'; the",
        ),
    ],
)
def test_a_class_without_one_column_is_refused_with_what_to_write(
    classes: tuple[str, ...], chosen: dict[str, str | int], words: str
) -> None:
    with pytest.raises(InputError) as refused:
        for_(task_of(*classes), **chosen)
    assert words in str(refused.value)


def test_names_of_classes_that_are_not_known_are_refused() -> None:
    with pytest.raises(InputError, match=r"the names of the classes of teacher 'net' are not known, so 'b' has no col"):
        for_classes(teacher_of(), task_of("a", "b"), names=[], chosen={"a": 1})
    values: Any = Asked(Values(("price",), (0.0,), (1.0,)))
    with pytest.raises(InputError, match=r"teacher.classes: the key is for a task of one head of classes"):
        for_classes(teacher_of(), values, names=[], chosen={"price": 1})


WIDE = """
from torch import nn
network = nn.Sequential(nn.Flatten(), nn.Linear(64, 12))
"""


def test_a_network_by_reference_has_its_columns_by_number(tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(WIDE)
    task = TinyTask()
    reference = f"{tmp_path / 'wide.py'}:network"
    chosen = {str(i): 11 - i for i in range(10)}
    source = {"network": reference, "classes": chosen}
    teacher: Any = load_teacher(source, named(task), folder=tmp_path, train=None, seed=0)  # type: ignore[arg-type]
    inputs = task.inputs(torch.arange(3))
    assert torch.equal(teacher.outputs(inputs), teacher.teacher.outputs(inputs)[:, [11 - i for i in range(10)]])


def named(task: Task) -> Task:
    """The task with names for its ten classes."""

    class Named:
        def __init__(self) -> None:
            self.heads = {"": Classes(tuple(map(str, range(10))))}

        def __getattr__(self, name: str) -> Any:
            return getattr(task, name)

    given: Any = Named()
    return given


def test_columns_that_a_network_does_not_have_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(WIDE)
    chosen = {str(i): i + 3 for i in range(10)}
    said = refused_search(tmp_path, {"teacher": {"network": "wide.py:network", "classes": chosen}})
    assert "teacher.classes: column 12 is named, but teacher 'network' gives shape (60, 12) for 60 inputs" in said
    said = refused_search(tmp_path, {"teacher": {"network": "wide.py:network", "classes": {"0": -1}}})
    assert "teacher.classes" in said
