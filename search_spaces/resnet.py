"""Residual networks as for CIFAR: a 3x3 stem, then 2 or 3 stages of basic blocks, 3 to 128 channels wide.

Settings make it as large as you like: `resnet(width=(16, 128), stages=4)`.

Source: He, Zhang, Ren, Sun (2015), https://arxiv.org/abs/1512.03385, section 4.2, with its shortcuts (type A).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional

from search_spaces.inheriting import alike, stage_blocks, taken_over
from search_spaces.names import Named
from search_spaces.picks import is_searched, need_counts, need_some_of, pick, refuse_strange

if TYPE_CHECKING:
    import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks the stem's width and, for each stage there is, its blocks, kernel and widening.

    Only a stage of one block may have 5x5 kernels: two 3x3 blocks see as far.
    """
    arch = Space().suggest(trial)
    del arch["side"]  # without settings, the stem has the stride 1
    return arch


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network; each stage after the first halves the map while it is larger than 1.

    Raises:
        ValueError: the task's inputs are not images.
    """
    if getattr(task, "vocabulary", 0):
        raise ValueError("resnet reads images, and the rows of this task are texts; use the space text")
    if len(task.input_shape) != 3:
        raise ValueError(f"resnet needs inputs of shape (channels, height, width), not {task.input_shape}")
    channels_in, height, width = task.input_shape
    channels, size = arch["width"], max(height, width)
    stride = 1
    while -(-size // stride) > arch.get("side", math.inf):
        stride *= 2
    size = -(-size // stride)
    layers: dict[str, nn.Module] = {
        "stem.convolution": _convolution(channels_in, channels, max(3, 2 * stride - 1), stride),
        "stem.activation": nn.ReLU(inplace=True),
    }
    for i, stage in enumerate(arch["stages"]):
        stride = 2 if i > 0 and size > 1 else 1
        size = -(-size // stride)
        for j in range(stage["blocks"]):
            block_stride, widen = (stride, stage["widen"]) if j == 0 else (1, 1)
            block = _BasicBlock(channels, channels * widen, stage["kernel"], block_stride)
            layers[f"stages.{i}.blocks.{j}"] = block
            channels *= widen
    head = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "head": nn.Linear(channels, task.num_outputs)}
    return Named({**layers, **head})


def inherit(
    arch: dict[str, Any], teacher_arch: dict[str, Any], teacher_weights: dict[str, Tensor], task: Any
) -> dict[str, Tensor]:
    """Takes leading channels of each stage: of its first block, its last one and blocks evenly spread between them."""
    if not alike(arch, teacher_arch):
        return {}
    return taken_over(
        lambda: build(arch, task),
        teacher_weights,
        blocks=stage_blocks(arch["stages"], teacher_arch["stages"]),
        reading=("stem.convolution.conv.weight",),
    )


@dataclass(frozen=True, kw_only=True)
class Space:
    """The space with settings, each a list of choices, a range (low, high) or a fixed value.

    Args:
        width: the channels of the stem; a range is searched on a logarithmic scale.
        stages: the number of stages. Each after the first halves the map.
        blocks: the number of basic blocks in a stage.
        kernel: the side of the kernels in a stage, an odd number; stages of several blocks have the smallest of these.
        widen: how many times the channels of the stage before a stage has.
        side: the stem has the stride 2, 4, ... if the map would have more pixels a side. Its kernel grows with the
            stride, so that each pixel is read.

    Raises:
        ValueError: a setting has other values.
    """

    width: Any = (3, 32)
    stages: Any = (2, 3)
    blocks: Any = (1, 2)
    kernel: Any = field(default_factory=lambda: [3, 5])
    widen: Any = (1, 2)
    side: Any = 56

    build = staticmethod(build)
    inherit = staticmethod(inherit)

    def __post_init__(self) -> None:
        refuse_strange(vars(self))
        need_counts(width=self.width, stages=self.stages, blocks=self.blocks, widen=self.widen, side=self.side)
        need_some_of([1, 3, 5, 7, 9, 11], kernel=self.kernel)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Picks the stem's width, for each stage there is its blocks, kernel and widening, and the largest side."""
        width = pick(trial, "width", self.width, log=True)
        stages = []
        for i in range(pick(trial, "num_stages", self.stages)):
            blocks = pick(trial, f"blocks_{i}", self.blocks)
            several = blocks > 1 and is_searched(self.kernel)
            kernel = min(self.kernel) if several else pick(trial, f"kernel_{i}", self.kernel)
            widen = pick(trial, f"widen_{i}", self.widen) if i > 0 else 1
            stages.append({"blocks": blocks, "kernel": kernel, "widen": widen})
        return {"width": width, "stages": stages, "side": pick(trial, "side", self.side)}


class _BasicBlock(nn.Module):
    """Two convolutions beside a shortcut without weights: every `stride`-th pixel, zeros for new channels."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = channels_out - channels_in
        self.first = _convolution(channels_in, channels_out, kernel, stride)
        self.second = _convolution(channels_out, channels_out, kernel, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(functional.relu(self.first(x), inplace=True))
        if self.stride > 1:
            x = functional.avg_pool2d(x, 1, self.stride)  # a slice's gradient would not be channels last, and slow
        if self.new_channels:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.new_channels))
        return functional.relu(x + y, inplace=True)


def _convolution(channels_in: int, channels_out: int, kernel: int, stride: int) -> Named:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
    return Named({"conv": convolution, "norm": nn.BatchNorm2d(channels_out)})
