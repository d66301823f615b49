"""A classification task on one array: inputs, targets, splits, the hard loss and the score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from autokd.readings import Pixels
from autokd.tasks.views import augment
from autokd.types import Reading

WHOLE_BYTES = 512_000_000
"""Normalised inputs smaller than this are held in memory, once per process. Larger ones are read from the map."""

_STEP = 4096


@dataclass(frozen=True)
class Augmentation:
    """How views differ from each other; see `autokd.tasks.views.augment`.

    Args:
        views: the number of versions of each row, >= 1; the first one is unaugmented.
        flip: whether every second view is mirrored left to right.
        crop: by how many pixels at most a view is shifted.
        cutout: the side, in pixels, of a square of zeros that is put anywhere.
        seed: the seed of the views.
    """

    views: int = 1
    flip: bool = False
    crop: int = 0
    cutout: int = 0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class ArrayTask:
    """A `Task` whose inputs are one array, in memory or memory-mapped.

    Args:
        name: the name of the task in tables and reports.
        x: raw inputs in uint8, float32, or float64 if float32 would lose digits; shape (num_rows, channels, height,
            width) or (num_rows, features).
        y: the class of each row, int64, shape (num_rows,), with the requested label noise; -1 for rows without a label,
            which are in the transfer set only.
        class_names: the names of the classes by number.
        splits: the row numbers of each split, see `Task`.
        shift: one number for each channel or feature, in the units of `x`. Inputs are (x - shift) / divisor, computed
            in float64 if `x` is float64.
        divisor: one number for each channel or feature, in the units of `x`.
        augmentation: how views differ.
        class_weights: the weight of each class in the hard loss, or None. With weights the score is balanced accuracy.
        label_noise: the fraction of the labels outside validation and test that was changed.
        digest: a digest of the task, see `Task`.
    """

    name: str
    x: NDArray[Any] = field(repr=False)
    y: Tensor = field(repr=False)
    class_names: tuple[str, ...]
    splits: Mapping[str, Tensor] = field(repr=False)
    shift: tuple[float, ...] = field(repr=False)
    divisor: tuple[float, ...] = field(repr=False)
    augmentation: Augmentation
    class_weights: tuple[float, ...] | None
    label_noise: float
    digest: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample: (channels, height, width) or (features,)."""
        return self.x.shape[1:]

    @property
    def num_outputs(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def num_rows(self) -> int:
        """The number of rows over all splits. Rows are in the order of the source."""
        return len(self.x)

    @property
    def views(self) -> int:
        """The number of versions of each row, >= 1; view 0 is unaugmented."""
        return self.augmentation.views

    @cached_property
    def chance(self) -> float:
        """The score on validation of an answer that is always its most frequent class."""
        counts = self.y[self.splits["validation"]].bincount()
        if self.class_weights is not None:
            return 1.0 / int((counts > 0).sum())
        return int(counts.max()) / int(counts.sum())

    @property
    def reading(self) -> Reading:
        """How raw rows become inputs."""
        return self._normalised

    def raw(self, rows: Tensor) -> Any:
        """The raw rows, as the data are kept; `reading.batch` makes inputs of them."""
        return self.x[rows.numpy()]

    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        """Normalised float32 inputs, shape (len(rows), *input_shape). Images have the channels_last memory format.

        Raises:
            ValueError: `view` is not 0 .. views - 1.
        """
        if not 0 <= view < self.views:
            raise ValueError(f"view {view} of a task with {self.views} view(s)")
        if self._fits_in_memory:
            x = self._whole.index_select(0, rows)
            if x.ndim == 4:
                x = x.permute(0, 3, 1, 2)
        else:
            x = self._normalised.batch(self.x[rows.numpy()])
        if view == 0:
            return x
        how = self.augmentation
        return augment(x, rows, view, seed=how.seed, flip=how.flip, crop=how.crop, cutout=how.cutout)

    def targets(self, rows: Tensor) -> Tensor:
        """Class numbers, int64, shape (len(rows),); -1 for a row without a label."""
        return self.y.index_select(0, rows)

    def hard_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy in nats, as a mean over the batch (a weighted mean with class weights), shape ()."""
        weights = None if self._weights is None else self._weights.to(outputs.device)
        return F.cross_entropy(outputs, targets, weight=weights)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The accuracy, 0 .. 1; with class weights the mean over classes in `targets`. NaN if an output is NaN."""
        if outputs.isnan().any():
            return math.nan
        correct = (outputs.argmax(dim=1) == targets).double()
        if self.class_weights is None:
            return float(correct.mean())
        counts = targets.bincount(minlength=self.num_outputs)
        hits = targets.bincount(correct, minlength=self.num_outputs)
        return float((hits[counts > 0] / counts[counts > 0]).mean())

    def summary(self) -> str:
        """One line for the log: name, shape, classes, rows by split, labels used."""
        sizes = {name: len(rows) for name, rows in self.splits.items()}
        rows = ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
        without = f" ({int((self.y < 0).sum()):,} rows have no label)" if bool((self.y < 0).any()) else ""
        noise = f", {self.label_noise:.0%} of the training labels changed" if self.label_noise else ""
        views = f", {self.views} views" if self.views > 1 else ""
        return (
            f"{self.name}: {self.num_rows:,} rows of {'x'.join(map(str, self.input_shape))} {self.x.dtype}{views}, "
            f"{self.num_outputs} classes ({self.class_names[0]} .. {self.class_names[-1]}); {rows}{without}; "
            f"labels used: {sizes['train']:,} to train, {sizes['validation']:,} to validate{noise}"
        )

    @property
    def _fits_in_memory(self) -> bool:
        return self.x.size * 4 < WHOLE_BYTES

    @cached_property
    def _whole(self) -> Tensor:
        """All normalised inputs, channels last, so that selected rows have the channels_last format without a copy."""
        shape = self.input_shape if len(self.input_shape) == 1 else (*self.input_shape[1:], self.input_shape[0])
        whole = torch.empty(len(self.x), *shape)
        channels_first = whole.permute(0, 3, 1, 2) if whole.ndim == 4 else whole
        for start in range(0, len(self.x), _STEP):
            channels_first[start : start + _STEP] = self._normalised.batch(self.x[start : start + _STEP])
        return whole

    @cached_property
    def _normalised(self) -> Pixels:
        return Pixels(self.shift, self.divisor)

    @cached_property
    def _weights(self) -> Tensor | None:
        return None if self.class_weights is None else torch.tensor(self.class_weights)
