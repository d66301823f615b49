"""The script that sets a run beside simple models, and the teacher of the studies on texts."""

from __future__ import annotations

from random import Random

import pytest
import torch
from claims import load_claim

from autokd.heads import heads_of
from autokd.registry import resolve
from autokd.tasks import TextTask, from_texts

WORDS = {"good": ("fine", "warm", "clever"), "bad": ("dull", "cold", "flat")}


@pytest.fixture(scope="module")
def films() -> TextTask:
    """200 short texts of two classes, each with two words of its class and two that say nothing."""
    random = Random(0)
    classes = [random.choice(list(WORDS)) for _ in range(200)]
    texts = [" ".join(random.choices(WORDS[each], k=2) + random.choices("abcdef", k=2)) for each in classes]
    return from_texts(texts, classes, reading={"length": [4, 8], "vocabulary": 60})


def test_all_models_read_the_texts_of_a_run_and_beat_the_blind_answer(films: TextTask) -> None:
    (head,) = heads_of(films).values()

    found = load_claim("rivals").scores(films, head, films.targets(torch.arange(films.num_rows)))

    assert list(found) == ["blind", "linear", "classical"]
    assert found["blind"]["test"] < 0.7
    assert min(found[name]["test"] for name in ("linear", "classical")) > 0.95


def test_the_teacher_of_the_studies_on_texts_gives_probabilities(films: TextTask) -> None:
    teacher = resolve("teachers", "studies/texts.py:two_models")()
    train, test = films.splits["train"], films.splits["test"]

    answers = teacher.fit(films.raw(train), films.targets(train).numpy()).predict_proba(films.raw(test))

    assert answers.sum(axis=1) == pytest.approx(1)
    assert (answers.argmax(1) == films.targets(test).numpy()).mean() > 0.95
