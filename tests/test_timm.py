"""A stand-in takes the place of timm, because timm needs torchvision, which does not import beside CPU torch."""

from __future__ import annotations

import fnmatch
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest
import torch
from command_line import refused_search
from torch import nn

from autokd.errors import InputError
from autokd.registry import resolve
from autokd.testing import TinyTask, check_space

DIGITS = TinyTask()
WIDE = 'timm(models="tiny_*|other", width=[4, 8], depth=(1, 2), bias=False)'


def tiny(in_chans: int = 3, num_classes: int = 1000, width: int = 16, bias: bool = True) -> nn.Module:
    pooled = [nn.Conv2d(in_chans, width, 3, padding=1, bias=bias), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*pooled, nn.Linear(4 * width, num_classes))


def other(in_chans: int = 3, num_classes: int = 1000, depth: int = 1) -> nn.Module:
    if depth > 3:
        raise ValueError("too deep")
    flat = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * in_chans, 8)]
    return nn.Sequential(*flat, *(nn.Linear(8, 8) for _ in range(depth)), nn.Linear(8, num_classes))


MODELS = {"tiny_a": tiny, "tiny_b": tiny, "other": other}


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What of timm is used: names by pattern, and networks by name, made without weights."""
    module: Any = ModuleType("timm")
    module.list_models = lambda pattern: fnmatch.filter(sorted(MODELS), pattern)

    def create_model(name: str, pretrained: bool, **arguments: Any) -> nn.Module:
        assert not pretrained
        return MODELS[name](**arguments)

    module.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


def test_the_contract_holds(timm: ModuleType) -> None:
    assert check_space(WIDE, DIGITS) == []
    assert check_space('timm(models="*")', TinyTask(input_shape=(3, 16, 16), num_outputs=2)) == []


def test_arguments_are_searched_where_a_model_takes_them(timm: ModuleType) -> None:
    space = resolve("search_spaces", WIDE)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    archs = [space.suggest(study.ask()) for _ in range(40)]
    assert {arch["model"] for arch in archs} == set(MODELS)
    for arch in archs:
        assert set(arch) == {"model", "depth" if arch["model"] == "other" else "width"}
    network = space.build({"model": "tiny_a", "width": 4}, DIGITS)
    assert network[0].bias is None
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_images_are_needed(timm: ModuleType) -> None:
    space = resolve("search_spaces", WIDE)
    with pytest.raises(ValueError, match=r"timm needs inputs of shape \(channels, height, width\), not \(64,\)"):
        space.build({"model": "tiny_a", "width": 4}, TinyTask(input_shape=(64,)))


def test_a_pattern_that_no_name_matches_is_refused(timm: ModuleType, tmp_path: Path) -> None:
    line = refused_search(tmp_path, {"space": 'timm(models="resnt*")'})
    assert "timm has no model whose name matches 'resnt*'; write patterns such as 'resnet*|vit_tiny*'" in line


def test_where_timm_cannot_be_imported_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"timm cannot be imported \(.*\): pip install 'autokd\[timm\]'"):
        resolve("search_spaces", "timm")
