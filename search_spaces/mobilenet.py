"""Mobile networks: a 3x3 stem, then 2 or 3 stages of inverted residuals, 3 to 96 channels wide.

Sources: inverted residuals, Sandler et al. (2018), https://arxiv.org/abs/1801.04381, section 3.3;
squeeze-and-excite inside them, Howard et al. (2019), https://arxiv.org/abs/1905.02244, section 5.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    import optuna

ACTIVATIONS = {"relu": nn.ReLU, "hardswish": nn.Hardswish}


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks the stem's width, the activation and, for each stage there is, what its blocks are made of.

    Squeeze-and-excite is a choice only where the block expands: without, it has few channels to weigh.
    """
    width = trial.suggest_int("width", 3, 24, log=True)
    activation = trial.suggest_categorical("activation", list(ACTIVATIONS))
    stages = []
    for i in range(trial.suggest_int("num_stages", 2, 3)):
        expansion = trial.suggest_categorical(f"expansion_{i}", [1, 2, 3, 4, 6])
        excite = trial.suggest_categorical(f"squeeze_excite_{i}", [False, True]) if expansion > 1 else False
        stages.append(
            {
                "blocks": trial.suggest_int(f"blocks_{i}", 1, 2),
                "kernel": trial.suggest_categorical(f"kernel_{i}", [3, 5]),
                "expansion": expansion,
                "squeeze_excite": excite,
                "widen": trial.suggest_int(f"widen_{i}", 1, 2) if i > 0 else 1,
            }
        )
    return {"width": width, "activation": activation, "stages": stages}


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network; the stem halves maps above 16x16, each stage after the first those above 1x1.

    Raises:
        ValueError: the task's inputs are not images.
    """
    if len(task.input_shape) != 3:
        raise ValueError(f"mobilenet needs inputs of shape (channels, height, width), not {task.input_shape}")
    channels_in, height, width = task.input_shape
    channels, size = arch["width"], max(height, width)
    activation = ACTIVATIONS[arch["activation"]]
    stride = 2 if size > 16 else 1
    layers: list[nn.Module] = [*_convolution(channels_in, channels, 3, stride=stride), activation()]
    for i, stage in enumerate(arch["stages"]):
        size = -(-size // stride)
        stride = 2 if i > 0 and size > 1 else 1
        for block in range(stage["blocks"]):
            channels_out = channels * stage["widen"] if block == 0 else channels
            layers.append(_InvertedResidual(channels, channels_out, stage, stride if block == 0 else 1, activation))
            channels = channels_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, task.num_outputs))


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


def _convolution(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
    ]
