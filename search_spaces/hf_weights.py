"""The part of a trained encoder with which a student of the space `hf` begins."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_LAYER = re.compile(r"(?P<stack>.*?)\.(?P<place>\d+)\.(?P<rest>.+)")


def inherited(student: Any, wrapped: str, trained: Mapping[str, Tensor], *, padding: int | None) -> dict[str, Tensor]:
    """The tensors of a trained encoder that a student takes, by the names of the student's state dict.

    Layers are spread evenly over the depth, with the last one among them. Where a feed-forward layer is narrower, the
    units with the largest weights are kept, in their order. Positions and patches of images are resized. Every other
    tensor is given whole, and the student takes the leading part. A tensor is left out if it has no part of the
    student's shape. Embeddings of pieces are left out if they are not as many as the student's.

    Args:
        student: a classifier of transformers, with or without values.
        wrapped: what stands before the names of `student` in the whole student's state dict.
        trained: tensors by their names, with or without the prefix of the base model.
        padding: the number of padding in the trained encoder; None if it is not known.
    """
    prefix = f"{student.base_model_prefix}."
    own = {name.removeprefix(prefix): value for name, value in student.state_dict().items()}
    given = {name.removeprefix(wrapped).removeprefix(prefix): value for name, value in trained.items()}
    given = _layers(own, given)
    for name, module in student.named_modules():
        key = f"{name.removeprefix(prefix)}.weight"
        if not isinstance(module, nn.Embedding) or key not in given:
            continue
        if module is student.get_input_embeddings():
            if len(given[key]) != len(module.weight):
                del given[key]
        elif name.endswith("position_embeddings"):
            shift = 0 if module.padding_idx is None or padding is None else padding - module.padding_idx
            given[key] = _lengthened(given[key][max(shift, 0) :], len(module.weight))
    for name in own.keys() & given.keys():
        if given[name].ndim == own[name].ndim == 4:
            given[name] = _resized_patches(given[name], own[name].shape)
        elif name.endswith("position_embeddings"):
            given[name] = _resized_positions(given[name], own[name].shape, student.config)
    before = {each.removeprefix(prefix): f"{wrapped}{each}" for each in student.state_dict()}
    return {before[name]: value for name, value in given.items() if name in own and _has_part(value, own[name])}


def _layers(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The given tensors with those layers, under the numbers of the student's, from which the student's begin."""
    ours, theirs = _stacks(own), _stacks(given)
    found = {name: value for name, value in given.items() if _LAYER.fullmatch(name) is None}
    for stack, layers in theirs.items():
        wanted = ours.get(stack, {})
        alike = _are_alike(list(layers.values()))
        for place, layer in wanted.items():
            source = _spread(place, len(wanted), len(layers)) if alike else place
            taken = _narrowed(layer, layers.get(source, {}))
            found |= {f"{stack}.{place}.{rest}": value for rest, value in taken.items()}
    return found


def _stacks(tensors: Mapping[str, Tensor]) -> dict[str, dict[int, dict[str, Tensor]]]:
    """Tensors by the name of a stack of layers, by the number of a layer, and by the rest of their names."""
    found: dict[str, dict[int, dict[str, Tensor]]] = {}
    for name, value in tensors.items():
        parts = _LAYER.fullmatch(name)
        if parts is not None:
            found.setdefault(parts["stack"], {}).setdefault(int(parts["place"]), {})[parts["rest"]] = value
    return found


def _are_alike(layers: list[dict[str, Tensor]]) -> bool:
    """Whether what several layers have is of the same shape in all of them, so that one may stand for another."""
    shapes: dict[str, torch.Size] = {}
    return all(shapes.setdefault(name, value.shape) == value.shape for each in layers for name, value in each.items())


def _spread(place: int, layers: int, of: int) -> int:
    """Which of `of` layers stands at a place among `layers`: evenly spread, with the last one at the end."""
    return max(((place + 1) * of * 2 + layers) // (2 * layers), 1) - 1


def _narrowed(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A layer of which the feed-forward part has only as many units as the student's: those with the largest weights.

    The feed-forward part are the last two matrices of a layer. In a gated one, the first has two rows for each unit.
    """
    taken = dict(given)
    names = [name for name, value in own.items() if value.ndim == 2 and name in given]
    if len(names) < 2:
        return taken
    first, second = given[names[-2]], given[names[-1]]
    units, wanted = second.shape[1], own[names[-1]].shape[1]
    rows = len(first) // units
    if wanted >= units or len(first) != rows * units or first.shape[1] != len(second):
        return taken
    size = first.view(rows, units, -1).norm(dim=2).prod(dim=0) * second.norm(dim=0)
    kept = size.topk(wanted).indices.sort().values
    both = torch.cat([kept + row * units for row in range(rows)])
    bias = f"{names[-2].removesuffix('weight')}bias"
    taken |= {names[-2]: first[both], names[-1]: second[:, kept]}
    return taken | ({bias: given[bias][both]} if bias in given else {})


def _lengthened(positions: Tensor, length: int) -> Tensor:
    """Positions of which the last one is repeated where there are fewer than `length`."""
    return torch.cat([positions, positions[-1:].expand(max(length - len(positions), 0), -1)])


def _resized_patches(kernel: Tensor, shape: torch.Size) -> Tensor:
    """The kernel of a convolution for patches of another size; the sum over colours if the student's images are gray.

    A kernel of the same size stays as it is, and so does that of a layer within a network.
    """
    if shape[1] == 1 and kernel.shape[1] == 3:
        kernel = kernel.sum(dim=1, keepdim=True)
    if kernel.shape[1] > 4 or kernel.shape[2:] == shape[2:]:
        return kernel
    resized = functional.interpolate(kernel, size=shape[2:], mode="area")
    return resized * (kernel[0, 0].numel() / resized[0, 0].numel())


def _resized_positions(positions: Tensor, shape: torch.Size, config: Any) -> Tensor:
    """Positions of patches, shape (1, patches, width), for another number of patches in a square.

    Those of tokens that stand before the patches stay as they are, and all do if the patches are in no square.
    """
    size, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
    if not isinstance(size, int) or not isinstance(patch, int) or positions.shape[1] == shape[1]:
        return positions
    side = size // patch
    tokens = shape[1] - side**2
    old = math.isqrt(max(positions.shape[1] - tokens, 0))
    if old**2 + tokens != positions.shape[1] or not old:
        return positions
    grid = positions[:, tokens:].unflatten(1, (old, old)).permute(0, 3, 1, 2)
    resized = functional.interpolate(grid, size=(side, side), mode="bilinear", antialias=True)
    return torch.cat([positions[:, :tokens], resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def _has_part(given: Tensor, own: Tensor) -> bool:
    return given.ndim == own.ndim and all(size >= least for size, least in zip(given.shape, own.shape, strict=True))
