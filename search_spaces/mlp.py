"""Fully connected networks: 1 to 4 hidden layers of 4 to 128 units, or as settings say: `mlp(width=(4, 2048))`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from search_spaces.inheriting import alike, spread, taken_over
from search_spaces.names import Named
from search_spaces.picks import need_counts, need_some_of, pick, refuse_strange

if TYPE_CHECKING:
    import optuna
    from torch import Tensor

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks depth, the width of each layer there is, activation, and batch norm or none."""
    arch = Space().suggest(trial)
    del arch["side"]  # without settings, images are read as they are
    return arch


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network for inputs of any shape, which it flattens.

    Raises:
        ValueError: the task's rows are texts.
    """
    if getattr(task, "vocabulary", 0):
        raise ValueError("mlp reads numbers, and the rows of this task are texts; use the space text")
    layers: dict[str, nn.Module] = {}
    shape = task.input_shape
    if len(shape) == 3 and max(shape[1:]) > arch.get("side", math.inf):
        factor = -(-max(shape[1:]) // arch["side"])
        layers["average"] = nn.AvgPool2d(factor, ceil_mode=True, count_include_pad=False)
        shape = (shape[0], -(-shape[1] // factor), -(-shape[2] // factor))
    layers["flatten"] = nn.Flatten()
    width_in = math.prod(shape)
    for i, width in enumerate(arch["widths"]):
        # Batch norm subtracts the mean, and with it whatever a bias added.
        layers[f"blocks.{i}.linear"] = nn.Linear(width_in, width, bias=not arch["batch_norm"])
        if arch["batch_norm"]:
            layers[f"blocks.{i}.norm"] = nn.BatchNorm1d(width)
        layers[f"blocks.{i}.activation"] = ACTIVATIONS[arch["activation"]]()
        width_in = width
    return Named({**layers, "head": nn.Linear(width_in, task.num_outputs)})


def inherit(
    arch: dict[str, Any], teacher_arch: dict[str, Any], teacher_weights: dict[str, Tensor], task: Any
) -> dict[str, Tensor]:
    """Takes the leading units of the first hidden layer, of the last one, and of layers evenly spread between them."""
    if not alike(arch, teacher_arch):
        return {}
    places = spread(len(arch["widths"]), len(teacher_arch["widths"]))
    return taken_over(
        lambda: build(arch, task),
        teacher_weights,
        blocks={f"blocks.{i}": f"blocks.{place}" for i, place in enumerate(places)},
        reading=("blocks.0.linear.weight",),
    )


@dataclass(frozen=True, kw_only=True)
class Space:
    """The space with settings, each a list of choices, a range (low, high) or a fixed value.

    Args:
        depth: the number of hidden layers.
        width: the units of each hidden layer; a range is searched on a logarithmic scale.
        activation: `relu`, `gelu`, `silu` or `tanh`.
        batch_norm: whether each hidden layer is followed by batch norm.
        side: images of more pixels a side are averaged to at most so many before they are flattened.

    Raises:
        ValueError: a setting has other values.
    """

    depth: Any = (1, 4)
    width: Any = (4, 128)
    activation: Any = field(default_factory=lambda: list(ACTIVATIONS))
    batch_norm: Any = field(default_factory=lambda: [False, True])
    side: Any = 56

    build = staticmethod(build)
    inherit = staticmethod(inherit)

    def __post_init__(self) -> None:
        refuse_strange(vars(self))
        need_counts(depth=self.depth, width=self.width, side=self.side)
        need_some_of(list(ACTIVATIONS), activation=self.activation)
        need_some_of([False, True], batch_norm=self.batch_norm)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Picks depth, the width of each layer there is, activation, batch norm or none, and the largest side."""
        depth = pick(trial, "depth", self.depth)
        return {
            "widths": [pick(trial, f"width_{i}", self.width, log=True) for i in range(depth)],
            "activation": pick(trial, "activation", self.activation),
            "batch_norm": pick(trial, "batch_norm", self.batch_norm),
            "side": pick(trial, "side", self.side),
        }
