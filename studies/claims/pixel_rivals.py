"""What simple models of a pixel score where a task asks for a class at every pixel; `rivals.py` shows it beside a run.

Blind is the most frequent class everywhere. The linear model is logistic regression on the colours of the pixel. The
classical one is gradient boosting on the colours of the 7x7 pixels around it. They are fitted on 20,000 pixels of the
images of which students see the masks. Pixels beyond the border count as the mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from autokd.types import Head, Task

FITTED_ON = 20_000
_IMAGES = 16
"""The number of images that are answered at once."""


def pixel_scores(task: Task, head: Head, targets: Tensor, splits: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """The mean intersection over union of each rival by split.

    Raises:
        ValueError: the positions are not the pixels of the inputs.
    """
    if head.shape[1:] != tuple(task.input_shape[1:]) or len(task.input_shape) != 3:
        raise ValueError(f"positions {head.shape[1:]} are not the pixels of inputs of shape {task.input_shape}")
    train = task.splits["train"]
    train = train[head.known(targets[train])]
    wanted = targets[train].flatten()
    counts = (wanted >= 0).nonzero().flatten().numpy()
    drawn = np.random.default_rng(0).permutation(counts)[:FITTED_ON]
    rivals: dict[str, tuple[Any, int]] = {
        "blind": (DummyClassifier(), 0),
        "linear": (LogisticRegression(max_iter=2000), 0),
        "classical": (HistGradientBoostingClassifier(random_state=0), 3),
    }
    found: dict[str, dict[str, float]] = {}
    for name, (model, reach) in rivals.items():
        given = np.concatenate([around(task.inputs(rows), reach) for rows in train.split(_IMAGES)])
        model.fit(given[drawn], wanted.numpy()[drawn])
        found[name] = {}
        for split in splits:
            rows = task.splits[split]
            answers = [model.predict(around(task.inputs(part), reach)) for part in rows.split(_IMAGES)]
            classes = torch.from_numpy(np.concatenate(answers)).view(len(rows), *head.shape[1:])
            found[name][split] = head.score(head.right(classes), targets[rows])
    return found


def around(images: Tensor, reach: int) -> Any:
    """The colours around each pixel, shape (images x pixels, features)."""
    side = 2 * reach + 1
    patches = functional.unfold(images.contiguous(), side, padding=reach)
    return patches.transpose(1, 2).flatten(0, 1).numpy()
