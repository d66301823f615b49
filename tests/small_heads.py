"""Small tasks of each kind of head, whose targets follow from six numbers a row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autokd.heads import Classes, Labels, Positions, Values
from autokd.tasks import ArrayTask, Augmentation
from autokd.types import Head

ROWS = 220
_GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 6, generator=_GENERATOR)
_SUM = 2 * X[:, 0] + X[:, 1] * X[:, 2]
TARGETS: Mapping[str, Tensor] = {
    "classes": (_SUM > 0).long() + (_SUM > 1).long(),
    "labels": torch.stack([_SUM > 0, X[:, 3] > 0.5], dim=1).float(),
    "values": torch.stack([100 + 20 * _SUM, 5 - X[:, 4]], dim=1),
    "positions": torch.stack([(_SUM > 0).long(), (X[:, 3] > 0).long(), 2 * (X[:, 4] + X[:, 5] > 0).long()], dim=1),
}
NUMBERS = torch.arange(ROWS)
SPLITS = {
    "train": NUMBERS[:100],
    "transfer": NUMBERS[100:130],
    "validation": NUMBERS[130:180],
    "test": NUMBERS[180:210],
    "reserve": NUMBERS[210:],
}
_CENTRE, _SCALE = (tuple(found.tolist()) for found in (TARGETS["values"].mean(0), TARGETS["values"].std(0)))
HEADS: Mapping[str, Head] = {
    "classes": Classes(("low", "middle", "high")),
    "labels": Labels(("positive", "large")),
    "values": Values(("cm", "kg"), _CENTRE, _SCALE),
    "gaussian": Values(("cm", "kg"), _CENTRE, _SCALE, variance=True),
    "positions": Positions(("a", "b", "c"), (3,)),
}
TEACHER = {"space": "mlp", "arch": {"widths": [48, 48], "activation": "relu", "batch_norm": False}, "epochs": 40}


def task_of(kind: str) -> ArrayTask:
    """The task of one kind, or one of a class, of values and of labels, some of which are not known."""
    if kind == "several":
        names = ("classes", "values", "labels")
        y: Any = {name: TARGETS[name].clone() for name in names}
        y["classes"][:20], y["values"][20:40, 1] = -1, float("nan")
        heads = {name: HEADS[name] for name in names}
    else:
        y, heads = TARGETS["values" if kind == "gaussian" else kind], {"": HEADS[kind]}
    return ArrayTask(
        name=kind,
        x=X.numpy(),
        y=y,
        own_heads=heads,
        splits=SPLITS,
        shift=(0.0,) * 6,
        divisor=(1.0,) * 6,
        augmentation=Augmentation(),
        digest=hashlib.sha256(kind.encode()).hexdigest(),
    )


def study_of(task: object, **given: Any) -> dict[str, Any]:
    """A study of a task with heads: four small MLPs of at most two epochs."""
    return {
        "name": "heads",
        "task": task,
        "teacher": TEACHER,
        "space": "mlp",
        "recipe": {"lr": 0.02, "batch_size": 32},
        "budget": {"trials": 4, "rungs": [1, 2], "reseeds": 1},
        "sampler": "random",
        "executor": "inline",
        "workers": 1,
        **given,
    }
