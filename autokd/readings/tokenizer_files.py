"""Reads tokenizers from files, and numbers their tokens so that 0 is padding and no number is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autokd.errors import InputError, said
from autokd.files import read_bytes, utf8_text
from autokd.readings.texts import as_json
from autokd.readings.tokens import Tokens, tokenizer_of, tokenizers_library
from autokd.readings.trained_tokens import PADDING

_FILE, _WORDS = "tokenizer.json", "vocab.txt"
_LARGEST = 200_000_000
_PADDINGS = (PADDING, "<pad>", "<|pad|>", "<PAD>", "<|padding|>")
_PROBES = ("a b c", "The film, which I saw in 2024, isn't bad!", "Ça alors: 你好 – naïve", "[CLS] <s> ... ##ing")


def tokenizer_file(path: Path) -> Path:
    """The file of a tokenizer: the path itself, or tokenizer.json or vocab.txt in the folder.

    Raises:
        InputError: there is no such file.
    """
    if path.is_dir():
        there = [path / name for name in (_FILE, _WORDS) if (path / name).is_file()]
        if not there:
            raise InputError(f"the folder {path} has neither {_FILE} nor {_WORDS}; name a folder that has one of them")
        return there[0]
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder; write wordpiece, bpe, or the path of {_FILE}")
    return path


def tokens_in(file: Path) -> Tokens:
    """The tokenizer in a file tokenizer.json, or in a vocab.txt with a token in each line, as models of BERT have it.

    Where padding has another number than 0, or there is none, the tokens are numbered anew. Otherwise they keep their
    numbers.

    Raises:
        InputError: the file holds no tokenizer, or one that cannot be numbered anew.
    """
    try:
        text = _of_words(file) if file.suffix == ".txt" else utf8_text(file, most=_LARGEST)
        tokenizer_of(text)
        given = json.loads(text)
        made = Tokens(as_json(_numbered_anew(given)))
        _refuse_different(tokenizer_of(text), made)
        return made
    except InputError as error:
        raise InputError(f"{file}: {error}; give a {_FILE} of the library tokenizers, or a {_WORDS}") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file} cannot be read as a tokenizer: {said(error)}; give a {_FILE}") from None


def numbers_in(file: Path) -> dict[str, int]:
    """The number of each token as the file has it, which is not always that of `tokens_in`.

    Raises:
        InputError: the file holds no tokenizer.
    """
    text = _of_words(file) if file.suffix == ".txt" else utf8_text(file, most=_LARGEST)
    numbers: dict[str, int] = tokenizer_of(text).get_vocab(with_added_tokens=True)
    return numbers


def _of_words(file: Path) -> str:
    """The tokenizer of a vocab.txt. A file tokenizer_config.json beside it may say that upper case is kept."""
    library = tokenizers_library()
    words = utf8_text(file, most=_LARGEST).splitlines()
    numbers = {word: number for number, word in enumerate(words)}
    unknown = next((word for word in ("[UNK]", "<unk>") if word in numbers), None)
    if unknown is None or len(numbers) < len(words):
        raise InputError(
            "it has a token twice" if unknown else "it has no token [UNK], so it is no vocabulary of a tokenizer"
        )
    config = file.with_name("tokenizer_config.json")
    lower = json.loads(read_bytes(config)).get("do_lower_case", True) if config.is_file() else True
    found = library.Tokenizer(library.models.WordPiece(vocab=numbers, unk_token=unknown))
    found.normalizer = library.normalizers.BertNormalizer(lowercase=bool(lower))
    found.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    special = [word for word in ("[PAD]", unknown, "[CLS]", "[SEP]", "[MASK]") if word in numbers]
    found.add_special_tokens(special)
    if {"[CLS]", "[SEP]"} <= numbers.keys():
        found.post_processor = library.processors.BertProcessing(
            ("[SEP]", numbers["[SEP]"]), ("[CLS]", numbers["[CLS]"])
        )
    text: str = found.to_str()
    return text


def _numbered_anew(given: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer with padding as number 0, and all other tokens after it in their order."""
    old: dict[str, int] = tokenizer_of(as_json(given)).get_vocab(with_added_tokens=True)
    padding = (given.get("padding") or {}).get("pad_token")
    if padding not in old:
        padding = next((token for token in _PADDINGS if token in old), PADDING)
    order = [padding, *sorted(old.keys() - {padding}, key=lambda token: (old[token], token))]
    made = {**given, "padding": None, "truncation": None}
    return made if old == {token: number for number, token in enumerate(order)} else numbered(made, order)


def numbered(given: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """A tokenizer, as the data of a tokenizer.json, that has these tokens alone and numbers them in this order.

    Args:
        given: a tokenizer that has these tokens. If it lacks the first one, this one becomes its padding.
        order: the tokens, of which the first is padding. All special tokens are among them.
    """
    old: dict[str, int] = tokenizer_of(as_json(given)).get_vocab(with_added_tokens=True)
    new = {token: number for number, token in enumerate(order)}
    made = {**given, "model": _model(given["model"], old, new)}
    added = {each["content"]: each for each in given.get("added_tokens") or []}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added.setdefault(order[0], {"content": order[0], **plain})
    made["added_tokens"] = sorted(
        ({**each, "id": new[token]} for token, each in added.items()), key=lambda each: int(each["id"])
    )
    made["post_processor"] = _processor(given.get("post_processor"), new)
    return made


def kind_of(model: Mapping[str, Any]) -> str:
    """The kind of a model of tokens: WordPiece, BPE, Unigram or WordLevel. Files of old do not say it."""
    if "type" in model:
        return str(model["type"])
    if isinstance(model["vocab"], list):
        return "Unigram"
    return "BPE" if "merges" in model else "WordPiece" if "max_input_chars_per_word" in model else "WordLevel"


def _model(model: Mapping[str, Any], old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, Any]:
    if kind_of(model) != "Unigram":
        return {**model, "vocab": dict(new)}
    scores = dict(model["vocab"])
    pieces = [[token, scores.get(token, 0.0)] for token in new]
    unknown = model.get("unk_id")
    by_number = {number: token for token, number in old.items()}
    return {**model, "vocab": pieces, "unk_id": None if unknown is None else new[by_number[unknown]]}


def _processor(given: Any, new: Mapping[str, int]) -> Any:
    """The part that adds special tokens, with their new numbers."""
    if not isinstance(given, Mapping):
        return given
    made = dict(given)
    for key in ("sep", "cls"):
        if isinstance(given.get(key), list):
            made[key] = [given[key][0], new[given[key][0]]]
    if isinstance(given.get("special_tokens"), Mapping):
        made["special_tokens"] = {
            name: {**each, "ids": [new[token] for token in each["tokens"]]}
            for name, each in given["special_tokens"].items()
        }
    if isinstance(given.get("processors"), list):
        made["processors"] = [_processor(each, new) for each in given["processors"]]
    return made


def _refuse_different(given: Any, made: Tokens) -> None:
    """Refuses a tokenizer that cuts some texts otherwise after its tokens were numbered anew."""
    numbers = made.tokenizer.get_vocab(with_added_tokens=True)
    tokens = [[each.encode(text).tokens for text in _PROBES] for each in (given, made.tokenizer)]
    if sorted(numbers.values()) != [*range(len(numbers))] or tokens[0] != tokens[1] or len(numbers) < 3:
        raise InputError("its tokens cannot be numbered so that 0 is padding")
    if any(0 in part for part in made.around):
        raise InputError("it adds padding to each text")


def unknown_share(tokens: Tokens, flat: Any) -> float:
    """Which share of tokens is the unknown one; 0 if the tokenizer has no such token."""
    return 0.0 if tokens.unknown is None or not len(flat) else float((flat == tokens.unknown).mean())
