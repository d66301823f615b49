"""Tokens: the numbers by which a network reads a text. A tokenizer of the library `tokenizers` makes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import InputError, said

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_AT_ONCE = 4096


@dataclass(frozen=True)
class Tokens:
    """A tokenizer whose numbers are 0 .. vocabulary - 1, where 0 is padding and nothing else.

    Args:
        json: the tokenizer as the text of a file tokenizer.json, as `tokenizer_files` or `trained_tokens` gives it.
    """

    json: str

    @property
    def digest(self) -> str:
        """A digest of the tokenizer."""
        return hashlib.sha256(self.json.encode()).hexdigest()

    @cached_property
    def vocabulary(self) -> int:
        """The number of different tokens, padding included."""
        size: int = self.tokenizer.get_vocab_size(with_added_tokens=True)
        return size

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The text of each token by its number."""
        numbers = self.tokenizer.get_vocab(with_added_tokens=True)
        return tuple(sorted(numbers, key=numbers.__getitem__))

    @cached_property
    def around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tokens before and after those of a text, such as [CLS] and [SEP].

        Raises:
            InputError: the tokenizer puts special tokens elsewhere, too.
        """
        bare: list[int] = self.tokenizer.encode("a", add_special_tokens=False).ids
        whole: list[int] = self.tokenizer.encode("a").ids
        starts = [start for start in range(len(whole)) if whole[start : start + len(bare)] == bare]
        if not bare or not starts:
            raise InputError("the tokenizer does not put its special tokens before and after a text; give another one")
        return tuple(whole[: starts[0]]), tuple(whole[starts[0] + len(bare) :])

    @cached_property
    def unknown(self) -> int | None:
        """The number of the token that stands for what the tokenizer does not know; None if there is no such token."""
        model = json.loads(self.json)["model"]
        if model.get("unk_id") is not None:
            return int(model["unk_id"])
        token = model.get("unk_token")
        number: int | None = None if token is None else self.tokenizer.token_to_id(token)
        return number

    @property
    def least(self) -> int:
        """The least length in which one token of a text has its place."""
        return sum(map(len, self.around)) + 1

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the library."""
        return tokenizer_of(self.json)

    def numbered(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The tokens of texts, one text after the other, and the end of each text. Special tokens are left out.

        A text that has no token gets the unknown token, or the first one that is no padding. So does a place at which
        a text spells the padding token.
        """
        blank = 1 if self.unknown is None else self.unknown
        found: list[NDArray[np.int32]] = []
        sizes: list[int] = []
        for part in _parts(texts):
            rows = [each.ids or [blank] for each in self.tokenizer.encode_batch(part, add_special_tokens=False)]
            sizes += map(len, rows)
            found.append(np.concatenate([np.array(row, dtype=np.int32) for row in rows]))
        flat = np.concatenate(found) if found else np.empty(0, dtype=np.int32)
        return np.where(flat == 0, np.int32(blank), flat), np.cumsum(sizes, dtype=np.int64)

    def batch(
        self, flat: NDArray[np.int32], starts: NDArray[np.int64], sizes: NDArray[np.int64], *, length: int
    ) -> Tensor:
        """Texts as one tensor, int64, shape (rows, longest text), with special tokens; 0 fills up shorter texts.

        Args:
            flat: the tokens of all texts.
            starts: where each text begins in them.
            sizes: the number of tokens of each text, >= 1.
            length: the most tokens of a text, special ones included; what follows is left out.
        """
        before, after = self.around
        room = length - len(before) - len(after)
        sizes = np.minimum(sizes, room)
        longest = int(sizes.max(initial=0))
        places = np.arange(longest)
        there = places < sizes[:, None]
        within = np.where(there, starts[:, None] + places, 0)
        ids = np.zeros((len(sizes), longest + len(before) + len(after)), dtype=np.int64)
        ids[:, : len(before)] = before
        ids[:, len(before) : len(before) + longest] = np.where(there, flat[within], 0) if longest else 0
        for place, token in enumerate(after):
            ids[np.arange(len(sizes)), len(before) + sizes + place] = token
        return torch.from_numpy(ids)


def tokenizer_of(text: str) -> Tokenizer:
    """The tokenizer that a text describes in the form of tokenizer.json. It neither cuts nor pads.

    Raises:
        InputError: the text describes no tokenizer, or the library `tokenizers` is missing.
    """
    library = tokenizers_library()
    try:
        found: Tokenizer = library.Tokenizer.from_str(text)
    except Exception as error:  # the library raises this very class
        raise InputError(f"it describes no tokenizer ({said(error)})") from None
    found.no_padding()
    found.no_truncation()
    return found


def tokenizers_library() -> Any:
    """The module tokenizers.

    Raises:
        InputError: it is not installed.
    """
    try:
        import tokenizers
    except ImportError:
        raise InputError("texts need the library tokenizers; run: pip install 'autokd[text]'") from None
    return tokenizers


def encodable(text: str) -> str:
    """The text with a question mark in place of what UTF-8 cannot hold, such as half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _AT_ONCE):
        yield list(texts[start : start + _AT_ONCE])
