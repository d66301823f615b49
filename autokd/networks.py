"""How any network is asked: what it is given, where its answer is, the memory format it takes, and its lazy layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from autokd.errors import FOREIGN, InfeasibleError

Laid = Callable[[Tensor], Tensor]
"""Gives a batch in the memory format that a network takes."""


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


def as_given(inputs: Tensor) -> Tensor:
    """The batch itself."""
    return inputs


def contiguous(inputs: Tensor) -> Tensor:
    """A copy with the strides of a new tensor; `inputs.contiguous()` leaves those of a single channel as they are."""
    return inputs.clone(memory_format=torch.contiguous_format)


def laid_for(network: nn.Module, inputs: Tensor) -> Laid:
    """How batches like `inputs` reach a network: as they are, or copied where it answers only contiguous ones.

    Networks that flatten with `x.view(len(x), -1)` raise on images in the channels_last memory format, in which a task
    gives them. The network is asked once, in eval mode, and left as it was.
    """
    plain = tuple(inputs.stride()) == tuple(torch.empty(inputs.shape, device="meta").stride())
    return as_given if plain or _answers(network, inputs[:2], {}) else contiguous


def in_fast_format(network: nn.Module, inputs: Tensor) -> tuple[nn.Module, Laid]:
    """The network with its weights in the memory format it is to be trained in, and how batches reach it.

    Convolutions on images train faster in channels_last, so that is taken wherever the network answers in it; it is
    asked once, in eval mode. Networks that flatten with `view`, and those with three-dimensional convolutions, cannot:
    their weights stay as they are, and their inputs are contiguous.

    Args:
        network: on the device of `inputs`; its weights are changed in place.
        inputs: a few images, as the task gives them, shape (batch, channels, height, width).
    """
    try:
        formatted = {
            name: weight.detach().to(memory_format=torch.channels_last)
            for name, weight in [*network.named_parameters(), *network.named_buffers()]
            if weight.ndim in (4, 5)
        }
    except RuntimeError:  # weights of five dimensions
        return network, contiguous
    if not _answers(network, inputs, formatted):
        return network, contiguous
    return network.to(memory_format=torch.channels_last), as_given  # type: ignore[call-overload]


def materialised(network: nn.Module, input_shape: Sequence[int]) -> nn.Module:
    """The network with the weights of its lazy layers made, which takes one forward pass; itself where it has none."""
    weights = [*network.parameters(), *network.buffers()]
    if any(is_lazy(weight) for weight in weights):
        training = network.training
        with torch.no_grad():
            network.eval()(torch.zeros(1, *input_shape))
        network.train(training)
    return network


def _answers(network: nn.Module, inputs: Tensor, weights: dict[str, Tensor]) -> bool:
    """Whether a network answers these inputs, with other weights in the place of some of its own."""
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad(), in_eval_mode(network):
            if weights:
                torch.func.functional_call(network, weights, (inputs,))
            else:  # a program of TorchScript takes no other weights
                network(inputs)
    except FOREIGN:  # a fault of another kind shows when the network is used
        return False
    return True
