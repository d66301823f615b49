"""A task on one array: inputs, targets, splits, and what the outputs mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.heads import Classes, Heads, apart, blind_scores, hard_losses, known_rows, scores, width
from autokd.readings import Pixels
from autokd.readings.photos import Photos
from autokd.tasks.views import augment
from autokd.types import Head, Reading

WHOLE_BYTES = 512_000_000
"""Normalised inputs smaller than this are held in memory, once per process. Larger ones are read from the map."""

_STEP = 4096


@dataclass(frozen=True)
class Augmentation:
    """How views differ from each other; see `autokd.tasks.views.augment`.

    Args:
        views: the number of versions of each row, >= 1; the first one is unaugmented.
        flip: whether every second view is mirrored left to right.
        crop: by how much at most a view is shifted, in pixels, or as a fraction of the height and of the width.
        cutout: the sides, in pixels or as a fraction, of a hole of zeros that is put anywhere.
        seed: the seed of the views.
    """

    views: int = 1
    flip: bool = False
    crop: int | float = 0
    cutout: int | float = 0
    seed: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class ArrayTask:
    """A `Task` whose inputs are one array, in memory or memory-mapped.

    Args:
        name: the name of the task in tables and reports.
        x: raw inputs in uint8, float32, or float64 if float32 would lose digits; shape (num_rows, channels, height,
            width) or (num_rows, features).
        y: the targets of all rows: the class of each row, int64, shape (num_rows,), with the requested label noise, or
            what another kind of head takes; by head if there are several. Rows without a target are in the transfer
            set only, and have -1 for a class.
        class_names: the names of the classes by number; empty if the task has other heads than one of classes.
        splits: the row numbers of each split, see `Task`.
        shift: one number for each channel or feature, in the units of `x`. Inputs are (x - shift) / divisor, computed
            in float64 if `x` is float64.
        divisor: one number for each channel or feature, in the units of `x`.
        augmentation: how views differ.
        class_weights: the weight of each class in the hard loss, or None. With weights the score is balanced accuracy.
        label_noise: the fraction of the labels outside validation and test that was changed.
        digest: a digest of the task, see `Task`.
        own_heads: the heads by name; empty if there is one head of classes, which `class_names` and `class_weights`
            describe. One such head under the name "" becomes these two.
        photos: how image files became `x`; None if they were no such files, or had one size already.
    """

    name: str
    x: NDArray[Any] = field(repr=False)
    y: Tensor | Mapping[str, Tensor] = field(repr=False)
    class_names: tuple[str, ...] = ()
    splits: Mapping[str, Tensor] = field(repr=False)
    shift: tuple[float, ...] = field(repr=False)
    divisor: tuple[float, ...] = field(repr=False)
    augmentation: Augmentation
    class_weights: tuple[float, ...] | None = None
    label_noise: float = 0.0
    digest: str
    own_heads: Mapping[str, Head] = field(default_factory=dict)
    photos: Photos | None = None

    def __post_init__(self) -> None:
        alone = self.own_heads.get("") if len(self.own_heads) == 1 else None
        if isinstance(alone, Classes):
            plain: dict[str, Any] = {"class_names": alone.names, "class_weights": alone.weights, "own_heads": {}}
            for name, value in plain.items():
                object.__setattr__(self, name, value)

    @cached_property
    def heads(self) -> Heads:
        """What the outputs mean, by head; the only head of a task is called ""."""
        return self.own_heads or {"": Classes(self.class_names, self.class_weights)}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample: (channels, height, width) or (features,)."""
        return self.x.shape[1:]

    @property
    def num_outputs(self) -> int:
        """The number of classes, or the number of columns in which all heads answer together."""
        return width(self.heads)

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
        """The score on validation of the best answer that does not look at the input, such as the most frequent class.

        With several heads, it is the mean of their chances.
        """
        targets = self.targets(self.splits["validation"])
        if isinstance(targets, Tensor) and isinstance(self._only, Classes):
            counts = targets.bincount()
            if self.class_weights is not None:
                return 1.0 / int((counts > 0).sum())
            return int(counts.max()) / int(counts.sum())
        return fmean(blind_scores(targets, self.heads).values())

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

    def targets(self, rows: Tensor) -> Any:
        """The targets of these rows, such as class numbers, int64, shape (len(rows),); by head if there are several."""
        if isinstance(self.y, Tensor):
            return self.y.index_select(0, rows)
        return {name: targets.index_select(0, rows) for name, targets in self.y.items()}

    def hard_loss(self, outputs: Tensor, targets: Any) -> Tensor:
        """The loss of the head as a mean over the batch, such as the cross-entropy in nats, shape ().

        With several heads, it is the mean of their losses.
        """
        if self._only is not None:
            return self._only.hard_loss(apart(outputs, self.heads)[""], targets)
        losses = hard_losses(outputs, targets, self.heads)
        return torch.stack([*losses.values()]).mean()

    def score(self, outputs: Tensor, targets: Any) -> float:
        """The score of the head, such as the accuracy, 0 .. 1; with several heads the mean of their scores."""
        if self._only is not None:
            return self._only.score(apart(outputs, self.heads)[""], targets)
        return fmean(scores(outputs, targets, self.heads).values())

    def summary(self) -> str:
        """One line for the log: name, shape, what is answered, rows by split, labels used."""
        sizes = {name: len(rows) for name, rows in self.splits.items()}
        rows = ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
        unknown = int((~known_rows(self.y, self.heads)).sum())
        without = f" ({unknown:,} rows have no label)" if unknown else ""
        noise = f", {self.label_noise:.0%} of the training labels changed" if self.label_noise else ""
        views = f", {self.views} views" if self.views > 1 else ""
        answers = "; ".join(f"{name}: {head.summary}" if name else head.summary for name, head in self.heads.items())
        return (
            f"{self.name}: {self.num_rows:,} rows of {'x'.join(map(str, self.input_shape))} {self.x.dtype}{views}, "
            f"{answers}; {rows}{without}; "
            f"labels used: {sizes['train']:,} to train, {sizes['validation']:,} to validate{noise}"
        )

    @cached_property
    def _only(self) -> Head | None:
        """The only head; None if there are several."""
        return self.heads.get("") if len(self.heads) == 1 else None

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
        return Pixels(self.shift, self.divisor, self.x.dtype.name, self.input_shape, self.photos)
