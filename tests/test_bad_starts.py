"""Starts that give no weights are refused in one line, before anything is trained; nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import refused_search
from safetensors.torch import save_file
from torch import Tensor

TRAINED = {"space": "mlp", "arch": {"widths": [16], "activation": "relu", "batch_norm": False}, "epochs": 1, "lr": 0.02}

SPACE = """
import torch
from torch import nn


def suggest(trial):
    return {"width": trial.suggest_categorical("width", [4, 8])}


def build(arch, task):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, arch["width"]), nn.ReLU(), nn.Linear(arch["width"], 10))


"""


def own_space(folder: Path, code: str) -> dict[str, Any]:
    """A change of the study to a space with these functions besides `suggest` and `build`."""
    (folder / "space.py").write_text(SPACE + code)
    return {"space": "space.py"}


def tensors(width: int = 4) -> dict[str, Tensor]:
    """Weights of a student of the space."""
    return {
        "1.weight": torch.ones(width, 64),
        "1.bias": torch.ones(width),
        "3.weight": torch.ones(10, width),
        "3.bias": torch.ones(10),
    }


def refused_file(folder: Path, content: dict[str, Tensor], name: str = "weights.safetensors") -> str:
    save_file(content, folder / name)
    changes = {**own_space(folder, ""), "recipe": {"start": {"file": str(folder / name)}}}
    return refused_search(folder, changes)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("teachers", "'teachers' given; it should be 'scratch', 'pretrained' or 'teacher'"),
        (3, "recipe.start: 3 given"),
        ([], "recipe.start: [] given"),
        (["teacher", "teacher"], "'teacher' is named twice"),
        ({"file": ""}, "recipe.start.file"),
        ({"path": "a.safetensors"}, "recipe.start"),
        ([{"file": "a/w.pt"}, {"file": "b/w.pt"}], "'w.pt' is named twice; leave one out, or rename a file"),
        ({"file": "folder/teacher"}, "a file named 'teacher' given; rename it"),
        ({"file": "weights.ckpt"}, "weights.ckpt"),
        ({"file": "weights.safetensors"}, "there is no such file"),
        ({"low": 1, "high": 2}, "recipe.start"),
    ],
    ids=str,
)
def test_what_is_no_start_is_refused(tmp_path: Path, start: Any, words: str) -> None:
    assert words in refused_search(tmp_path, {"recipe": {"start": start}})


TEACHERS: list[tuple[Any, str]] = [
    (
        {"sklearn": "sklearn.ensemble:RandomForestClassifier"},
        "is a model of scikit-learn, which has no layers",
    ),
    ({"outputs": "answers.npy"}, "the teacher is a file of answers, which has no layers"),
    ({"onnx": "teacher.onnx"}, "the teacher is an ONNX file, which has no layers"),
    ([TRAINED, TRAINED], "the teacher is a list of teachers, which has no layers that a student could take over"),
]


@pytest.mark.parametrize(("teacher", "words"), TEACHERS, ids=[words[:40] for _, words in TEACHERS])
def test_a_teacher_without_layers_gives_no_first_weights(tmp_path: Path, teacher: Any, words: str) -> None:
    said = refused_search(tmp_path, {"teacher": teacher, "recipe": {"start": ["scratch", "teacher"]}})
    assert words in said
    assert "leave out the start 'teacher', or name a torch network as the teacher" in said


def test_a_teacher_that_is_an_object_without_layers_is_refused_before_the_search(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\nfrom torch.nn import functional\n\n\nclass Teacher:\n    name = digest = 'own'\n\n"
        "    def outputs(self, inputs):\n        return functional.one_hot(inputs.flatten(1).argmax(1) % 10).float()\n"
        "\n\nteacher = Teacher()\n"
    )
    said = refused_search(tmp_path, {"teacher": "own.py:teacher", "recipe": {"start": "teacher"}})
    assert "teacher 'own' is no single torch network" in said


def test_answers_whose_origin_is_no_such_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "origin.safetensors").write_bytes(b"\x10")
    teacher = {"outputs": "answers.npy", "origin": "origin.safetensors"}
    np.save(tmp_path / "answers.npy", np.eye(10, dtype="float32")[np.arange(1797) % 10])
    said = refused_search(tmp_path, {"teacher": teacher, "recipe": {"start": "teacher"}})
    assert "origin.safetensors cannot be read" in said


@pytest.mark.parametrize("space", ["mlp", "mlp(width=8)"])
def test_a_space_that_knows_no_weights_has_no_pretrained_students(tmp_path: Path, space: str) -> None:
    said = refused_search(tmp_path, {"space": space, "recipe": {"start": ["scratch", "pretrained"]}})
    assert f"space '{space}' has no function `pretrained`" in said


def test_a_baseline_with_such_a_start_is_refused_before_the_search(tmp_path: Path) -> None:
    said = refused_search(tmp_path, {"baselines": {"mine": {"recipe.start": "pretrained"}}})
    assert "baselines.mine: recipe.start: space 'mlp' has no function `pretrained`" in said


def test_a_file_of_weights_that_is_half_there_is_refused(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "weights.safetensors")
    whole = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(whole[: len(whole) // 2])
    said = refused_search(tmp_path, {"recipe": {"start": {"file": "weights.safetensors"}}})
    assert "weights.safetensors cannot be read" in said
    assert "get the file again" in said


def test_a_file_of_another_architecture_is_refused_with_names_and_shapes(tmp_path: Path) -> None:
    said = refused_file(tmp_path, {"layer1.conv.weight": torch.ones(8, 3, 3, 3)})
    assert "none of 64 random students can begin with 'weights.safetensors'" in said
    assert "('layer1.conv.weight' (8, 3, 3, 3)) has the name and the shape of one of the student's ('1.wei" in said


def test_a_file_of_other_sizes_is_refused(tmp_path: Path) -> None:
    assert "has the name and the shape" in refused_file(tmp_path, {"1.weight": torch.ones(5, 64)})


def test_a_file_with_nan_is_refused(tmp_path: Path) -> None:
    both = tensors() | {"3.bias": torch.full((10,), torch.nan)}
    assert "the first weights of '3.bias' hold NaN or infinity" in refused_file(tmp_path, both)


BAD: list[tuple[str, str]] = [
    (
        "return {'1.weight': torch.ones(2, 64)}",
        "'1.weight' have torch.float32 of shape (2, 64), of which",
    ),
    ("return {'1.weight': torch.ones(64)}", "of which the student's torch.float32 of shape ("),
    ("return {'first': torch.ones(2)}", "('first' (2,)) has the name of one of the student's"),
    ("return {}", "none of the first weights (nothing)"),
    ("return None", "gave a NoneType; it should give tensors by name"),
    ("return {'1.weight': [1.0]}", "it should give tensors by name"),
    ("return {'1.weight': torch.ones(8, 64, dtype=torch.int8)}", "torch.int8"),
    ("raise KeyError('widths')", "raised KeyError: 'widths'"),
    ("return {'1.weight': torch.full((8, 64), float('inf'))}", "hold NaN or infinity"),
]


@pytest.mark.parametrize(("body", "words"), BAD, ids=[body for body, _ in BAD])
def test_an_inherit_that_gives_no_weights_of_the_student_is_refused(tmp_path: Path, body: str, words: str) -> None:
    space = own_space(tmp_path, f"def inherit(arch, teacher_arch, teacher_weights):\n    {body}\n")
    said = refused_search(tmp_path, {**space, "teacher": TRAINED, "recipe": {"start": "teacher"}})
    assert "none of 64 random students can begin with 'teacher'" in said
    assert words in said


@pytest.mark.parametrize(("body", "words"), BAD[:4], ids=[body for body, _ in BAD[:4]])
def test_a_pretrained_that_gives_no_weights_of_the_student_is_refused(tmp_path: Path, body: str, words: str) -> None:
    space = own_space(tmp_path, f"def pretrained(arch, task):\n    {body}\n")
    said = refused_search(tmp_path, {**space, "recipe": {"start": "pretrained"}})
    assert "none of 64 random students can begin with 'pretrained'" in said
    assert words in said


def test_a_teacher_of_another_space_is_refused_by_a_space_that_takes_over_its_own_alone(tmp_path: Path) -> None:
    said = refused_search(tmp_path, {"space": "resnet", "teacher": TRAINED, "recipe": {"start": "teacher"}})
    assert "none of 64 random students can begin with 'teacher'" in said
