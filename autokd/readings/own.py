"""Readings that somebody wrote: code makes an array of raw rows, and is found again by its reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from autokd.errors import InputError
from autokd.readings.code import Code
from autokd.readings.pixels import Pixels


@dataclass(frozen=True)
class Own:
    """A reading that somebody wrote: its code makes an array, which is then normalised.

    Args:
        reference: the reference to the code.
        args: the keyword arguments of the code.
        state: what the code fitted on training rows; None if it fitted nothing.
        source: a digest of the code, "" if it is not known.
        pixels: normalises the array.
        code: the code itself; None where it was not looked up, so that no row can be read.
    """

    reference: str
    args: Mapping[str, Any]
    state: Any
    source: str
    pixels: Pixels
    code: Code | None = field(default=None, compare=False, repr=False)

    def batch(self, rows: Any) -> Tensor:
        """Float32 inputs, shape (rows, *input_shape), of raw rows as the code takes them.

        Raises:
            InputError: the code is not there, or cannot read the rows.
        """
        if self.code is None:
            raise InputError(
                f"rows are read by the code '{self.reference}', which was not looked up; load_predictor(folder, "
                "reading=...) looks it up"
            )
        if not len(rows):
            return self.pixels.batch(np.empty((0, *self.pixels.shape), self.pixels.raw))
        array = self.code.array(rows, self.state)
        if array.shape[1:] != self.pixels.shape:
            raise InputError(
                f"reading '{self.reference}' gives shape {array.shape[1:]} for each of these rows, and the student "
                f"takes {self.pixels.shape}"
            )
        return self.pixels.batch(array)

    def with_code(self, code: Code) -> Own:
        """The same reading with its code."""
        return replace(self, code=code)

    @property
    def words(self) -> str:
        """What raw rows are."""
        return f"what the reading `{self.reference}` takes"

    def graph(self) -> None:
        """There is no graph, because the code may be anything."""
        return None

    def onnx(self, rows: Any, *, opset: int) -> None:
        """There is no model, because the code may be anything."""
        return None

    def plain(self) -> dict[str, Any]:
        """The reading as plain data, without its code."""
        return {
            "kind": "own",
            "reference": self.reference,
            "args": dict(self.args),
            "state": self.state,
            "source": self.source,
            "pixels": self.pixels.plain(),
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Own:
        """The reading that gave these plain data, without its code."""
        args = plain["args"]
        if not isinstance(args, dict):
            raise ValueError("args are a mapping")
        pixels = Pixels.of_plain(plain["pixels"])
        return cls(str(plain["reference"]), args, plain["state"], str(plain["source"]), pixels)
