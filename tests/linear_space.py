"""A sound search space of one layer. Tests break it to see whether a fault is found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import optuna
from torch import Tensor, nn

from autokd.testing import (
    TinyTask,
)

TASK = TinyTask()


class Linear(nn.Module):
    """The whole of a student: one layer on flattened inputs."""

    def __init__(self, outputs: int = 10) -> None:
        super().__init__()
        self.layer = nn.Linear(64, outputs)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x.flatten(1))


def pick_width(trial: optuna.Trial) -> dict[str, Any]:
    return {"width": trial.suggest_int("width", 1, 100)}


def build_linear(arch: dict[str, Any], task: Any) -> nn.Module:
    return Linear(task.num_outputs)


def space_with(suggest: Any = pick_width, build: Any = build_linear) -> SimpleNamespace:
    return SimpleNamespace(suggest=suggest, build=build)


def space_of(network: type[nn.Module]) -> SimpleNamespace:
    return space_with(build=lambda arch, task: network())


class WrongWidth(Linear):
    def __init__(self) -> None:
        super().__init__(outputs=9)
