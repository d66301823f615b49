"""Objectives agree with definitions written out, with scikit-learn, and with counts made by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torch import Tensor, nn

from autokd import objectives
from autokd.errors import InfeasibleError
from autokd.objectives import costs, quality
from autokd.types import Evaluation, Objective

laws = settings(deadline=None, max_examples=40)
ALL = [value for value in vars(objectives).values() if isinstance(value, Objective)]
SAMPLE = torch.zeros(1, 4)


def evaluation(seed: int, rows: int = 40, num_outputs: int = 5) -> Evaluation:
    generator = torch.Generator().manual_seed(seed)
    outputs, teacher = 2 * torch.randn(2, rows, num_outputs, generator=generator)
    return Evaluation(outputs, torch.randint(num_outputs, (rows,), generator=generator), teacher)


def chain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 16), nn.Linear(16, 2))


# the objects


def test_an_objective_is_called_as_the_attribute_it_is() -> None:
    assert len(ALL) == 19
    assert all(getattr(objectives, each.name) is each for each in ALL)


def test_trained_objectives_read_an_evaluation_and_the_others_a_student_and_a_sample() -> None:
    values = Evaluation(torch.randn(4, 2), torch.randn(4, 2), torch.randn(4, 2))
    for each in ALL:
        answers = values if each.heads == ("values",) else evaluation(0)
        number = each.measure(answers) if each.trained else each.measure(chain(), SAMPLE)
        assert type(number) is float
        assert np.isfinite(number)


def test_only_latency_is_timed() -> None:
    assert [each.name for each in ALL if each.timed] == ["latency_ms"]


# quality


@laws
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 8))
def test_quality_agrees_with_scikit_learn(seed: int, rows: int, num_outputs: int) -> None:
    given_rows = evaluation(seed, rows, num_outputs)
    labels, answers = given_rows.targets.numpy(), given_rows.outputs.argmax(1).numpy()
    recalls = metrics.recall_score(labels, answers, labels=np.unique(labels), average=None, zero_division=0)
    f1 = metrics.f1_score(labels, answers, average="macro", zero_division=0)
    probabilities = given_rows.outputs.double().softmax(1).numpy()
    nll = metrics.log_loss(labels, probabilities, labels=range(num_outputs))
    assert quality.accuracy(given_rows) == pytest.approx(metrics.accuracy_score(labels, answers))
    assert quality.error(given_rows) == pytest.approx(1 - metrics.accuracy_score(labels, answers))
    assert quality.balanced_accuracy(given_rows) == pytest.approx(recalls.mean())
    assert quality.f1(given_rows) == pytest.approx(f1)
    assert quality.miou(given_rows) == pytest.approx(metrics.jaccard_score(labels, answers, average="macro"))
    if len(np.unique([*labels, *answers])) > 1:  # scikit-learn warns of a single class
        assert quality.mcc(given_rows) == pytest.approx(metrics.matthews_corrcoef(labels, answers))
    assert quality.nll(given_rows) == pytest.approx(nll)


@laws
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 20))
def test_ece_is_the_definition_written_out(seed: int, rows: int, bins: int) -> None:
    given_rows = evaluation(seed, rows)
    confidence = given_rows.outputs.double().softmax(1).amax(1).numpy()
    right = (given_rows.outputs.argmax(1) == given_rows.targets).numpy()
    total = 0.0
    for i in range(bins):
        inside = (confidence > i / bins) & (confidence <= (i + 1) / bins)
        if inside.any():
            total += inside.sum() / rows * abs(right[inside].mean() - confidence[inside].mean())
    assert quality.ece(given_rows, bins=bins) == pytest.approx(total)


def test_ece_is_zero_for_certainty_that_is_right_and_one_where_it_is_wrong() -> None:
    certain = 1000.0 * torch.eye(3)
    labels = torch.arange(3)
    assert quality.ece(Evaluation(certain, labels, certain)) == 0
    assert quality.ece(Evaluation(certain, (labels + 1) % 3, certain)) == 1


def test_agreement_compares_with_the_teacher_and_not_with_the_targets() -> None:
    outputs, teacher = torch.eye(4), torch.eye(4)[[0, 1, 2, 2]]
    assert quality.agreement(Evaluation(outputs, torch.zeros(4, dtype=torch.long), teacher)) == 0.75


@pytest.mark.parametrize(
    "each", [each for each in ALL if each.trained and each.name != "nll"], ids=lambda each: each.name
)
def test_a_diverged_student_is_infeasible_and_not_scored(each: Objective) -> None:
    found = evaluation(0)
    found.outputs[3, 1] = torch.nan
    with pytest.raises(InfeasibleError, match="diverged"):
        each.measure(found)


# costs


def test_parameters_counts_what_trains_and_shared_weights_once() -> None:
    student = chain()
    student.append(nn.Linear(16, 2, bias=False))
    student[4].weight = student[3].weight
    student[0].weight.requires_grad_(False)
    assert costs.parameters(student, SAMPLE) == 8 + (8 * 16 + 16) + (16 * 2 + 2)


def test_size_mb_counts_frozen_weights_and_buffers_too() -> None:
    student = nn.BatchNorm1d(8).requires_grad_(False)
    assert costs.size_mb(student, SAMPLE) == pytest.approx((4 * 8 * 4 + 8) / 1e6)


def test_flops_counts_a_multiply_add_as_two() -> None:
    convolution = nn.Conv2d(3, 8, 3, bias=False)
    assert costs.flops(chain(), SAMPLE) == 2 * (4 * 8 + 8 * 16 + 16 * 2)
    assert costs.flops(convolution, torch.zeros(1, 3, 6, 6)) == 2 * (4 * 4) * 8 * 3 * 9


def test_flops_of_recurrent_layers_and_fused_attention_are_counted() -> None:
    sequence = torch.zeros(1, 5, 8)
    attention = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    projections = 2 * 5 * (8 * 24 + 8 * 8 + 8 * 16 + 16 * 8)
    assert costs.flops(nn.LSTM(8, 16, bias=False), sequence) == 2 * 5 * (8 * 64 + 16 * 64)
    assert costs.flops(attention, sequence) == projections + 2 * (2 * 5 * 5 * 8)


class OffMeta(nn.Module):
    """A layer on five steps of eight features, in a network that cannot answer on the meta device."""

    def __init__(self, layer: nn.Module, why: str) -> None:
        super().__init__()
        self.layer, self.why, self.scale = layer, why, torch.tensor(2.0)

    def forward(self, x: Tensor) -> Tensor:
        if self.why == "looks at numbers" and x.sum() > 1e9:
            return x
        if self.why == "a tensor outside the state dict":
            x = x * self.scale.expand(8)
        outputs = self.layer(x, x, x) if isinstance(self.layer, nn.MultiheadAttention) else self.layer(x)
        return outputs[0] if isinstance(outputs, tuple) else outputs


class Attention(nn.Module):
    """Fused attention over the input, before a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, self.linear(x))


LAYERS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "linear": (lambda: nn.Linear(8, 16), 2 * 5 * 8 * 16),
    "fused attention": (Attention, 2 * 5 * 8 * 8 + 2 * (2 * 5 * 5 * 8)),
    "multi-head attention": (
        lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        4 * (2 * 5 * 8 * 8) + 2 * (2 * 5 * 5 * 8),
    ),
    "an encoder layer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        4 * (2 * 5 * 8 * 8) + 2 * (2 * 5 * 5 * 8) + 2 * (2 * 5 * 8 * 16),
    ),
    "a recurrent layer": (lambda: nn.LSTM(8, 16, bias=False, batch_first=True), 2 * 5 * (8 * 64 + 16 * 64)),
    "a convolution": (lambda: nn.Conv1d(5, 3, 2), 2 * 7 * 3 * 5 * 2),
}


@pytest.mark.parametrize("why", ["nothing", "looks at numbers", "a tensor outside the state dict"])
@pytest.mark.parametrize("layer", LAYERS)
def test_flops_are_the_same_where_the_meta_device_fails(layer: str, why: str) -> None:
    make, expected = LAYERS[layer]
    student = OffMeta(make(), why).train()
    fast = torch.backends.mha.get_fastpath_enabled()
    assert costs.flops(student, torch.ones(1, 5, 8)) == expected
    assert student.training
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert torch.backends.mkldnn.enabled  # type: ignore[attr-defined]


def test_flops_of_a_student_that_fails_anywhere_are_its_own_error() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        costs.flops(nn.Linear(3, 3), torch.ones(1, 5, 8))


def test_flops_of_a_student_with_weights_that_count_nothing_is_an_error_that_names_them() -> None:
    student = nn.Sequential(nn.Flatten(), nn.PReLU())
    with pytest.raises(InfeasibleError, match="PReLU"):
        costs.flops(student, SAMPLE)
    assert costs.flops(nn.Flatten(), SAMPLE) == 0  # nothing to count, so nothing missed


def test_peak_memory_is_weights_and_input_and_the_largest_pair_of_neighbours() -> None:
    weights = sum(weight.numel() for weight in chain().parameters())
    assert costs.peak_memory_mb(chain(), SAMPLE) == pytest.approx(4 * (weights + 4 + 8 + 16) / 1e6)
    assert costs.peak_memory_mb(chain(), SAMPLE, batch=10) == pytest.approx(4 * (weights + 10 * (4 + 8 + 16)) / 1e6)


def test_peak_memory_sees_a_shortcut_that_is_kept_and_not_an_operation_in_place() -> None:
    class Residual(nn.Module):
        def __init__(self, activation: nn.Module) -> None:
            super().__init__()
            self.layer, self.activation = nn.Linear(8, 8), activation

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs + self.activation(self.layer(inputs))

    sample = torch.zeros(1, 8)
    new = costs.peak_memory_mb(nn.Sequential(Residual(nn.ReLU())), sample)
    in_place = costs.peak_memory_mb(nn.Sequential(Residual(nn.ReLU(inplace=True))), sample)
    assert new == pytest.approx(4 * (72 + 8 + 8 + 8) / 1e6)
    assert in_place == new  # the sum takes the place of the activation's copy


@pytest.mark.parametrize("each", [each for each in ALL if not each.trained], ids=lambda each: each.name)
def test_measuring_leaves_the_student_as_it_was(each: Objective) -> None:
    student = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    student[1].eval()
    before = copy.deepcopy(student.state_dict())
    each.measure(student, SAMPLE)
    assert [module.training for module in student.modules()] == [True, True, False, True, True]
    assert all(torch.equal(before[key], value) for key, value in student.state_dict().items())
    assert all(weight.grad is None and weight.device.type == "cpu" for weight in student.parameters())


@pytest.mark.parametrize(
    "each", [each for each in ALL if not each.trained and not each.timed], ids=lambda each: each.name
)
def test_costs_are_the_same_every_time(each: Objective) -> None:
    assert len({each.measure(chain(), SAMPLE) for _ in range(3)}) == 1
