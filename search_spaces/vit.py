"""Vision transformers: 1 to 4 blocks of 1 to 4 heads over 2x2, 4x4 or 8x8 patches, 4 to 64 channels wide.

Settings make it as large as you like: `vit(patches_per_side=[7, 14], head_width=64)`.

Source: Dosovitskiy et al. (2020), https://arxiv.org/abs/2010.11929, section 3.1, with the mean over patches
in place of a class token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.inheriting import alike, of_heads, spread, taken_over
from search_spaces.names import Named
from search_spaces.picks import need_counts, pick, refuse_strange

if TYPE_CHECKING:
    import optuna

MOST_PATCHES = 64
"""The largest number of patches a side. Attention compares each patch with each, so its cost is the fourth power."""


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks patches, heads, the width of a head, depth and, for each block there is, the ratio of its MLP."""
    arch = Space().suggest(trial)
    del arch["side"]  # without settings, images are read as they are
    return arch


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network; a patch is as large as it takes for so many a side, the image padded to a multiple of it.

    Rounding up can leave fewer: 8 a side on 28x28 are 7 of 4x4.

    Raises:
        ValueError: the task's inputs are not images.
    """
    if getattr(task, "vocabulary", 0):
        raise ValueError("vit reads images, and the rows of this task are texts; use the space text")
    if len(task.input_shape) != 3:
        raise ValueError(f"vit needs inputs of shape (channels, height, width), not {task.input_shape}")
    width = arch["heads"] * arch["head_width"]
    layers: dict[str, nn.Module] = {}
    channels, *sides = task.input_shape
    if max(sides) > arch.get("side", math.inf):
        factor = -(-max(sides) // arch["side"])
        layers["average"] = nn.AvgPool2d(factor, ceil_mode=True, count_include_pad=False)
        sides = [-(-side // factor) for side in sides]
    layers["patches"] = _Patches((channels, sides[0], sides[1]), arch["patches_per_side"], width)
    for i, ratio in enumerate(arch["mlp_ratios"]):
        layers[f"blocks.{i}"] = _Block(width, arch["heads"], ratio)
    head = {"norm": nn.LayerNorm(width), "mean": _MeanOverPatches(), "head": nn.Linear(width, task.num_outputs)}
    return Named({**layers, **head})


def inherit(
    arch: dict[str, Any], teacher_arch: dict[str, Any], teacher_weights: dict[str, Tensor], task: Any
) -> dict[str, Tensor]:
    """Takes the first block, the last one and blocks evenly spread between them, with the leading heads and channels.

    Patches of another size than the teacher's are learnt anew.
    """
    if not alike(arch, teacher_arch):
        return {}
    heads, own = ((each["heads"], each["head_width"]) for each in (teacher_arch, arch))
    weights = dict(teacher_weights)
    for name, tensor in teacher_weights.items():
        if ".query_key_value." in name:
            weights[name] = of_heads(tensor, 0, heads, own)
        elif name.endswith(".project.weight") and not name.startswith("patches."):
            weights[name] = of_heads(tensor, 1, heads, own)
    places = spread(len(arch["mlp_ratios"]), len(teacher_arch["mlp_ratios"]))
    blocks = {f"blocks.{i}": f"blocks.{place}" for i, place in enumerate(places)}
    return taken_over(lambda: build(arch, task), weights, blocks=blocks, reading=("patches.project.weight",))


@dataclass(frozen=True, kw_only=True)
class Space:
    """The space with settings, each a list of choices, a range (low, high) or a fixed value.

    Args:
        depth: the number of blocks.
        patches_per_side: the number of patches along a side of the image, at most `MOST_PATCHES`.
        heads: the number of heads of attention.
        head_width: the channels of each head.
        mlp_ratio: how many times as wide as the network the hidden layer of a block is.
        side: images of more pixels a side are averaged to at most so many before they are cut into patches.

    Raises:
        ValueError: a setting has other values.
    """

    depth: Any = (1, 4)
    patches_per_side: Any = field(default_factory=lambda: [2, 4, 8])
    heads: Any = field(default_factory=lambda: [1, 2, 4])
    head_width: Any = field(default_factory=lambda: [4, 8, 16])
    mlp_ratio: Any = (1, 4)
    side: Any = 56

    build = staticmethod(build)
    inherit = staticmethod(inherit)

    def __post_init__(self) -> None:
        refuse_strange(vars(self))
        need_counts(**vars(self))
        need_counts(patches_per_side=self.patches_per_side, most=MOST_PATCHES)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Picks patches, heads and their width, depth, the ratio of the MLP of each block, and the largest side."""
        depth = pick(trial, "depth", self.depth)
        return {
            "patches_per_side": pick(trial, "patches_per_side", self.patches_per_side),
            "heads": pick(trial, "heads", self.heads),
            "head_width": pick(trial, "head_width", self.head_width),
            "mlp_ratios": [pick(trial, f"mlp_ratio_{i}", self.mlp_ratio) for i in range(depth)],
            "side": pick(trial, "side", self.side),
        }


class _Patches(nn.Module):
    """From images (batch, channels, height, width) to patches with positions (batch, patches, embedding)."""

    def __init__(self, input_shape: tuple[int, int, int], per_side: int, embedding: int) -> None:
        super().__init__()
        channels, height, width = input_shape
        patch_height, patch_width = -(-height // per_side), -(-width // per_side)
        self.padding = (0, -width % patch_width, 0, -height % patch_height)
        patches = -(-height // patch_height) * -(-width // patch_width)
        patch = (patch_height, patch_width)
        self.project = nn.Conv2d(channels, embedding, kernel_size=patch, stride=patch)
        self.positions = nn.Parameter(torch.empty(patches, embedding))
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        if any(self.padding):
            x = functional.pad(x, self.padding)
        return self.project(x).flatten(2).transpose(1, 2) + self.positions


class _Block(nn.Module):
    """Attention and an MLP, each normalised before and added to its input."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), _Attention(width, heads))
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width * mlp_ratio),
            nn.GELU(),
            nn.Linear(width * mlp_ratio, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.mlp(x)


class _Attention(nn.Module):
    """Self-attention over (batch, patches, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.query_key_value(x).unflatten(2, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind()
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.project(mixed.transpose(1, 2).flatten(2))


class _MeanOverPatches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)
