"""Students of the space `hf` that begin as a part of a teacher of their kind, or of a model with weights of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from conftest import needs
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from autokd.first_weights import Taken, put
from autokd.testing import TinyTask
from search_spaces.hf import HFSpace
from search_spaces.hf_weights import _resized_patches, _spread

TEXTS = TinyTask(input_shape=(8,), vocabulary=50)
IMAGES = TinyTask(input_shape=(3, 16, 16))
BERT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": (1, 6),
    "num_attention_heads": 2,
    "intermediate_size": [8, 32],
}
KINDS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(["bert", "roberta", "electra", "deberta-v2", "albert", "modernbert"], BERT),
    "distilbert": {"dim": 16, "n_layers": (1, 6), "n_heads": 2, "hidden_dim": [8, 32]},
    "vit": {**BERT, "patch_size": 4},
    "convnext": {"patch_size": 2, "num_stages": 2, "hidden_sizes": [[8, 16], [16, 32]], "depths": [[1, 1], [1, 2]]},
}
EACH = pytest.mark.parametrize("kind", KINDS)

pytestmark = needs("transformers")


def task_of(kind: str) -> TinyTask:
    return IMAGES if kind in ("vit", "convnext") else TEXTS


def inputs_of(kind: str) -> Tensor:
    return (
        torch.randn(4, 3, 16, 16) if task_of(kind) is IMAGES else functional.pad(torch.randint(1, 50, (4, 6)), (0, 2))
    )


def largest(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: setting[-1] for name, setting in fields.items() if isinstance(setting, list | tuple)}


def teacher_of(space: HFSpace, arch: dict[str, Any], task: Any) -> Any:
    """A network with weights that differ from each other by more than rounding."""
    network = space.build(arch, task).eval()
    for weight in network.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return network


def unwrapped(teacher: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration, and the weights under the names that they have in the encoder itself."""
    prefix = f"{teacher.model.base_model_prefix}."
    weights = {name.removeprefix(prefix): value for name, value in teacher.model.state_dict().items()}
    return json.loads(teacher.model.config.to_json_string(use_diff=False)), weights


def begun(space: HFSpace, arch: dict[str, Any], teacher: Any, task: Any) -> tuple[Any, Taken]:
    student = space.build(arch, task).eval()
    return student, put(student, space.inherit(arch, *unwrapped(teacher), task), cut=True)


@given(layers=st.integers(1, 30), of=st.integers(1, 30))
def test_layers_are_spread_in_order_with_the_last_one_at_the_end(layers: int, of: int) -> None:
    found = [_spread(place, layers, of) for place in range(layers)]
    assert found == sorted(found)
    assert found[-1] == of - 1
    assert len(set(found)) == min(layers, of)


def test_of_six_layers_three_are_every_second_one() -> None:
    assert [_spread(place, 3, 6) for place in range(3)] == [1, 3, 5]
    assert [_spread(place, 2, 6) for place in range(2)] == [2, 5]
    assert [_spread(place, 6, 6) for place in range(6)] == [0, 1, 2, 3, 4, 5]


def test_patches_of_another_size_answer_alike_where_an_image_has_one_colour() -> None:
    kernel = torch.randn(5, 3, 8, 8)
    resized = _resized_patches(kernel, torch.Size([5, 3, 4, 4]))
    assert torch.allclose(resized.sum(dim=(2, 3)), kernel.sum(dim=(2, 3)), atol=1e-4)
    assert torch.equal(_resized_patches(kernel, torch.Size([5, 1, 8, 8])), kernel.sum(dim=1, keepdim=True))
    assert _resized_patches(kernel, kernel.shape) is kernel


@pytest.mark.slow
@EACH
def test_a_student_of_the_teachers_own_size_answers_as_the_teacher(kind: str) -> None:
    space, task, x = HFSpace(kind, **KINDS[kind]), task_of(kind), inputs_of(kind)
    teacher = teacher_of(space, largest(KINDS[kind]), task)
    student, taken = begun(space, largest(KINDS[kind]), teacher, task)
    assert (taken.new, taken.cut) == ((), ())
    assert torch.equal(student(x), teacher(x))


@pytest.mark.slow
@EACH
def test_a_smaller_student_takes_something_for_all_of_its_weights(kind: str) -> None:
    space, task = HFSpace(kind, **KINDS[kind]), task_of(kind)
    teacher = teacher_of(space, largest(KINDS[kind]), task)
    arch = {name: setting[0] for name, setting in KINDS[kind].items() if isinstance(setting, list | tuple)}
    student, taken = begun(space, arch, teacher, task)
    assert taken.new == ()
    assert student(inputs_of(kind)).isfinite().all()


@pytest.mark.slow
def test_a_shallow_student_has_every_second_layer_and_a_narrow_one_the_largest_units() -> None:
    space = HFSpace("bert", **BERT)
    teacher = teacher_of(space, {"num_hidden_layers": 6, "intermediate_size": 32}, TEXTS)
    large = [3, 4, 5, 9, 17, 20, 30, 31]
    for layer in teacher.model.bert.encoder.layer:
        layer.intermediate.dense.weight.data[large] *= 10
        layer.output.dense.weight.data[:, large] *= 10
    student, taken = begun(space, {"num_hidden_layers": 3, "intermediate_size": 8}, teacher, TEXTS)
    assert (taken.new, taken.cut) == ((), ())
    for layer, place in zip(student.model.bert.encoder.layer, (1, 3, 5), strict=True):
        source = teacher.model.bert.encoder.layer[place]
        assert torch.equal(layer.attention.self.query.weight, source.attention.self.query.weight)
        assert torch.equal(layer.intermediate.dense.weight, source.intermediate.dense.weight[large])
        assert torch.equal(layer.intermediate.dense.bias, source.intermediate.dense.bias[large])
        assert torch.equal(layer.output.dense.weight, source.output.dense.weight[:, large])
        assert torch.equal(layer.output.dense.bias, source.output.dense.bias)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_units_without_weight_can_be_left_out(kind: str) -> None:
    """Only half of the teacher's units do anything, and a student of that width answers as the teacher does."""
    space = HFSpace(kind, **{**BERT, "num_hidden_layers": [2], "intermediate_size": [16, 32]})
    teacher = teacher_of(space, {"num_hidden_layers": 2, "intermediate_size": 32}, TEXTS)
    for name, weight in teacher.named_parameters():
        if name.endswith(
            ("encoder.layer.0.output.dense.weight", "encoder.layer.1.output.dense.weight", "mlp.Wo.weight")
        ):
            weight.data[:, ::2] = 0
    student, taken = begun(space, {"num_hidden_layers": 2, "intermediate_size": 16}, teacher, TEXTS)
    assert (taken.new, taken.cut) == ((), ())
    x = inputs_of(kind)
    torch.testing.assert_close(student(x), teacher(x))


@pytest.mark.slow
def test_positions_are_those_of_the_same_places_in_a_text() -> None:
    """RoBERTa counts positions from the number of padding, which is 1 in its files and 0 for texts."""
    space = HFSpace("roberta", **BERT)
    arch = {"num_hidden_layers": 1, "intermediate_size": 8}
    teacher = HFSpace("roberta", **BERT, pad_token_id=1, vocab_size=50).build(arch, TinyTask(input_shape=(20,)))
    config, weights = unwrapped(teacher)
    given = space.inherit(arch, config, weights, TEXTS)
    taken = given["model.roberta.embeddings.position_embeddings.weight"]
    assert torch.equal(taken, teacher.model.roberta.embeddings.position_embeddings.weight[1:])


@pytest.mark.slow
def test_a_student_of_longer_texts_than_the_teachers_has_the_teachers_last_position_further_on() -> None:
    space = HFSpace("bert", **BERT)
    arch = {"num_hidden_layers": 1, "intermediate_size": 8}
    teacher = teacher_of(space, arch, TEXTS)
    student, taken = begun(space, arch, teacher, TinyTask(input_shape=(30,), vocabulary=50))
    assert taken.new == ()
    theirs, ours = (each.model.bert.embeddings.position_embeddings.weight for each in (teacher, student))
    assert torch.equal(ours[:10], theirs)
    assert (ours[10:] == theirs[-1]).all()


@pytest.mark.slow
def test_a_vit_of_other_images_has_the_teachers_positions_resized() -> None:
    space = HFSpace("vit", **{**BERT, "patch_size": [2, 4]})
    arch = {"num_hidden_layers": 1, "intermediate_size": 8}
    teacher = teacher_of(space, {**arch, "patch_size": 4}, IMAGES)
    for task, patch_size in ((TinyTask(input_shape=(1, 8, 8)), 2), (TinyTask(input_shape=(3, 8, 8)), 4)):
        student, taken = begun(space, {**arch, "patch_size": patch_size}, teacher, task)
        assert (taken.new, taken.cut) == ((), ())
        theirs, ours = (each.model.vit.embeddings.position_embeddings for each in (teacher, student))
        assert torch.equal(ours[:, :1], theirs[:, :1])
        torch.testing.assert_close(ours[:, 1:].mean(dim=1), theirs[:, 1:].mean(dim=1), atol=0.2, rtol=0)


@pytest.mark.slow
def test_embeddings_of_other_pieces_are_left_out() -> None:
    space = HFSpace("bert", **BERT)
    arch = {"num_hidden_layers": 1, "intermediate_size": 8}
    teacher = teacher_of(space, arch, TinyTask(input_shape=(8,), vocabulary=60))
    _, taken = begun(space, arch, teacher, TEXTS)
    assert taken.new == ("model.bert.embeddings.word_embeddings.weight",)


@pytest.mark.slow
def test_of_a_teacher_of_another_kind_is_taken_what_has_the_same_name() -> None:
    arch = {"num_hidden_layers": 1, "intermediate_size": 8}
    teacher = teacher_of(HFSpace("bert", **BERT), arch, TEXTS)
    _, taken = begun(HFSpace("distilbert", **KINDS["distilbert"]), {"n_layers": 1, "hidden_dim": 8}, teacher, TEXTS)
    assert "model.distilbert.embeddings.word_embeddings.weight" in taken.whole
    assert all("transformer.layer" in name or "classifier" in name for name in taken.new)


@pytest.mark.slow
def test_a_teacher_of_the_same_space_gives_the_same_as_one_from_transformers() -> None:
    space = HFSpace("bert", **BERT)
    arch = {"num_hidden_layers": 4, "intermediate_size": 32}
    teacher = teacher_of(space, arch, TEXTS)
    small = {"num_hidden_layers": 2, "intermediate_size": 8}
    one = space.inherit(small, *unwrapped(teacher), TEXTS)
    other = space.inherit(small, arch, dict(teacher.state_dict()), TEXTS)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
