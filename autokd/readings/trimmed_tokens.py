"""Trims a tokenizer to the pieces that occur in some texts, so that embeddings have no rows that are never trained.

These texts are then cut as before. Pieces of other texts may be missing; such a text is cut into smaller pieces. It has
an unknown token only where it had one before, or where a character occurs in none of the texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from autokd.errors import InputError
from autokd.readings.texts import as_json
from autokd.readings.tokenizer_files import kind_of, numbered
from autokd.readings.tokens import Tokens, tokenizers_library

Parts = Callable[[str], Iterable[str]]
"""Gives the pieces of which a piece is made."""


def trimmed(tokens: Tokens, texts: Sequence[str], *, most: int | None = None) -> Tokens:
    """The tokenizer with the pieces that occur in these texts, in the order of their numbers.

    All special tokens stay, and so do the characters of the texts.

    Args:
        tokens: the tokenizer.
        texts: the texts.
        most: how many pieces there may be; those that occur most often stay. None means all that occur.

    Raises:
        InputError: more pieces than these must stay.
    """
    given, numbers = json.loads(tokens.json), tokens.tokenizer.get_vocab(with_added_tokens=True)
    parts = _parts(given["model"])
    counts = np.bincount(tokens.numbered(texts)[0], minlength=len(tokens.pieces))
    kept = _with_parts(_needed(tokens, given, texts) & numbers.keys(), parts)
    if most is not None and len(kept) > most:
        raise InputError(
            f"vocabulary: {most:,} pieces are too few, because {len(kept):,} must stay (special tokens and the "
            f"characters of the texts); write a whole number >= {len(kept)}, or seen"
        )
    by_count = np.argsort(-counts, kind="stable")
    for number in by_count[: np.count_nonzero(counts)]:
        more = _with_parts({tokens.pieces[number]}, parts) - kept
        if most is None or len(kept) + len(more) <= most:
            kept |= more
    trimmed = numbered(given, [piece for piece in tokens.pieces if piece in kept])
    if "merges" in trimmed["model"]:
        trimmed["model"]["merges"] = [
            merge for merge, pair, made in _merges(given["model"]) if kept.issuperset((*pair, made))
        ]
    return Tokens(as_json(trimmed))


def _needed(tokens: Tokens, given: Mapping[str, Any], texts: Sequence[str]) -> set[str]:
    """What stays in any case: special tokens, characters, and what the model needs to cut the texts as before."""
    model = given["model"]
    found = {tokens.pieces[0], *(each["content"] for each in given.get("added_tokens") or [])}
    found |= set(_special(given.get("post_processor")))
    if tokens.unknown is not None:
        found.add(tokens.pieces[tokens.unknown])
    words = _words(tokens, texts)
    letters = {letter for word in words for letter in word}
    kind = kind_of(model)
    if kind == "BPE" and letters <= (every_byte := set(tokenizers_library().pre_tokenizers.ByteLevel.alphabet())):
        letters |= every_byte
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    found |= {start + letter + end for letter in letters for start in ("", prefix) for end in ("", suffix)}
    if model.get("byte_fallback"):
        found |= {f"<0x{byte:02X}>" for byte in range(256)}
    if kind == "Unigram":  # the score of an unknown character follows from the lowest one
        found.add(min(model["vocab"], key=lambda pair: float(pair[1]))[0])
    if kind == "WordPiece" and tokens.unknown is not None:
        for word in words:
            found.update(_begun(word, tokens, prefix))
    return found


def _words(tokens: Tokens, texts: Sequence[str]) -> set[str]:
    """The words that the model of a tokenizer gets of these texts."""
    normalise, cut = tokens.tokenizer.normalizer, tokens.tokenizer.pre_tokenizer
    clean = texts if normalise is None else map(normalise.normalize_str, texts)
    if cut is None:
        return set(clean)
    return {word for text in clean for word, _ in cut.pre_tokenize_str(text)}


def _begun(word: str, tokens: Tokens, prefix: str) -> Iterator[str]:
    """The pieces that the model found of a word before it came to a character that it does not know.

    Without these pieces it would take others, with which it might get over this character.
    """
    model = tokens.tokenizer.model
    if [each.id for each in model.tokenize(word)] != [tokens.unknown]:
        return
    rest, start = word, ""
    while rest:
        end = next((end for end in range(len(rest), 0, -1) if model.token_to_id(start + rest[:end]) is not None), None)
        if end is None:
            return
        yield start + rest[:end]
        rest, start = rest[end:], prefix


def _special(processor: Any) -> Iterator[str]:
    """The tokens that a tokenizer adds to each text."""
    if isinstance(processor, Mapping):
        yield from (processor[key][0] for key in ("sep", "cls") if isinstance(processor.get(key), list))
        yield from (token for each in (processor.get("special_tokens") or {}).values() for token in each["tokens"])
        for each in processor.get("processors") or []:
            yield from _special(each)


def _with_parts(pieces: set[str], parts: Parts) -> set[str]:
    """These pieces, the pieces of which they are made, and so on."""
    found, waiting = set(pieces), list(pieces)
    while waiting:
        new = set(parts(waiting.pop())) - found
        found |= new
        waiting += new
    return found


def _parts(model: Mapping[str, Any]) -> Parts:
    made_of: dict[str, set[str]] = {}
    for _, pair, made in _merges(model):
        made_of.setdefault(made, set()).update(pair)
    return lambda piece: made_of.get(piece, ())


def _merges(model: Mapping[str, Any]) -> Iterator[tuple[Any, list[str], str]]:
    """Each merge of a model, in their order: as it stands there, its two pieces, and the piece that it makes."""
    prefix = model.get("continuing_subword_prefix") or ""
    for merge in model.get("merges") or []:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        yield merge, pair, pair[0] + pair[1].removeprefix(prefix)
