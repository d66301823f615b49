"""The device on which networks run, its copy of the data, bf16, and torch's compiler."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from autokd.errors import InputError
from autokd.types import Task

WHOLE_BYTES = 2_000_000_000
"""Inputs and answers below this size are copied to a device whole, once in each process; larger ones by the batch."""


@dataclass(frozen=True)
class Compute:
    """How students are trained.

    Args:
        device: the device on which students are trained.
        bf16: whether the forward pass runs under autocast to bfloat16; weights, loss and optimizer stay float32.
        compiled: whether torch's compiler makes the forward pass.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    bf16: bool = False
    compiled: bool = False

    def precision(self) -> AbstractContextManager[object]:
        """The context in which a forward pass runs."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.bf16 else nullcontext()

    def forward(self, student: nn.Module) -> Callable[[Tensor], Tensor]:
        """The function that answers a batch in training."""
        return compiled_call(student) if self.compiled else student


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA, else MPS, else the CPU.

    Raises:
        InputError: this machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, available in there.items() if available))
    kind, _, index = name.partition(":")
    if not there[kind] or (index and int(index) >= torch.cuda.device_count()):
        here = ", ".join(each for each, available in there.items() if available)
        raise InputError(f"device: {name} is not there (this machine has {here}); write auto, which takes the best")
    return torch.device(name)


def on_device(task: Task, device: torch.device) -> Task:
    """The task with its inputs and targets on a device; for the CPU, the task itself."""
    copied: Any = task if device.type == "cpu" else _OnDevice(task, device)
    return copied


def answers_on(answers: Tensor, device: torch.device) -> Tensor:
    """A teacher's answers on a device, if they are small enough to be kept there; larger ones stay as they are."""
    return answers.to(device) if answers.nbytes < WHOLE_BYTES else answers


def compiled_call(student: nn.Module) -> Callable[[Tensor], Tensor]:
    """A student's forward pass, which torch's compiler compiles at the first call."""

    def answer(batch: Tensor) -> Any:
        return student(batch)

    # The compiler keeps its results by code object, tries them one after the other, and silently stops compiling
    # after 8 of them. With a code object of its own, each student has only its own result.
    own = FunctionType(answer.__code__.replace(), globals(), closure=answer.__closure__)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # torch's own code gives it
        return torch.compile(own, dynamic=False)


@dataclass(frozen=True)
class _OnDevice:
    """A task whose inputs and targets are on a device; views other than the first are made on the CPU, batch by batch.

    Splits stay on the CPU, where batches are drawn, so that every device gets the same batches.
    """

    task: Task
    device: torch.device

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        if view == 0 and self._whole is not None:
            return self._whole[rows.to(self.device)]
        return self.task.inputs(rows.cpu(), view).to(self.device, non_blocking=True)

    def targets(self, rows: Tensor) -> Any:
        rows = rows.to(self.device)
        if isinstance(self._targets, Tensor):
            return self._targets[rows]
        return {name: targets[rows] for name, targets in self._targets.items()}

    def hard_loss(self, outputs: Tensor, targets: Any) -> Tensor:
        return self.task.hard_loss(outputs, targets)

    @cached_property
    def _whole(self) -> Tensor | None:
        one = self.task.inputs(torch.zeros(1, dtype=torch.long))
        if one.nbytes * self.task.num_rows >= WHOLE_BYTES:
            return None
        return self.task.inputs(torch.arange(self.task.num_rows)).to(self.device)

    @cached_property
    def _targets(self) -> Tensor | dict[str, Tensor]:
        targets = self.task.targets(torch.arange(self.task.num_rows))
        if isinstance(targets, Tensor):
            return targets.to(self.device)
        return {name: each.to(self.device) for name, each in targets.items()}
