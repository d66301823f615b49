"""What a student of timm takes over of other weights under timm's names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from search_spaces.inheriting import spread


def taken_over(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those tensors of a teacher that have room for a student's, by the student's names.

    Where the student has fewer blocks one after the other, it takes blocks that are spread evenly over the teacher's.
    Of a larger tensor it takes the leading part; where query, key and value are one tensor, that of each of them. The
    student must have the teacher's height and width of kernels, number of positions and number of classes, or the
    tensors that have these stay new.

    Args:
        network: the student, which may have no numbers.
        weights: the teacher's tensors by name.
    """
    own, answering = network.state_dict(), answering_layers(network)
    found = {}
    for name, there in _counterparts(own, weights).items():
        tensor = _leading(name, weights[there], own[name].shape, answers=name.startswith(answering))
        if tensor is not None:
            found[name] = tensor
    return found


def answering_layers(network: nn.Module) -> tuple[str, ...]:
    """The beginnings of the names of all weights that tell classes apart."""
    given = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    return tuple(f"{name}." for name in ([given] if isinstance(given, str) else given))


def _counterparts(own: Collection[str], teacher: Collection[str]) -> dict[str, str]:
    """The teacher's name by the student's, where the blocks of the student are spread over those of the teacher."""
    ours, theirs = _numbers(own), _numbers(teacher)
    found = {}
    for name in own:
        path: list[str] = []
        there: list[str] = []
        for part in name.split("."):
            fewer, more = ours.get(".".join(path), []), theirs.get(".".join(there), [])
            number = part
            if part.isdigit() and more:
                number = str(more[spread(len(fewer), len(more))[fewer.index(int(part))]])
            path.append(part)
            there.append(number)
        if ".".join(there) in teacher:
            found[name] = ".".join(there)
    return found


def _numbers(names: Collection[str]) -> dict[str, list[int]]:
    """The numbers that follow each beginning of names, in order."""
    found: dict[str, set[int]] = {}
    for name in names:
        parts = name.split(".")
        for i, part in enumerate(parts):
            if part.isdigit():
                found.setdefault(".".join(parts[:i]), set()).add(int(part))
    return {beginning: sorted(numbers) for beginning, numbers in found.items()}


def _leading(name: str, tensor: Tensor, shape: torch.Size, *, answers: bool) -> Tensor | None:
    """A teacher's tensor with the student's shape as its leading part; None if it has no such part."""
    if tensor.ndim != len(shape):
        return None
    fixed = slice(1) if answers else slice(-1) if "pos_embed" in name else slice(2, 4) if tensor.ndim == 4 else slice(0)
    if tensor.shape[fixed] != shape[fixed]:
        return None
    if ".qkv." in name and tensor.shape[0] > shape[0]:
        tensor = torch.cat([part[: shape[0] // 3] for part in tensor.chunk(3)])
    fits = all(size >= least for size, least in zip(tensor.shape, shape, strict=True))
    return tensor if fits else None
