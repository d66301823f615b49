"""Mobile networks: a 3x3 stem, then 2 or 3 stages of inverted residuals, 3 to 96 channels wide.

Settings make it as large as you like: `mobilenet(width=(8, 64), stages=(3, 5))`.

Sources: inverted residuals, Sandler et al. (2018), https://arxiv.org/abs/1801.04381, section 3.3;
squeeze-and-excite inside them, Howard et al. (2019), https://arxiv.org/abs/1905.02244, section 5.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from search_spaces.inheriting import alike, stage_blocks, taken_over
from search_spaces.names import Named
from search_spaces.picks import need_counts, need_some_of, pick, refuse_strange

if TYPE_CHECKING:
    import optuna

ACTIVATIONS = {"relu": nn.ReLU, "hardswish": nn.Hardswish}


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks the stem's width, the activation and, for each stage there is, what its blocks are made of.

    Squeeze-and-excite is a choice only where the block expands: without, it has few channels to weigh.
    """
    arch = Space().suggest(trial)
    del arch["side"]  # without settings, the stem has the stride 1 or 2
    return arch


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network; the stem halves maps above 16x16, each stage after the first those above 1x1.

    Raises:
        ValueError: the task's inputs are not images.
    """
    if getattr(task, "vocabulary", 0):
        raise ValueError("mobilenet reads images, and the rows of this task are texts; use the space text")
    if len(task.input_shape) != 3:
        raise ValueError(f"mobilenet needs inputs of shape (channels, height, width), not {task.input_shape}")
    channels_in, height, width = task.input_shape
    channels, size = arch["width"], max(height, width)
    activation = ACTIVATIONS[arch["activation"]]
    stride = 2 if size > 16 else 1
    while -(-size // stride) > arch.get("side", math.inf):
        stride *= 2
    convolution, norm = _convolution(channels_in, channels, max(3, 2 * stride - 1), stride=stride)
    layers: dict[str, nn.Module] = {"stem.conv": convolution, "stem.norm": norm, "stem.activation": activation()}
    for i, stage in enumerate(arch["stages"]):
        size = -(-size // stride)
        stride = 2 if i > 0 and size > 1 else 1
        for j in range(stage["blocks"]):
            channels_out = channels * stage["widen"] if j == 0 else channels
            block = _InvertedResidual(channels, channels_out, stage, stride if j == 0 else 1, activation)
            # The class itself stays as it is, because its source is in the digest of teachers of earlier versions.
            block.layers = Named(dict(zip(_names(stage), block.layers, strict=True)))
            layers[f"stages.{i}.blocks.{j}"] = block
            channels = channels_out
    head = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "head": nn.Linear(channels, task.num_outputs)}
    return Named({**layers, **head})


def inherit(
    arch: dict[str, Any], teacher_arch: dict[str, Any], teacher_weights: dict[str, Tensor], task: Any
) -> dict[str, Tensor]:
    """Takes leading channels of each stage: of its first block, its last one and blocks evenly spread between them.

    A stage whose blocks expand gives nothing to one whose blocks do not, because those filter the block's input itself.
    """
    if not alike(arch, teacher_arch):
        return {}
    return taken_over(
        lambda: build(arch, task),
        teacher_weights,
        blocks=stage_blocks(arch["stages"], teacher_arch["stages"], alike=["expansion"]),
        reading=("stem.conv.weight",),
    )


@dataclass(frozen=True, kw_only=True)
class Space:
    """The space with settings, each a list of choices, a range (low, high) or a fixed value.

    Args:
        width: the channels of the stem; a range is searched on a logarithmic scale.
        activation: `relu` or `hardswish`.
        stages: the number of stages. Each after the first halves the map.
        expansion: how many times its inputs a block of a stage has channels inside.
        squeeze_excite: whether blocks weigh their channels; those that do not expand never do.
        blocks: the number of blocks in a stage.
        kernel: the side of the kernels in a stage, an odd number.
        widen: how many times the channels of the stage before a stage has.
        side: the stem has a stride of more than 2 if the map would have more pixels a side. Its kernel grows with the
            stride, so that each pixel is read.

    Raises:
        ValueError: a setting has other values.
    """

    width: Any = (3, 24)
    activation: Any = field(default_factory=lambda: list(ACTIVATIONS))
    stages: Any = (2, 3)
    expansion: Any = field(default_factory=lambda: [1, 2, 3, 4, 6])
    squeeze_excite: Any = field(default_factory=lambda: [False, True])
    blocks: Any = (1, 2)
    kernel: Any = field(default_factory=lambda: [3, 5])
    widen: Any = (1, 2)
    side: Any = 56

    build = staticmethod(build)
    inherit = staticmethod(inherit)

    def __post_init__(self) -> None:
        refuse_strange(vars(self))
        need_counts(width=self.width, stages=self.stages, expansion=self.expansion, blocks=self.blocks)
        need_counts(widen=self.widen, side=self.side)
        need_some_of(list(ACTIVATIONS), activation=self.activation)
        need_some_of([False, True], squeeze_excite=self.squeeze_excite)
        need_some_of([1, 3, 5, 7, 9, 11], kernel=self.kernel)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Picks the stem's width, the activation, for each stage what its blocks are made of, and the largest side."""
        width = pick(trial, "width", self.width, log=True)
        activation = pick(trial, "activation", self.activation)
        stages = []
        for i in range(pick(trial, "num_stages", self.stages)):
            expansion = pick(trial, f"expansion_{i}", self.expansion)
            excite = pick(trial, f"squeeze_excite_{i}", self.squeeze_excite) if expansion > 1 else False
            stages.append(
                {
                    "blocks": pick(trial, f"blocks_{i}", self.blocks),
                    "kernel": pick(trial, f"kernel_{i}", self.kernel),
                    "expansion": expansion,
                    "squeeze_excite": excite,
                    "widen": pick(trial, f"widen_{i}", self.widen) if i > 0 else 1,
                }
            )
        side = pick(trial, "side", self.side)
        return {"width": width, "activation": activation, "stages": stages, "side": side}


class _InvertedResidual(nn.Module):
    """Expands, filters each channel alone, weighs channels, projects; adds its input where shapes allow."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        stage: dict[str, Any],
        stride: int,
        activation: type[nn.Module],
    ) -> None:
        super().__init__()
        hidden = channels_in * stage["expansion"]
        layers: list[nn.Module] = []
        if stage["expansion"] > 1:
            layers += [*_convolution(channels_in, hidden, 1), activation()]
        layers += [*_convolution(hidden, hidden, stage["kernel"], stride=stride, groups=hidden), activation()]
        if stage["squeeze_excite"]:
            layers.append(_SqueezeExcite(hidden, max(2, channels_in // 4)))
        self.layers = nn.Sequential(*layers, *_convolution(hidden, channels_out, 1))
        self.residual = channels_in == channels_out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class _SqueezeExcite(nn.Module):
    """Multiplies each channel by a gate in 0 .. 1 read off the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, squeezed), nn.ReLU(), nn.Linear(squeezed, channels), nn.Hardsigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean(dim=(2, 3)))[:, :, None, None]


def _names(stage: dict[str, Any]) -> list[str]:
    """The names of the layers in a block of a stage."""
    parts = ["expand", "depthwise"] if stage["expansion"] > 1 else ["depthwise"]
    filters = [f"{part}.{layer}" for part in parts for layer in ("conv", "norm", "activation")]
    excite = ["squeeze_excite"] if stage["squeeze_excite"] else []
    return [*filters, *excite, "project.conv", "project.norm"]


def _convolution(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
    ]
