from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from autokd.distill import Training, cosine, draw, one_cycle, predict
from autokd.errors import InfeasibleError
from autokd.losses import dist, dkd, kd, logit_std
from autokd.testing import TinyTask
from autokd.types import Recipe

TINY = TinyTask(input_shape=(6,), num_outputs=4)
RECIPE = Recipe(batch_size=8, epochs=4)
METHODS: dict[str, Any] = {"kd": kd, "dkd": dkd, "dist": dist, "logit_std": logit_std}


@dataclass(frozen=True)
class Watched:
    """A tiny task that notes which rows are read, and whose labels may be replaced."""

    task: TinyTask = TINY
    relabel: Callable[[Tensor], Tensor] = lambda labels: labels
    seen: list[Tensor] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        self.seen.append(rows)
        return self.task.inputs(rows, view)

    def targets(self, rows: Tensor) -> Tensor:
        return self.relabel(self.task.targets(rows))


def student() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 4))


def teacher(task: Any) -> Tensor:
    return 3 * torch.randn(task.views, task.num_rows, task.num_outputs, generator=torch.Generator().manual_seed(2))


def train(recipe: Recipe = RECIPE, *, task: Any = None, answers: Tensor | None = None, epochs: int = 4) -> nn.Module:
    task = task or Watched()
    known = teacher(task) if answers is None else answers
    training = Training(student(), task, known, recipe, loss=METHODS[recipe.method], seed=3)
    training.run(0, epochs)
    return training.student


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(a.state_dict()[key], b.state_dict()[key]) for key in a.state_dict())


def plain_training(recipe: Recipe, *, epochs: int) -> nn.Module:
    """Training on labels as one writes it down without distillation in mind."""
    task, network = TINY, student()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    rows = task.splits["train"]
    steps = math.ceil((len(rows) + len(task.splits["transfer"])) / recipe.batch_size)
    for epoch in range(epochs):
        torch.manual_seed(3 * 1_000_003 + epoch)
        for step, batch in enumerate(draw(rows, steps, recipe.batch_size)):
            share = (epoch + step / steps) / recipe.epochs
            optimizer.param_groups[0]["lr"] = recipe.lr * (1 + math.cos(math.pi * share)) / 2
            loss = functional.cross_entropy(network(task.inputs(batch)), task.targets(batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


def test_alpha_0_is_plain_training_to_the_bit() -> None:
    assert same(train(replace(RECIPE, alpha=0.0)), plain_training(RECIPE, epochs=4))


@pytest.mark.parametrize("method", METHODS)
def test_alpha_0_reads_neither_the_teacher_nor_the_method_nor_the_temperature(method: str) -> None:
    task = Watched()
    unread = torch.full((1, task.num_rows, task.num_outputs), torch.nan)

    trained = train(replace(RECIPE, alpha=0.0, method=method, temperature=9.0), answers=unread)

    assert same(trained, train(replace(RECIPE, alpha=0.0)))


def test_alpha_0_does_not_forward_the_transfer_rows() -> None:
    task = Watched()
    train(replace(RECIPE, alpha=0.0), task=task)
    assert set(torch.cat(task.seen).tolist()) == set(task.splits["train"].tolist())


@pytest.mark.parametrize("method", ["kd", "dist", "logit_std"])
def test_labels_are_read_at_every_alpha_but_1(method: str) -> None:
    for alpha in (0.0, 0.9, 1.0):
        recipe = replace(RECIPE, alpha=alpha, method=method)
        relabelled = train(recipe, task=Watched(relabel=lambda labels: (labels + 1) % 4))
        assert same(train(recipe), relabelled) == (alpha == 1)


def test_labels_of_transfer_rows_are_never_read() -> None:
    asked: list[Tensor] = []

    @dataclass(frozen=True)
    class Asked(Watched):
        def targets(self, rows: Tensor) -> Tensor:
            asked.append(rows)
            return super().targets(rows)

    for alpha, method in [(0.0, "kd"), (0.5, "dkd"), (0.5, "kd"), (1.0, "dkd")]:
        train(replace(RECIPE, alpha=alpha, method=method), task=Asked())

    assert not set(torch.cat(asked).tolist()) & set(TinyTask().splits["transfer"].tolist())


@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("batch_size", [8, 10, 64])
def test_an_epoch_is_all_rows_over_the_batch_size_in_steps_at_every_alpha(alpha: float, batch_size: int) -> None:
    task = Watched()
    train(replace(RECIPE, alpha=alpha, batch_size=batch_size), task=task, epochs=1)
    assert len(task.seen) == math.ceil((24 + 12) / batch_size)


@pytest.mark.parametrize("batch_size", [2, 5, 23, 24])
@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_no_batch_holds_one_row(batch_size: int, alpha: float) -> None:
    task = Watched()
    train(replace(RECIPE, alpha=alpha, batch_size=batch_size), task=task, epochs=1)
    assert min(len(rows) for rows in task.seen) >= 2


def test_each_step_draws_a_labelled_batch_and_a_transfer_batch() -> None:
    task = Watched()
    train(task=task, epochs=1)
    transfer = set(task.splits["transfer"].tolist())
    for rows in task.seen:
        assert [row in transfer for row in rows.tolist()] == [False] * 8 + [True] * 8


def test_the_loss_is_the_formula() -> None:
    task, recipe = Watched(), Recipe(alpha=0.3, temperature=2.0)
    training = Training(student(), task, teacher(task), recipe, loss=kd, seed=3)
    outputs, answers, labels = torch.randn(36, 4), torch.randn(36, 4), task.targets(torch.arange(24))

    log_student, log_teacher = (outputs / 2).log_softmax(1), (answers / 2).log_softmax(1)
    soft = 4 * functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    hard = functional.cross_entropy(outputs[:24], labels)

    assert training._total_loss(outputs, answers, labels).item() == pytest.approx((0.3 * soft + 0.7 * hard).item())


def test_a_method_that_needs_labels_is_kd_on_unlabelled_rows() -> None:
    task = Watched()
    training = Training(student(), task, teacher(task), replace(RECIPE, alpha=1.0), loss=METHODS["dkd"], seed=3)
    outputs, answers = torch.randn(10, 4), torch.randn(10, 4)
    labels = torch.tensor([0, 1, 2, 3])

    labelled = dkd(outputs[:4], answers[:4], temperature=4.0, labels=labels)
    unlabelled = kd(outputs[4:], answers[4:], temperature=4.0)

    found = training._total_loss(outputs, answers, labels)
    assert found.item() == pytest.approx((0.4 * labelled + 0.6 * unlabelled).item(), rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_no_gradient_reaches_the_teacher(method: str) -> None:
    task = Watched()
    answers = teacher(task).requires_grad_()
    before = answers.detach().clone()
    train(replace(RECIPE, method=method), task=task, answers=answers)
    assert answers.grad is None or not answers.grad.any()
    assert torch.equal(answers, before)


def test_epoch_e_reads_view_e_modulo_the_views_of_inputs_and_answers() -> None:
    views: list[int] = []

    @dataclass(frozen=True)
    class Viewed(Watched):
        def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
            views.append(view)
            return super().inputs(rows, view)

    task = Viewed(TinyTask(input_shape=(6,), num_outputs=4, views=3))
    answers = teacher(task)
    answers[1] = torch.nan
    training = Training(student(), task, answers, RECIPE, loss=kd, seed=3)
    training.run(0, 1)
    training.run(2, 4)
    assert list(dict.fromkeys(views)) == [0, 2]
    with pytest.raises(FloatingPointError, match="epoch 1"):
        training.run(1, 2)


def test_the_student_is_back_in_train_mode_after_training_and_prediction() -> None:
    task, network = Watched(), student().eval()
    training = Training(network, task, teacher(task), RECIPE, loss=kd, seed=3)
    training.run(0, 1)
    assert all(module.training for module in training.student.modules())
    predict(training.student, task, task.splits["validation"])
    assert all(module.training for module in training.student.modules())


def test_prediction_leaves_a_student_in_eval_mode_there_and_its_statistics_alone() -> None:
    network, task = student().eval(), Watched()
    before = copy.deepcopy(network)
    predict(network, task, task.splits["validation"])
    assert not network.training
    assert same(network, before)


@given(batch_size=st.integers(1, 12))
@settings(deadline=None, max_examples=12)
def test_prediction_does_not_depend_on_its_batches(batch_size: int) -> None:
    network, task = student(), Watched()
    rows = task.splits["validation"]
    whole = predict(network, task, rows)
    assert whole.shape == (12, 4)
    torch.testing.assert_close(predict(network, task, rows, batch_size=batch_size), whole)


def test_predictions_can_be_trained_on() -> None:
    outputs = predict(student(), Watched(), torch.arange(3))  # a tensor of inference mode could not be
    weight = torch.ones(4, requires_grad=True)
    (outputs @ weight).sum().backward()
    assert weight.grad is not None


def test_training_leaves_the_callers_random_state_alone() -> None:
    training = Training(student(), Watched(), teacher(Watched()), RECIPE, loss=kd, seed=3)
    before = torch.get_rng_state()
    training.run(0, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_does_not_depend_on_the_callers_random_state() -> None:
    results = []
    for seed in (1, 2):
        training = Training(student(), Watched(), teacher(Watched()), RECIPE, loss=kd, seed=3)
        torch.manual_seed(seed)
        training.run(0, 2)
        results.append(training.student)
    assert same(*results)


def test_a_student_without_parameters_is_refused() -> None:
    with pytest.raises(InfeasibleError, match="no trainable parameters"):
        Training(nn.Flatten(), Watched(), teacher(Watched()), RECIPE, loss=kd, seed=3)


def test_frozen_parameters_stay() -> None:
    network = student()
    first = network[0]  # type: ignore[index]
    first.requires_grad_(False)
    before = first.weight.clone()
    Training(network, Watched(), teacher(Watched()), RECIPE, loss=kd, seed=3).run(0, 2)
    assert torch.equal(first.weight, before)


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 50), st.integers(0, 9))
@settings(deadline=None)
def test_draws_are_full_batches_in_which_each_row_comes_up_equally_often(
    num_rows: int, steps: int, batch_size: int, seed: int
) -> None:
    torch.manual_seed(seed)
    rows = 7 + 3 * torch.arange(num_rows)
    batches = draw(rows, steps, batch_size)
    assert batches.shape == (steps, min(batch_size, num_rows))
    counted: Mapping[int, int] = Counter(batches.flatten().tolist())
    often = [counted[row] for row in rows.tolist()]
    assert sum(often) == batches.numel()
    assert max(often) - min(often) <= 1


@given(st.floats(0, 1))
def test_schedules_stay_between_nothing_and_the_peak(progress: float) -> None:
    for schedule in (cosine, one_cycle):
        assert -1e-9 <= schedule(progress) <= 1 + 1e-9


def test_schedules_begin_peak_and_end_as_published() -> None:
    assert cosine(0) == 1
    assert cosine(1) == pytest.approx(0)
    assert one_cycle(0) == pytest.approx(1 / 25)
    assert one_cycle(0.3) == pytest.approx(1)
    assert one_cycle(1) == pytest.approx(0)
