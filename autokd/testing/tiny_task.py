"""A task that is small enough for any test: 64 rows around one random prototype per class. Training beats chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from autokd.readings import Column
from autokd.types import Task

_SPLITS = {"train": 24, "transfer": 12, "validation": 12, "test": 12, "reserve": 4}
_NOISE = 0.3


@dataclass(frozen=True)
class TinyTask:
    """A task with 64 rows, with classes in turn: the prototype of the class plus noise. Each view above 0 adds noise.

    Args:
        input_shape: the shape of one sample, (channels, height, width) or (features,).
        num_outputs: the number of classes, 2 .. 24, so that `train` holds each of them.
        seed: the seed of prototypes and noise.
        views: the number of deterministic augmentations of each row, >= 1.
        columns: what the features stand for, so that the task is a table; (features,) are their sum. In the features of
            a category the largest number becomes 1 and each other one 0. If none is above 0, all become 0, as for a
            category that was not seen in training.
        sizes: the sides to which square images may be averaged down; if there are any, a search varies `reading.size`.
    """

    input_shape: tuple[int, ...] = (1, 8, 8)
    num_outputs: int = 10
    seed: int = 0
    views: int = 1
    columns: tuple[Column, ...] = ()
    vocabulary: int = 0
    sizes: tuple[int, ...] = ()

    @property
    def readings(self) -> dict[str, tuple[int, ...]]:
        """The sizes of which a search picks one, if there are any."""
        return {"size": tuple(self.sizes)} if self.sizes else {}

    def seen_through(self, reading: Mapping[str, Any]) -> Task:
        """The task whose images are averaged down to `reading["size"]`; the task itself if no size is given."""
        seen: Any = _Averaged(self, reading["size"]) if "size" in reading else self
        return seen

    @property
    def name(self) -> str:
        """The name of the task, always `tiny`."""
        return "tiny"

    @property
    def num_rows(self) -> int:
        """The number of rows, always 64."""
        return sum(_SPLITS.values())

    @cached_property
    def digest(self) -> str:
        """SHA-256 over inputs and targets. Splits and noise are constants of this file."""
        content = self._inputs.numpy().tobytes() + self._targets.numpy().tobytes()
        form = (self.input_shape, self.views, *([self.vocabulary] if self.vocabulary else []))
        return sha256(repr(form).encode() + content).hexdigest()

    @cached_property
    def splits(self) -> dict[str, Tensor]:
        """The row numbers of each split: 24 train, 12 transfer, 12 validation, 12 test, 4 reserve."""
        parts = torch.arange(self.num_rows).split(list(_SPLITS.values()))
        return dict(zip(_SPLITS, parts, strict=True))

    @cached_property
    def chance(self) -> float:
        """The share of the most common class among the validation rows."""
        counts = torch.bincount(self._targets[self.splits["validation"]])
        return int(counts.max()) / int(counts.sum())

    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        """The inputs of these rows, float32, shape (len(rows), *input_shape).

        Those of texts are ids, int64, shape (len(rows), tokens of the longest of these texts), with 0 for padding.
        """
        inputs = self._inputs[view, rows]
        return inputs[:, : int(inputs.count_nonzero(dim=1).max())] if self.vocabulary and len(rows) else inputs

    def example(self, rows: int = 1) -> Tensor:
        """A batch of the form that `inputs` has. Texts in it have the largest length."""
        if not self.vocabulary:
            return torch.zeros(rows, *self.input_shape)
        return (1 + torch.arange(*self.input_shape) % (self.vocabulary - 1)).repeat(rows, 1)

    def targets(self, rows: Tensor) -> Tensor:
        """The class numbers of these rows, int64, shape (len(rows),)."""
        return self._targets[rows]

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, mean over the batch, shape ()."""
        return functional.cross_entropy(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The accuracy, 0 .. 1."""
        return float((outputs.argmax(dim=1) == targets).double().mean())

    @cached_property
    def _targets(self) -> Tensor:
        return torch.arange(self.num_rows) % self.num_outputs

    @cached_property
    def _inputs(self) -> Tensor:
        """All views of all rows, shape (views, num_rows, *input_shape)."""
        generator = torch.Generator().manual_seed(self.seed)
        if self.vocabulary:
            return self._texts(generator)
        prototypes = torch.randn(self.num_outputs, *self.input_shape, generator=generator)
        noise = torch.randn(self.views, self.num_rows, *self.input_shape, generator=generator)
        noise[1:] += noise[0]
        inputs = prototypes[self._targets] + _NOISE * noise
        for column in self.columns:
            if column.kind == "category":
                features = inputs[..., column.start : column.stop]
                largest = features.amax(dim=-1, keepdim=True).clamp(min=0)
                features.copy_((features == largest).float())
        return inputs

    def _texts(self, generator: torch.Generator) -> Tensor:
        """The ids of all texts in all views. The texts keep their lengths in each view."""
        (length,), shape = self.input_shape, (self.views, self.num_rows, *self.input_shape)
        of_class = (self.vocabulary - 1) // self.num_outputs
        drawn = torch.randint(of_class, shape, generator=generator) * self.num_outputs
        own = 1 + self._targets[:, None] + drawn
        others = torch.randint(1, self.vocabulary, shape, generator=generator)
        ids = torch.where(torch.rand(shape, generator=generator) < _NOISE, others, own)
        lengths = torch.randint(1, length + 1, (self.num_rows, 1), generator=generator)
        return ids * (torch.arange(length) < lengths)


@dataclass(frozen=True)
class _Averaged:
    """A tiny task whose images are averaged down to a size; everything else stays."""

    task: TinyTask
    size: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.task.input_shape[0], self.size, self.size)

    @property
    def digest(self) -> str:
        return sha256(f"{self.task.digest} at {self.size}".encode()).hexdigest()

    @property
    def readings(self) -> dict[str, tuple[int, ...]]:
        return {}

    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        return functional.adaptive_avg_pool2d(self.task.inputs(rows, view), self.size)

    def example(self, rows: int = 1) -> Tensor:
        return torch.zeros(rows, *self.input_shape)
