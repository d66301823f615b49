"""Residual networks as for CIFAR: a 3x3 stem, then 2 or 3 stages of basic blocks, 3 to 128 channels wide.

Source: He, Zhang, Ren, Sun (2015), https://arxiv.org/abs/1512.03385, section 4.2, with its shortcuts (type A).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks the stem's width and, for each stage there is, its blocks, kernel and widening.

    Only a stage of one block may have 5x5 kernels: two 3x3 blocks see as far.
    """
    width = trial.suggest_int("width", 3, 32, log=True)
    stages = []
    for i in range(trial.suggest_int("num_stages", 2, 3)):
        blocks = trial.suggest_int(f"blocks_{i}", 1, 2)
        kernel = trial.suggest_categorical(f"kernel_{i}", [3, 5]) if blocks == 1 else 3
        widen = trial.suggest_int(f"widen_{i}", 1, 2) if i > 0 else 1
        stages.append({"blocks": blocks, "kernel": kernel, "widen": widen})
    return {"width": width, "stages": stages}


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network; each stage after the first halves the map while it is larger than 1.

    Raises:
        ValueError: the task's inputs are not images.
    """
    if len(task.input_shape) != 3:
        raise ValueError(f"resnet needs inputs of shape (channels, height, width), not {task.input_shape}")
    channels_in, height, width = task.input_shape
    channels, size = arch["width"], max(height, width)
    layers: list[nn.Module] = [_convolution(channels_in, channels, 3, 1), nn.ReLU(inplace=True)]
    for i, stage in enumerate(arch["stages"]):
        stride = 2 if i > 0 and size > 1 else 1
        size = -(-size // stride)
        for block in range(stage["blocks"]):
            block_stride, widen = (stride, stage["widen"]) if block == 0 else (1, 1)
            layers.append(_BasicBlock(channels, channels * widen, stage["kernel"], block_stride))
            channels *= widen
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, task.num_outputs))


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


def _convolution(channels_in: int, channels_out: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    )
