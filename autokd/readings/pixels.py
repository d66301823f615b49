"""Reads arrays of numbers, such as images: each channel or feature is shifted and divided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autokd.errors import InputError
from autokd.readings.photos import Photos, is_file_name, is_image


@dataclass(frozen=True)
class Pixels:
    """Inputs are (raw - shift) / divisor, computed in float64 if the raw values are float64, and in float32 if not.

    Args:
        shift: one number for each channel or feature, in the units of the raw values.
        divisor: one number for each channel or feature, in the units of the raw values.
        raw: the type of the raw values: `uint8`, `float32` or `float64`.
        shape: the shape of one row: (channels, height, width) or (features,).
        photos: how files and images of Pillow become raw values; None if these are never read.
    """

    shift: tuple[float, ...]
    divisor: tuple[float, ...]
    raw: str
    shape: tuple[int, ...]
    photos: Photos | None = None

    def batch(self, rows: Any) -> Tensor:
        """Normalised float32 inputs, shape (rows, *shape). Images have the channels_last memory format.

        Args:
            rows: raw values, shape (rows, *shape); images may have their channels last, and grey ones may lack them.
                With `photos`, also a list of files and of images of Pillow.

        Raises:
            InputError: the rows have another shape, or values that are not of the raw type, or a file cannot be read.
        """
        raw = self.laid(rows)
        precision = np.float64 if raw.dtype == np.float64 else np.float32
        x = torch.from_numpy(np.array(raw, dtype=precision, order="C"))
        each = (-1, *[1] * (raw.ndim - 2))
        shift, divisor = (torch.tensor(given, dtype=x.dtype).view(each) for given in (self.shift, self.divisor))
        x = x.sub_(shift).div_(divisor).float()
        if raw.ndim != 4:
            return x
        # Colours are laid together last: to lay bytes so before the arithmetic takes three times as long.
        return x.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)

    def laid(self, rows: Any) -> NDArray[Any]:
        """Raw rows as an array of the raw type, shape (rows, *shape). Rows that are such an array are not copied."""
        if self.photos is not None and isinstance(rows, list | tuple) and (not rows or any(map(_may_be_photo, rows))):
            return self.photos.batch(rows)
        raw = np.asarray(rows)
        if raw.shape[1:] != self.shape or not raw.ndim:
            raw = self._channels_first(raw)
        return raw if raw.dtype == self.raw else self._of_raw_type(raw)

    @property
    def words(self) -> str:
        """What raw rows are."""
        order = ", in the order channels, height, width" if len(self.shape) == 3 else ""
        array = f"an array of {self.raw}, shape (rows, {', '.join(map(str, self.shape))}){order}"
        return array if self.photos is None else f"a list of image files or of Pillow's images, or {array}"

    def graph(self) -> nn.Module:
        """A network without weights that turns a tensor of raw values into the inputs, for exports."""
        return _Normalise(self.shift, self.divisor)

    def onnx(self, rows: Any, *, opset: int) -> None:
        """No model, because `graph` becomes a part of the network's own."""
        return None

    def plain(self) -> dict[str, Any]:
        """The reading as plain data."""
        constants = {"shift": list(self.shift), "divisor": list(self.divisor)}
        photos = {} if self.photos is None else {"photos": self.photos.plain()}
        return {"kind": "pixels", "raw": self.raw, "shape": list(self.shape), **constants, **photos}

    def _channels_first(self, raw: NDArray[Any]) -> NDArray[Any]:
        channels, *sides = self.shape
        if len(sides) == 2 and raw.shape[1:] == (*sides, channels):
            return raw.transpose(0, 3, 1, 2)
        if channels == 1 and raw.ndim == 3 and raw.shape[1:] == tuple(sides):
            return raw[:, np.newaxis]
        raise InputError(f"these rows have shape {raw.shape}; give {self.words}, and a single row as rows[:1]")

    def _of_raw_type(self, raw: NDArray[Any]) -> NDArray[Any]:
        """The same values in the raw type."""
        if raw.dtype.kind not in "biuf":
            raise InputError(f"these rows are of type {raw.dtype}; give {self.words}")
        with np.errstate(invalid="ignore"):
            given = raw.astype(self.raw)
        if self.raw == "uint8" and not np.array_equal(given, raw):
            raise InputError(
                f"these rows hold values between {raw.min():.6g} and {raw.max():.6g} that are no {self.raw}; give raw "
                "rows, which the student normalises by itself"
            )
        return given

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Pixels:
        """The reading that gave these plain data."""
        shift, divisor = (tuple(float(each) for each in plain[key]) for key in ("shift", "divisor"))
        raw, shape = str(plain["raw"]), tuple(int(each) for each in plain["shape"])
        if not len(shift) == len(divisor) == shape[0]:
            raise ValueError(f"{len(shift)} shifts and {len(divisor)} divisors for rows of shape {shape}")
        if not np.isfinite([*shift, *divisor]).all() or 0 in divisor:
            raise ValueError("a shift or a divisor that is not finite, or a divisor of 0")
        if raw not in ("uint8", "float32", "float64"):
            raise ValueError(f"raw values of type {raw}")
        photos = Photos.of_plain(plain["photos"]) if "photos" in plain else None
        if photos is not None and (raw, shape) != ("uint8", (photos.channels, *photos.size)):
            raise ValueError(f"photos of another shape than {raw} {shape}")
        return cls(shift, divisor, raw, shape, photos)


def _may_be_photo(row: object) -> bool:
    return is_file_name(row) or is_image(row)


class _Normalise(nn.Module):
    """The arithmetic of `Pixels` on tensors. Its constants are no part of the state of a network that contains it."""

    shift: Tensor
    divisor: Tensor

    def __init__(self, shift: tuple[float, ...], divisor: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.float64), persistent=False)
        self.register_buffer("divisor", torch.tensor(divisor, dtype=torch.float64), persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        precision = torch.float64 if raw.dtype == torch.float64 else torch.float32
        around = (-1, *[1] * (raw.ndim - 2))
        shift, divisor = self.shift.to(precision).view(around), self.divisor.to(precision).view(around)
        return ((raw.to(precision) - shift) / divisor).float()
