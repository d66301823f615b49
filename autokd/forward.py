"""One way to ask any network: what it is given, and where its answer is in what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from autokd.errors import InfeasibleError


def call(network: Callable[..., Any], batch: Tensor | Mapping[str, Tensor]) -> Tensor:
    """What a network answers to a batch, as one tensor.

    Args:
        network: a module, or any function of one tensor or of keywords.
        batch: a tensor, or tensors by keyword.

    Raises:
        InfeasibleError: it gives something in which no one tensor is its answer; see `logits_in`.
    """
    return logits_in(network(**batch) if isinstance(batch, Mapping) else network(batch))


def logits_in(given: object) -> Tensor:
    """The answer in what a network gave: a tensor, `logits` of an object or a dict, or the only tensor of its parts.

    Raises:
        InfeasibleError: there is none, or more than one could be meant; the message says what was given.
    """
    if isinstance(given, Tensor):
        return given
    named = given.get("logits") if isinstance(given, Mapping) else getattr(given, "logits", None)
    if isinstance(named, Tensor):
        return named
    parts = given.values() if isinstance(given, Mapping) else given if isinstance(given, Sequence) else ()
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) == 1:
        return tensors[0]
    keys = f" with {', '.join(map(str, given))}" if isinstance(given, Mapping) else ""
    raise InfeasibleError(
        f"gives a {type(given).__name__}{keys}, not one tensor; return the logits, or name them 'logits' in a dict, a "
        "named tuple or an object"
    )


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Has a network answer in eval mode, and leaves each of its modules in the mode in which it was."""
    modes = [(module, module.training) for module in network.modules() if hasattr(module, "training")]
    if modes:  # a frozen program of TorchScript has no modes
        network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def needs_contiguous(network: Callable[..., Any], inputs: Tensor) -> bool:
    """Whether a network fails on inputs as they lie in memory, and answers them when they are contiguous.

    Images come in the channels_last memory format, which is faster; a network that flattens them by `view` fails on it.
    One row is tried, and without gradients; put a module into eval mode before, or it may keep statistics of that row.
    """
    row = inputs[:1]
    if row.is_contiguous():
        return False
    with torch.no_grad():
        if _answers(network, row):
            return False
        return _answers(network, row.contiguous())


def _answers(network: Callable[..., Any], inputs: Tensor) -> bool:
    try:
        network(inputs)
    except Exception:  # whatever a foreign network raises
        return False
    return True
