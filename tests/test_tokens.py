"""Tokenizers: trained ones are the same in every process, and given ones are numbered so that 0 is padding."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from autokd.errors import InputError
from autokd.readings import Texts, reading_of
from autokd.readings.tokenizer_files import tokenizer_file, tokens_in
from autokd.readings.tokens import Tokens
from autokd.readings.trained_tokens import KINDS, LEAST, trained
from autokd.study.reading import TRAINED

WORDS = ["film", "films", "filming", "good", "goods", "bad", "naïve", "你好", "unusually", "usual", "the", "a"]
TEXTS = [" ".join(WORDS[(row * step + step) % len(WORDS)] for step in range(1, 9)) for row in range(60)]

AGAIN = """
import sys
sys.path.insert(0, {tests!r})
from test_tokens import TEXTS
from autokd.readings.trained_tokens import KINDS, trained
print(*(trained(kind, TEXTS, vocabulary=300).digest for kind in KINDS))
"""


def test_each_kind_that_a_study_may_name_can_be_trained() -> None:
    assert tuple(KINDS) == TRAINED == tuple(LEAST)


@pytest.mark.slow  # it starts processes
def test_a_trained_tokenizer_is_the_same_in_every_process() -> None:
    here = [trained(kind, TEXTS, vocabulary=300).digest for kind in KINDS]
    program = AGAIN.format(tests=str(Path(__file__).parent))
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.split() == here


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_those_of_the_vocabulary_and_0_is_padding_only(kind: str) -> None:
    found = trained(kind, TEXTS, vocabulary=300)
    assert found.vocabulary <= 300
    ids = Texts(found, 6).batch([*TEXTS, "", "[PAD] film", "\n", "x"])
    assert ids.max() < found.vocabulary
    assert ids.min() == 0
    for row in ids.tolist():
        there = [number != 0 for number in row]
        assert there[0]
        assert there == sorted(there, reverse=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_that_is_too_small_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match=f"vocabulary: {LEAST[kind] - 1} is too small"):
        trained(kind, TEXTS, vocabulary=LEAST[kind] - 1)
    assert trained(kind, TEXTS, vocabulary=LEAST[kind]).vocabulary <= LEAST[kind]


def test_a_longer_text_in_the_batch_changes_only_the_padding() -> None:
    reading = Texts(trained("wordpiece", TEXTS, vocabulary=100), 12)
    alone, beside = reading.batch(["a good film"])[0], reading.batch(["a good film", " ".join(WORDS)])[0]
    assert alone.tolist() == beside[: len(alone)].tolist()
    assert not beside[len(alone) :].any()


def test_a_reading_is_made_again_from_plain_data() -> None:
    reading = Texts(trained("bpe", TEXTS, vocabulary=270), 7)
    again = reading_of(json.loads(json.dumps(reading.plain())))
    assert again == reading
    assert reading.batch(TEXTS).equal(again.batch(np.array(TEXTS)))


@pytest.mark.parametrize(
    ("rows", "said"), [("one text", "type str"), ([1, 2], "row 0"), (["a", None], "row 1"), (3, "int")]
)
def test_rows_that_are_no_texts_are_refused(rows: object, said: str) -> None:
    reading = Texts(trained("wordpiece", TEXTS, vocabulary=60), 7)
    with pytest.raises(InputError, match=said):
        reading.batch(rows)


def of_roberta(padding: str | None = "<pad>") -> tokenizers.Tokenizer:
    found = tokenizers.Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    special = ["<s>", *([padding] if padding else []), "</s>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    found.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    around = (("</s>", found.token_to_id("</s>")), ("<s>", found.token_to_id("<s>")))
    found.post_processor = processors.RobertaProcessing(*around)
    return found


def of_unigram() -> tokenizers.Tokenizer:
    found = tokenizers.Tokenizer(models.Unigram())
    found.pre_tokenizer, found.normalizer = pre_tokenizers.Metaspace(), normalizers.NFKC()
    special = ["<unk>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=special, unk_token="<unk>", show_progress=False)
    found.train_from_iterator(TEXTS, trainer)
    found.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return found


@pytest.mark.parametrize("given", [of_roberta(), of_roberta(None), of_unigram()], ids=["second", "none", "unigram"])
def test_a_given_tokenizer_cuts_texts_as_before_and_has_padding_as_0(
    given: tokenizers.Tokenizer, tmp_path: Path
) -> None:
    given.save(str(tmp_path / "tokenizer.json"))
    found = tokens_in(tokenizer_file(tmp_path))
    tokens = found.tokenizer
    assert tokens.id_to_token(0) in ("<pad>", "[PAD]")
    assert sorted(tokens.get_vocab().values()) == [*range(found.vocabulary)]
    for text in [*TEXTS[:9], "never seen 42!", "naïve 你好"]:
        assert tokens.encode(text).tokens == given.encode(text).tokens
        (ids,) = Texts(found, 60).batch([text]).tolist()
        assert ids == tokens.encode(text).ids
    before, after = found.around
    (cut,) = Texts(found, len(before) + len(after) + 2).batch(["a good film that goes on"]).tolist()
    assert cut[len(cut) - len(after) :] == list(after)


def test_a_tokenizer_of_ours_stays_as_it_is(tmp_path: Path) -> None:
    ours = trained("wordpiece", TEXTS, vocabulary=100)
    (tmp_path / "tokenizer.json").write_text(ours.json)
    assert Texts(tokens_in(tmp_path / "tokenizer.json"), 9).batch(TEXTS).equal(Texts(ours, 9).batch(TEXTS))


def test_the_vocabulary_of_a_model_of_bert_is_read(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "##s", "A"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    assert Texts(tokens_in(tokenizer_file(tmp_path)), 8).batch(["A films", "zebra"]).tolist() == [
        [2, 5, 6, 7, 3],
        [2, 1, 3, 0, 0],
    ]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert Texts(tokens_in(tokenizer_file(tmp_path)), 8).batch(["A films"]).tolist() == [[2, 8, 6, 7, 3]]


@pytest.mark.parametrize(
    "content", ["{}", "[1]", "", "no json", "[" * 10_000, '{"model": {"type": "bert"}}', "\ufeff\x00"], ids=range(7)
)
def test_a_file_that_holds_no_tokenizer_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=r"tokenizer\.json.*give a tokenizer\.json"):
        tokens_in(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(("words", "said"), [("hello\nworld", r"no token \[UNK\]"), ("[UNK]\na\na", "twice")])
def test_a_list_of_words_that_is_no_vocabulary_is_refused(words: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text(words)
    with pytest.raises(InputError, match=said):
        tokens_in(tmp_path / "vocab.txt")


def test_a_damaged_exported_tokenizer_is_refused() -> None:
    with pytest.raises(InputError, match="these data describe no reading"):
        reading_of({"kind": "texts", "length": 4, "tokenizer": {"model": 1}})
    plain = Texts(Tokens(trained("wordpiece", TEXTS, vocabulary=60).json), 4).plain()
    with pytest.raises(InputError, match="a length of 0"):
        reading_of({**plain, "length": 0})
