"""The contract of a teacher, as a class of tests."""

from __future__ import annotations

import torch
from torch import Tensor

from autokd.registry import resolve
from autokd.testing.tasks import assert_digest
from autokd.testing.tiny_task import TinyTask
from autokd.types import Task, Teacher


class TeacherContract:
    """Tests a teacher: each answer depends on its input alone.

    Attributes:
        teacher: the teacher, or a reference to it.
        task: the task whose inputs the teacher answers.
    """

    teacher: object
    task: object = TinyTask()

    def test_outputs_are_finite_logits_without_gradient(self) -> None:
        """Outputs are float32, shape (batch, num_outputs)."""
        outputs = self._teacher().outputs(self._inputs())
        wanted = (len(self._inputs()), self._task().num_outputs)
        assert outputs.shape == wanted, f"outputs have shape {tuple(outputs.shape)}, not {wanted}"
        assert outputs.dtype == torch.float32, f"outputs are {outputs.dtype}, not float32"
        assert outputs.isfinite().all(), "outputs hold NaN or infinity; log_probabilities keeps a 0 finite"
        assert not outputs.requires_grad, "outputs carry a gradient: a teacher is frozen"

    def test_answers_are_the_same_each_time(self) -> None:
        """Dropout is off, and running statistics do not change."""
        first, second = (self._teacher().outputs(self._inputs()) for _ in range(2))
        assert torch.equal(first, second), "outputs differ from one call to the next: is it in eval mode?"

    def test_an_answer_does_not_depend_on_the_rows_beside_it(self) -> None:
        """A cache may therefore ask in batches of any size."""
        inputs = self._inputs()
        apart = torch.cat([self._teacher().outputs(row[None]) for row in inputs])
        together = self._teacher().outputs(inputs)
        assert torch.allclose(apart, together, atol=1e-4, rtol=1e-4), "other rows change an answer"

    def test_inputs_are_left_as_they_were(self) -> None:
        """The inputs are the task's own memory."""
        inputs = self._inputs()
        given = inputs.clone()
        self._teacher().outputs(given)
        assert torch.equal(given, inputs), "outputs() changed its inputs in place"

    def test_digest_is_hexadecimal_and_stays(self) -> None:
        """Caches are found by the digest."""
        assert_digest(self._teacher())

    def _teacher(self) -> Teacher:
        return resolve("teachers", self.teacher)

    def _task(self) -> Task:
        return resolve("tasks", self.task)

    def _inputs(self) -> Tensor:
        return self._task().inputs(self._task().splits["train"][:8])
