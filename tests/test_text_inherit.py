"""Students of texts begin with the embeddings of any network for texts, and with layers of a teacher of their kind."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
import torch
from test_text_space import ARCHS, EACH, TEXTS, ids_of, network_of
from torch import Tensor, nn

from autokd.first_weights import Taken, put
from autokd.registry import resolve, sources_of
from search_spaces import text

WIDE: dict[str, Any] = {"kind": "bag", "embedding": 9, "dropout": 0.0, "pooling": "mean", "hidden": []}


def teacher_of(arch: dict[str, Any]) -> tuple[nn.Module, dict[str, Tensor]]:
    torch.manual_seed(7)
    network = text.build(arch, TEXTS).eval()
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.5)
    return network, dict(network.state_dict())


def begun(arch: dict[str, Any], teacher_arch: dict[str, Any], weights: dict[str, Tensor]) -> tuple[nn.Module, Taken]:
    student = network_of(arch)
    return student, put(student, text.inherit(arch, teacher_arch, weights, TEXTS), cut=True)


@EACH
def test_a_student_of_the_architecture_of_its_teacher_is_its_teacher(arch: dict[str, Any]) -> None:
    teacher, weights = teacher_of(arch)
    student, taken = begun(arch, arch, weights)
    assert (taken.cut, taken.new) == ((), ())
    assert student(ids_of(5, 12, 1)).equal(teacher(ids_of(5, 12, 1)))


@pytest.mark.parametrize("kind", ["linear bag", "cnn", "transformer"])
def test_embeddings_that_fit_into_fewer_numbers_lose_nothing(kind: str) -> None:
    """The rows of the teacher's embeddings differ in three directions only.

    A convolution is this exact where it sees no places beyond the ends of a text.
    """
    arch = {**ARCHS[kind], "embedding": 8, **({"kernels": [1]} if kind == "cnn" else {})}
    teacher, weights = teacher_of(arch)
    weights["embedding.table.weight"].copy_(torch.randn(40, 3) @ torch.randn(3, 8) + 1)
    student, taken = begun({**arch, "embedding": 3}, arch, weights)
    assert taken.new == ()
    torch.testing.assert_close(student(ids_of(12, 5)), teacher(ids_of(12, 5)), rtol=0, atol=1e-4)


@EACH
def test_any_network_for_texts_gives_its_embeddings(arch: dict[str, Any]) -> None:
    weights = {
        "embeddings.position_embeddings.weight": torch.zeros(40, 9),
        "embeddings.word_embeddings.weight": torch.randn(40, 9),
        "classifier.weight": torch.zeros(40, 9),
    }
    student, taken = begun(arch, {"model_type": "bert"}, weights)
    assert taken.whole == ("embedding.table.weight",)
    table = student.get_parameter("embedding.table.weight")
    assert table.abs().sum() > 0
    assert table.mean(dim=0).abs().max() < 1e-5  # the components are around the mean


def test_embeddings_of_the_same_width_are_taken_as_they_are_and_wider_ones_are_filled_up() -> None:
    weights = {"word_embeddings.weight": torch.randn(40, 9)}
    same, _ = begun(WIDE, {}, weights)
    assert same.get_parameter("embedding.table.weight").equal(weights["word_embeddings.weight"])
    wider, _ = begun({**WIDE, "embedding": 11}, {}, weights)
    table = wider.get_parameter("embedding.table.weight")
    assert table[:, :9].equal(weights["word_embeddings.weight"])
    assert not table[:, 9:].any()


def test_components_are_those_in_which_tokens_differ_most_with_the_same_signs_each_time() -> None:
    weights = {"word_embeddings.weight": torch.randn(40, 9) * torch.tensor([9.0, 1, 1, 1, 4, 1, 1, 1, 1])}
    one, other = (begun({**WIDE, "embedding": 2}, {}, weights)[0] for _ in range(2))
    table = one.get_parameter("embedding.table.weight")
    assert table.equal(other.get_parameter("embedding.table.weight"))
    for column, axis in ((0, 0), (1, 4)):
        seen = torch.stack([table[:, column], weights["word_embeddings.weight"][:, axis]])
        assert torch.corrcoef(seen)[0, 1] > 0.9


def test_a_teacher_without_embeddings_gives_nothing() -> None:
    assert text.inherit(ARCHS["bag"], {}, {"weight": torch.zeros(3, 3), "bias": torch.zeros(40)}, TEXTS) == {}


def test_blocks_are_evenly_spread_and_end_with_the_last() -> None:
    arch = {**ARCHS["transformer"], "hidden_ratios": [1, 2, 1, 2]}
    _, weights = teacher_of(arch)
    student, taken = begun({**arch, "hidden_ratios": [2, 2]}, arch, weights)
    assert taken.new == ()
    for place, source in enumerate((1, 3)):
        name = "mlp.1.weight"
        assert student.get_parameter(f"blocks.{place}.{name}").equal(weights[f"blocks.{source}.{name}"])


def test_fewer_heads_are_the_first_heads() -> None:
    arch = ARCHS["transformer"]
    _, weights = teacher_of(arch)
    student, _ = begun({**arch, "heads": 1}, arch, weights)
    name = "blocks.0.attention.query_key_value.weight"
    wide, narrow = weights[name].view(3, 2, 4, 8), student.get_parameter(name).view(3, 1, 4, 4)
    assert narrow.equal(wide[:, :1, :, :4])


def test_any_student_can_begin_from_any_teacher() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    archs = [text.Space(embedding=(1, 12), hidden=(2, 9), channels=(2, 9)).suggest(study.ask()) for _ in range(12)]
    for teacher_arch in archs[:6]:
        _, weights = teacher_of(teacher_arch)
        for arch in archs:
            student, taken = begun(arch, teacher_arch, weights)
            assert "embedding.table.weight" in taken.whole
            assert student(ids_of(5, 2)).isfinite().all()


def test_a_run_from_before_recognises_the_code_of_text() -> None:
    found = sources_of(resolve("search_spaces", "text"))
    assert found["search_spaces/text.py"] == "720f1321cd12aa555bac8ee2455626f128cf8aecfdfbdc4c2c440cc68d641325"
    assert "search_spaces/text_inherit.py" not in found
