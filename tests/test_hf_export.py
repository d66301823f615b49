"""Exported students of the space `hf` answer in transformers, ONNX Runtime and torch.export as they do here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import needs
from export_samples import sample_card
from test_task_texts import LABELS, TEXTS
from test_texts_end_to_end import study_of
from torch import nn

import autokd
from autokd.driver import export_trial, load_front, search_study
from autokd.errors import InputError
from autokd.export import export_student, task_shape
from autokd.tasks import from_texts
from autokd.testing import TinyTask
from search_spaces.hf import HFSpace

pytestmark = [needs("transformers"), pytest.mark.slow]

BERT = "hf(model='bert', hidden_size=[8, 16], num_hidden_layers=(1, 2), num_attention_heads=2, intermediate_size=16)"
WITHOUT_AUTOKD = """
import json, sys
sys.modules["autokd"] = sys.modules["search_spaces"] = None  # importing either raises an error
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, texts = sys.argv[1], json.loads(sys.argv[2])
model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
print(json.dumps([model(**batch).logits.tolist(), model.config.id2label, batch["input_ids"].shape[1]]))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    search_study(study_of(folder, space=BERT), run=folder / "run")
    return folder / "run"


def exported(run: Path, out: Path) -> str:
    return export_trial(run, load_front(run).pick(by="accuracy").trial, out)


def elsewhere(folder: Path, texts: list[str]) -> tuple[torch.Tensor, dict[str, str], int]:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_AUTOKD, str(folder), json.dumps(texts)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    logits, names, length = json.loads(done.stdout)
    return torch.tensor(logits), names, length


def test_transformers_loads_an_exported_student_and_its_tokenizer_without_autokd(run: Path, tmp_path: Path) -> None:
    for _ in range(2):  # the second one replaces the first
        assert "transformers loads it from student.transformers without AutoKD" in exported(
            run, tmp_path / "student.safetensors"
        )
    here = autokd.load_predictor(tmp_path)
    texts = ["the film is good", "an awful film, and a text so long that no student of this task reads its end", "dull"]
    logits, names, length = elsewhere(tmp_path / "student.transformers", texts)
    assert torch.allclose(logits, here.outputs(texts), atol=1e-5)
    assert names == {"0": "bad", "1": "good"}
    assert length == here.input_shape[0]
    assert 'folder = "this/folder/student.transformers"' in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("model", ["distilbert", "roberta", "electra", "modernbert", "deberta-v2"])
def test_transformers_answers_as_students_of_other_models_do(model: str, tmp_path: Path) -> None:
    import transformers

    width = {"dim": [8, 16], "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    usual = {"hidden_size": [8, 16], "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    space = HFSpace(model, **(width if model == "distilbert" else usual))
    task = from_texts(TEXTS, LABELS, reading={"length": 12, "tokenizer": "bpe", "vocabulary": 300})
    student = space.build({"dim" if model == "distilbert" else "hidden_size": 8}, task).eval()
    rows = torch.arange(8)
    card = sample_card(f"hf(model='{model}')", task=task_shape(task), reading=task.reading)
    export_student(student, task.inputs(rows), tmp_path / "student.safetensors", card=card)
    folder = tmp_path / "student.transformers"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(task.raw(rows), padding=True, truncation=True, return_tensors="pt")
    again = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert torch.equal(again(**batch).logits, student(task.inputs(rows)))


def test_a_student_of_images_is_written_for_transformers_too(tmp_path: Path) -> None:
    import transformers

    space, task = HFSpace(hidden_size=[8], num_attention_heads=2, intermediate_size=16), TinyTask()
    student = space.build({"hidden_size": 8, "patch_size": 4}, task).to(memory_format=torch.channels_last).eval()
    x = task.inputs(torch.arange(4))
    export_student(student, x, tmp_path / "student.safetensors", card=sample_card("hf", task=task_shape(task)))
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "student.transformers")
    assert torch.equal(again(pixel_values=x).logits, student(x))


def test_a_student_that_cannot_write_itself_is_refused_in_one_line(tmp_path: Path) -> None:
    class Student(nn.Linear):
        def save_pretrained(self, folder: str) -> None:
            raise RuntimeError("no")

    with pytest.raises(InputError, match="its save_pretrained raised RuntimeError: no"):
        export_student(Student(64, 10), torch.randn(4, 64), tmp_path / "a.safetensors", card=sample_card("mlp"))
    assert [*tmp_path.iterdir()] == []


@needs("onnx")
def test_a_file_of_onnx_answers_batches_of_any_size_and_texts_of_any_length(run: Path, tmp_path: Path) -> None:
    import onnxruntime

    exported(run, tmp_path / "student.safetensors")
    said = exported(run, tmp_path / "student.onnx")
    assert "student.tokenizer.json makes them of texts" in said
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx")
    here = autokd.load_student(tmp_path)
    for shape in ((1, 3), (5, 2), (3, 4)):
        ids = torch.randint(1, 30, shape)
        (answers,) = session.run(None, {"input": ids.numpy()})
        assert np.abs(answers - here(ids).detach().numpy()).max() < 1e-5


def test_an_archive_of_torch_answers_batches_of_any_size_and_texts_of_any_length(run: Path, tmp_path: Path) -> None:
    exported(run, tmp_path / "student.safetensors")
    exported(run, tmp_path / "student.pt2")
    program, here = torch.export.load(tmp_path / "student.pt2").module(), autokd.load_student(tmp_path)
    for shape in ((1, 3), (5, 2), (3, 4)):
        ids = torch.randint(1, 30, shape)
        assert torch.allclose(program(ids), here(ids), atol=1e-5)
