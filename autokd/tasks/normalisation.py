"""The shift that is subtracted from raw values, and the divisor by which they are then divided."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from autokd.errors import InputError
from autokd.study.reading import NormaliseSection
from autokd.tasks.sources import Array, rows_in_chunk

_MERGED = 1e-3
"""The share of a standard deviation from which an error of rounding disturbs a network."""


def normalisation(
    x: Array, rows: NDArray[np.int64], how: str | NormaliseSection, peak: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The shift and the divisor of each channel or feature, in the units of the raw values.

    Args:
        x: inputs as they are kept, shape (rows, channels, ...).
        rows: the rows from which statistics may be taken.
        how: the value of `normalise` in the `task:` section.
        peak: the largest value that whole numbers (uint8) can take.

    Raises:
        InputError: there is not one mean and deviation for each channel, or float32 could not tell the inputs apart.
    """
    channels, whole_numbers = x.shape[1], x.dtype == np.uint8
    if how == "standard":
        mean, std = _moments(x, rows)
        std[std <= (1e-15 if x.dtype == np.float64 else 1e-7) * np.abs(mean)] = 1.0  # constant within its precision
        return tuple(mean.tolist()), tuple(std.tolist())
    if isinstance(how, NormaliseSection):
        if not len(how.mean) == len(how.std) == channels:
            raise InputError(
                f"task.normalise: {len(how.mean)} mean(s) and {len(how.std)} std(s) for {channels} channel(s); give "
                "one of each a channel"
            )
        scale = peak if whole_numbers else 1.0
        shift, divisor = tuple(scale * mean for mean in how.mean), tuple(scale * std for std in how.std)
    elif how == "unit":
        largest = peak if whole_numbers else max(float(np.abs(chunk).max()) for chunk in _chunks(x, rows))
        shift, divisor = (0.0,) * channels, (largest or 1.0,) * channels
    else:
        shift, divisor = (0.0,) * channels, (1.0,) * channels
    if x.dtype == np.float64:
        _refuse_merged(x, rows, np.array(shift))
    return shift, divisor


def _moments(x: Array, rows: NDArray[np.int64]) -> tuple[Array, Array]:
    """Mean and standard deviation by channel or feature, in float64."""
    axes = (0, *range(2, x.ndim))
    values = len(rows) * int(np.prod(x.shape[2:]))
    mean = sum(chunk.sum(axes, dtype=np.float64) for chunk in _chunks(x, rows)) / values
    centred = mean.reshape(-1, *[1] * (x.ndim - 2))
    return mean, np.sqrt(sum(np.square(chunk - centred).sum(axes) for chunk in _chunks(x, rows)) / values)


def _refuse_merged(x: Array, rows: NDArray[np.int64], shift: Array) -> None:
    """Refuses a shift that leaves values so far from zero that they merge as float32."""
    axes = (0, *range(2, x.ndim))
    centred = shift.reshape(-1, *[1] * (x.ndim - 2))
    peak = np.max([np.abs(chunk - centred).max(axes) for chunk in _chunks(x, rows)], axis=0)
    _, std = _moments(x, rows)
    merged = (std > 0) & (np.spacing(peak.astype(np.float32)) / 2 > _MERGED * std)
    if merged.any():
        raise InputError(
            f"task.normalise: input {int(merged.argmax())} would be up to {peak[merged][0]:.6g} with a deviation of "
            f"{std[merged][0]:.3g}, whose digits float32 does not hold; write normalise: standard"
        )


def _chunks(x: Array, rows: NDArray[np.int64]) -> Iterator[Array]:
    step = rows_in_chunk(x.shape, np.dtype(np.float64))
    for start in range(0, len(rows), step):
        yield x[rows[start : start + step]]
