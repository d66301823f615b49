"""A student of each space, and the card that goes with it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from autokd import registry
from autokd.export.card import TaskShape

TASK = TaskShape(name="tiny", input_shape=(1, 8, 8), num_outputs=10)
ARCHES: dict[str, dict[str, Any]] = {
    "mlp": {"widths": [8, 6], "activation": "relu", "batch_norm": True},
    "resnet": {
        "width": 4,
        "stages": [
            {"blocks": 1, "kernel": 5, "widen": 1},
            {"blocks": 1, "kernel": 3, "widen": 2},
        ],
    },
    "mobilenet": {
        "width": 4,
        "activation": "relu",
        "stages": [
            {"blocks": 1, "kernel": 3, "expansion": 3, "squeeze_excite": True, "widen": 1},
            {"blocks": 2, "kernel": 5, "expansion": 1, "squeeze_excite": False, "widen": 2},
        ],
    },
    "vit": {"patches_per_side": 4, "heads": 2, "head_width": 4, "mlp_ratios": [2]},
}


def sample_student(space: str = "mlp") -> nn.Module:
    student = registry.resolve("search_spaces", space).build(ARCHES[space], TASK)
    student(torch.randn(16, 1, 8, 8))  # in train mode: batch norm has statistics of its own to keep
    return student


def sample_card(space: str = "mlp", **changes: object) -> dict[str, Any]:
    source = registry.source_digest(registry.resolve("search_spaces", space)) if space in ARCHES else ""
    return {
        "space": space,
        "space_digest": source,
        "arch": ARCHES.get(space, {}),
        "recipe": {"alpha": 0.9, "temperature": 4.0},
        "task": TASK.model_dump(),
        "values": {"accuracy": 0.93, "parameters": 656.0},
        "seeds": [0, 1, 2],
        "teacher": {"name": "resnet", "values": {"accuracy": 0.98}},
        "versions": {"torch": torch.__version__},
        **changes,
    }
