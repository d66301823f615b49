"""Fully connected networks: 1 to 4 hidden layers of 4 to 128 units."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    import optuna

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks depth, the width of each layer there is, activation, and batch norm or none."""
    depth = trial.suggest_int("depth", 1, 4)
    return {
        "widths": [trial.suggest_int(f"width_{i}", 4, 128, log=True) for i in range(depth)],
        "activation": trial.suggest_categorical("activation", list(ACTIVATIONS)),
        "batch_norm": trial.suggest_categorical("batch_norm", [False, True]),
    }


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network for inputs of any shape, which it flattens."""
    layers: list[nn.Module] = [nn.Flatten()]
    width_in = math.prod(task.input_shape)
    for width in arch["widths"]:
        # Batch norm subtracts the mean, and with it whatever a bias added.
        layers.append(nn.Linear(width_in, width, bias=not arch["batch_norm"]))
        if arch["batch_norm"]:
            layers.append(nn.BatchNorm1d(width))
        layers.append(ACTIVATIONS[arch["activation"]]())
        width_in = width
    return nn.Sequential(*layers, nn.Linear(width_in, task.num_outputs))
