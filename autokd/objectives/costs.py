"""What a student costs, read off its structure: numbers that need no training and are the same every time.

Each takes the student and one sample as a batch of one, shape (1, *input_shape), and leaves the student as it was.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from autokd.errors import FOREIGN, InfeasibleError


def parameters(student: nn.Module, inputs: Tensor) -> float:
    """Number of trainable weights; shared ones count once."""
    return float(sum(weight.numel() for weight in student.parameters() if weight.requires_grad))


def size_mb(student: nn.Module, inputs: Tensor) -> float:
    """Size of all weights and buffers, trainable or not, in megabytes (1e6 bytes)."""
    return sum(tensor.nbytes for tensor in _state(student)) / 1e6


def flops(student: nn.Module, inputs: Tensor) -> float:
    """Floating-point operations to answer one sample; a multiply-add counts as 2.

    Counts matrix products, convolutions and attention, not elementwise work, as torch's own counter does. That is done
    on the meta device; a student that cannot answer there, as its forward looks at numbers or uses tensors that are no
    part of its modules, is counted on the CPU, without the fused operations that the counter would take for nothing.

    Raises:
        InfeasibleError: nothing was counted although the student has trainable weights.
    """
    try:
        total = _counted(copy.deepcopy(student).to("meta").eval(), inputs.to("meta"))
    except FOREIGN:  # whatever a forward raises without numbers; on the CPU it raises again if it is at fault
        with evaluating(student), _nothing_fused():
            total = _counted(student, inputs)
    if total == 0 and any(weight.requires_grad for weight in student.parameters()):
        owners = {type(m).__name__ for m in student.modules() if any(True for _ in m.parameters(recurse=False))}
        raise InfeasibleError(
            f"no operation was counted in {', '.join(sorted(owners))}, so flops would be 0 for a student that "
            "has weights: build it from layers torch counts, or leave flops out of the objectives"
        )
    return float(total)


def _counted(student: nn.Module, inputs: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        student(inputs)
    return int(counter.get_total_flops())


@contextmanager
def _nothing_fused() -> Iterator[None]:
    """Has the CPU compute attention, encoder layers and recurrent layers by the operations that they are made of.

    torch's counter knows these; fused ones count as nothing on the CPU.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of oneDNN's flags on GPUs that are not there
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


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
