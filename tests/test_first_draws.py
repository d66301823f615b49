"""The script that compares first weights draws them as it says, and compares in pairs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from claims import load_claim
from small import small_context
from torch import Tensor, nn

from autokd.trial import Context

claim = load_claim("first_draws")

ARCH = {"widths": [6, 4], "activation": "relu", "batch_norm": False}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return small_context(tmp_path_factory.mktemp("run"))


def tensors(student: nn.Module) -> dict[str, Tensor]:
    return student.state_dict()


def test_all_ways_draw_the_same_weights_for_the_same_seed_and_others_for_another(context: Context) -> None:
    for draw in claim.DRAWS.values():
        first, same, other = (tensors(draw(context, ARCH, seed)) for seed in (1, 1, 2))
        assert all(torch.equal(first[name], same[name]) for name in first)
        assert not all(torch.equal(first[name], other[name]) for name in first)


def test_kaiming_weights_have_the_variance_that_the_number_of_inputs_says(context: Context) -> None:
    student = claim.kaiming(context, ARCH | {"widths": [400, 300]}, 0)
    first, second, head = claim.layers_of(student)
    for layer, variance in ((first, 2 / 64), (second, 2 / 400), (head, 1 / 300)):
        assert float(layer.weight.detach().var()) == pytest.approx(variance, rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_answers_of_each_layer_have_variance_1_after_lsuv(context: Context, batch_norm: bool) -> None:
    student = claim.lsuv(context, ARCH | {"batch_norm": batch_norm}, 0)
    task: Any = context.task
    rows = torch.cat([task.splits["train"], task.splits["transfer"]])
    for layer in claim.layers_of(student):
        assert claim.spread_of(student, layer, task.inputs(rows)) == pytest.approx(1, abs=0.3)


def test_lsuv_leaves_the_statistics_of_batch_norm_as_they_were(context: Context) -> None:
    arch = ARCH | {"batch_norm": True}
    plain, scaled = dict(claim.own(context, arch, 0).named_buffers()), claim.lsuv(context, arch, 0).named_buffers()
    assert all(torch.equal(plain[name], value) for name, value in scaled)


def test_slices_are_the_leading_parts_of_a_larger_network_of_the_same_space(context: Context) -> None:
    student = tensors(claim.slices(context, ARCH, 0))
    large = tensors(claim.own(context, claim.larger(ARCH), 0))
    for name, tensor in student.items():
        assert torch.equal(tensor, large[name][tuple(slice(size) for size in tensor.shape)])
    assert large["blocks.0.linear.weight"].shape == (claim.LARGE["widths"], 64)


def test_larger_changes_widths_alone() -> None:
    arch = {"width": 4, "stages": [{"blocks": 1, "widen": 2}], "numbers": {"embedding": "linear", "width": 2}}
    assert claim.larger(arch) == {
        "width": claim.LARGE["width"],
        "stages": [{"blocks": 1, "widen": 2}],
        "numbers": {"embedding": "linear", "width": claim.LARGE["width"]},
    }


def test_a_head_of_zeros_answers_all_rows_alike(context: Context) -> None:
    student = claim.zero_head(context, ARCH, 0)
    assert not student(context.task.inputs(torch.arange(5))).any()
    assert tensors(student)["blocks.0.linear.weight"].any()


def test_architectures_are_of_the_two_ranges_and_the_same_each_time(context: Context) -> None:
    found = claim.architectures(context, 2)
    assert found == claim.architectures(context, 2)
    for low, high in claim.BINS:
        assert sum(low <= size <= high for size in found.values()) == 2


def cell(arch: str, seed: int, draw: str, lr: float, validation: float, test: float) -> dict[str, Any]:
    found = {"setting": "digits, mlp", "arch": arch, "seed": seed, "draw": draw, "lr": lr, "parameters": 500}
    return found | {"validation": validation, "test": test}


def test_each_way_is_compared_at_its_best_rate_on_validation_and_in_pairs_on_test() -> None:
    cells = [
        cell("a", 0, "own", 0.1, 0.8, 0.7),
        cell("a", 0, "own", 0.01, 0.7, 0.9),  # better on test, which does not choose
        cell("a", 0, "lsuv", 0.1, 0.1, 0.1),
        cell("a", 0, "lsuv", 0.01, 0.9, 0.8),
        cell("b", 0, "own", 0.1, 0.8, 0.6),
        cell("b", 1, "own", 0.1, 0.8, 0.5),
        cell("b", 0, "lsuv", 0.01, 0.9, 0.8),
        cell("b", 2, "lsuv", 0.01, 0.9, 0.0),  # without its pair
    ]
    rates = claim.best_rates(cells)
    assert rates == {"own": 0.1, "lsuv": 0.01}
    assert claim.gains(cells, rates, "lsuv") == pytest.approx([0.1, 0.2])
    row = " ".join(claim.table(cells).splitlines()[1].split())
    assert row.startswith("digits, mlp 300-1500 2 0.600 at 0.1 - at nan +0.1500 +- 0.0500 at 0.01")
