"""What a student takes over of a larger network of its own space: blocks, and the leading part of each tensor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def alike(arch: Mapping[str, Any], teacher_arch: Mapping[str, Any]) -> bool:
    """Whether two architectures are of one space. A space without settings leaves out `side`."""
    return arch.keys() - {"side"} == teacher_arch.keys() - {"side"}


def spread(fewer: int, more: int) -> list[int]:
    """As many places of so many blocks, evenly spread from the first block to the last one."""
    return [round(place * (more - 1) / max(1, fewer - 1)) for place in range(fewer)]


def taken_over(
    make: Callable[[], nn.Module],
    weights: Mapping[str, Tensor],
    *,
    blocks: Mapping[str, str],
    reading: Collection[str] = (),
) -> dict[str, Tensor]:
    """Those tensors of a teacher that have room for a student's, by the student's names.

    The student takes the leading part of each. Kernels of another size than the student's are cut or padded with zeros
    around their centre, so that they see the same pixels.

    Args:
        make: builds the student; it is called where tensors have no numbers.
        weights: the teacher's tensors by name.
        blocks: the teacher's block, by the beginning of the names in a student's block; "" if it has none.
        reading: the names of tensors that look at the inputs themselves. Their inputs must be those of the teacher's,
            because a leading part of these would be other pixels or columns.
    """
    with torch.device("meta"):
        own = make().state_dict()
    found = {}
    for name, tensor in own.items():
        first = next((block for block in blocks if name.startswith(f"{block}.")), "")
        there = weights.get(name.replace(first, blocks[first], 1) if first else name)
        if there is None or there.ndim != tensor.ndim:
            continue
        if name in reading and there.shape[1:] != tensor.shape[1:]:
            continue
        if name not in reading and there.ndim == 4:
            there = _centred(there, tensor.shape[2], tensor.shape[3])
        if all(size >= least for size, least in zip(there.shape, tensor.shape, strict=True)):
            found[name] = there
    return found


def _centred(kernels: Tensor, height: int, width: int) -> Tensor:
    """Kernels of this height and width with the same centre; both numbers are odd."""
    down, across = (height - kernels.shape[2]) // 2, (width - kernels.shape[3]) // 2
    return functional.pad(kernels, (across, across, down, down))


def stage_blocks(
    stages: Sequence[Mapping[str, Any]], teacher_stages: Sequence[Mapping[str, Any]], *, alike: Sequence[str] = ()
) -> dict[str, str]:
    """The teacher's block by the student's, as names.

    A stage has only new blocks if the teacher lacks it, or if the two differ in whether one of the numbers under the
    keys in `alike` is above 1.
    """
    return {
        f"stages.{i}.blocks.{j}": f"stages.{i}.blocks.{place}" if all((a[k] > 1) == (b[k] > 1) for k in alike) else ""
        for i, (a, b) in enumerate(zip(stages, teacher_stages, strict=False))
        for j, place in enumerate(spread(a["blocks"], b["blocks"]))
    }


def of_heads(tensor: Tensor, dimension: int, heads: tuple[int, int], own: tuple[int, int]) -> Tensor:
    """The leading heads of attention and their leading channels.

    Args:
        tensor: a tensor in which a dimension stands for one or more times all channels of all heads.
        dimension: that dimension.
        heads: the number of heads in it, and the channels of each.
        own: how many of both are taken.
    """
    parts = tensor.unflatten(dimension, (-1, *heads))
    leading = parts[(*[slice(None)] * (dimension + 1), slice(own[0]), slice(own[1]))]
    return leading.flatten(dimension, dimension + 2)
