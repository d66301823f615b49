from __future__ import annotations

from typing import Any

import pytest

from autokd.errors import InputError
from autokd.teachers.spec import parse_teacher


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"space": "mlp", "arch": {}, "epochz": 3, "epochs": 1}, r"teacher.epochz: no such key.*mean 'epochs'\?"),
        ({"outputz": "f.npy"}, "teacher: give one of the keys network, timm"),
        ({"space": "mlp", "arch": {}}, "teacher.epochs: Field required"),
        ({"network": "a:b", "weights": 3}, "teacher.weights: Input should be a valid string"),
        ({"onnx": "a.onnx", "gives": "scores"}, "teacher.gives: Input should be 'logits' or 'probabilities'"),
        ({"onnx": "a.onnx", "weight": 2}, "'weight' is a share of an ensemble"),
        ([{"onnx": "a.onnx"}, {"onnx": "b.onnx", "weight": 0}], "teacher.1.weight: Input should be greater than 0"),
        ([], "teacher: List should have at least 1 item"),
        ({"timm": "net", "pretrained": False}, "an untrained network teaches nothing"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused_by_key(section: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_teacher(section)


def test_a_parsed_section_stays_as_it_is() -> None:
    parsed = parse_teacher([{"onnx": "a.onnx", "weight": 2}, {"outputs": "b.npy"}])
    assert parse_teacher(parsed) == parsed
