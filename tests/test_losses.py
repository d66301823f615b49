"""The soft terms obey their laws and agree with their formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autokd.losses import dist, dkd, kd, log_probabilities, logit_std, takes_labels

seeds = st.integers(0, 10_000)
batches = st.integers(2, 9)
classes = st.integers(2, 12)
temperatures = st.floats(0.5, 20.0)
laws = settings(deadline=None, max_examples=40)


def logits(seed: int, batch: int, num_outputs: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pair = scale * torch.randn(2, batch, num_outputs, generator=generator, dtype=torch.float64)
    return pair[0].requires_grad_(), pair[1]


def labels(seed: int, batch: int, num_outputs: int) -> Tensor:
    return torch.randint(num_outputs, (batch,), generator=torch.Generator().manual_seed(seed))


def gradient(loss: Tensor, student: Tensor) -> Tensor:
    return torch.autograd.grad(loss, student)[0]


def softmax(row: np.ndarray, temperature: float) -> list[float]:
    weights = [math.exp(z / temperature) for z in row]
    return [weight / sum(weights) for weight in weights]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


# kd


@laws
@given(seeds, batches, classes, temperatures)
def test_kd_is_the_formula_written_out(seed: int, batch: int, num_outputs: int, temperature: float) -> None:
    student, teacher = logits(seed, batch, num_outputs)
    rows = zip(teacher.numpy(), student.detach().numpy(), strict=True)
    total = sum(kl(softmax(t, temperature), softmax(s, temperature)) for t, s in rows)
    expected = temperature**2 * total / batch
    assert kd(student, teacher, temperature=temperature).item() == pytest.approx(expected, rel=1e-9, abs=1e-10)


@laws
@given(seeds, batches, classes, temperatures)
def test_the_gradient_of_kd_is_temperature_times_the_difference_over_the_batch(
    seed: int, batch: int, num_outputs: int, temperature: float
) -> None:
    student, teacher = logits(seed, batch, num_outputs)
    found = gradient(kd(student, teacher, temperature=temperature), student)
    difference = (student / temperature).softmax(1) - (teacher / temperature).softmax(1)
    assert torch.allclose(found, temperature * difference / batch, atol=1e-10)


@laws
@given(seeds, batches, classes, temperatures, st.sampled_from([-math.inf, -1e30, -1e9]), st.booleans())
def test_a_padded_class_changes_nothing(
    seed: int, batch: int, num_outputs: int, temperature: float, nothing: float, float32: bool
) -> None:
    student, teacher = logits(seed, batch, num_outputs)
    if float32:
        student, teacher = student.detach().float().requires_grad_(), teacher.float()
    padding = torch.full((batch, 3), nothing, dtype=teacher.dtype)
    plain = kd(student, teacher, temperature=temperature)
    padded = kd(torch.cat([student, padding], 1), torch.cat([teacher, padding], 1), temperature=temperature)
    assert torch.allclose(plain, padded)
    assert torch.allclose(gradient(plain, student), gradient(padded, student), atol=1e-6)


@laws
@given(seeds, batches, classes, temperatures)
def test_a_class_without_mass_pushes_the_student_down_there_and_gives_no_nan(
    seed: int, batch: int, num_outputs: int, temperature: float
) -> None:
    student, teacher = logits(seed, batch, num_outputs)
    teacher[:, 0] = -math.inf
    loss = kd(student, teacher, temperature=temperature)
    assert loss.isfinite()
    pushed = gradient(loss, student)
    assert pushed.isfinite().all()
    assert (pushed[:, 0] > 0).all()


def test_kd_keeps_its_gradient_as_temperature_grows() -> None:
    student, teacher = logits(0, 64, 10)
    warm = gradient(kd(student, teacher, temperature=20.0), student).norm().item()
    hot = gradient(kd(student, teacher, temperature=200.0), student).norm().item()
    assert hot == pytest.approx(warm, rel=0.1)


def test_a_student_that_diverged_gives_nan_and_not_zero() -> None:
    student, teacher = logits(0, 4, 3)
    assert kd(student * math.nan, teacher, temperature=4.0).isnan()


# dkd


def dkd_written_out(student: np.ndarray, teacher: np.ndarray, label: np.ndarray, temperature: float) -> float:
    total = 0.0
    for s, t, k in zip(student, teacher, label, strict=True):
        p, q = softmax(t, temperature), softmax(s, temperature)
        others_p, others_q = 1 - p[k], 1 - q[k]
        target = kl([p[k], others_p], [q[k], others_q])
        rest = [i for i in range(len(p)) if i != k]
        others = kl([p[i] / others_p for i in rest], [q[i] / others_q for i in rest])
        total += 1.0 * target + 8.0 * others
    return temperature**2 * total / len(student)


@laws
@given(seeds, batches, classes, temperatures)
def test_dkd_is_the_formula_written_out(seed: int, batch: int, num_outputs: int, temperature: float) -> None:
    student, teacher = logits(seed, batch, num_outputs, scale=1.5)
    label = labels(seed, batch, num_outputs)
    expected = dkd_written_out(student.detach().numpy(), teacher.numpy(), label.numpy(), temperature)
    found = dkd(student, teacher, temperature=temperature, labels=label).item()
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@laws
@given(seeds, classes, temperatures)
def test_dkd_with_the_weight_of_kd_is_kd(seed: int, num_outputs: int, temperature: float) -> None:
    student, teacher = logits(seed, 1, num_outputs)
    label = labels(seed, 1, num_outputs)
    others = 1 - (teacher / temperature).softmax(1)[0, label].item()
    decoupled = dkd(student, teacher, temperature=temperature, labels=label, others_weight=others)
    assert torch.allclose(decoupled, kd(student, teacher, temperature=temperature), atol=1e-10)


def test_dkd_stays_finite_where_the_teacher_is_certain() -> None:
    student = torch.zeros(2, 4, requires_grad=True)
    teacher = torch.tensor([[300.0, 0, 0, 1], [0, 0, -math.inf, 300]])
    loss = dkd(student, teacher, temperature=1.0, labels=torch.tensor([0, 1]))
    assert loss.isfinite()
    assert gradient(loss, student).isfinite().all()


# dist


@laws
@given(seeds, st.integers(3, 9), st.integers(3, 12), temperatures)
def test_dist_is_one_minus_the_correlations_of_rows_and_columns(
    seed: int, batch: int, num_outputs: int, temperature: float
) -> None:
    student, teacher = logits(seed, batch, num_outputs)
    p = np.array([softmax(row, temperature) for row in teacher.numpy()])
    q = np.array([softmax(row, temperature) for row in student.detach().numpy()])
    rows = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    columns = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, q.T, strict=True)])
    found = dist(student, teacher, temperature=temperature).item()
    assert found == pytest.approx(temperature**2 * (rows + columns), rel=1e-6, abs=1e-6)


def test_dist_of_hot_outputs_ignores_their_scale() -> None:
    student, teacher = logits(0, 64, 10)
    one = dist(student, teacher, temperature=1e3).item()
    assert one == pytest.approx(dist(0.2 * student, teacher, temperature=1e3).item(), rel=0.01)


# logit_std


@laws
@given(seeds, batches, classes, temperatures)
def test_logit_std_is_kd_of_z_scores(seed: int, batch: int, num_outputs: int, temperature: float) -> None:
    student, teacher = logits(seed, batch, num_outputs)
    total = 0.0
    for s, t in zip(student.detach().numpy(), teacher.numpy(), strict=True):
        z, v = (s - s.mean()) / s.std(), (t - t.mean()) / t.std()
        total += kl(softmax(v, temperature), softmax(z, temperature))
    found = logit_std(student, teacher, temperature=temperature).item()
    assert found == pytest.approx(temperature**2 * total / batch, rel=1e-2, abs=1e-4)


@laws
@given(seeds, batches, st.integers(3, 12), st.floats(0.5, 10.0), st.floats(-5.0, 5.0))
def test_logit_std_ignores_shift_and_scale_of_the_student(
    seed: int, batch: int, num_outputs: int, scale: float, shift: float
) -> None:
    student, teacher = logits(seed, batch, num_outputs)
    one = logit_std(student, teacher, temperature=2.0)
    assert torch.allclose(one, logit_std(scale * student + shift, teacher, temperature=2.0), atol=1e-4)


# all of them


def losses_of(student: Tensor, teacher: Tensor, temperature: float, label: Tensor) -> dict[str, Tensor]:
    return {
        "kd": kd(student, teacher, temperature=temperature),
        "dkd": dkd(student, teacher, temperature=temperature, labels=label),
        "dist": dist(student, teacher, temperature=temperature),
        "logit_std": logit_std(student, teacher, temperature=temperature),
    }


@laws
@given(seeds, batches, classes, temperatures)
def test_zero_when_student_is_teacher(seed: int, batch: int, num_outputs: int, temperature: float) -> None:
    _, teacher = logits(seed, batch, num_outputs)
    found = losses_of(teacher, teacher, temperature, labels(seed, batch, num_outputs))
    assert found.pop("dist").item() == pytest.approx(0, abs=1e-6)
    assert all(loss.item() == 0 for loss in found.values())


@laws
@given(seeds, batches, classes, temperatures)
def test_never_negative(seed: int, batch: int, num_outputs: int, temperature: float) -> None:
    student, teacher = logits(seed, batch, num_outputs)
    found = losses_of(student, teacher, temperature, labels(seed, batch, num_outputs))
    assert all(loss.item() >= -1e-9 for loss in found.values())


@laws
@given(seeds, batches, classes, temperatures)
def test_the_order_of_samples_and_of_classes_does_not_matter(
    seed: int, batch: int, num_outputs: int, temperature: float
) -> None:
    student, teacher = logits(seed, batch, num_outputs)
    label = labels(seed, batch, num_outputs)
    rows, columns = torch.randperm(batch), torch.randperm(num_outputs)
    one = losses_of(student, teacher, temperature, label)
    moved = (student[rows][:, columns], teacher[rows][:, columns])
    other = losses_of(*moved, temperature, columns.argsort()[label[rows]])
    assert all(torch.allclose(one[name], other[name], atol=1e-8) for name in one)


@pytest.mark.parametrize("name", ["kd", "dkd", "dist", "logit_std"])
def test_no_gradient_reaches_the_teacher(name: str) -> None:
    student, teacher = logits(0, 5, 4)
    teacher.requires_grad_()
    losses_of(student, teacher, 3.0, labels(0, 5, 4))[name].backward()
    assert teacher.grad is None
    assert student.grad is not None


@pytest.mark.parametrize("name", ["kd", "dkd", "dist", "logit_std"])
@pytest.mark.parametrize("constant", ["student", "teacher", "both"])
def test_constant_rows_give_finite_loss_and_gradient(name: str, constant: str) -> None:
    pair = [each.detach().float() for each in logits(0, 4, 5)]
    student, teacher = (
        torch.full((4, 5), 0.3) if constant in (who, "both") else each
        for who, each in zip(("student", "teacher"), pair, strict=True)
    )
    student.requires_grad_()
    loss = losses_of(student, teacher, 4.0, labels(0, 4, 5))[name]
    assert loss.isfinite()
    assert gradient(loss, student).isfinite().all()


@pytest.mark.parametrize("name", ["kd", "dkd", "dist", "logit_std"])
def test_many_students_at_once_under_vmap_get_the_gradients_of_one_by_one(name: str) -> None:
    students = torch.randn(3, 6, 5)
    _, teacher = logits(1, 6, 5)
    teacher, label = teacher.float(), labels(1, 6, 5)

    def loss(student: Tensor) -> Tensor:
        return losses_of(student, teacher, 4.0, label)[name]

    together = torch.func.vmap(torch.func.grad(loss))(students)
    apart = torch.stack([torch.func.grad(loss)(student) for student in students])
    assert torch.allclose(together, apart, atol=1e-5)


@pytest.mark.parametrize("name", ["kd", "dkd", "dist", "logit_std"])
def test_a_batch_of_one_is_finite(name: str) -> None:
    student, teacher = logits(0, 1, 5)
    assert losses_of(student, teacher, 4.0, labels(0, 1, 5))[name].isfinite()


def test_log_probabilities_come_back_as_probabilities_and_keep_zero_finite() -> None:
    probabilities = torch.tensor([[0.7, 0.3, 0.0]])
    logs = log_probabilities(probabilities)
    assert logs.isfinite().all()
    assert torch.allclose(logs.softmax(1), probabilities, atol=2e-7)


def test_only_a_loss_with_a_parameter_of_that_name_takes_labels() -> None:
    assert takes_labels(dkd)
    assert not any(takes_labels(loss) for loss in (kd, dist, logit_std))
