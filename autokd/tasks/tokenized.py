"""All texts of a task as tokens. They are made once for each tokenizer, and kept in files in the folder of the task."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autokd.errors import InputError, named
from autokd.files import read_json
from autokd.npy import open_npy
from autokd.readings.texts import as_json
from autokd.readings.tokenizer_files import tokenizer_file, tokens_in, unknown_share
from autokd.readings.tokens import Tokens
from autokd.readings.trained_tokens import KINDS, trained
from autokd.readings.trimmed_tokens import trimmed
from autokd.study.reading import SEEN
from autokd.tasks.files import stamp
from autokd.tasks.written import file_digest, written_once

_LOG = logging.getLogger("autokd")
_FOREIGN_FROM = 0.5
"""A tokenizer in a file that does not know so many of the tokens is for other texts."""
_DOUBT_FROM = 0.1


@dataclass(frozen=True, eq=False)
class Tokenized:
    """All texts of a task as tokens.

    Args:
        tokens: the tokenizer.
        words: what the tokenizer is called in the log.
        flat: the tokens of all texts, one text after the other, without special tokens, int32.
        ends: the end of each text in `flat`, int64.
    """

    tokens: Tokens = field(repr=False)
    words: str
    flat: NDArray[np.int32] = field(repr=False)
    ends: NDArray[np.int64] = field(repr=False)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each text begins in `flat`."""
        return np.concatenate([[0], self.ends[:-1]]).astype(np.int64)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """The number of tokens of each text, >= 1."""
        return self.ends - self.starts


def tokenized(
    tokenizer: str,
    vocabulary: int | str | None,
    *,
    texts: Callable[[], Sequence[str]],
    train: Callable[[], Sequence[str]],
    folder: Path | None,
) -> Tokenized:
    """All texts as tokens, from the files in the folder if they are there.

    Args:
        tokenizer: one of `KINDS`, or the path of a tokenizer.
        vocabulary: the most tokens of the tokenizer; `SEEN` if one in a file is trimmed to the pieces that occur in
            `train`, and None if it stays whole.
        texts: gives all texts.
        train: gives the texts on which a tokenizer is trained, or to whose pieces it is trimmed.
        folder: the folder of the task, which then has them, too; None if nothing is kept.

    Raises:
        InputError: there is no such tokenizer, it is for other texts, or the files are damaged or cannot be written;
            begins with the name of the setting where a setting is wrong.
    """
    most = f" of up to {vocabulary:,} tokens" if isinstance(vocabulary, int) else ""
    words = f"{tokenizer}{', trimmed to the tokens of training texts' if vocabulary == SEEN else most}"
    if folder is None:
        return _made(tokenizer, vocabulary, words, texts, train)
    name = file_name(tokenizer, vocabulary)
    written_once(
        folder,
        lambda unfinished: write_tokenized(_made(tokenizer, vocabulary, words, texts, train), unfinished, name),
        last=f"{name}.json",
    )
    return _opened(folder, name, words)


def stamp_of_tokenizer(tokenizer: str) -> str:
    """A text that changes when the file of a tokenizer does.

    Raises:
        InputError: there is no such file.
    """
    try:
        return stamp([tokenizer_file(Path(os.path.expanduser(tokenizer)))])
    except InputError as error:
        raise InputError(f"task.reading.tokenizer: {error}") from None


def file_name(tokenizer: str, vocabulary: int | str | None) -> str:
    """The name, without endings, of the files that hold what a tokenizer makes of all texts."""
    name = tokenizer if tokenizer in KINDS else hashlib.sha256(os.fsencode(tokenizer)).hexdigest()[:16]
    return f"tokens-{name}" if vocabulary is None else f"tokens-{name}-{vocabulary}"


def write_tokenized(found: Tokenized, folder: Path, name: str) -> None:
    """Writes the files of this name."""
    for key, array in (("flat", found.flat), ("ends", found.ends)):
        np.save(folder / f"{name}.{key}.npy", array)
    digests = {key: file_digest(folder / f"{name}.{key}.npy") for key in ("flat", "ends")}
    described = {"sha256": digests, "tokenizer": json.loads(found.tokens.json)}
    (folder / f"{name}.json").write_text(json.dumps(described, ensure_ascii=False) + "\n", encoding="utf-8")


def _opened(folder: Path, name: str, words: str) -> Tokenized:
    try:
        described = read_json(folder / f"{name}.json")
        for key, digest in described["sha256"].items():
            if file_digest(folder / f"{name}.{Path(key).name}.npy") != digest:
                raise ValueError(f"{name}.{key}.npy is not the file that was written, by its sha256")
        flat, ends = (open_npy(folder / f"{name}.{key}.npy") for key in ("flat", "ends"))
        return Tokenized(Tokens(as_json(described["tokenizer"])), words, flat, np.array(ends))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"the task in {folder} cannot be opened: {named(error)}; remove the folder to have it made anew"
        ) from error


def _made(
    tokenizer: str,
    vocabulary: int | str | None,
    words: str,
    texts: Callable[[], Sequence[str]],
    train: Callable[[], Sequence[str]],
) -> Tokenized:
    most = vocabulary if isinstance(vocabulary, int) else None
    if tokenizer in KINDS:
        if most is None:
            raise InputError(f"vocabulary: {tokenizer} is trained on these texts; write a whole number of tokens")
        tokens = trained(tokenizer, train(), vocabulary=most)
        return Tokenized(tokens, words, *tokens.numbered(texts()))
    try:
        tokens = tokens_in(tokenizer_file(Path(os.path.expanduser(tokenizer))))
        _ = tokens.around
    except InputError as error:
        raise InputError(f"tokenizer: {error}") from None
    if vocabulary is not None:
        whole, tokens = tokens.vocabulary, trimmed(tokens, train(), most=most)
        _LOG.info(
            "Tokenizer %s: of its %s tokens, %s stay, which are special ones, characters of training texts, and those "
            "that occur %sthere.",
            tokenizer,
            f"{whole:,}",
            f"{tokens.vocabulary:,}",
            "" if most is None else "most often ",
        )
    flat, ends = tokens.numbered(texts())
    share = unknown_share(tokens, flat)
    if share > _FOREIGN_FROM:
        raise InputError(
            f"tokenizer: {tokenizer} does not know {share:.0%} of the tokens of these texts, so it was made for texts "
            "of another kind; give another one, or write wordpiece to have one trained"
        )
    if share > _DOUBT_FROM:
        _LOG.warning("The tokenizer %s does not know %.0f%% of the tokens of these texts.", tokenizer, 100 * share)
    return Tokenized(tokens, words, flat, ends)
