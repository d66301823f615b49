"""Trains the new last layer of a trained network alone, before the whole network is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from autokd.devices import batches
from autokd.heads import hard_losses, heads_of
from autokd.networks import in_eval_mode, laid_for
from autokd.types import Task

_ROWS, _AT_ONCE = 4_096, 64
"""The most rows from which a new layer learns, and how many of them the network is asked at once."""
_STEPS = 100
"""The most iterations of L-BFGS."""


def train_alone(
    layers: Sequence[nn.Module], network: nn.Module, task: Task, *, told: Callable[[int, int], None]
) -> None:
    """Trains the layers that give a network's answer, in place, and leaves the rest of the network as it is.

    The network is asked once, in eval mode, about at most 4,096 training rows, and each layer is then fitted to what it
    got as its input. This is a logistic regression, or its like for other heads, with the penalty that scikit-learn
    has by default. A whole network that is trained after that does not first learn from the errors of random weights,
    which would spoil what it knows.

    Args:
        layers: are called once in each forward pass of the network, with one tensor.
        network: holds the layers, and lies on the device of the task's inputs.
        task: the task whose training rows are learned from.
        told: is called with the number of rows that are read so far, and of all.

    Source: Kumar et al. (2022), https://arxiv.org/abs/2202.10054, linear probing before fine-tuning.
    """
    train = task.splits["train"]
    rows = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:_ROWS]]
    read: list[list[Tensor]] = [[] for _ in layers]

    def keep(there: list[Tensor], layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        there.append(given[0].detach())

    hooks = [layer.register_forward_pre_hook(partial(keep, there)) for layer, there in zip(layers, read, strict=True)]
    parts = rows.split(_AT_ONCE)
    try:
        with torch.no_grad(), in_eval_mode(network), closing(batches(task, parts)) as given:
            laid = laid_for(network, task.inputs(rows[:2]))
            for there in read:
                there.clear()  # of what `laid_for` tried
            for done, inputs in enumerate(given):
                network(laid(inputs))
                told(min((done + 1) * _AT_ONCE, len(rows)), len(rows))
    finally:
        for hook in hooks:
            hook.remove()
    for layer, there in zip(layers, read, strict=True):
        _fit(layer, torch.cat(there), task.targets(rows.to(there[0].device)), task)


def _fit(layer: nn.Module, inputs: Tensor, targets: Any, task: Task) -> None:
    """Fits a layer to its inputs, whose answers should be the targets."""
    heads, parameters = heads_of(task), [*layer.parameters()]
    weights = [each for each in parameters if each.ndim > 1]
    optimizer = torch.optim.LBFGS(parameters, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        answers = layer(inputs).flatten(1)
        if len(heads) == 1:
            error = task.hard_loss(answers, targets)
        else:
            error = torch.stack([*hard_losses(answers, targets, heads).values()]).sum()
        penalty = torch.stack([each.square().sum() for each in weights]).sum() / (2 * len(inputs))
        total: Tensor = error + penalty
        total.backward()
        return total

    optimizer.step(loss)
    optimizer.zero_grad()
