"""Reads texts: a tokenizer makes numbers of them, of which the first ones are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from autokd.errors import InputError
from autokd.readings.tokens import Tokens, encodable


@dataclass(frozen=True)
class Texts:
    """Inputs are the numbers of the tokens, 1 or more for each text, with 0 for padding after them.

    Args:
        tokens: the tokenizer.
        length: the most tokens that are read of a text; all after these are left out.
    """

    tokens: Tokens
    length: int

    def batch(self, rows: Any) -> Tensor:
        """Token numbers, int64, shape (rows, tokens of the longest of these texts).

        Args:
            rows: a list of texts.

        Raises:
            InputError: the rows are something else.
        """
        flat, ends = self.tokens.numbered(as_texts(rows))
        starts = np.concatenate([[0], ends[:-1]]).astype(np.int64) if len(ends) else ends
        return self.tokens.batch(flat, starts, ends - starts, length=self.length)

    @property
    def words(self) -> str:
        """What raw rows are."""
        return "a list of texts"

    def graph(self) -> None:
        """There is no graph of torch from texts, because tensors hold none."""
        return None

    def onnx(self, rows: Any, *, opset: int) -> None:
        """There is no model of ONNX, because ONNX has no such tokenizers."""
        return None

    def plain(self) -> dict[str, Any]:
        """The reading as plain data."""
        return {"kind": "texts", "length": self.length, "tokenizer": json.loads(self.tokens.json)}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Texts:
        """The reading that gave these plain data."""
        tokens = Tokens(as_json(plain["tokenizer"]))
        length = plain["length"]
        if not isinstance(length, int) or length < tokens.least:
            raise ValueError(f"a length of {length}, and the tokenizer needs {tokens.least} or more")
        return cls(tokens, length)


def as_json(tokenizer: object) -> str:
    """A tokenizer as the text that `Tokens` holds; the same data give the same text."""
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))


def as_texts(rows: Any) -> list[str]:
    """Raw rows as a list of texts that UTF-8 can hold.

    Args:
        rows: a list, an array or a column of texts.

    Raises:
        InputError: the rows are no texts; names the first such row.
    """
    if isinstance(rows, str | bytes) or (not isinstance(rows, Sequence | np.ndarray) and not hasattr(rows, "tolist")):
        raise InputError(f"the rows are of type {type(rows).__name__}; give a list of texts, such as ['a good film']")
    given = rows.tolist() if hasattr(rows, "tolist") else list(rows)
    for number, text in enumerate(given if isinstance(given, list) else [given]):
        if not isinstance(text, str):
            raise InputError(f"row {number} is of type {type(text).__name__}; give a text in each row")
    return [encodable(text) for text in given]
