"""What a student costs, measured on its structure: numbers that need no training and are the same every time.

Each function takes the student and one sample as a batch of one, shape (1, *input_shape), and leaves the student
unchanged.
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
from autokd.networks import in_eval_mode


def parameters(student: nn.Module, inputs: Tensor) -> float:
    """The number of trainable weights; shared weights count once."""
    return float(sum(weight.numel() for weight in student.parameters() if weight.requires_grad))


def size_mb(student: nn.Module, inputs: Tensor) -> float:
    """The size of all weights and buffers, trainable or not, in megabytes (1e6 bytes)."""
    return sum(tensor.nbytes for tensor in _state(student)) / 1e6


def flops(student: nn.Module, inputs: Tensor) -> float:
    """Floating-point operations to answer one sample; a multiply-add counts as 2.

    As in torch's own counter, matrix products, convolutions and attention count, and elementwise work does not. The
    student runs on the meta device. It cannot run there if its forward looks at numbers or uses tensors outside its
    modules. Such a student runs on the CPU instead, without fused operations, which the counter would miss.

    Raises:
        InfeasibleError: no operation was counted although the student has trainable weights.
    """
    try:
        total = _counted(copy.deepcopy(student).to("meta").eval(), inputs.to("meta"))
    except FOREIGN:  # a forward may raise anything on the meta device; if the fault is its own, it raises again below
        with in_eval_mode(student), _nothing_fused():
            total = _counted(student, inputs)
    if total == 0 and any(weight.requires_grad for weight in student.parameters()):
        owners = {type(m).__name__ for m in student.modules() if any(True for _ in m.parameters(recurse=False))}
        raise InfeasibleError(
            f"no operation was counted in {', '.join(sorted(owners))}, so flops would be 0 for a student that has "
            "weights. Build the student from layers that torch counts, or leave flops out of the objectives"
        )
    return float(total)


def _counted(student: nn.Module, inputs: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        student(inputs)
    return int(counter.get_total_flops())


@contextmanager
def _nothing_fused() -> Iterator[None]:
    """Makes the CPU compute attention, encoder layers and recurrent layers by the operations that they consist of.

    torch's counter counts these operations. On the CPU it does not count fused ones.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oneDNN's flags warn about GPUs that are not there
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


def peak_memory_mb(student: nn.Module, inputs: Tensor, *, batch: int = 1) -> float:
    """The largest sum of live tensors during one forward, in megabytes (1e6 bytes).

    The sum counts weights, buffers, inputs and every other tensor that exists at that moment, by storage. This is what
    eager torch needs, without the slack of its allocator, the workspaces of kernels, and the rest of the process. The
    resident set size is not used, because it is never the same twice.

    Args:
        student: runs in eval mode, without gradients.
        inputs: one sample as a batch of one.
        batch: the number of samples in that forward.
    """
    inputs = inputs.expand(batch, *inputs.shape[1:]).contiguous()
    live = _LiveTensors([*_state(student), inputs])
    with in_eval_mode(student), torch.no_grad(), live:
        student(inputs)
    return live.peak / 1e6


class _LiveTensors(TorchDispatchMode):
    """Follows which storages are alive after each operation; `peak` is the most bytes that they held at once."""

    def __init__(self, tensors: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        # Storages are kept by address: views share one, and a new storage at the address of a freed one replaces it.
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
