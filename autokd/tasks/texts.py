"""A task whose rows are texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autokd.errors import InputError, listed
from autokd.readings.texts import Texts
from autokd.study.reading import SEEN, TRAINED, TextReading
from autokd.tasks.stored import StoredTask
from autokd.tasks.tokenized import Tokenized, tokenized

_DEFAULT = TextReading()


@dataclass(frozen=True, eq=False)
class RawTexts:
    """Texts one after the other.

    Args:
        data: all texts in UTF-8, uint8.
        ends: the end of each text in `data`, int64.
    """

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> RawTexts:
        """These texts, which UTF-8 can hold."""
        encoded = [text.encode() for text in texts]
        ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def chosen(self, rows: NDArray[np.int64]) -> list[str]:
        """The texts of these rows."""
        starts = np.where(rows > 0, self.ends[rows - 1], 0)
        return [
            self.data[start:end].tobytes().decode() for start, end in zip(starts, self.ends[rows].tolist(), strict=True)
        ]

    @cached_property
    def digest(self) -> str:
        """A digest of all texts."""
        found = hashlib.sha256(np.ascontiguousarray(self.ends).data)
        found.update(np.ascontiguousarray(self.data).data)
        return found.hexdigest()


@dataclass(frozen=True, eq=False, kw_only=True)
class TextTask(StoredTask):
    """A `StoredTask` whose rows are texts, of which students read the first tokens.

    What students read may be searched. `seen_through` gives the task as a student of one reading sees it, and the task
    itself has the inputs of the largest choices.

    Args:
        texts: the texts of all rows.
        settings: the settings of the reading: `tokenizer`, `length` and, if the tokenizer is trained or trimmed,
            `vocabulary`; a tuple of choices if one of the last two is searched.
        trained_on: the rows on which tokenizers are trained, or to whose pieces they are trimmed.
        content: a digest of texts, targets, splits and all else but the reading.
        groups: the number of the group of each row, int64, shape (num_rows,), where rows belong together; None if not.
        folder: the folder of the task, in which tokenizers are kept; None if the task is in memory.
        made: what was made so far of the texts, by tokenizer.
    """

    texts: RawTexts = field(repr=False)
    settings: Mapping[str, Any]
    trained_on: Tensor = field(repr=False)
    content: str
    groups: Tensor | None = field(default=None, repr=False)
    folder: Path | None = None
    made: dict[str, Tokenized] = field(default_factory=dict, repr=False)

    @property
    def readings(self) -> dict[str, tuple[int | str, ...]]:
        """The choices of each setting that is searched, by name."""
        return {name: value for name, value in self.settings.items() if isinstance(value, tuple)}

    @property
    def num_rows(self) -> int:
        """The number of texts over all splits. Rows are in the order of the source."""
        return len(self.texts)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The largest number of tokens that are read of a text."""
        return (max(_each(self.settings["length"])),)

    @property
    def vocabulary(self) -> int:
        """The number of different tokens, padding included."""
        return self._tokenized.tokens.vocabulary

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text of each token by its number; that of padding is first."""
        return self._tokenized.tokens.pieces

    @property
    def views(self) -> int:
        """Always 1: texts are not augmented."""
        return 1

    @property
    def rows_in_words(self) -> str:
        """How many texts there are, how long they are, and which share of them is cut."""
        found = self._tokenized
        sizes = found.sizes + sum(map(len, found.tokens.around))
        cut = [f"{(sizes > length).mean():.0%} at {length} tokens" for length in _each(self.settings["length"])]
        return (
            f"{self.num_rows:,} texts of {int(np.median(sizes)):,} tokens in the median and {int(sizes.max()):,} at "
            f"most ({found.words}), of which are cut: {listed(cut)}"
        )

    @property
    def reading(self) -> Texts:
        """How a text becomes inputs."""
        return Texts(self._tokenized.tokens, *self.input_shape)

    def seen_through(self, reading: Mapping[str, Any]) -> TextTask:
        """The same task as a network sees it that reads texts so.

        Args:
            reading: any of `tokenizer`, `length` and `vocabulary`; all else is as in the settings of this task.

        Raises:
            InputError: a setting is not valid, or is missing and searched in this task; begins with its name.
        """
        settings = {**self.settings, **reading}
        trained, was_trained = (tokens in TRAINED for tokens in (settings["tokenizer"], self.settings["tokenizer"]))
        if "tokenizer" in reading and "vocabulary" not in reading and not (trained and was_trained):
            settings.pop("vocabulary", None)  # which was that of another tokenizer
        if trained:
            settings.setdefault("vocabulary", _DEFAULT.vocabulary)
        for name, value in settings.items():
            if name not in ("tokenizer", "length", "vocabulary"):
                raise InputError(f"{name}: {self.name} is of texts; write length, vocabulary or tokenizer")
            if isinstance(value, tuple):
                choices = ", ".join(map(str, value))
                raise InputError(f"{name}: it is searched ({choices}), so it must be said what is read here; write one")
        found = self._made_by(settings)
        least = found.tokens.least
        if settings["length"] < least:
            raise InputError(
                f"length: {settings['length']} leaves no place for a token of a text beside the special ones; write a "
                f"whole number >= {least}"
            )
        digest = text_digest(self.content, {"length": settings["length"], "tokens": found.tokens.digest})
        return replace(self, settings=settings, digest=digest)

    def make_all(self) -> None:
        """Has each tokenizer that the settings name made and kept, with what it makes of all rows.

        Raises:
            InputError: as for `seen_through`.
        """
        for vocabulary in _each(self.settings.get("vocabulary")):
            for length in _each(self.settings["length"]):
                fixed = {"length": length} if vocabulary is None else {"length": length, "vocabulary": vocabulary}
                self.seen_through(fixed)

    def raw(self, rows: Tensor) -> list[str]:
        """The texts of these rows."""
        return self.texts.chosen(rows.numpy())

    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        """Token numbers, int64, shape (len(rows), tokens of the longest of these texts), with 0 for padding.

        Raises:
            ValueError: `view` is not 0.
        """
        if view:
            raise ValueError(f"view {view} of a task with 1 view")
        if not len(rows):
            return torch.zeros(0, *self.input_shape, dtype=torch.int64)
        found, chosen, (length,) = self._tokenized, rows.numpy(), self.input_shape
        return found.tokens.batch(found.flat, found.starts[chosen], found.sizes[chosen], length=length)

    def example(self, rows: int = 1) -> Tensor:
        """A batch of the form that `inputs` has, of texts of the largest length."""
        return (1 + torch.arange(*self.input_shape) % (self.vocabulary - 1)).repeat(rows, 1)

    @property
    def _tokenized(self) -> Tokenized:
        """What the tokenizer makes of all rows; that of the largest vocabulary if this is searched."""
        choices = _each(self.settings.get("vocabulary"))
        largest = SEEN if SEEN in choices else max(choices)
        return self._made_by({**self.settings, "vocabulary": largest})

    def _made_by(self, settings: Mapping[str, Any]) -> Tokenized:
        """What the tokenizer of these settings makes of all rows. It is made and kept once."""
        key = json.dumps([settings["tokenizer"], settings.get("vocabulary")])
        if key not in self.made:
            rows = self.trained_on.numpy()
            everything = np.arange(len(self.texts))
            self.made[key] = tokenized(
                settings["tokenizer"],
                settings.get("vocabulary"),
                texts=lambda: self.texts.chosen(everything),
                train=lambda: self.texts.chosen(rows),
                folder=self.folder,
            )
        return self.made[key]


def text_digest(content: str, reading: Mapping[str, Any]) -> str:
    """The digest of a task of texts that are read so."""
    return hashlib.sha256(json.dumps([content, reading], sort_keys=True).encode()).hexdigest()


def _each(given: Any) -> tuple[Any, ...]:
    return given if isinstance(given, tuple) else (given,)
