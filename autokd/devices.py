"""The device on which networks run, its copy of the data, the batches that it gets, bf16, and torch's compiler."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from autokd.ahead import read_ahead
from autokd.errors import InputError
from autokd.types import Task

WHOLE_BYTES = 2_000_000_000
"""Inputs and answers below this size are copied to a device whole, once in each process; larger ones by the batch."""

_STEP = 4096
"""The number of rows that are copied at once."""


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

    def forward(self, student: nn.Module, task: Task) -> Callable[[Tensor], Tensor]:
        """The function that answers a batch in training."""
        if not self.compiled:
            return student
        return compiled_call(student, of_any_length=bool(getattr(task, "vocabulary", 0)))


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


def batches(task: Task, parts: Iterable[Tensor], view: int = 0) -> Generator[Tensor]:
    """The inputs of these batches of rows, one after the other, as `task.inputs` gives them.

    If the task does not hold its inputs in memory, a thread reads them ahead. Close the generator to end that thread
    before all batches were given.
    """
    if getattr(task, "in_memory", True):
        yield from (task.inputs(rows, view) for rows in parts)
    elif isinstance(task, _OnDevice):
        for rows, read in read_ahead(lambda rows: (rows, task.read(rows, view)), parts):
            yield task.placed(read, rows, view)
    else:
        yield from read_ahead(lambda rows: task.inputs(rows, view), parts)


def answers_on(answers: Tensor, device: torch.device) -> Tensor:
    """A teacher's answers on a device, if they are small enough to be kept there; larger ones stay as they are."""
    return answers.to(device) if answers.nbytes < WHOLE_BYTES else answers


def compiled_call(student: nn.Module, *, of_any_length: bool = False) -> Callable[[Tensor], Tensor]:
    """A student's forward pass, which torch's compiler compiles at the first call.

    Args:
        student: the student.
        of_any_length: whether batches differ in shape, as those of texts do; else each shape is compiled by itself.
    """

    def answer(batch: Tensor) -> Any:
        return student(batch)

    # The compiler keeps its results by code object, tries them one after the other, and silently stops compiling
    # after 8 of them. With a code object of its own, each student has only its own result.
    own = FunctionType(answer.__code__.replace(), globals(), closure=answer.__closure__)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # torch's own code gives it
        return torch.compile(own, dynamic=of_any_length)


@dataclass(frozen=True)
class _OnDevice:
    """A task whose inputs and targets are on a device.

    Images in bytes are copied as bytes, and are normalised and augmented there. The views of all other inputs are made
    on the CPU, batch by batch. Splits stay on the CPU, where batches are drawn, so that every device
    gets the same batches.
    """

    task: Task
    device: torch.device

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    @property
    def in_memory(self) -> bool:
        """Whether no file is read for a batch."""
        return self._whole is not None or getattr(self.task, "in_memory", True)

    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        if self._whole is not None:
            there = self._whole[rows.to(self.device)]
            return self.placed(there.permute(0, 3, 1, 2) if there.ndim == 4 else there, rows, view)
        return self.placed(self.read(rows, view), rows, view)

    def read(self, rows: Tensor, view: int) -> Tensor:
        """What is copied to the device for these rows: bytes, if the task stores bytes, or else its inputs."""
        rows = rows.cpu()
        found = self.task.inputs(rows, view) if self._of_bytes is None else self._of_bytes.stored(rows)
        if self.device.type != "cuda":
            return found
        with torch.cuda.device(self.device):  # or else the thread that reads ahead would use the first GPU
            return found.pin_memory()

    def placed(self, read: Tensor, rows: Tensor, view: int) -> Tensor:
        """The inputs of these rows on the device, made there of what `read` gave."""
        there = read.to(self.device, non_blocking=True)
        if self._of_bytes is None:
            return there
        normalised = self._normalise(there.contiguous(memory_format=torch.channels_last))
        inputs: Tensor = self._of_bytes.viewed(normalised, rows.cpu(), view)
        return inputs

    def targets(self, rows: Tensor) -> Any:
        rows = rows.to(self.device)
        if isinstance(self._targets, Tensor):
            return self._targets[rows]
        return {name: targets[rows] for name, targets in self._targets.items()}

    def hard_loss(self, outputs: Tensor, targets: Any) -> Tensor:
        return self.task.hard_loss(outputs, targets)

    @cached_property
    def _of_bytes(self) -> Any:
        """The task that stores the inputs as images in bytes; None if there is none.

        It is the one whose `inputs` are read. A task that somebody wrote around it, and that reads otherwise, is not
        passed by.
        """
        reads = getattr(self.task.inputs, "__self__", None)
        stored = getattr(type(reads), "stored", None)
        nothing = torch.empty(0, dtype=torch.long)
        found = None if stored is None else stored(reads, nothing)
        return reads if found is not None and found.dtype == torch.uint8 and found.ndim == 4 else None

    @cached_property
    def _normalise(self) -> nn.Module:
        normalise: nn.Module = self._of_bytes.reading.graph()
        return normalise.float().to(self.device)  # Apple's GPUs have no float64

    @cached_property
    def _whole(self) -> Tensor | None:
        """All that is copied to the device; images have their channels last. None if each batch is copied by itself."""
        one = self.read(torch.zeros(1, dtype=torch.long), 0)
        alike = one.is_floating_point() and self.task.views == 1  # views differ, and so do the lengths of texts
        if one.nbytes * self.task.num_rows >= WHOLE_BYTES or not (alike or self._of_bytes is not None):
            return None
        images = one.ndim == 4
        shape = one.permute(0, 2, 3, 1).shape[1:] if images else one.shape[1:]
        whole = torch.empty(self.task.num_rows, *shape, dtype=one.dtype, device=self.device)
        for rows in torch.arange(self.task.num_rows).split(_STEP):
            part = self.read(rows, 0).to(self.device)
            whole[rows[0] : rows[-1] + 1] = part.permute(0, 2, 3, 1) if images else part
        return whole

    @cached_property
    def _targets(self) -> Tensor | dict[str, Tensor]:
        targets = self.task.targets(torch.arange(self.task.num_rows))
        if isinstance(targets, Tensor):
            return targets.to(self.device)
        return {name: each.to(self.device) for name, each in targets.items()}
