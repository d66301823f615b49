"""A stand-in takes the place of timm, because timm needs torchvision, which does not import beside CPU torch."""

from __future__ import annotations

import fnmatch
import logging
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
from autokd.first_weights import put
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


class Attending(nn.Module):
    """Blocks one after the other, with query, key and value in one tensor, as a vision transformer of timm has them."""

    def __init__(self, in_chans: int = 3, num_classes: int = 1000, width: int = 8, depth: int = 4, patch: int = 4):
        super().__init__()
        self.pretrained_cfg = {"classifier": "head", "mean": (0.5,) * in_chans, "std": (0.25,) * in_chans}
        self.patch_embed = nn.Conv2d(in_chans, width, patch, patch)
        self.pos_embed = nn.Parameter(torch.randn(1, (8 // patch) ** 2, width))
        self.blocks = nn.ModuleList(nn.ModuleDict({"qkv": nn.Linear(width, 3 * width)}) for _ in range(depth))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            x = x + nn.functional.scaled_dot_product_attention(*block["qkv"](x).chunk(3, dim=-1))
        answer: torch.Tensor = self.head(x.mean(dim=1))
        return answer


MODELS = {"tiny_a": tiny, "tiny_b": tiny, "other": other}


def known(in_chans: int = 1) -> dict[str, torch.Tensor]:
    """The weights that timm has for `att`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return Attending(in_chans).state_dict()


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What of timm is used: names by pattern, and networks by name, of which `att` alone has weights."""
    module: Any = ModuleType("timm")
    models: dict[str, Any] = {**MODELS, "att": Attending}
    module.list_models = lambda pattern: fnmatch.filter(sorted(MODELS) if pattern == "*" else sorted(models), pattern)
    module.fetched = []

    def create_model(name: str, pretrained: bool, **arguments: Any) -> nn.Module:
        if pretrained and name == "tiny_a":
            module.fetched.append(name)
            raise FileNotFoundError("no connection")
        if pretrained and name != "att":
            raise RuntimeError(f"No pretrained weights exist for {name}.")
        network: nn.Module = models[name](**arguments)
        if pretrained:
            network.load_state_dict(known(arguments["in_chans"]))
        return network

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


# First weights


class Normalised(TinyTask):
    """Digits in bytes whose mean and deviation are known, as those of arrays are."""

    x, shift, divisor = torch.zeros(1, dtype=torch.uint8), (0.0,), (255.0,)


def test_pretrained_weights_are_those_of_timm_but_for_the_classes(
    timm: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    space = resolve("search_spaces", 'timm(models="att")').space
    student = space.build({"model": "att"}, DIGITS)
    with caplog.at_level(logging.WARNING, "autokd"):
        taken = put(student, space.pretrained({"model": "att"}, Normalised()), cut=True)
        space.pretrained({"model": "att"}, Normalised())
    assert taken.new == ("head.weight", "head.bias")
    assert all(torch.equal(student.state_dict()[name], known()[name]) for name in taken.whole)
    assert [record.getMessage() for record in caplog.records] == [
        "The weights of timm's att were trained on images of mean 0.5 and deviation 0.25, but students see images of "
        "mean 0 and deviation 1. Write task.normalise: {mean: [0.5], std: [0.25]} to have students see them alike."
    ]


def test_students_that_see_what_timm_says_need_no_word(timm: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    class Alike(Normalised):
        shift, divisor = (127.5,), (63.75,)

    space = resolve("search_spaces", 'timm(models="att")').space
    space.pretrained({"model": "att"}, Alike())
    space.pretrained({"model": "att"}, DIGITS)
    assert not caplog.records


def test_weights_that_timm_does_not_have_are_said(timm: ModuleType) -> None:
    space = resolve("search_spaces", 'timm(models="att|other|tiny_a", depth=(2, 4))').space
    with pytest.raises(
        ValueError, match=r"timm has no weights for 'other' with the arguments .*: No pretrained weights"
    ):
        space.pretrained({"model": "other", "depth": 2}, DIGITS)
    with pytest.raises(ValueError, match=r"timm has no weights for 'att' with the arguments .*: Error.* in loading"):
        space.pretrained({"model": "att", "depth": 2}, DIGITS)
    with pytest.raises(
        OSError, match=r"the weights of timm's 'tiny_a' cannot be fetched \(no connection\); fetch them"
    ):
        space.pretrained({"model": "tiny_a"}, DIGITS)


def test_a_network_that_is_missing_ends_a_search_at_the_first_try(timm: Any, tmp_path: Path) -> None:
    said = refused_search(tmp_path, {"space": 'timm(models="tiny_a")', "recipe": {"start": "pretrained"}})
    assert "recipe.start: 'pretrained' gives no weights: the weights of timm's 'tiny_a' cannot be fetched" in said
    assert timm.fetched == ["tiny_a"]


def test_a_student_of_the_teachers_own_architecture_is_the_teacher(timm: ModuleType) -> None:
    space = resolve("search_spaces", 'timm(models="att")').space
    teacher, student = (space.build({"model": "att"}, DIGITS) for _ in range(2))
    taken = put(student, space.inherit({"model": "att"}, {}, teacher.state_dict(), DIGITS), cut=True)
    assert not taken.cut + taken.new
    inputs = DIGITS.inputs(torch.arange(5))
    assert torch.equal(student(inputs), teacher(inputs))


def test_a_smaller_student_takes_spread_blocks_and_leading_parts(timm: ModuleType) -> None:
    space = resolve("search_spaces", 'timm(models="att", width=[4, 8], depth=(1, 4), patch=[2, 4])').space
    teacher = known()
    small = {"model": "att", "width": 4, "depth": 2, "patch": 4}
    student = space.build(small, DIGITS)
    taken = put(student, space.inherit(small, {}, teacher, DIGITS), cut=True)
    assert taken.new == ("head.weight", "head.bias")  # the teacher tells 1,000 classes apart
    state = student.state_dict()
    whole = teacher["blocks.3.qkv.weight"]
    leading = torch.cat([part[:4, :4] for part in whole.chunk(3)])
    assert torch.equal(state["blocks.1.qkv.weight"], leading)
    assert torch.equal(state["blocks.0.qkv.bias"], teacher["blocks.0.qkv.bias"].view(3, 8)[:, :4].flatten())
    assert torch.equal(state["pos_embed"], teacher["pos_embed"][..., :4])
    finer = {**small, "patch": 2}
    given = space.inherit(finer, {}, teacher, DIGITS)
    assert {"patch_embed.weight", "pos_embed"}.isdisjoint(given)
    assert "patch_embed.bias" in given
