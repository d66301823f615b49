"""A task on one array."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.readings import Pixels
from autokd.readings.photos import Photos
from autokd.tasks.stored import StoredTask
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
class ArrayTask(StoredTask):
    """A `StoredTask` whose inputs are one array, in memory or memory-mapped.

    Args:
        x: raw inputs in uint8, float32, or float64 if float32 would lose digits; shape (num_rows, channels, height,
            width) or (num_rows, features).
        shift: one number for each channel or feature, in the units of `x`. Inputs are (x - shift) / divisor, computed
            in float64 if `x` is float64.
        divisor: one number for each channel or feature, in the units of `x`.
        augmentation: how views differ.
        photos: how image files became `x`; None if they were no such files, or had one size already.
    """

    x: NDArray[Any] = field(repr=False)
    shift: tuple[float, ...] = field(repr=False)
    divisor: tuple[float, ...] = field(repr=False)
    augmentation: Augmentation
    photos: Photos | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample: (channels, height, width) or (features,)."""
        return self.x.shape[1:]

    @property
    def num_rows(self) -> int:
        """The number of rows over all splits. Rows are in the order of the source."""
        return len(self.x)

    @property
    def views(self) -> int:
        """The number of versions of each row, >= 1; view 0 is unaugmented."""
        return self.augmentation.views

    @property
    def rows_in_words(self) -> str:
        """What the rows are, for the log."""
        return f"{self.num_rows:,} rows of {'x'.join(map(str, self.input_shape))} {self.x.dtype}"

    @property
    def in_memory(self) -> bool:
        """Whether normalised inputs are held in memory. If not, each batch is read from the map."""
        return self.x.size * 4 < WHOLE_BYTES

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
        if self.in_memory:
            x = self._whole.index_select(0, rows)
            if x.ndim == 4:
                x = x.permute(0, 3, 1, 2)
        else:
            x = self._normalised.batch(self.x[rows.numpy()])
        return self.viewed(x, rows, view)

    def viewed(self, inputs: Tensor, rows: Tensor, view: int) -> Tensor:
        """Normalised inputs as a view shows them, on the device of `inputs`; view 0 shows them as they are.

        Args:
            inputs: the normalised inputs of these rows.
            rows: the row numbers, on the CPU.
            view: the number of the view.

        Raises:
            ValueError: `view` is not 0 .. views - 1.
        """
        if not 0 <= view < self.views:
            raise ValueError(f"view {view} of a task with {self.views} view(s)")
        if view == 0:
            return inputs
        how = self.augmentation
        return augment(inputs, rows, view, seed=how.seed, flip=how.flip, crop=how.crop, cutout=how.cutout)

    def stored(self, rows: Tensor) -> Tensor:
        """The raw values of these rows, of which `reading.graph()` makes normalised inputs, on any device."""
        return torch.from_numpy(self.x[rows.numpy()])

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
