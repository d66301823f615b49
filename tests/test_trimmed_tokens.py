"""A tokenizer that is trimmed to the pieces of some texts cuts these texts as the whole one does."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_task_texts import LABELS, opened, written
from test_task_texts import TEXTS as FILMS
from test_tokens import TEXTS, of_roberta, of_unigram
from tokenizers import models, normalizers, pre_tokenizers, processors

from autokd.errors import InputError
from autokd.readings import Texts, reading_of
from autokd.readings.tokenizer_files import tokens_in
from autokd.readings.tokens import Tokens
from autokd.readings.trained_tokens import trained
from autokd.readings.trimmed_tokens import trimmed
from autokd.tasks import TextTask, from_texts, load_task

FEW = ["a good film", "films", "naïve 你好 good", "", "a bad 漢 film ½x"]
BERT = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abdefgilmnosuv你½", "##½x", "½x"]
BERT += [f"##{letter}" for letter in "abdefgilmnosuv"] + ["film", "##s", "films", "##ilm", "good", "bad", "ba", "##lm"]


def of_bert() -> tokenizers.Tokenizer:
    numbers = {piece: number for number, piece in enumerate(dict.fromkeys(BERT))}
    found = tokenizers.Tokenizer(models.WordPiece(vocab=numbers, unk_token="[UNK]"))
    found.normalizer, found.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    found.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    found.post_processor = processors.BertProcessing(("[SEP]", numbers["[SEP]"]), ("[CLS]", numbers["[CLS]"]))
    return found


def of_words() -> tokenizers.Tokenizer:
    words = ["<unk>", *sorted({word for text in TEXTS for word in text.split()})]
    numbers = {word: number for number, word in enumerate(words)}
    found = tokenizers.Tokenizer(models.WordLevel(vocab=numbers, unk_token="<unk>"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    return found


def of_merges() -> tokenizers.Tokenizer:
    """Pieces of words of which the last ones are marked."""
    letters = sorted("agodfilmsb")
    merges = [
        ("g", "o"),
        ("o", "d</w>"),
        ("go", "od</w>"),
        ("f", "i"),
        ("l", "m</w>"),
        ("fi", "lm</w>"),
        ("a", "s</w>"),
    ]
    pieces = ["<unk>", *letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    model = models.BPE(vocab=numbers, merges=merges, unk_token="<unk>", end_of_word_suffix="</w>")
    found = tokenizers.Tokenizer(model)
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    return found


KINDS: dict[str, Any] = {
    "wordpiece": of_bert,
    "bytes": of_roberta,
    "merges": of_merges,
    "unigram": of_unigram,
    "words": of_words,
}


def as_of_old(plain: dict[str, Any]) -> dict[str, Any]:
    """The merges as texts with a space in the middle."""
    merges = [" ".join(pair) for pair in plain["model"]["merges"]]
    return {**plain, "model": {**plain["model"], "merges": merges}}


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokens]:
    found = {}
    for kind, make in KINDS.items():
        plain = json.loads(make().to_str())
        file = tmp_path_factory.mktemp(kind) / "tokenizer.json"
        file.write_text(json.dumps(as_of_old(plain) if kind == "merges" else plain))
        found[kind] = tokens_in(file)
    return found


@pytest.fixture(params=KINDS)
def whole(request: pytest.FixtureRequest, all_kinds: dict[str, Tokens]) -> Tokens:
    return all_kinds[request.param]


def cut(tokens: Tokens, text: str) -> list[str]:
    pieces: list[str] = tokens.tokenizer.encode(text).tokens
    return pieces


def test_the_texts_are_cut_as_by_the_whole_tokenizer(whole: Tokens) -> None:
    few = trimmed(whole, FEW)
    assert few.vocabulary < whole.vocabulary
    assert [cut(few, text) for text in FEW] == [cut(whole, text) for text in FEW]
    (before, after), (whole_before, whole_after) = few.around, whole.around
    assert [few.pieces[each] for each in (*before, *after)] == [
        whole.pieces[each] for each in (*whole_before, *whole_after)
    ]
    assert Texts(few, 9).batch(FEW).shape == Texts(whole, 9).batch(FEW).shape


def test_pieces_keep_their_order_and_padding_is_0(whole: Tokens) -> None:
    few = trimmed(whole, FEW)
    assert few.pieces[0] == whole.pieces[0]
    assert list(few.pieces) == [piece for piece in whole.pieces if piece in few.pieces]
    assert sorted(few.tokenizer.get_vocab().values()) == [*range(few.vocabulary)]
    assert trimmed(few, FEW) == few


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abdefgilmnosuv½x漢 ", max_size=24), min_size=1, max_size=5), st.sampled_from([*KINDS]))
def test_any_texts_are_cut_as_by_the_whole_tokenizer(all_kinds: dict[str, Tokens], texts: list[str], kind: str) -> None:
    few = trimmed(all_kinds[kind], texts)
    assert [cut(few, text) for text in texts] == [cut(all_kinds[kind], text) for text in texts]


def test_a_word_of_known_characters_stays_known(all_kinds: dict[str, Tokens]) -> None:
    few = trimmed(all_kinds["wordpiece"], FEW)
    assert "##ilm" not in few.pieces
    assert cut(few, "afilm") == ["[CLS]", "a", "##f", "##i", "##l", "##m", "[SEP]"]
    assert cut(few, "vague") == ["[CLS]", "[UNK]", "[SEP]"]  # no text has a u


def test_a_word_that_was_unknown_stays_unknown(all_kinds: dict[str, Tokens]) -> None:
    """The whole tokenizer takes ½x, and knows no ##½ to go on with; without ½x it would take ½ and go on with ##½x."""
    few = trimmed(all_kinds["wordpiece"], ["½x½", "½", "a½x"])
    assert cut(few, "½x½") == cut(all_kinds["wordpiece"], "½x½") == ["[CLS]", "[UNK]", "[SEP]"]


def test_a_number_keeps_the_pieces_that_occur_most_often(whole: Tokens) -> None:
    texts = ["good good good film", "film films bad"]
    every, none = trimmed(whole, texts).vocabulary, trimmed(whole, [""]).vocabulary
    assert none < every
    found = [trimmed(whole, texts, most=most) for most in range(every + 1, 0, -1) if most >= _least(whole, texts)]
    assert found[0] == found[1] == trimmed(whole, texts)
    assert all(few.vocabulary <= every + 1 - place for place, few in enumerate(found))
    for few in found:
        assert cut(few, "good")
    with pytest.raises(InputError, match=r"vocabulary: 1 pieces are too few, because \d+ must stay .* or seen"):
        trimmed(whole, texts, most=1)


def test_what_is_trimmed_is_plain_data(whole: Tokens) -> None:
    reading = Texts(trimmed(whole, FEW), 9)
    again = reading_of(json.loads(json.dumps(reading.plain())))
    assert again == reading
    assert again.batch(FEW).equal(reading.batch(FEW))


def _least(whole: Tokens, texts: list[str]) -> int:
    with pytest.raises(InputError) as caught:
        trimmed(whole, texts, most=1)
    return int(re.findall(r"because ([\d,]+) must", str(caught.value))[0].replace(",", ""))


@pytest.fixture
def words(tmp_path: Path) -> str:
    """A folder with a tokenizer that knows more than the texts of films have."""
    more = [*FILMS, *(f"unusual naming{number}" for number in range(9))]
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "tokenizer.json").write_text(trained("wordpiece", more, vocabulary=100).json)
    return str(tmp_path / "words")


def read(task: TextTask) -> list[list[str]]:
    rows = task.inputs(torch.arange(task.num_rows)).tolist()
    return [[task.pieces[number] for number in row if number] for row in rows]


def test_a_task_reads_its_texts_as_before_with_fewer_pieces(words: str) -> None:
    whole = from_texts(FILMS, LABELS, reading={"tokenizer": words, "length": 6})
    seen = from_texts(FILMS, LABELS, reading={"tokenizer": words, "length": 6, "vocabulary": "seen"})
    assert seen.vocabulary < whole.vocabulary
    assert len(seen.pieces) == seen.vocabulary
    assert read(seen) == read(whole)
    assert seen.digest != whole.digest


def test_pieces_of_validation_and_test_rows_do_not_count(words: str) -> None:
    reading = {"tokenizer": words, "vocabulary": "seen"}
    others = [text.replace("film", "naming") for text in FILMS[60:]]
    task = from_texts(FILMS[:60], LABELS[:60], others, LABELS[60:], reading=reading)
    assert not any("nam" in piece for piece in task.pieces)
    split = from_texts(FILMS, LABELS, reading=reading)
    texts = split.raw(split.trained_on)
    whole = from_texts(FILMS, LABELS, reading={"tokenizer": words})
    assert split.reading.tokens == trimmed(whole.reading.tokens, texts)


def test_the_size_of_a_trimmed_vocabulary_is_searched(tmp_path: Path, words: str) -> None:
    reading = {"tokenizer": words, "length": [4, 8], "vocabulary": [40, "seen"]}
    task = opened(written("a.csv", tmp_path), tmp_path / "task", reading=reading)
    assert task.readings == {"length": (4, 8), "vocabulary": (40, "seen")}
    few, seen = (task.seen_through({"length": 8, "vocabulary": each}) for each in (40, "seen"))
    assert few.vocabulary == 40 < seen.vocabulary == task.vocabulary
    shutil.rmtree(words)
    there: Any = load_task(tmp_path / "task")
    assert there.seen_through({"length": 8, "vocabulary": "seen"}).digest == seen.digest
    assert (
        there.seen_through({"length": 8, "vocabulary": 40}).inputs(torch.arange(9)).equal(few.inputs(torch.arange(9)))
    )


def test_a_teacher_that_names_a_tokenizer_reads_all_of_it(words: str) -> None:
    task = from_texts(FILMS, LABELS, reading={"tokenizer": words, "vocabulary": "seen"})
    whole = from_texts(FILMS, LABELS, reading={"tokenizer": words})
    assert task.seen_through({"tokenizer": words}).digest == whole.digest
    assert task.seen_through({"length": 64}).digest == task.digest
    assert task.seen_through({"tokenizer": "bpe"}).vocabulary > 256


def test_the_log_says_how_many_tokens_stay(words: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="autokd")
    task = from_texts(FILMS, LABELS, reading={"tokenizer": words, "vocabulary": "seen"})
    assert f"of its 96 tokens, {task.vocabulary} stay, which are special ones, characters of" in caplog.text
    assert "trimmed to the tokens of training texts" in task.summary()
