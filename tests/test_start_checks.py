"""`autokd check` and the contract of search spaces find what is wrong with `inherit` and `pretrained`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from linear_space import TASK
from torch import nn

from autokd.testing import check_space


def suggest(trial: Any) -> dict[str, Any]:
    return {"width": trial.suggest_categorical("width", [4, 6, 8])}


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    sizes = torch.Size(task.input_shape).numel()
    return nn.Sequential(
        nn.Flatten(), nn.Linear(sizes, arch["width"]), nn.ReLU(), nn.Linear(arch["width"], task.num_outputs)
    )


def findings(**functions: Any) -> list[str]:
    return check_space(SimpleNamespace(suggest=suggest, build=build, **functions), TASK)


def everything(arch: Any, teacher_arch: Any, teacher_weights: Any) -> Any:
    return teacher_weights


def test_a_space_that_slices_is_sound() -> None:
    assert findings(inherit=everything) == []
    assert findings(inherit=lambda arch, teacher_arch, teacher_weights, task: teacher_weights) == []


def all_but_the_head(arch: Any, teacher_arch: Any, teacher_weights: Any) -> Any:
    return {name: tensor for name, tensor in teacher_weights.items() if not name.startswith("3.")}


def transposed(arch: Any, teacher_arch: Any, teacher_weights: Any) -> Any:
    return {"1.weight": teacher_weights["1.weight"].T}


def shuffled(arch: Any, teacher_arch: Any, teacher_weights: Any) -> Any:
    return teacher_weights | {"1.weight": teacher_weights["1.weight"].flip(0)}


BAD = [
    (
        all_but_the_head,
        "as the teacher does after inherit; 3.weight, 3.bias is new: let inherit give all",
    ),
    (transposed, "inherit gives what does not fit: the first weights of '1.weight' have"),
    (shuffled, "a student of the teacher's own architecture does not answer as the teacher does after inherit: let"),
    (lambda arch, teacher_arch, teacher_weights: {}, "after inherit; everything is new"),
    (lambda arch, teacher_arch, teacher_weights: None, "`inherit` gave a NoneType; let it give tensors by name"),
    (lambda arch, teacher_arch, teacher_weights: teacher_arch["depth"], "inherit raised KeyError: 'depth'"),
]


@pytest.mark.parametrize(("inherit", "words"), BAD, ids=[words[:50] for _, words in BAD])
def test_what_is_wrong_with_inherit_is_said_with_the_architectures(inherit: Any, words: str) -> None:
    (finding,) = findings(inherit=inherit)
    assert words in finding
    assert "with a teacher of arch {'width': 8}" in finding


def raises_key_error(arch: Any, task: Any) -> Any:
    raise KeyError("width")


def has_none(arch: Any, task: Any) -> Any:
    raise ValueError("there are no weights of this width")


def test_pretrained_may_say_that_it_has_no_weights_but_what_it_gives_must_fit() -> None:
    assert findings(pretrained=has_none) == []
    assert findings(pretrained=lambda arch, task: build(arch, task).state_dict()) == []
    (finding,) = findings(pretrained=raises_key_error)
    assert "pretrained raised KeyError: 'width': raise ValueError where there are no such weights" in finding
    (finding,) = findings(pretrained=lambda arch, task: {"1.weight": torch.ones(2, 2)})
    assert "pretrained gives what does not fit" in finding
