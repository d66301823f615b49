"""What students of the shipped spaces take over of a teacher of the same space."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
import torch
from torch import Tensor, nn

from autokd.choices import suggest_arch
from autokd.first_weights import Taken, put
from autokd.readings import Column
from autokd.registry import resolve
from autokd.testing import TinyTask
from search_spaces.inheriting import spread

SPACES: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("mlp(width=(4, 16))", {"widths": [16, 16, 16, 16], "activation": "relu", "batch_norm": True}),
    "resnet": (
        "resnet(width=(3, 8), kernel=[1, 3, 5])",
        {"width": 8, "stages": [{"blocks": 3, "kernel": 3, "widen": 1}, {"blocks": 3, "kernel": 3, "widen": 2}]},
    ),
    "mobilenet": (
        "mobilenet(width=(3, 8), squeeze_excite=True)",
        {
            "width": 8,
            "activation": "relu",
            "stages": [
                {"blocks": 3, "kernel": 3, "expansion": 4, "squeeze_excite": True, "widen": 1},
                {"blocks": 3, "kernel": 3, "expansion": 4, "squeeze_excite": True, "widen": 2},
            ],
        },
    ),
    "vit": (
        "vit(patches_per_side=4)",
        {"patches_per_side": 4, "heads": 4, "head_width": 16, "mlp_ratios": [4, 4, 4, 4]},
    ),
}
"""A space by its reference, and the architecture of a teacher."""
EACH = pytest.mark.parametrize("name", SPACES)
TASK = TinyTask()


def trained(reference: str, arch: dict[str, Any], task: Any = TASK) -> nn.Module:
    """A network with numbers that a new one does not have."""
    torch.manual_seed(1)
    network: nn.Module = resolve("search_spaces", reference).build(arch, task)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor))
    return network.eval()


def inherited(
    reference: str, arch: dict[str, Any], teacher: nn.Module, teacher_arch: dict[str, Any], task: Any = TASK
) -> tuple[nn.Module, Taken]:
    """A new student after it began from a teacher."""
    space = resolve("search_spaces", reference)
    torch.manual_seed(2)
    student = space.build(arch, task)
    given = space.inherit(arch, teacher_arch, teacher.state_dict(), task)
    return student, put(student, given, cut=True)


def answers(network: nn.Module, task: Any = TASK) -> Tensor:
    with torch.no_grad():
        outputs: Tensor = network.eval()(task.inputs(torch.arange(16)))
        return outputs


def archs(reference: str, number: int = 24, task: Any = TASK) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [suggest_arch(resolve("search_spaces", reference), study.ask(), task) for _ in range(number)]


@EACH
def test_a_student_of_the_teachers_architecture_answers_as_the_teacher_to_the_bit(name: str) -> None:
    reference, arch = SPACES[name]
    teacher = trained(reference, arch)
    for own in (arch, {**arch, "side": 56}):  # a space with settings has `side`, and one without has not
        student, taken = inherited(reference, own, teacher, arch)
        assert (taken.cut, taken.new) == ((), ())
        assert torch.equal(answers(student), answers(teacher))


@EACH
def test_random_students_take_over_something_and_are_sound_networks(name: str) -> None:
    reference, teacher_arch = SPACES[name]
    teacher = trained(reference, teacher_arch)
    for arch in archs(reference):
        student, taken = inherited(reference, arch, teacher, teacher_arch)
        assert taken.whole or taken.cut
        outputs = answers(student)
        assert outputs.isfinite().all()
        student.train()(TASK.inputs(torch.arange(16))).sum().backward()
        assert all(weight.grad is not None for weight in student.parameters())


@EACH
def test_a_larger_student_than_its_teacher_takes_what_there_is(name: str) -> None:
    reference, arch = SPACES[name]
    small = min(archs(reference), key=lambda each: len(str(each)))
    _, taken = inherited(reference, arch, trained(reference, small), small)
    assert taken.whole or taken.cut


@EACH
def test_nothing_is_taken_over_of_a_network_of_another_space(name: str) -> None:
    space = resolve("search_spaces", SPACES[name][0])
    assert space.inherit(SPACES[name][1], {"model": "other"}, {"head.weight": torch.ones(10, 99)}, TASK) == {}


@EACH
def test_inheriting_draws_no_random_number(name: str) -> None:
    reference, arch = SPACES[name]
    teacher, space = trained(reference, arch), resolve("search_spaces", reference)
    before = torch.get_rng_state()
    space.inherit(arch, arch, teacher.state_dict(), TASK)
    assert torch.equal(torch.get_rng_state(), before)


COLUMNS = (Column("a", "number", 0, 1), Column("b", "number", 1, 2), Column("c", "category", 2, 5))
TABLE = TinyTask(input_shape=(5,), num_outputs=3, columns=COLUMNS)
NUMBERS = {"embedding": "linear", "width": 4}
TABLES: dict[str, dict[str, Any]] = {
    "mlp": {"numbers": NUMBERS, "category_width": 2, "width": 512, "depth": 4},
    "residual_mlp": {"numbers": NUMBERS, "category_width": 2, "width": 256, "hidden_ratio": 2, "blocks": 4},
    "transformer": {"numbers": {"embedding": "linear"}, "heads": 4, "head_width": 16, "hidden_ratios": [2, 2, 2]},
}
BODIES = pytest.mark.parametrize("body", TABLES)


@BODIES
def test_a_student_of_a_table_that_has_its_teachers_architecture_is_its_teacher(body: str) -> None:
    arch = {"body": body, **TABLES[body]}
    teacher = trained("table", arch, TABLE)
    student, taken = inherited("table", arch, teacher, arch, TABLE)
    assert (taken.cut, taken.new) == ((), ())
    assert torch.equal(answers(student, TABLE), answers(teacher, TABLE))


@BODIES
def test_random_students_of_a_table_take_over_something_of_the_same_body(body: str) -> None:
    teacher_arch = {"body": body, **TABLES[body]}
    teacher = trained("table", teacher_arch, TABLE)
    for arch in archs(f"table(body='{body}')", task=TABLE):
        student, taken = inherited("table", arch, teacher, teacher_arch, TABLE)
        assert taken.whole or taken.cut
        assert answers(student, TABLE).isfinite().all()


def test_a_student_of_a_table_takes_nothing_of_another_body_and_no_embedding_of_another_kind() -> None:
    teacher_arch = {"body": "mlp", **TABLES["mlp"]}
    weights = trained("table", teacher_arch, TABLE).state_dict()
    space = resolve("search_spaces", "table")
    other = {"body": "residual_mlp", **TABLES["residual_mlp"]}
    assert space.inherit(other, teacher_arch, weights, TABLE) == {}
    plain = {**teacher_arch, "numbers": {"embedding": "as_they_are"}}
    given = space.inherit(plain, teacher_arch, weights, TABLE)
    assert not any(name.startswith(("0.", "1.")) for name in given)
    assert {"3.weight", "9.weight"} <= given.keys()


def test_values_and_gates_are_cut_apart() -> None:
    teacher_arch = {"body": "transformer", **TABLES["transformer"]}
    teacher = trained("table", teacher_arch, TABLE)
    own = {**teacher_arch, "hidden_ratios": [1, 1, 1]}
    student, _ = inherited("table", own, teacher, teacher_arch, TABLE)
    here = student.state_dict()["1.mlp.1.bias"].unflatten(0, (2, 64))
    assert torch.equal(here, teacher.state_dict()["1.mlp.1.bias"].unflatten(0, (2, 128))[:, :64])


def test_blocks_are_spread_evenly_with_the_first_and_the_last() -> None:
    assert spread(3, 6) == [0, 2, 5]
    assert spread(6, 6) == [0, 1, 2, 3, 4, 5]
    assert spread(1, 4) == [0]
    assert spread(4, 2) == [0, 0, 1, 1]


def test_a_smaller_kernel_is_the_middle_of_the_teachers_and_a_larger_one_sees_no_more() -> None:
    reference, arch = SPACES["resnet"]
    teacher = trained(reference, arch)
    name = "stages.0.blocks.0.first.conv.weight"
    stages = arch["stages"][1:]
    for kernel, padding in ((1, -1), (5, 1)):
        own = {**arch, "stages": [{"blocks": 3, "kernel": kernel, "widen": 1}, *stages]}
        student, _ = inherited(reference, own, teacher, arch)
        middle = nn.functional.pad(teacher.state_dict()[name], [padding] * 4)
        assert torch.equal(student.state_dict()[name], middle)
    assert torch.equal(answers(student), answers(teacher))  # kernels with zeros around see the same pixels


def test_inputs_of_another_size_are_read_anew() -> None:
    reference, arch = SPACES["mlp"]
    teacher = trained(reference, arch)
    _, taken = inherited(reference, arch, teacher, arch, TinyTask(input_shape=(1, 4, 4)))
    assert "blocks.0.linear.weight" in taken.new


def test_heads_of_attention_keep_their_own_channels() -> None:
    reference, arch = SPACES["vit"]
    teacher, own = trained(reference, arch), {**arch, "heads": 2, "head_width": 8}
    student, _ = inherited(reference, own, teacher, arch)
    name = "blocks.0.attention.1.query_key_value.weight"
    here = student.state_dict()[name].unflatten(0, (3, 2, 8))
    there = teacher.state_dict()[name].unflatten(0, (3, 4, 16))
    assert torch.equal(here, there[:, :2, :8, :16])


def test_a_block_that_does_not_expand_takes_nothing_of_one_that_does() -> None:
    reference, arch = SPACES["mobilenet"]
    plain = [{**stage, "expansion": 1, "squeeze_excite": False} for stage in arch["stages"]]
    _, taken = inherited(reference, {**arch, "stages": plain}, trained(reference, arch), arch)
    assert {name.partition(".")[0] for name in taken.new} == {"stages"}
    assert not any(name.startswith("stages") for name in (*taken.whole, *taken.cut))
