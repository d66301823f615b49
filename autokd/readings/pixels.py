"""Reads arrays of numbers, such as images: each channel or feature is shifted and divided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn


@dataclass(frozen=True)
class Pixels:
    """Inputs are (raw - shift) / divisor, computed in float64 if the raw values are float64, and in float32 if not.

    Args:
        shift: one number for each channel or feature, in the units of the raw values.
        divisor: one number for each channel or feature, in the units of the raw values.
    """

    shift: tuple[float, ...]
    divisor: tuple[float, ...]

    def batch(self, rows: ArrayLike) -> Tensor:
        """Normalised float32 inputs of the same shape. Images have the channels_last memory format.

        Args:
            rows: raw values, shape (rows, channels, height, width) or (rows, features).
        """
        raw = np.asarray(rows)
        images = raw.ndim == 4
        if images:
            raw = raw.transpose(0, 2, 3, 1)
        precision = np.float64 if raw.dtype == np.float64 else np.float32
        x = torch.from_numpy(np.array(raw, dtype=precision, order="C"))
        shift, divisor = (torch.tensor(given, dtype=x.dtype) for given in (self.shift, self.divisor))
        x = x.sub_(shift).div_(divisor).float()
        return x.permute(0, 3, 1, 2) if images else x

    def graph(self) -> nn.Module:
        """A network without weights that turns a tensor of raw values into the inputs, for exports."""
        return _Normalise(self.shift, self.divisor)

    def plain(self) -> dict[str, Any]:
        """The reading as plain data."""
        return {"kind": "pixels", "shift": list(self.shift), "divisor": list(self.divisor)}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Pixels:
        """The reading that gave these plain data."""
        shift, divisor = (tuple(float(each) for each in plain[key]) for key in ("shift", "divisor"))
        if len(shift) != len(divisor):
            raise ValueError(f"{len(shift)} shifts and {len(divisor)} divisors")
        return cls(shift, divisor)


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
