"""The contract of a distillation loss, as a class of tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autokd.losses import takes_labels
from autokd.registry import resolve

_TEMPERATURES = (0.5, 1.0, 4.0, 16.0)


class LossContract:
    """Tests a distillation loss: it is smallest if the student equals its teacher, and its gradient leads downhill.

    Attributes:
        loss: the function, or a reference to it.
    """

    loss: object

    def test_it_is_a_finite_number_at_any_temperature(self) -> None:
        """The loss and its gradient are finite, also for logits in the hundreds, two classes, or constant answers."""
        student, teacher = _logits(6, 10)
        for s, t in [(student, teacher), (100 * student, 100 * teacher), (0 * student, teacher), _logits(6, 2)]:
            for temperature in _TEMPERATURES:
                value, gradient = self._value_and_gradient(s, t, temperature)
                assert value.shape == (), f"the loss has shape {tuple(value.shape)}, not ()"
                assert value.isfinite(), f"the loss is {value.item()} at temperature {temperature}"
                assert gradient.isfinite().all(), f"the gradient holds NaN or infinity at {temperature}"

    def test_it_is_least_where_student_is_teacher(self) -> None:
        """No student has a smaller loss than the teacher itself."""
        student, teacher = _logits(6, 10)
        for temperature in _TEMPERATURES:
            at_teacher, _ = self._value_and_gradient(teacher, teacher, temperature)
            elsewhere, _ = self._value_and_gradient(student, teacher, temperature)
            assert at_teacher < elsewhere, f"{at_teacher.item()} at the teacher, {elsewhere.item()} elsewhere"

    def test_a_step_down_its_gradient_lowers_it(self) -> None:
        """The gradient belongs to the returned value."""
        student, teacher = _logits(6, 10)
        for temperature in _TEMPERATURES:
            value, gradient = self._value_and_gradient(student, teacher, temperature)
            assert gradient.any(), f"no gradient reaches the student at temperature {temperature}"
            lower, _ = self._value_and_gradient(student - 0.01 * gradient / gradient.norm(), teacher, temperature)
            assert lower < value, f"{value.item()} became {lower.item()} at temperature {temperature}"

    def test_no_gradient_reaches_the_teacher(self) -> None:
        """A teacher is frozen, even if its outputs require a gradient."""
        student, teacher = (logits.requires_grad_() for logits in _logits(6, 10))
        self._call(student, teacher, 4.0).backward()
        assert teacher.grad is None or not teacher.grad.any(), "a gradient reaches the teacher: detach its outputs"

    def test_it_is_a_mean_over_rows_in_any_order(self) -> None:
        """The loss does not depend on the order of a batch, and does not change if each row comes twice."""
        student, teacher = _logits(6, 10)
        once = self._call(student, teacher, 4.0, labels=torch.arange(6))
        turned = self._call(student.flip(0), teacher.flip(0), 4.0, labels=torch.arange(6).flip(0))
        twice = self._call(student.repeat(2, 1), teacher.repeat(2, 1), 4.0, labels=torch.arange(6).repeat(2))
        assert torch.allclose(turned, once, rtol=1e-4), f"{once.item()}, in other order {turned.item()}"
        assert torch.allclose(twice, once, rtol=1e-4), f"{once.item()}, with each row twice {twice.item()}"

    def _value_and_gradient(self, student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        student = student.detach().requires_grad_()
        value = self._call(student, teacher, temperature)
        return value.detach(), torch.autograd.grad(value, student)[0]

    def _call(self, student: Tensor, teacher: Tensor, temperature: float, labels: Tensor | None = None) -> Tensor:
        # The class is read, because a function read through the instance would be bound to it.
        loss: Any = resolve("losses", type(self).loss)
        if not takes_labels(loss):
            return loss(student, teacher, temperature=temperature)
        if labels is None:
            labels = torch.arange(len(student)) % student.shape[1]
        return loss(student, teacher, temperature=temperature, labels=labels)


def _logits(rows: int, num_outputs: int) -> tuple[Tensor, Tensor]:
    """Logits of a student and of a teacher."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, rows, num_outputs, generator=generator)
    return student, 2 * teacher
