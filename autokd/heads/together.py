"""The answers of one network to several questions: one tensor for each batch, in which each head has its columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autokd.errors import InfeasibleError
from autokd.types import DistillationLoss, Head

Heads = Mapping[str, Head]
"""The heads of a task by name; a task with one head calls it ""."""


def width(heads: Heads) -> int:
    """The number of columns in which all heads answer together."""
    return sum(math.prod(head.shape) for head in heads.values())


def apart(outputs: Tensor, heads: Heads) -> dict[str, Tensor]:
    """The outputs of each head, shape (rows, *head.shape), from the columns of all of them.

    The number of rows is taken from the shape, because `len` would fix it in a graph that is traced.
    """
    if len(heads) == 1:
        ((name, head),) = heads.items()
        return {name: outputs if len(head.shape) == 1 else outputs.reshape(outputs.shape[0], *head.shape)}
    columns = outputs.split([math.prod(head.shape) for head in heads.values()], dim=1)
    return {
        name: part if len(head.shape) == 1 else part.reshape(part.shape[0], *head.shape)
        for (name, head), part in zip(heads.items(), columns, strict=True)
    }


def by_head(given: Any, heads: Heads) -> dict[str, Any]:
    """Targets, or what else a task gives, by head; where there is one head, a task gives it without its name."""
    return dict(given) if isinstance(given, Mapping) else {next(iter(heads)): given}


def known_rows(targets: Any, heads: Heads) -> Tensor:
    """Which rows have a known target in any head, bool, shape (rows,)."""
    known = [heads[name].known(wanted) for name, wanted in by_head(targets, heads).items()]
    return known[0] if len(known) == 1 else torch.stack(known).any(dim=0)


def scores(outputs: Tensor, targets: Any, heads: Heads) -> dict[str, float]:
    """The score of each head, on the rows of which it knows a target; NaN where it knows none."""
    found = {}
    for name, given in apart(outputs, heads).items():
        wanted = by_head(targets, heads)[name]
        known = heads[name].known(wanted)
        found[name] = heads[name].score(given[known], wanted[known]) if bool(known.any()) else math.nan
    return found


def blind_scores(targets: Any, heads: Heads) -> dict[str, float]:
    """The score of each head for the best answer that does not look at the input."""
    wanted = by_head(targets, heads)
    blind = {name: head.blind(wanted[name]).expand(len(wanted[name]), *head.shape) for name, head in heads.items()}
    return scores(flat(blind, heads), targets, heads)


def flat(given: Mapping[str, Tensor], heads: Heads) -> Tensor:
    """The columns of all heads, shape (rows, width), from what a network gave by the names of the heads.

    Raises:
        InfeasibleError: a head is missing, or has another shape; the message says which.
    """
    lacking = [name for name in heads if not isinstance(given.get(name), Tensor)]
    if lacking:
        raise InfeasibleError(
            f"answers {', '.join(map(str, given)) or 'nothing'}, but the task has the heads {', '.join(heads)}: "
            f"{', '.join(lacking)} is missing; return a tensor for each head by its name, or one tensor of "
            f"{width(heads)} columns"
        )
    for name, head in heads.items():
        if tuple(given[name].shape[1:]) != head.shape:
            raise InfeasibleError(
                f"answers head '{name}' with shape {tuple(given[name].shape)}; it should be (batch, "
                f"{', '.join(map(str, head.shape))})"
            )
    return torch.cat([given[name].flatten(1) for name in heads], dim=1)


def hard_losses(outputs: Tensor, targets: Mapping[str, Tensor], heads: Heads) -> dict[str, Tensor]:
    """The loss on labels of each head, over what is known; a head of which nothing is known has a loss of 0.

    Args:
        outputs: the columns of all heads, shape (rows, width).
        targets: the targets of the rows by head.
        heads: the heads.
    """
    losses = {}
    for name, given in apart(outputs, heads).items():
        known = heads[name].known(targets[name])
        every = bool(known.all())
        if every or bool(known.any()):
            kept, wanted = (given, targets[name]) if every else (given[known], targets[name][known])
            losses[name] = heads[name].hard_loss(kept, wanted)
        else:
            losses[name] = given.sum() * 0
    return losses


def soft_losses(
    outputs: Tensor,
    answers: Tensor,
    targets: Mapping[str, Tensor],
    heads: Heads,
    *,
    loss: DistillationLoss,
    temperature: float,
) -> dict[str, Tensor]:
    """What separates the student from its teacher in each head, as a mean over all rows.

    A row of which a head knows no target is answered by the teacher all the same, as a row without a label.

    Args:
        outputs: the student's columns of all heads, shape (rows, width).
        answers: the teacher's, of the same shape.
        targets: the targets of the first rows by head.
        heads: the heads.
        loss: the distillation loss.
        temperature: its temperature.
    """
    taught, losses = apart(answers, heads), {}
    for name, given in apart(outputs, heads).items():
        wanted, teacher = targets[name], taught[name]
        known = heads[name].known(wanted)
        if not bool(known.all()):
            rest = torch.ones(len(given), dtype=torch.bool, device=given.device)
            rest[: len(wanted)] = ~known
            split = len(wanted)
            given = torch.cat([given[:split][known], given[rest]])
            teacher = torch.cat([teacher[:split][known], teacher[rest]])
            wanted = wanted[known]
        losses[name] = heads[name].soft_loss(given, teacher, wanted, loss=loss, temperature=temperature)
    return losses
