"""What a network is asked before it is used: the memory format it takes images in, and what its lazy layers become."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

Laid = Callable[[Tensor], Tensor]
"""Gives a batch in the memory format that a network takes."""


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
    modes = [(module, module.training) for module in network.modules()]
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.func.functional_call(network.eval(), weights, (inputs,))
    except Exception:  # a fault of another kind shows when the network is used
        return False
    finally:
        for module, training in modes:
            module.training = training
    return True
