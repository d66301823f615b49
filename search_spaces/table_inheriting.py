"""What a student of the space `table` takes over of a larger network of this space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from search_spaces.inheriting import of_heads, spread, taken_over


def inherited(
    arch: dict[str, Any], teacher_arch: dict[str, Any], weights: dict[str, Tensor], make: Callable[[], nn.Module]
) -> dict[str, Tensor]:
    """The leading units of the first and the last layer or block, and of those evenly spread between them.

    Nothing is taken over of another body. Embeddings of another kind are learnt anew, and the layer that reads them.

    Args:
        arch: the student's architecture.
        teacher_arch: the teacher's.
        weights: the teacher's tensors by name.
        make: builds the student.
    """
    if arch.get("body") != teacher_arch.get("body") or "body" not in arch:
        return {}
    blocks = {f"{own}": f"{there}" for own, there in _places(arch, teacher_arch).items()}
    if arch["body"] == "transformer":
        given, blocks = _with_leading_heads(arch, teacher_arch, weights, blocks)
        other = arch.get("numbers") != teacher_arch.get("numbers")
        return taken_over(make, given, blocks=blocks | ({"0.embeddings": ""} if other else {}))
    other = any(arch.get(key) != teacher_arch.get(key) for key in ("numbers", "category_width"))
    return taken_over(
        make, weights, blocks=blocks | ({"0.embeddings": "", "1": ""} if other else {}), reading=("1.weight",)
    )


def _places(arch: dict[str, Any], teacher_arch: dict[str, Any]) -> dict[int, int]:
    """The place of the teacher's layer for each of the student's, in the order in which they are numbered.

    The embeddings have the number 0 in both.
    """
    if arch["body"] == "mlp":  # each linear layer is followed by an activation
        hidden = spread(arch["depth"], teacher_arch["depth"])
        places = {1 + 2 * own: 1 + 2 * there for own, there in enumerate(hidden)}
        return places | {1 + 2 * arch["depth"]: 1 + 2 * teacher_arch["depth"]}
    if arch["body"] == "residual_mlp":
        before, after, own, more = 2, range(3), arch["blocks"], teacher_arch["blocks"]
    else:
        before, after, own, more = 1, range(4), len(arch["hidden_ratios"]), len(teacher_arch["hidden_ratios"])
    places = {before + i: before + there for i, there in enumerate(spread(own, more))}
    return places | {before + own + i: before + more + i for i in after}


def _with_leading_heads(
    arch: dict[str, Any], teacher_arch: dict[str, Any], weights: dict[str, Tensor], blocks: dict[str, str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights of a transformer and the names of its blocks, where each block fits one of the student's blocks.

    It has the leading heads of attention, and of values and gates the leading units.
    """
    (heads, own), found, names = ((each["heads"], each["head_width"]) for each in (teacher_arch, arch)), {}, {}
    wide, narrow = heads[0] * heads[1], own[0] * own[1]
    ratios, teacher_ratios = arch["hidden_ratios"], teacher_arch["hidden_ratios"]
    for block, there in blocks.items():
        if int(block) > len(ratios):
            continue
        names[block] = f"of {block}"
        hidden, more = narrow * ratios[int(block) - 1], wide * teacher_ratios[int(there) - 1]
        for name, tensor in weights.items():
            layer = name.removeprefix(f"{there}.")
            if layer == name:
                continue
            if layer.startswith(("attention.query.", "attention.key_value.")):
                tensor = of_heads(tensor, 0, heads, own)
            elif layer == "attention.project.weight":
                tensor = of_heads(tensor, 1, heads, own)
            elif layer.startswith("mlp.1."):
                tensor = of_heads(tensor, 0, (1, more), (1, hidden))
            found[f"of {block}.{layer}"] = tensor
    return {**weights, **found}, {**blocks, **names}
