from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from linear_space import TASK, WrongWidth, space_of, space_with
from torch import Tensor, nn
from torch.nn import functional

from autokd import losses
from autokd.heads import Classes
from autokd.objectives.costs import flops
from autokd.objectives.quality import accuracy
from autokd.testing import (
    LossContract,
    ObjectiveContract,
    SearchSpaceContract,
    TaskContract,
    TeacherContract,
    TinyTask,
)
from autokd.types import Objective


class TestContractOfASoundSpace(SearchSpaceContract):
    space = space_with()
    tasks = (TASK, TinyTask(num_outputs=3), TinyTask(input_shape=(64,)))


class TestContractOfASpaceByReference(SearchSpaceContract):
    space = "search_spaces.mlp"


class TestContractOfATask(TaskContract):
    task = TinyTask(views=3)


class TestContractOfATaskOfVectors(TaskContract):
    task = TinyTask(input_shape=(5,), num_outputs=2, seed=3)


class TestContractOfATaskOfTexts(TaskContract):
    task = TinyTask(input_shape=(7,), num_outputs=3, vocabulary=30, views=2)


class TestContractOfAFunctionOfLogits(LossContract):
    loss = losses.kd


class TestContractOfAFunctionOfLogitsAndLabels(LossContract):
    loss = losses.dkd


class TestContractOfALossByReference(LossContract):
    loss = "autokd.losses:dist"


class TestContractOfStandardisedLogits(LossContract):
    loss = losses.logit_std


class TestContractOfATrainedObjective(ObjectiveContract):
    objective = Objective("accuracy", "maximize", "", True, accuracy)


class TestContractOfACost(ObjectiveContract):
    objective = Objective("flops", "minimize", "", False, flops)


class Prototypes:
    """Answers by the inner product with fixed random directions."""

    name = "prototypes"
    digest = "0123456789abcdef"

    def outputs(self, inputs: Tensor) -> Tensor:
        directions = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
        return inputs.flatten(1) @ directions


class TestContractOfATeacher(TeacherContract):
    teacher = Prototypes()


def run_contract(contract: Any) -> list[str]:
    """Messages of the tests of a contract that fail."""
    messages = []
    for name in dir(contract):
        if name.startswith("test_"):
            try:
                getattr(contract, name)()
            except AssertionError as error:
                messages.append(str(error))
    return messages


def test_a_broken_space_fails_its_contract() -> None:
    class Contract(SearchSpaceContract):
        space = space_of(WrongWidth)

    (message,) = run_contract(Contract())
    assert "(1, 8, 8): in train mode with a batch of 2 the network returned shape (2, 9)" in message


def loss_summed(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    return losses.kd(student, teacher, temperature=temperature) * len(student)


def loss_with_gradient_to_teacher(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    return (student - teacher).square().mean()


def loss_upside_down(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    return -losses.kd(student, teacher, temperature=temperature)


def loss_of_probabilities(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    p_student, p_teacher = ((logits / temperature).softmax(1) for logits in (student, teacher.detach()))
    return (p_teacher * (p_teacher.log() - p_student.log())).sum(1).mean()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (loss_summed, "with each row twice"),
        (loss_with_gradient_to_teacher, "a gradient reaches the teacher: detach it"),
        (loss_upside_down, "at the teacher"),
        (loss_of_probabilities, "the loss is nan at temperature 0.5"),
    ],
)
def test_a_broken_loss_fails_its_contract(broken: Any, words: str) -> None:
    class Contract(LossContract):
        loss = staticmethod(broken)

    assert any(words in message for message in run_contract(Contract()))


class SharedRows(TinyTask):
    @property
    def splits(self) -> Any:
        return {**super().splits, "test": torch.arange(3)}


class RandomViews(TinyTask):
    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        inputs = super().inputs(rows, view)
        return inputs + view * torch.rand_like(inputs)


class LowChance(TinyTask):
    chance = 0.01


class SummedLoss(TinyTask):
    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="sum")


class LeftPadded(TinyTask):
    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        return super().inputs(rows, view).flip(1)


class Unpadded(TinyTask):
    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        return super().inputs(rows, view) + 1


class FloatIds(TinyTask):
    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        return super().inputs(rows, view).float()


class ShortExample(TinyTask):
    def example(self, rows: int = 1) -> Tensor:
        return super().example(rows)[:, :2]


OF_TEXTS: Any = {"input_shape": (7,), "num_outputs": 3, "vocabulary": 30}


class Wrong(Classes):
    def right(self, targets: Tensor) -> Tensor:
        return -super().right(targets)


class Unlisted(Classes):
    def plain(self) -> dict[str, Any]:
        return {**super().plain(), "names": self.names}  # JSON makes a list of a tuple


class Narrow(Classes):
    def blind(self, targets: Tensor) -> Tensor:
        return super().blind(targets)[:-1]


class WithHead(TinyTask):
    head = Classes

    @property
    def heads(self) -> Any:
        return {"": self.head(tuple("abcdefghij"))}


class WithWrongHead(WithHead):
    head = Wrong


class WithUnlistedHead(WithHead):
    head = Unlisted


class WithNarrowHead(WithHead):
    head = Narrow


class TestContractOfATaskWithAHead(TaskContract):
    task = WithHead()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (WithWrongHead(), "head '': right outputs score 0.0, and a blind answer scores"),
        (WithUnlistedHead(), "head '' is no plain data"),
        (WithNarrowHead(), "head '': the blind answer is (9,)"),
        (SharedRows(), "splits 'train' and 'test' share rows"),
        (RandomViews(views=2), "order changes what is read"),
        (LowChance(), "a constant answer scores"),
        (SummedLoss(), "hard_loss is no mean over the batch"),
        (LeftPadded(**OF_TEXTS), "a text begins with padding, or has no token"),
        (Unpadded(**OF_TEXTS), "ids leave 0 .. 29"),
        (FloatIds(**OF_TEXTS), "ids are torch.float32, not int64"),
        (ShortExample(**OF_TEXTS), "example gives shape (3, 2)"),
    ],
)
def test_a_broken_task_fails_its_contract(broken: Any, words: str) -> None:
    class Contract(TaskContract):
        task = broken

    assert any(words in message for message in run_contract(Contract()))


@pytest.mark.slow
def test_a_task_that_another_process_makes_otherwise_fails_its_contract(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import os\nfrom autokd.testing import TinyTask\ndef make(): return TinyTask(seed=os.getpid())\n"
    )

    class Contract(TaskContract):
        task = f"{tmp_path / 'own.py'}:make"

    said = run_contract(Contract())
    assert any("another process makes a task with another digest" in message for message in said)


class WithDropout(Prototypes):
    def outputs(self, inputs: Tensor) -> Tensor:
        return functional.dropout(super().outputs(inputs))


class MeanOfRows(Prototypes):
    def outputs(self, inputs: Tensor) -> Tensor:
        return super().outputs(inputs - inputs.mean(0))


class Doubles(Prototypes):
    def outputs(self, inputs: Tensor) -> Tensor:
        return super().outputs(inputs).double()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (WithDropout(), "is it in eval mode?"),
        (MeanOfRows(), "other rows change an answer"),
        (Doubles(), "outputs are torch.float64, not float32"),
    ],
)
def test_a_broken_teacher_fails_its_contract(broken: Any, words: str) -> None:
    class Contract(TeacherContract):
        teacher = broken

    assert any(words in message for message in run_contract(Contract()))


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ({"ideal": 0.0, "worst": 1.0}, "worst 1.0 is no worse than ideal 0.0"),
        ({"ideal": 0.01}, "is better than the ideal, 0.01"),
        ({"ideal": math.inf}, "ideal is inf"),
        ({"standard_error": lambda value, rows: value - 2}, "the standard error of "),
    ],
)
def test_a_range_that_does_not_hold_fails_the_contract(ends: Any, words: str) -> None:
    class Contract(ObjectiveContract):
        objective = Objective("accuracy", "maximize", "", True, accuracy, **ends)

    assert any(words in message for message in run_contract(Contract()))


def leaves_eval_mode(student: nn.Module, inputs: Tensor) -> float:
    return float(student.eval()(inputs).detach().sum())


def of_type_int(student: nn.Module, inputs: Tensor) -> Any:
    return 3


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (leaves_eval_mode, "in another mode"),
        (of_type_int, "measure returned a int, not a float"),
        (lambda student, inputs: random.random(), ", and then "),
    ],
)
def test_a_broken_objective_fails_its_contract(measure: Any, words: str) -> None:
    class Contract(ObjectiveContract):
        objective = Objective("cost", "minimize", "", False, measure)

    assert any(words in message for message in run_contract(Contract()))
