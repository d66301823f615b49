"""Trains tokenizers on texts. The same texts give the same tokenizer, in every process.

The library's trainers number what they meet in a random order, on which further merges depend. So the alphabet is
counted here, and a trainer gets it with numbers that are fixed. That is not possible for its unigram models, whose
pieces differed between processes; such a tokenizer can be given as a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from autokd.errors import InputError
from autokd.readings.tokens import Tokens, tokenizers_library

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PADDING, UNKNOWN = "[PAD]", "[UNK]"

_INSIDE = "##"
_ALPHABET_SHARE = 4
"""Characters are at most one of so many tokens, so that pieces of words have their place."""
_BYTES = 256


def trained(kind: str, texts: Sequence[str], *, vocabulary: int) -> Tokens:
    """A tokenizer of a kind in `KINDS`, trained on these texts.

    Args:
        kind: `wordpiece`, which reads lower-case pieces of words, or `bpe`, which reads any bytes.
        texts: the texts.
        vocabulary: the most tokens that it has, padding and the unknown token included.

    Raises:
        InputError: the vocabulary is too small.
    """
    least = LEAST[kind]
    if vocabulary < least:
        raise InputError(f"vocabulary: {vocabulary} is too small for {kind}; write a whole number >= {least}")
    found = KINDS[kind](texts, vocabulary)
    return Tokens(found.to_str())


def _wordpiece(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Source: Schuster, Nakajima (2012), "Japanese and Korean Voice Search", section 4, as the library trains it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    found = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    found.normalizer = normalizers.BertNormalizer()
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = Counter(
        word for text in texts for word, _ in found.pre_tokenizer.pre_tokenize_str(found.normalizer.normalize_str(text))
    )
    characters = _frequent(chain.from_iterable(words), words, vocabulary // _ALPHABET_SHARE)
    inside = {letter for word in words for letter in word[1:]}.intersection(characters)
    fixed = [PADDING, UNKNOWN, *(f"{_INSIDE}{letter}" for letter in sorted(inside))]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        special_tokens=fixed,
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        continuing_subword_prefix=_INSIDE,
        show_progress=False,
    )
    found.train_from_iterator(texts, trainer)
    return _with_special(found, models.WordPiece(vocab=_numbers(found), unk_token=UNKNOWN))


def _bpe(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Source: Radford et al. (2019), "Language Models are Unsupervised Multitask Learners", section 2.2."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    found = Tokenizer(models.BPE(unk_token=UNKNOWN))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PADDING, UNKNOWN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    found.train_from_iterator(texts, trainer)
    return found


KINDS: Mapping[str, Callable[[Sequence[str], int], Tokenizer]] = {"wordpiece": _wordpiece, "bpe": _bpe}
"""The kinds of tokenizers that can be trained."""

LEAST: Mapping[str, int] = {"wordpiece": 16, "bpe": _BYTES + 2}
"""The smallest vocabulary of each kind."""


def _frequent(letters: Iterable[str], words: Counter[str], most: int) -> list[str]:
    """The most frequent characters of words; of equally frequent ones, those that come first in Unicode."""
    counts = dict.fromkeys(letters, 0)
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
    return sorted(sorted(counts, key=lambda letter: (-counts[letter], letter))[:most])


def _numbers(trained: Tokenizer) -> dict[str, int]:
    found: dict[str, int] = trained.get_vocab()
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _with_special(found: Tokenizer, model: Any) -> Tokenizer:
    """The same tokenizer with this model, of which only padding and the unknown token are special."""
    fresh: Tokenizer = tokenizers_library().Tokenizer(model)
    fresh.normalizer, fresh.pre_tokenizer = found.normalizer, found.pre_tokenizer
    fresh.add_special_tokens([PADDING, UNKNOWN])
    return fresh
