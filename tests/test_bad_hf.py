"""Checkpoints of transformers that cannot be used are refused in one line, and nothing is left behind."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import refused_search
from conftest import needs
from test_task_texts import frame
from tiny_checkpoints import of_texts

pytestmark = needs("transformers")

ENTRY_POINTS = functools.cache(entry_points)
TEXT: dict[str, Any] = {"text": "text", "target": "label", "validation": 20, "test": 0.2}


@pytest.fixture(autouse=True)
def _installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plug-ins are looked up once, because each look reads the metadata of every installed package."""
    monkeypatch.setattr("autokd.registry.lookup.entry_points", ENTRY_POINTS)


def refused(folder: Path, hf: Path | str, *, task: dict[str, Any] = TEXT, **teacher: Any) -> str:
    frame().to_csv(folder / "films.csv", index=False)
    study = {"task": {"data": str(folder / "films.csv"), **task}, "teacher": {"hf": str(hf), **teacher}}
    return refused_search(folder, {**study, "space": "text(kind='bag')"})


def without(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).unlink()
    return folder


def with_config(folder: Path, **fields: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
    return folder


def pickled(folder: Path) -> Path:
    without(folder, "model.safetensors")
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")
    return folder


def cut(folder: Path, name: str) -> Path:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    return folder


def with_tokenizer_of(folder: Path, other: Path) -> Path:
    shutil.copy(other / "tokenizer.json", folder)
    return folder


def as_parts(folder: Path) -> Path:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return folder


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no weights": (lambda at: without(at, "model.safetensors"), "has no weights (model.safetensors)"),
    "no configuration": (lambda at: without(at, "config.json"), "has no config.json"),
    "no tokenizer": (lambda at: without(at, "tokenizer.json"), "has no tokenizer.json (nor a vocab.txt)"),
    "pickled weights": (pickled, "are pickled, and loading a pickle can run code, so they were not opened"),
    "half of the weights": (lambda at: cut(at, "model.safetensors"), "model.safetensors are not whole; copy the file"),
    "half of the files of weights": (as_parts, "model-00002-of-00002.safetensors are not whole"),
    "half a configuration": (lambda at: cut(at, "config.json"), "transformers cannot read"),
    "half a tokenizer": (lambda at: cut(at, "tokenizer.json"), "describes no tokenizer"),
    "an unknown type": (lambda at: with_config(at, model_type="brt"), "transformers cannot read"),
    "code of its own": (
        lambda at: with_config(at, model_type="mine", auto_map={"AutoConfig": "code.Mine"}),
        "transformers cannot read",
    ),
    "a classifier of images": (
        lambda at: with_config(at, model_type="vit"),
        "'vit', of which transformers has no classifier of texts",
    ),
    "another width": (lambda at: with_config(at, hidden_size=32), "has the shape (16,) in the weights in"),
    "another depth": (lambda at: with_config(at, num_hidden_layers=3), "lack 16 tensors of the network of its config"),
    "a tokenizer of another model": (
        lambda at: with_tokenizer_of(at, of_texts(at.with_name("other"), "roberta")),
        "pieces, and the network has embeddings for 23, so they do not belong together",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_folder_that_is_no_whole_checkpoint_is_refused(what: str, tmp_path: Path) -> None:
    make, words = BAD[what]
    said = refused(tmp_path, make(of_texts(tmp_path / "model", "bert")))
    assert words in said
    assert said.startswith("autokd: teacher.hf: ")


def test_labels_of_other_names_are_shown_beside_the_classes(tmp_path: Path) -> None:
    folder = of_texts(tmp_path / "model", "bert", labels=("sad", "happy"))
    said = refused(tmp_path, folder)
    assert "'model' answers for sad and happy, and task 'films' asks for bad and good" in said
    assert "write epochs: 1 to have a new head trained" in said


def test_a_network_without_a_head_needs_epochs(tmp_path: Path) -> None:
    said = refused(tmp_path, of_texts(tmp_path / "model", "bert", head=False))
    assert "'model' has no head for classes, because it was trained for another purpose; write epochs: 1" in said


def test_a_reading_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = of_texts(tmp_path / "model", "bert")
    assert "teacher.reading.length: 99 given, and 'model' reads at most 40" in refused(
        tmp_path, folder, reading={"length": 99}
    )
    said = refused(tmp_path, folder, reading={"tokenizer": "wordpiece"})
    assert "'model' does not know" in said
    assert "leave 'tokenizer' out of the teacher's reading" in said
    assert "teacher.reading.size: films is of texts" in refused(tmp_path, folder, reading={"size": 8})


def test_rows_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    folder = of_texts(tmp_path / "model", "bert")
    said = refused_search(tmp_path, {"teacher": {"hf": str(folder)}})
    assert "of which transformers has no classifier of images" in said
    frame().assign(a=[row % 7 + 0.5 for row in range(80)]).to_csv(tmp_path / "numbers.csv", index=False)
    task = {"data": str(tmp_path / "numbers.csv"), "target": "label", "drop": ["text", "author"]}
    said = refused_search(tmp_path, {"task": task, "teacher": {"hf": str(folder)}, "space": "table"})
    assert "'model' reads texts, and the rows of task 'numbers' are no texts" in said


@pytest.mark.parametrize("offline", [True, False])
def test_a_name_that_the_hub_does_not_give_is_refused(
    offline: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    os.mkdir(tmp_path / "hub")
    said = refused(tmp_path, "nobody/nothing")
    assert "there is no folder nobody/nothing, and the Hugging Face Hub did not give a checkpoint of this name" in said
    assert "run `hf download nobody/nothing` where there is a network" in said
    assert "there is no folder ./nothing/at/all;" in refused(tmp_path, "./nothing/at/all")


def test_training_that_cannot_be_done_is_refused_by_its_key(tmp_path: Path) -> None:
    folder = of_texts(tmp_path / "model", "bert")
    assert "teacher.epochs: -1 given" in refused(tmp_path, folder, epochs=-1)
    assert "teacher.batch_size: 1 given" in refused(tmp_path, folder, batch_size=1)
    assert "teacher.epoch: there is no such key; did you mean 'epochs'?" in refused(tmp_path, folder, epoch=1)
    assert "write a smaller 'teacher.lr'" in refused(tmp_path, folder, epochs=1, lr=1e30)
