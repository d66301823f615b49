"""Vision transformers: 1 to 4 blocks of 1 to 4 heads over 2x2, 4x4 or 8x8 patches, 4 to 64 channels wide.

Source: Dosovitskiy et al. (2020), https://arxiv.org/abs/2010.11929, section 3.1, with the mean over patches
in place of a class token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks patches, heads, the width of a head, depth and, for each block there is, the ratio of its MLP."""
    depth = trial.suggest_int("depth", 1, 4)
    return {
        "patches_per_side": trial.suggest_categorical("patches_per_side", [2, 4, 8]),
        "heads": trial.suggest_categorical("heads", [1, 2, 4]),
        "head_width": trial.suggest_categorical("head_width", [4, 8, 16]),
        "mlp_ratios": [trial.suggest_int(f"mlp_ratio_{i}", 1, 4) for i in range(depth)],
    }


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network; a patch is as large as it takes for so many a side, the image padded to a multiple of it.

    Rounding up can leave fewer: 8 a side on 28x28 are 7 of 4x4.

    Raises:
        ValueError: the task's inputs are not images.
    """
    if len(task.input_shape) != 3:
        raise ValueError(f"vit needs inputs of shape (channels, height, width), not {task.input_shape}")
    width = arch["heads"] * arch["head_width"]
    return nn.Sequential(
        _Patches(task.input_shape, arch["patches_per_side"], width),
        *(_Block(width, arch["heads"], ratio) for ratio in arch["mlp_ratios"]),
        nn.LayerNorm(width),
        _MeanOverPatches(),
        nn.Linear(width, task.num_outputs),
    )


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
