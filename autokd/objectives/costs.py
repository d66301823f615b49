"""What a student costs, read off its structure: numbers that need no training and are the same every time.

Each takes the student and one sample as a batch of one, shape (1, *input_shape), and leaves the student as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from autokd.errors import InfeasibleError


def parameters(student: nn.Module, inputs: Tensor) -> float:
    """Number of trainable weights; shared ones count once."""
    return float(sum(weight.numel() for weight in student.parameters() if weight.requires_grad))


def size_mb(student: nn.Module, inputs: Tensor) -> float:
    """Size of all weights and buffers, trainable or not, in megabytes (1e6 bytes)."""
    return sum(tensor.nbytes for tensor in _state(student)) / 1e6


def flops(student: nn.Module, inputs: Tensor) -> float:
    """Floating-point operations to answer one sample; a multiply-add counts as 2.

    Counts matrix products, convolutions and attention, not elementwise work, as torch's own counter does; on the
    meta device, where fused attention and recurrent layers are counted too (on the CPU they are not).

    Raises:
        InfeasibleError: nothing was counted although the student has trainable weights.
    """
    ghost = copy.deepcopy(student).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        ghost(inputs.to("meta"))
    total = counter.get_total_flops()
    if total == 0 and any(weight.requires_grad for weight in student.parameters()):
        owners = {type(m).__name__ for m in student.modules() if any(True for _ in m.parameters(recurse=False))}
        raise InfeasibleError(
            f"no operation was counted in {', '.join(sorted(owners))}, so flops would be 0 for a student that "
            "has weights: build it from layers torch counts, or leave flops out of the objectives"
        )
    return float(total)


def peak_memory_mb(student: nn.Module, inputs: Tensor, *, batch: int = 1) -> float:
    """The largest sum of live tensors during one forward, in megabytes (1e6 bytes).

    Weights, buffers, inputs and every tensor that exists at that moment, counted by storage: what eager torch
    needs, without its allocator's slack, workspaces of kernels, and the process around it. Not the resident set
    size, which is never the same twice.

    Args:
        student: run in eval mode, without gradients.
        inputs: one sample as a batch of one.
        batch: samples in that forward.
    """
    inputs = inputs.expand(batch, *inputs.shape[1:]).contiguous()
    live = _LiveTensors([*_state(student), inputs])
    with evaluating(student), torch.no_grad(), live:
        student(inputs)
    return live.peak / 1e6


@contextmanager
def evaluating(student: nn.Module) -> Iterator[None]:
    """Eval mode inside, and each module's own mode again afterwards (a frozen layer may be in another)."""
    modes = [(module, module.training) for module in student.modules()]
    student.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class _LiveTensors(TorchDispatchMode):
    """Follows which storages are alive after each operation; `peak` is the most bytes they ever held."""

    def __init__(self, tensors: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        # By address: views share a storage, and one allocated where another was freed takes its place.
        self._storages: WeakValueDictionary[int, torch.UntypedStorage] = WeakValueDictionary()
        self._note(tensors)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._note([leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)])
        return result

    def _note(self, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self._storages[storage.data_ptr()] = storage
        self.peak = max(self.peak, sum(storage.nbytes() for storage in self._storages.values()))


def _state(student: nn.Module) -> list[Tensor]:
    return [*student.parameters(), *student.buffers()]
