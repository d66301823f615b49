"""The students of the tables in this folder: small classifiers of 8x8 images in two families, all layers equally wide.

All choices are categorical, so that architecture and recipe span a full grid. A tree shares its weights between the
places of an image. It needs fewer weights than an MLP and more time, so parameters and latency rank them differently.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks the family, the channels of each layer, and the number of layers. An MLP has two units for each channel."""
    return {
        "family": trial.suggest_categorical("family", ["mlp", "tree"]),
        "width": trial.suggest_categorical("width", [3, 5, 9, 16, 28]),
        "depth": trial.suggest_categorical("depth", [1, 2, 3]),
    }


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network for images (channels, height, width). Each layer of a tree halves height and width."""
    family = _mlp if arch["family"] == "mlp" else _tree
    return family(arch["width"], arch["depth"], task)


def _mlp(width: int, depth: int, task: Any) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for units_in, units in pairwise([math.prod(task.input_shape)] + [2 * width] * depth):
        layers += [nn.Linear(units_in, units), nn.SiLU()]  # with so few units, ReLU would leave some networks dead
    return nn.Sequential(*layers, nn.Linear(2 * width, task.num_outputs))


def _tree(width: int, depth: int, task: Any) -> nn.Module:
    """2x2 convolutions of stride 2. They are written as linear layers, which train faster; no windows overlap."""
    channels, height, image_width = task.input_shape
    layers: list[nn.Module] = [_ChannelsLast()]
    for channels_in in [channels] + [width] * (depth - 1):
        layers += [_MergeQuarters(), nn.Linear(4 * channels_in, width), nn.SiLU()]
    places = (height >> depth) * (image_width >> depth)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(places * width, task.num_outputs))


class _ChannelsLast(nn.Module):
    """Turns (batch, channels, height, width) into (batch, height, width, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class _MergeQuarters(nn.Module):
    """Joins each 2x2 window into one place: (batch, height, width, c) to (batch, height / 2, width / 2, 4 c)."""

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        windows = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(2, 3)
        return windows.reshape(batch, height // 2, width // 2, 4 * channels)
