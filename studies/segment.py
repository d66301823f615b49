"""A search space for segmentation: small U-Nets of one to three halvings, 4 to 16 channels wide at the top.

A network answers with a class at every pixel, shape (batch, classes, height, width), for heads of kind `positions`.

Source: Ronneberger, Fischer, Brox (2015), https://arxiv.org/abs/1505.04597, section 2, with batch normalisation, padded
convolutions, and enlarging by repeating pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def suggest(trial: Any) -> dict[str, Any]:
    """Picks the width at the top, how often the map is halved, and what each level is made of."""
    return {
        "width": trial.suggest_int("width", 4, 16, log=True),
        "depth": trial.suggest_int("depth", 1, 3),
        "widen": trial.suggest_float("widen", 1.0, 2.0, step=0.5),
        "convolutions": trial.suggest_int("convolutions", 1, 2),
        "separable": trial.suggest_categorical("separable", [False, True]),
    }


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network; it chooses nothing.

    Raises:
        ValueError: the inputs are no images, or the answers are not one class at every pixel.
    """
    if len(task.input_shape) != 3 or task.num_outputs % (task.input_shape[1] * task.input_shape[2]):
        raise ValueError(
            f"segment needs images and a class at every pixel, not inputs of shape {task.input_shape} and "
            f"{task.num_outputs} outputs"
        )
    channels, height, width = task.input_shape
    return UNet(arch, channels, task.num_outputs // (height * width))


class UNet(nn.Module):
    """Goes down by halving the map, and up again, where each level also gets what there was on the way down."""

    def __init__(self, arch: dict[str, Any], channels: int, classes: int) -> None:
        super().__init__()
        widths = [round(arch["width"] * arch["widen"] ** level) for level in range(arch["depth"] + 1)]
        before = [channels, *widths[:-1]]
        self.down = nn.ModuleList(_level(each, to, arch) for each, to in zip(before, widths, strict=True))
        self.up = nn.ModuleList(
            _level(below + beside, beside, arch) for below, beside in zip(widths[1:], widths[:-1], strict=True)
        )
        self.answer = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (batch, classes, height, width)."""
        beside: list[Tensor] = []
        for i, level in enumerate(self.down):
            x = level(functional.max_pool2d(x, 2) if i else x)
            beside.append(x)
        for i in reversed(range(len(self.up))):
            larger = functional.interpolate(x, size=beside[i].shape[2:], mode="nearest")
            x = self.up[i](torch.cat([larger, beside[i]], dim=1))
        answer: Tensor = self.answer(x)
        return answer


def _level(channels_in: int, channels: int, arch: dict[str, Any]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(arch["convolutions"]):
        if arch["separable"]:
            layers += [nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False)]
            layers += [nn.Conv2d(channels_in, channels, 1, bias=False)]
        else:
            layers += [nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        channels_in = channels
    return nn.Sequential(*layers)
