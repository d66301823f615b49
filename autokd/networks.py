"""Calls any network: finds its answer, gives inputs in the memory format that it takes, and fills its lazy layers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from autokd.errors import FOREIGN, InfeasibleError
from autokd.heads import Heads, flat, width
from autokd.types import Task

Laid = Callable[[Tensor], Tensor]
"""A function that gives a batch in the memory format that a network takes."""


def call(network: Callable[..., Any], batch: Tensor | Mapping[str, Tensor]) -> Tensor:
    """The answer of a network to a batch, as one tensor.

    Args:
        network: a module, or any function of one tensor or of keywords.
        batch: a tensor, or tensors by keyword.

    Raises:
        InfeasibleError: the network gives something in which no single tensor is its answer; see `logits_in`.
    """
    return logits_in(network(**batch) if isinstance(batch, Mapping) else network(batch))


def example_of(task: Task, rows: int = 1) -> Tensor:
    """A batch of the form that a network gets from a task: what the task's `example` gives, else zeros."""
    example = getattr(task, "example", None)
    given: Tensor = example(rows) if callable(example) else torch.zeros(rows, *task.input_shape)
    return given


def columns(given: object, heads: Heads) -> Tensor:
    """The answer of a network to all heads, shape (batch, width), from whatever the network gave.

    Raises:
        InfeasibleError: the answer does not fit the heads, or no single tensor is the answer; see `logits_in`.
    """
    if isinstance(given, Mapping) and not heads.keys().isdisjoint(given):
        return flat(given, heads)
    answer = given if isinstance(given, Tensor) else logits_in(given)
    if answer.ndim == 2:
        return answer
    shapes = [head.shape for head in heads.values()]
    if len(shapes) == 1 and tuple(answer.shape[1:]) == shapes[0]:
        return answer.flatten(1)
    wanted = f"({', '.join(['batch', *map(str, shapes[0])])}) or " if len(shapes) == 1 and len(shapes[0]) > 1 else ""
    raise InfeasibleError(f"gives shape {tuple(answer.shape)}; the task needs {wanted}(batch, {width(heads)})")


def logits_in(given: object) -> Tensor:
    """The answer in what a network gave: a tensor, `logits` of an object or a dict, or the only tensor among its parts.

    Raises:
        InfeasibleError: there is no answer, or several tensors could be meant; the message says what was given.
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
    """Puts a network into eval mode, and puts each of its modules back into its own mode at the end."""
    modes = [(module, module.training) for module in network.modules() if hasattr(module, "training")]
    if modes:  # a frozen program of TorchScript has no modes
        network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Hides what torch's compiler and exporters, and the packages that they use, say about their own code.

    No user can act on it. Errors are logged all the same.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def as_given(inputs: Tensor) -> Tensor:
    """The batch itself."""
    return inputs


def contiguous(inputs: Tensor) -> Tensor:
    """A copy with the strides of a new tensor; `inputs.contiguous()` would keep the strides of a single channel."""
    return inputs.clone(memory_format=torch.contiguous_format)


def laid_for(network: nn.Module, inputs: Tensor) -> Laid:
    """The function through which batches like `inputs` go to a network, which copies them if they must be contiguous.

    Networks that flatten with `x.view(len(x), -1)` raise an error on images in the channels_last memory format, in
    which a task gives them. The network is called once, in eval mode, and left as it was.
    """
    plain = tuple(inputs.stride()) == tuple(torch.empty(inputs.shape, device="meta").stride())
    return as_given if plain or _answers(network, inputs[:2], {}) else contiguous


def in_fast_format(network: nn.Module, inputs: Tensor) -> tuple[nn.Module, Laid]:
    """The network with its weights in the memory format of its training, and the function through which batches go.

    Convolutions on images train faster in channels_last, so this format is used if the network answers in it; the
    network is called once, in eval mode. Networks that flatten with `view`, or have three-dimensional convolutions,
    cannot use it: their weights stay as they are, and their inputs are contiguous.

    Args:
        network: lies on the device of `inputs`; its weights are changed in place.
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


def materialised(network: nn.Module, example: Tensor) -> nn.Module:
    """The network with the weights of its lazy layers made by one forward pass; the network itself if it has none."""
    weights = [*network.parameters(), *network.buffers()]
    if any(is_lazy(weight) for weight in weights):
        training = network.training
        with torch.no_grad():
            network.eval()(example)
        network.train(training)
    return network


def _answers(network: nn.Module, inputs: Tensor, weights: dict[str, Tensor]) -> bool:
    """Whether a network answers these inputs, with these weights in place of its own weights of the same names."""
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad(), in_eval_mode(network):
            if weights:
                torch.func.functional_call(network, weights, (inputs,))
            else:  # a program of TorchScript takes no other weights
                network(inputs)
    except FOREIGN:  # any other fault shows when the network is used
        return False
    return True
