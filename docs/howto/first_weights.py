"""A search space of residual networks, whose students can begin as a part of a larger network of this space."""

from collections import OrderedDict

from torch import nn


class Block(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 3, padding=1),
        )

    def forward(self, x):
        return x + self.inner(x)


def suggest(trial):
    """Picks how many blocks there are, and how many channels each has inside."""
    return {"blocks": trial.suggest_int("blocks", 1, 4), "hidden": trial.suggest_int("hidden", 4, 32, log=True)}


def build(arch, task):
    """Makes the network of an architecture; the layers have names, so that they are the same ones at every depth."""
    layers = {
        "stem": nn.Conv2d(task.input_shape[0], 16, 3, padding=1),
        "blocks": nn.Sequential(*(Block(16, arch["hidden"]) for _ in range(arch["blocks"]))),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "head": nn.Linear(16, task.num_outputs),
    }
    return nn.Sequential(OrderedDict(layers))


def inherit(arch, teacher_arch, teacher_weights):
    """Gives the teacher's stem and head, and evenly spread blocks; AutoKD takes the leading channels of the blocks."""
    if arch.keys() != teacher_arch.keys():
        return {}  # the teacher is of another space
    given = {name: tensor for name, tensor in teacher_weights.items() if not name.startswith("blocks.")}
    if arch["hidden"] <= teacher_arch["hidden"]:
        for block in range(arch["blocks"]):
            place = block * teacher_arch["blocks"] // arch["blocks"]
            for name, tensor in teacher_weights.items():
                if name.startswith(f"blocks.{place}."):
                    given[name.replace(f"blocks.{place}.", f"blocks.{block}.", 1)] = tensor
    return given
