"""A predictor answers raw rows in the user's terms, and graphs take raw rows, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import needs
from export_samples import sample_card, sample_student
from torch import Tensor, nn

from autokd import load_predictor
from autokd.errors import InputError
from autokd.export import Predictor, export_student, task_shape
from autokd.export.card import Card
from autokd.heads import Classes, Head, Labels, Positions, Values
from autokd.readings import Pixels, raw_rows
from autokd.testing import TinyTask

GREY = Pixels((7.0,), (4.0,), "uint8", (1, 8, 8))
RAW = np.random.default_rng(0).integers(0, 17, (20, 1, 8, 8), dtype=np.uint8)
NAMES = tuple("abcdefghij")
FORMATS = ["pt2", pytest.param("onnx", marks=needs("onnxruntime"))]


class Linear(nn.Module):
    """Answers with the first pixels, so that a test knows every answer."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * inputs.flatten(1)[:, : self.outputs]


def task_card(heads: dict[str, Head], outputs: int, **changes: Any) -> dict[str, Any]:
    task = {"name": "tiny", "input_shape": (1, 8, 8), "num_outputs": outputs, "heads": heads}
    return sample_card(task=task, reading=GREY.plain(), **changes)


def predictor(**heads: Head) -> Predictor:
    named = {name.removeprefix("only"): head for name, head in heads.items()}
    width = sum(int(np.prod(head.shape)) for head in named.values())
    return Predictor(Linear(width), GREY, named, (1, 8, 8))


def graph(path: Path, rows: Any) -> np.ndarray[Any, Any]:
    """What a file answers."""
    if path.suffix == ".pt2":
        return np.asarray(torch.export.load(path).module()(torch.from_numpy(rows)).detach())
    import onnxruntime

    return np.asarray(onnxruntime.InferenceSession(path).run(None, {"input": rows})[0])


def test_a_predictor_answers_raw_rows_as_the_student_answers_inputs(tmp_path: Path) -> None:
    student = sample_student()
    card = task_card({"": Classes(NAMES)}, 10)
    said = export_student(student, GREY.batch(RAW), tmp_path / "s.safetensors", card=card, rows=RAW)
    assert said.endswith("autokd.load_predictor(folder) loads it")
    loaded = load_predictor(tmp_path)
    logits = student(GREY.batch(RAW)).detach()
    assert torch.equal(loaded.outputs(RAW), logits)
    assert loaded.predict(RAW).tolist() == [NAMES[best] for best in logits.argmax(dim=1)]
    np.testing.assert_allclose(loaded.predict_proba(RAW), logits.softmax(dim=1), rtol=1e-6)


def test_each_kind_of_head_is_answered_in_its_own_terms() -> None:
    rows = RAW[:2]
    first = (rows.reshape(2, -1)[:, :2].astype(float) - 7) / 4
    labels = predictor(only=Labels(("tall", "wide")))
    assert labels.predict(rows) == [
        tuple(name for name, logit in zip(("tall", "wide"), row, strict=True) if logit > 0) for row in first
    ]
    values = predictor(only=Values(("age", "income"), (40.0, 1e6), (10.0, 2e5)))
    np.testing.assert_allclose(values.predict(rows), first * (10, 2e5) + (40, 1e6), rtol=1e-6)
    assert torch.equal(values.outputs(rows), torch.from_numpy(values.predict(rows)))
    one = predictor(only=Values(("age",), (40.0,), (10.0,), variance=True))
    np.testing.assert_allclose(one.predict(rows), first[:, 0] * 10 + 40)
    places = predictor(only=Positions(("sky", "ground"), (2, 3)))
    assert places.predict(rows).shape == (2, 2, 3)
    assert places.predict_proba(rows).sum(axis=1) == pytest.approx(np.ones((2, 2, 3)))


def test_several_heads_are_answered_by_their_names() -> None:
    both = predictor(digit=Classes(NAMES), height=Values(("height",), (170.0,), (10.0,)))
    answers = both.predict(RAW)
    assert list(answers) == ["digit", "height"]
    assert (answers["digit"].shape, answers["height"].shape) == ((20,), (20,))
    assert list(both.predict_proba(RAW)) == ["digit"]
    assert [tuple(part.shape) for part in both.outputs(RAW).values()] == [(20, 10), (20, 1)]


def test_values_have_no_probabilities() -> None:
    with pytest.raises(InputError, match=r"answers values, which have no probabilities; call predict\(rows\)"):
        predictor(only=Values(("age",), (40.0,), (10.0,))).predict_proba(RAW)


def test_no_rows_have_no_answers() -> None:
    loaded = predictor(digit=Classes(NAMES), labels=Labels(("x",)))
    assert loaded.predict(RAW[:0])["digit"].tolist() == []
    assert loaded.predict(RAW[:0])["labels"] == []


def test_answers_are_those_of_any_number_of_rows() -> None:
    many = np.concatenate([RAW] * 60)
    assert torch.equal(predictor(only=Classes(NAMES)).outputs(many)[-20:], predictor(only=Classes(NAMES)).outputs(RAW))


@pytest.mark.parametrize(
    "given", [RAW.tolist(), RAW.astype(float), RAW[:, 0], RAW.transpose(0, 2, 3, 1), torch.from_numpy(RAW)]
)
def test_rows_may_be_any_array_of_these_values(given: Any) -> None:
    loaded = predictor(only=Classes(NAMES))
    assert torch.equal(loaded.outputs(given), loaded.outputs(RAW))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (RAW / 16, r"values between 0 and 1 that are no uint8; give raw rows, which the student normalises by itself"),
        (RAW.astype(int) - 1, "values between -1 and 15 that are no uint8"),
        (RAW.astype(float) + np.nan, "values between nan and nan that are no uint8"),
        (RAW[0, 0], r"shape \(8, 8\); give an array of uint8, shape \(rows, 1, 8, 8\).*a single row as rows\[:1\]"),
        (RAW.reshape(20, 64), r"shape \(20, 64\); give an array"),
        ([["a"]], r"shape \(1, 1\); give an array"),
        (np.full(RAW.shape, "x"), r"of type <U1; give an array of uint8"),
    ],
)
def test_rows_that_are_not_raw_are_refused(given: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        predictor(only=Classes(NAMES)).predict(given)


def test_a_task_that_says_nothing_of_its_rows_and_outputs_has_outputs_of_inputs(tmp_path: Path) -> None:
    student, inputs = sample_student(), torch.randn(16, 1, 8, 8)
    export_student(student, inputs, tmp_path / "s.safetensors", card=sample_card())
    loaded = load_predictor(tmp_path)
    assert torch.equal(loaded.outputs(inputs), student(inputs))
    for call in (loaded.predict, loaded.predict_proba):
        with pytest.raises(InputError, match=r"does not say what its outputs mean; call outputs\(rows\)"):
            call(inputs)
    with pytest.raises(InputError, match=r"rows of shape \(16, 8, 8\); give inputs of shape \(rows, 1, 8, 8\)"):
        loaded.outputs(inputs[:, 0])


def test_a_folder_of_the_first_format_still_answers(tmp_path: Path) -> None:
    student = sample_student()
    export_student(student, GREY.batch(RAW), tmp_path / "s.safetensors", card=sample_card())
    config = json.loads((tmp_path / "config.json").read_text())
    for key in ("reading", "takes"):
        del config[key]
    config |= {"format": "autokd-student-1", "inputs": {"raw": "uint8", "order": ["channels", "height", "width"]}}
    config["inputs"] |= {"shift": [7.0], "divisor": [4.0]}
    config["task"] = {"name": "tiny", "input_shape": [1, 8, 8], "num_outputs": 10, "classes": list(NAMES)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load_predictor(tmp_path)
    assert torch.equal(loaded.outputs(RAW), student(GREY.batch(RAW)))
    assert set(loaded.predict(RAW)) <= set(NAMES)


@pytest.mark.parametrize(
    "raw", ["uint8", *(pytest.param(each, marks=pytest.mark.slow) for each in ("float32", "float64"))]
)
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_graph_takes_raw_rows(suffix: str, raw: str, tmp_path: Path) -> None:
    reading, rows, student = Pixels((7.0,), (4.0,), raw, (1, 8, 8)), RAW.astype(raw), sample_student()
    card = sample_card(reading=reading.plain())
    said = export_student(student, reading.batch(rows), tmp_path / f"s.{suffix}", card=card, rows=rows)
    assert f"takes raw rows ({raw}, shape (batch, 1, 8, 8))" in said
    np.testing.assert_allclose(
        graph(tmp_path / f"s.{suffix}", rows[:3]), student(reading.batch(rows[:3])).detach(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_graph_answers_values_in_their_unit_and_heads_side_by_side(suffix: str, tmp_path: Path) -> None:
    heads: dict[str, Head] = {
        "digit": Classes(NAMES),
        "body": Values(("age", "income"), (40.0, 1e6), (10.0, 2e5), variance=True),
    }
    export_student(Linear(14), GREY.batch(RAW), tmp_path / f"s.{suffix}", card=task_card(heads, 14), rows=RAW)
    answers = graph(tmp_path / f"s.{suffix}", RAW)
    inputs = GREY.batch(RAW).flatten(1).numpy()
    np.testing.assert_allclose(answers[:, :10], inputs[:, :10])
    np.testing.assert_allclose(answers[:, 10:], inputs[:, 10:12] * (10, 2e5) + (40, 1e6), rtol=1e-6)


def test_a_graph_answers_classes_at_positions_in_their_shape(tmp_path: Path) -> None:
    heads: dict[str, Head] = {"": Positions(("sky", "ground"), (2, 3))}
    export_student(Linear(12), GREY.batch(RAW), tmp_path / "s.pt2", card=task_card(heads, 12), rows=RAW)
    assert graph(tmp_path / "s.pt2", RAW).shape == (20, 2, 2, 3)


class Turncoat(Linear):
    """Answers otherwise once it is exported."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * (1.01 if torch.compiler.is_exporting() else 1.0)


def test_a_large_mean_does_not_hide_that_a_graph_answers_otherwise(tmp_path: Path) -> None:
    heads: dict[str, Head] = {"": Values(("year",), (2e5,), (1.0,))}
    with pytest.raises(InputError, match="refused, because the exported network answers differently"):
        export_student(Turncoat(1), GREY.batch(RAW), tmp_path / "s.pt2", card=task_card(heads, 1), rows=RAW)


def test_an_exporter_that_knows_no_raw_rows_gets_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got = {}

    def mine(student: nn.Module, inputs: Tensor, path: Path, card: Card) -> str:
        got["inputs"] = inputs
        path.touch()
        return "done"

    student = sample_student()
    monkeypatch.setattr("autokd.registry.installed", lambda group: {"mine": mine})
    monkeypatch.setattr("autokd.registry.resolve", lambda group, name: mine)
    export_student(student, GREY.batch(RAW), tmp_path / "s.mine", card=sample_card(), rows=RAW)
    assert torch.equal(got["inputs"], GREY.batch(RAW))


def test_a_task_that_somebody_wrote_may_have_attributes_of_these_names() -> None:
    class Mine(TinyTask):
        heads, columns, reading, raw = 4, ["a", "b"], "by eye", np.zeros(3)

    task = Mine()
    assert raw_rows(task, torch.arange(3)) == (None, None)
    shape = task_shape(task)
    assert (shape.heads, shape.columns) == (None, ())


AGE = {"name": "age", "mean": 40.0, "scale": 9.0, "missing": False}
BROKEN: dict[str, dict[str, Any]] = {
    "no kind": {"heads": {"": {"names": ["a"]}}},
    "a head that is a list": {"heads": {"": ["a"]}},
    "heads that are a list": {"heads": ["a"]},
    "names that are a number": {"heads": {"": {"kind": "classes", "names": 10}}},
    "fewer names than outputs": {"heads": {"": {"kind": "classes", "names": ["a", "b"]}}},
    "fewer weights than names": {"heads": {"": {"kind": "classes", "names": list(NAMES), "weights": [1.0]}}},
    "a scale that is a text": {"heads": {"": {"kind": "values", "names": ["a"], "centre": [0], "scale": ["x"]}}},
    "a scale of 0": {"heads": {"": {"kind": "values", "names": ["a"], "centre": [0], "scale": [0]}}},
    "fewer centres than names": {"heads": {"": {"kind": "values", "names": ["a"], "centre": [], "scale": [1]}}},
    "a setting that there is not": {"heads": {"": {"kind": "labels", "names": list(NAMES), "x": 1}}},
    "no such reading": {"reading": {"kind": "sounds"}},
    "a divisor of 0": {"reading": GREY.plain() | {"divisor": [0]}},
    "a shift that is a text": {"reading": GREY.plain() | {"shift": ["x"]}},
    "more shifts than channels": {"reading": GREY.plain() | {"shift": [1, 2], "divisor": [1, 2]}},
    "no such raw type": {"reading": GREY.plain() | {"raw": "object"}},
    "no columns": {"reading": {"kind": "columns", "numbers": [], "categories": []}},
    "a mean that is a text": {
        "reading": {
            "kind": "columns",
            "categories": [],
            "numbers": [{"name": "a", "mean": "x", "scale": 1, "missing": 0}],
        }
    },
    "a category without values": {
        "reading": {"kind": "columns", "numbers": [], "categories": [{"name": "a", "values": []}]}
    },
    "a column of no kind": {"columns": [{"name": "a", "kind": "date", "start": 0, "stop": 1}]},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_folder_that_was_changed_by_hand_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    export_student(sample_student(), GREY.batch(RAW), tmp_path / "s.safetensors", card=sample_card(), rows=RAW)
    config = json.loads((tmp_path / "config.json").read_text())
    for key, value in BROKEN[name].items():
        (config if key == "reading" else config["task"])[key] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json' does not describe an exported student: ") as refusal:
        load_predictor(tmp_path)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) - len(str(tmp_path)) < 400


def test_a_reading_of_other_rows_than_the_network_takes_is_refused() -> None:
    other = Predictor(Linear(10), Pixels((0.0,), (1.0,), "uint8", (1, 4, 4)), {"": Classes(NAMES)}, (1, 8, 8))
    with pytest.raises(InputError, match=r"rows of shape \(20, 1, 4, 4\); give inputs of shape \(rows, 1, 8, 8\)"):
        other.predict(RAW[:, :, :4, :4])
