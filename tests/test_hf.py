from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import autokd, refused_search, write_study
from conftest import needs
from torch.nn import functional

import autokd as package
from autokd.registry import reference_of, resolve
from autokd.tasks import from_arrays
from autokd.testing import TinyTask, check_space

pytestmark = [needs("transformers"), pytest.mark.slow]  # it takes seconds to import

SMALL = 'hf(model="vit", hidden_size=[16, 32], num_hidden_layers=(1, 2), num_attention_heads=2, intermediate_size=32)'
CONVNEXT = 'hf(model="convnext", patch_size=2, num_stages=2, hidden_sizes=[[8, 16], [16, 32]], depths=[[1, 1], [1, 2]])'
BERT = (
    'hf(model="bert", vocab_size=20, hidden_size=[16, 32], num_hidden_layers=(1, 2), num_attention_heads=2, '
    "intermediate_size=32)"
)


def tokens() -> Any:
    """Sequences of eight ids, padded with 0; the class is which of two ids begins them."""
    random = np.random.default_rng(0)
    ids = random.integers(5, 20, size=(120, 8))
    labels = np.arange(120) % 2
    ids[:, 0] = labels + 3
    ids[::3, 5:] = 0
    return from_arrays(ids.astype(np.float32), labels, name="tokens", normalise="none")


@pytest.mark.parametrize(
    ("reference", "task"),
    [
        ("hf", TinyTask()),
        (SMALL, TinyTask(input_shape=(3, 16, 16))),
        (CONVNEXT, TinyTask(input_shape=(3, 16, 16))),
        (BERT, tokens()),
    ],
    ids=["default", "vit", "convnext", "bert"],
)
def test_the_contract_holds(reference: str, task: Any) -> None:
    assert check_space(reference, task, samples=4) == []


def test_padding_changes_nothing() -> None:
    space = resolve("search_spaces", BERT)
    student = space.build({"hidden_size": 16, "num_hidden_layers": 1}, tokens()).eval()
    ids = torch.tensor([[3.0, 7, 8, 9, 0, 0, 0, 0]])
    torch.testing.assert_close(student(ids), student(ids[:, :4]))


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_texts_give_their_vocabulary_and_their_padding_changes_nothing(model: str) -> None:
    fields = "hidden_size=[16, 32], num_hidden_layers=1, num_attention_heads=2, intermediate_size=32"
    task = TinyTask(input_shape=(8,), vocabulary=50)
    space = resolve("search_spaces", f"hf(model={model!r}, {fields})")
    network = space.build({"hidden_size": 16}, task).eval()
    assert network.model.config.vocab_size == 50
    ids = torch.randint(1, 50, (3, 5))
    assert torch.allclose(network(ids), network(functional.pad(ids, (0, 3))), atol=1e-5)


def test_the_patch_size_divides_the_image() -> None:
    space = resolve("search_spaces", "hf")

    class First:
        def suggest_categorical(self, name: str, choices: Any) -> Any:
            return choices[0] if name != "patch_size" else list(choices)

        def suggest_int(self, name: str, low: int, high: int, log: bool) -> int:
            return low

    for side, sizes in [(8, [1, 2, 4]), (28, [4, 7, 14]), (32, [4, 8, 16]), (7, [1])]:
        assert space.suggest(First(), TinyTask(input_shape=(1, side, side)))["patch_size"] == sizes


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        (
            'hf(model="vi", hidden_size=[16])',
            "'vi' is no type of models in transformers and no folder; write a type such",
        ),
        ("hf(hiden_size=[3])", "vit has no field 'hiden_size'; did you mean 'hidden_size'?"),
        ("hf(hidden_size=32)", "no field is searched; give a field choices or a range, such as hidden_size=[32, 64]"),
        ("hf(hidden_size=(3, 1))", "hidden_size=(3, 1) is no range; write (low, high) with low below high, or a list"),
        ("hf(hidden_size=[])", "hidden_size=[] holds no choice"),
        ("hf(vit)", "(vit) are not settings; write (key=value, ...)"),
        (BERT, "bert reads sequences, and inputs of shape (1, 8, 8) are images"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(reference: str, says: str, tmp_path: Path) -> None:
    assert says in refused_search(tmp_path, {"space": reference})


def test_settings_are_part_of_the_reference() -> None:
    assert reference_of(resolve("search_spaces", SMALL)) == SMALL


def test_a_vit_is_searched_exported_and_loaded_by_the_name_in_its_folder(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    study = write_study(tmp_path, {"space": SMALL, "budget.trials": 2, "budget.rungs": [1], "budget.reseeds": 0})
    assert autokd("search", study, "--run", run).code == 0
    trial = str(json.loads(autokd("pick", run, "--json").out)["trial"])
    assert autokd("export", run, out / "student.safetensors", "--trial", trial).code == 0
    assert package.load_student(out)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
