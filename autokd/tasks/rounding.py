"""Checks whether numbers still differ after rounding to float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LOST = 1e-5
"""The largest tolerable error, as a share of a standard deviation. Half a step of float32 is 6e-8 of a value, so values
stay apart if they are less than about 170 standard deviations from zero. Temperatures in kelvin are, and times in
milliseconds since 1970 are not."""


def may_round(dtype: np.dtype[Any]) -> bool:
    """Whether float32 lacks some numbers of this type."""
    return not np.can_cast(dtype, np.float32)


class Rounding:
    """Measures the loss by rounding in each channel or feature, over chunks of rows."""

    def __init__(self) -> None:
        self._first: Array | None = None
        self._count = 0
        self._sum = self._squares = self._error = self._peak = np.zeros(1)
        self._differ = np.zeros(1, dtype=bool)

    def add(self, raw: Array) -> None:
        """Takes in rows of finite numbers, shape (rows, channels, ...)."""
        axes = (0, *range(2, raw.ndim))
        if self._first is None:
            self._first = raw[0].reshape(raw.shape[1], -1)[:, 0].reshape(1, -1, *[1] * (raw.ndim - 2))
        values = raw.astype(np.float64, copy=False)
        from_first = values - self._first.astype(np.float64)
        self._count += raw.size // raw.shape[1]
        self._sum = self._sum + from_first.sum(axes)
        self._squares = self._squares + np.square(from_first).sum(axes)
        self._error = np.maximum(self._error, np.abs(values - values.astype(np.float32)).max(axes))
        self._peak = np.maximum(self._peak, np.abs(values).max(axes))
        self._differ = self._differ | (raw != self._first).any(axes)

    def loses_in_float32(self) -> bool:
        """Whether values of some channel or feature differ by less than float32 can represent."""
        return self._loses(self._error)

    def loses_in_float64(self) -> bool:
        """Whether whole numbers of some channel or feature differ by less than float64 can represent."""
        return self._loses(np.where(self._peak > 2.0**53, np.spacing(self._peak) / 2, 0.0))

    def _loses(self, error: Array) -> bool:
        count = max(1, self._count)
        variance = self._squares / count - np.square(self._sum / count)
        return bool((self._differ & (error > _LOST * np.sqrt(np.maximum(variance, 0)))).any())
