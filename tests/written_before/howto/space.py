"""A search space: small convolutional networks of one to three stages."""

from torch import nn


def suggest(trial):
    """Picks numbers, and nothing else; a stage's kernel is asked for only where there is that stage."""
    stages = trial.suggest_int("stages", 1, 3)
    return {
        "channels": trial.suggest_int("channels", 4, 16, log=True),
        "kernels": [trial.suggest_categorical(f"kernel_{i}", [3, 5]) for i in range(stages)],
        "norm": trial.suggest_categorical("norm", [False, True]),
    }


def build(arch, task):
    """Makes the network of an architecture; chooses nothing."""
    channels_in, channels = task.input_shape[0], arch["channels"]
    layers = []
    for kernel in arch["kernels"]:
        layers.append(nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, bias=not arch["norm"]))
        layers += [nn.BatchNorm2d(channels)] if arch["norm"] else []
        layers.append(nn.ReLU())
        channels_in = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, task.num_outputs))
