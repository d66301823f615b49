"""Model spaces written for NNI, as users of NNI write them."""

from __future__ import annotations

from typing import Any

import nni
from nni.nas.nn.pytorch import (
    InputChoice,
    LayerChoice,
    ModelSpace,
    MutableConv2d,
    MutableDropout,
    MutableLinear,
    Repeat,
)
from torch import Tensor, nn


class Handwritten(ModelSpace):
    """A stem, one to three blocks of a choice of layers, a skip from a stage of another choice, and a head."""

    def __init__(self, num_labels: int = 5, in_channels: int = 3, widths: tuple[int, ...] = (4, 8)) -> None:
        super().__init__()
        channels = nni.choice("channels", list(widths))
        self.stem = MutableConv2d(in_channels, channels, nni.choice("kernel", [(3, 3), (5, 5)]), padding="same")
        self.blocks = Repeat(
            lambda i: LayerChoice({"a": _block(channels), "b": nn.ReLU()}, label=f"block{i}"), (1, 3), label="depth"
        )
        self.which = InputChoice(3, n_chosen=2, label="which")
        self.drop = MutableDropout(nni.uniform("drop", 0.0, 0.5))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), MutableLinear(4 * channels, num_labels))

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        y = self.blocks(x)
        return self.head(self.drop(self.which([x, y, x * y])))


def _block(channels: Any) -> nn.Module:
    return nn.Sequential(MutableConv2d(channels, channels, 3, padding=1), nn.ReLU())


class Registered(ModelSpace):
    """Registers a choice with `add_mutable`, and so cannot be frozen as it is."""

    def __init__(self, num_labels: int = 10) -> None:
        super().__init__()
        width = nni.choice("width", [4, 8])
        self.add_mutable(width)
        self.hidden, self.head = MutableLinear(64, width), MutableLinear(width, num_labels)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.hidden(x.flatten(1)))


class Unlabelled(ModelSpace):
    """Has a choice without a label."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = LayerChoice([nn.Linear(64, 10), nn.Linear(64, 10, bias=False)])


class Unfreezable(ModelSpace):
    """Breaks where it is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = MutableLinear(64, nni.choice("width", [4, 8]))

    def freeze(self, sample: Any) -> Any:
        raise KeyError("lost")


NOT_A_CLASS = 3
