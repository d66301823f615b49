"""Bad teachers are refused in one line; nothing in a file is executed, and nothing is left behind."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import refused_search
from safetensors.torch import save_file

NETWORK = """
from torch import nn


def network(classes=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""


class Malicious:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch MARK",)


def with_network(folder: Path, *, weights: str | None = None, **args: Any) -> dict[str, Any]:
    """A change of the study to a teacher that is the network of a file in `folder`."""
    (folder / "network.py").write_text(NETWORK)
    given = {} if weights is None else {"weights": str(folder / weights)}
    return {"teacher": {"network": "network.py:network", "args": args, **given}}


def tensors(classes: int = 10, fill: float = 0.0) -> dict[str, torch.Tensor]:
    return {"1.weight": torch.full((classes, 64), fill), "1.bias": torch.zeros(classes)}


def test_a_teacher_of_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    said = refused_search(tmp_path, with_network(tmp_path, classes=7))
    assert (
        "needs (60, 10): the teacher has 7 classes, and the task has 10; give a teacher of the task's classes" in said
    )


def test_a_teacher_no_better_than_chance_is_refused_with_its_score(tmp_path: Path) -> None:
    said = refused_search(tmp_path, {"teacher": {"sklearn": "sklearn.dummy:DummyClassifier"}})
    assert "the teacher scores 0.100 on validation, and an answer that does not look at the input scores 0.100" in said


def test_a_teacher_that_raises_is_refused(tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text("from torch import nn\nnetwork = nn.Linear(3, 10)\n")
    assert "teacher 'network' fails on inputs of shape" in refused_search(
        tmp_path, {"teacher": {"network": "network.py:network"}}
    )


def test_weights_that_are_nan_are_refused(tmp_path: Path) -> None:
    save_file(tensors(fill=float("nan")), tmp_path / "weights.safetensors")
    assert "gives NaN or infinity on" in refused_search(tmp_path, with_network(tmp_path, weights="weights.safetensors"))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file(tensors(classes=7), tmp_path / "weights.safetensors")
    said = refused_search(tmp_path, with_network(tmp_path, weights="weights.safetensors"))
    assert "'1.bias' has shape (7,), but the network's has (10,)" in said
    save_file({"head": torch.zeros(3)}, tmp_path / "weights.safetensors")
    said = refused_search(tmp_path, with_network(tmp_path, weights="weights.safetensors"))
    assert "missing '1.weight', '1.bias'; unexpected 'head'" in said


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refused_search(tmp_path, with_network(tmp_path, weights="weights.safetensors"))


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_weights_that_are_cut_short_are_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"weights.{suffix}"
    torch.save(tensors(), file) if suffix == "pt" else save_file(tensors(), file)
    file.write_bytes(file.read_bytes()[:500])
    assert "get the file again" in refused_search(tmp_path, with_network(tmp_path, weights=file.name))


def as_pickle(file: Path) -> None:
    file.write_bytes(pickle.dumps(Malicious()))


def as_checkpoint(file: Path) -> None:
    torch.save({"1.weight": Malicious()}, file)


def as_archive(file: Path) -> None:
    np.savez(file, **{"1.weight": np.array([Malicious()], dtype=object)})


MALICIOUS = [("weights.pt", as_pickle), ("weights.pt", as_checkpoint), ("weights.pth", as_pickle)]
MALICIOUS += [("weights.npz", as_archive), ("weights.safetensors", as_pickle), ("weights.npz", as_pickle)]


@pytest.mark.parametrize(("name", "write"), MALICIOUS)
def test_a_malicious_file_of_weights_is_refused_and_not_executed(
    tmp_path: Path, name: str, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name)
    refused_search(tmp_path, with_network(tmp_path, weights=name))
    assert not (tmp_path / "MARK").exists()
    pickle.loads(pickle.dumps(Malicious()))  # it would have left this mark
    assert (tmp_path / "MARK").exists()


def test_a_pickled_classifier_is_refused_and_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    as_pickle(tmp_path / "teacher.pkl")
    said = refused_search(tmp_path, {"teacher": {"sklearn": "teacher.pkl"}})
    assert "refused, because loading a pickle can run code" in said
    assert not (tmp_path / "MARK").exists()


ANSWERS = [
    (np.zeros((1797, 7), "float32"), "answers with 7 classes, but task 'digits' has 10"),
    (np.zeros((5000, 10), "float32"), "answers 5000 rows, but task 'digits' has 1797"),
    (np.zeros((100, 10), "float32"), "has no answers for"),
    (np.zeros((1797, 10), "int64"), "holds int64 of shape (1797, 10); give floats"),
    (np.zeros((2, 1797, 10), "float32"), "has answers for 2 views, but task 'digits' has 1"),
    (np.full((1797, 10), np.inf, "float32"), "gives NaN or infinity on"),
]


@pytest.mark.parametrize(("answers", "words"), ANSWERS, ids=[words for _, words in ANSWERS])
def test_answers_that_do_not_fit_the_task_are_refused(tmp_path: Path, answers: Any, words: str) -> None:
    np.save(tmp_path / "answers.npy", answers)
    assert words in refused_search(tmp_path, {"teacher": {"outputs": str(tmp_path / "answers.npy")}})


def test_answers_that_are_no_probabilities_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "answers.npy", np.full((1797, 10), 3.0))
    teacher = {"outputs": str(tmp_path / "answers.npy"), "gives": "probabilities"}
    assert "a row sums to 30" in refused_search(tmp_path, {"teacher": teacher})


SECTIONS: list[tuple[Any, str]] = [
    (5, "teacher: 5 given; write {space: resnet, arch: {...}, epochs: 30}"),
    ([], "teacher: [] given; it should be a list of one or more"),
    ({"sklern": "x"}, "teacher: {'sklern': 'x'} given; it should be a mapping with one of the keys network, timm"),
    ({"space": "mlp", "arch": {"widths": [8]}, "epochs": 0}, "teacher.epochs: "),
    ({"space": "mlp", "arch": {}, "epochs": 1}, "space 'mlp' with arch {} cannot be built: KeyError: 'widths'"),
    ({"space": "mpl", "arch": {}, "epochs": 1}, "no search space is named 'mpl'"),
    (
        {"sklearn": "sklearn.svm:LinearSVC"},
        "does not give probabilities; give a classifier that has one, such as sklearn.calibration.",
    ),
    ({"sklearn": "sklearn.svm:SVC", "args": {"kernels": 1}}, "cannot be made"),
    ({"sklearn": "sklearn.linear_model:LogisticRegression", "weight": 2}, "'weight' is the share of one teacher"),
    ({"timm": "resnet18", "pretrained": False}, "an untrained network teaches nothing"),
    ({"onnx": "nothere.onnx"}, "no such file"),
    ("numpy:pi", "a float is not a teacher; give a torch module"),
    ("nothere.teacher", "no teacher is named 'nothere.teacher'"),
]


@pytest.mark.parametrize(("section", "words"), SECTIONS, ids=[str(section) for section, _ in SECTIONS])
def test_a_section_that_names_no_teacher_is_refused(tmp_path: Path, section: Any, words: str) -> None:
    assert words in refused_search(tmp_path, {"teacher": section})
