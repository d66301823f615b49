from __future__ import annotations

from typing import Any

import pytest

from autokd.errors import InputError
from autokd.study.teacher import members_of, read_teacher


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"space": "mlp", "arch": {}, "epochz": 3, "epochs": 1},
            r"teacher.epochz: there is no such key.*mean 'epochs'\?",
        ),
        ({"outputz": "f.npy"}, r"teacher: .* given; it should be a mapping with one of the keys network, timm"),
        ({"space": "mlp", "arch": {}}, "teacher.epochs: this key is missing; write how often training passes"),
        ({"network": "a:b", "weights": 3}, "teacher.weights: 3 given; it should be text"),
        (
            {"onnx": "a.onnx", "gives": "scores"},
            "teacher.gives: 'scores' given; it should be 'logits' or 'probabilities'",
        ),
        ({"onnx": "a.onnx", "weight": 2}, "'weight' is the share of one teacher"),
        (
            [{"onnx": "a.onnx"}, {"onnx": "b.onnx", "weight": 0}],
            "teacher.1.weight: 0 given; it should be greater than 0",
        ),
        ([], r"teacher: \[\] given; it should be a list of one or more"),
        ({"timm": "net", "pretrained": False}, "an untrained network teaches nothing"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused_by_key(section: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_teacher(section)


def test_a_parsed_section_stays_as_it_is() -> None:
    parsed = read_teacher([{"onnx": "a.onnx", "weight": 2}, {"outputs": "b.npy"}])
    assert read_teacher(parsed) == parsed


def test_classes_that_are_named_by_digits_need_no_quotes() -> None:
    assert read_teacher({"timm": "net", "classes": {0: 207, "cat": "tabby"}}).classes == {"0": 207, "cat": "tabby"}


def test_what_stands_beside_heads_counts_too() -> None:
    teacher = read_teacher({"heads": {"a": "x:y", "b": {"outputs": "b.npy"}}, "saw_training_rows": True})
    assert [getattr(each, "saw_training_rows", None) for each in members_of(teacher)] == [True, None, False]
