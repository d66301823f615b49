from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import optuna
import pytest
import torch
from torch import nn

from autokd.errors import InputError
from autokd.objectives.costs import flops, peak_memory_mb
from autokd.registry import resolve
from autokd.testing import SearchSpaceContract, TinyTask, check_space, describe_space
from search_spaces import mlp, mobilenet, resnet, vit

DIGITS = TinyTask(input_shape=(1, 8, 8))
IMAGES = (DIGITS, TinyTask(input_shape=(1, 28, 28)), TinyTask(input_shape=(3, 32, 32)))
SPACES = pytest.mark.parametrize("space", [mlp, resnet, mobilenet, vit], ids=lambda each: each.__name__)
IMAGE_SPACES = pytest.mark.parametrize("space", [resnet, mobilenet, vit], ids=lambda each: each.__name__)


class TestMLP(SearchSpaceContract):
    space = mlp
    tasks = (*IMAGES, TinyTask(input_shape=(5,), num_outputs=2))


@pytest.mark.slow
class TestResNet(SearchSpaceContract):
    space = resnet
    tasks = IMAGES


@pytest.mark.slow
class TestMobileNet(SearchSpaceContract):
    space = mobilenet
    tasks = IMAGES


@pytest.mark.slow
class TestViT(SearchSpaceContract):
    space = vit
    tasks = IMAGES


def ask(count: int) -> list[optuna.Trial]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [study.ask() for _ in range(count)]


def sample(space: Any, count: int) -> list[dict[str, Any]]:
    return [space.suggest(trial) for trial in ask(count)]


@SPACES
@pytest.mark.parametrize("task", IMAGES, ids=lambda each: f"{each.input_shape[-1]}x{each.input_shape[-1]}")
def test_a_few_architectures_of_every_space_pass_the_check_at_every_size(space: ModuleType, task: TinyTask) -> None:
    assert check_space(space, task, samples=3, seed=1) == []


@SPACES
def test_digits_networks_range_from_less_than_a_thousand_to_less_than_a_million_parameters(space: ModuleType) -> None:
    summary = describe_space(space, DIGITS, samples=100)

    assert summary.parameters_min < 1_000
    assert 30_000 < summary.parameters_max < 1_000_000


@SPACES
def test_no_network_for_colour_images_exceeds_two_million_parameters(space: ModuleType) -> None:
    assert describe_space(space, IMAGES[2], samples=100).parameters_max < 2_000_000


@SPACES
def test_some_choices_exist_only_where_another_was_made(space: ModuleType) -> None:
    trials = ask(20)
    for trial in trials:
        space.suggest(trial)

    assert len({len(trial.params) for trial in trials}) > 1


@IMAGE_SPACES
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 5), (3, 7, 4)])
def test_image_spaces_take_images_of_any_size_and_side(space: ModuleType, shape: tuple[int, ...]) -> None:
    assert check_space(space, TinyTask(input_shape=shape, num_outputs=3), samples=3) == []


@IMAGE_SPACES
def test_image_spaces_refuse_what_is_no_image(space: ModuleType) -> None:
    name = space.__name__.removeprefix("search_spaces.")
    (arch,) = sample(space, 1)

    with pytest.raises(ValueError, match=rf"^{name} needs inputs of shape \(channels, height, width\), not \(64,\)$"):
        space.build(arch, TinyTask(input_shape=(64,)))


@SPACES
def test_a_network_learns_more_than_chance(space: ModuleType) -> None:
    task = TinyTask(seed=2)
    (arch,) = sample(space, 1)
    network = space.build(arch, task)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    train, validation = task.splits["train"], task.splits["validation"]
    for _ in range(40):
        optimizer.zero_grad()
        task.hard_loss(network(task.inputs(train)), task.targets(train)).backward()
        optimizer.step()

    with torch.no_grad():
        score = task.score(network.eval()(task.inputs(validation)), task.targets(validation))

    assert score > 2 * task.chance


@pytest.mark.slow
@SPACES
def test_every_space_can_be_exported_with_any_batch_size(space: ModuleType) -> None:
    for arch in sample(space, 3):
        network = space.build(arch, DIGITS).eval()
        inputs = DIGITS.inputs(torch.arange(5))
        dimensions = ({0: torch.export.Dim("batch")},)
        program = torch.export.export(network, (inputs[:2],), dynamic_shapes=dimensions).module()

        for rows in (inputs, inputs[:1]):
            torch.testing.assert_close(program(rows), network(rows))


def test_attention_of_a_vit_is_counted_as_flops() -> None:
    arch = {"patches_per_side": 2, "heads": 2, "head_width": 4, "mlp_ratios": [1]}
    patches, width = 4, 8
    embed = patches * 16 * width
    linear = patches * (3 + 1 + 1 + 1) * width * width
    attention = 2 * patches * patches * width
    head = width * 10

    counted = flops(vit.build(arch, DIGITS), DIGITS.inputs(torch.arange(1)))

    assert counted == 2 * (embed + linear + attention + head)


def test_a_vit_keeps_every_pixel_of_an_image_its_patches_do_not_divide() -> None:
    task = TinyTask(input_shape=(1, 7, 9))
    network = vit.build({"patches_per_side": 2, "heads": 1, "head_width": 4, "mlp_ratios": [1]}, task)
    inputs = task.inputs(torch.arange(1)).requires_grad_()

    network(inputs).square().sum().backward()

    assert inputs.grad is not None
    assert (inputs.grad != 0).all()


def test_a_resnet_of_zero_weights_in_its_blocks_passes_the_stem_on() -> None:
    arch = {"width": 4, "stages": [{"blocks": 1, "kernel": 3, "widen": 1}, {"blocks": 1, "kernel": 5, "widen": 2}]}
    network = resnet.build(arch, DIGITS).eval()
    stages = network.get_submodule("stages")
    for weight in stages.parameters():
        nn.init.zeros_(weight)

    stem = network.get_submodule("stem")(DIGITS.inputs(torch.arange(2)))
    blocks = stages(stem)

    assert torch.equal(blocks[:, :4], stem[:, :, ::2, ::2])
    assert not blocks[:, 4:].any()


def test_gradients_that_a_resnet_block_hands_down_are_channels_last() -> None:
    arch = {"width": 4, "stages": [{"blocks": 1, "kernel": 3, "widen": 1}, {"blocks": 1, "kernel": 3, "widen": 2}]}
    network = resnet.build(arch, DIGITS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = DIGITS.inputs(torch.arange(4)).to(memory_format=torch.channels_last)
    gradients: list[torch.Tensor] = []

    before = network.get_submodule("stages.0")(network.get_submodule("stem")(inputs))
    before.register_hook(gradients.append)
    network.get_submodule("stages.1")(before).sum().backward()

    assert gradients[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_search_spaces_import_neither_autokd_nor_optuna() -> None:
    program = (
        "import sys; from search_spaces import mlp, mobilenet, resnet, vit; "
        "print([name for name in ('autokd', 'optuna') if name in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"


SIDES = (8, 32, 96, 224)
SMALL = {
    "mlp": "mlp(width=(1, 4), depth=1, side=8)",
    "resnet": "resnet(width=(1, 4), stages=2, widen=1, kernel=3, blocks=1)",
    "mobilenet": "mobilenet(width=(1, 4), stages=2, widen=1, kernel=3)",
    "vit": "vit(depth=1, patches_per_side=[4, 8], heads=1, head_width=4, mlp_ratio=1, side=[16, 32])",
}
LARGE = {
    "mlp": "mlp(width=(2300, 2500), depth=(3, 4), side=[8, 16])",
    "resnet": "resnet(width=(60, 66), stages=4, blocks=2, widen=2, side=[14, 28])",
    "mobilenet": "mobilenet(width=(60, 70), stages=4, blocks=(3, 4), expansion=6, widen=2, side=[14, 28])",
    "vit": "vit(depth=(3, 5), patches_per_side=[7, 14], heads=[6, 8], head_width=64, mlp_ratio=(3, 4))",
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", SMALL)
def test_settings_reach_from_a_thousand_parameters_to_ten_million_at_every_size(name: str, side: int) -> None:
    task = TinyTask(input_shape=(3, side, side))
    assert describe_space(SMALL[name], task, samples=20).parameters_min <= 1_000
    assert describe_space(LARGE[name], task, samples=4).parameters_max >= 10_000_000


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", SMALL)
def test_small_networks_are_sound_at_every_size(name: str, side: int) -> None:
    assert check_space(SMALL[name], TinyTask(input_shape=(3, side, side)), samples=2) == []


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", LARGE)
def test_large_networks_are_sound_at_every_size(name: str, side: int) -> None:
    assert check_space(LARGE[name], TinyTask(input_shape=(3, side, side)), samples=1) == []


@pytest.mark.parametrize("name", ["resnet", "mobilenet", "vit"])
def test_an_image_of_224_pixels_costs_at_most_a_few_times_one_of_56(name: str) -> None:
    space, (trial,) = resolve("search_spaces", f"{name}()"), ask(1)
    arch = space.suggest(trial)
    small, large = (
        flops(space.build(arch, TinyTask(input_shape=(3, side, side))), torch.zeros(1, 3, side, side))
        for side in (56, 224)
    )
    assert large < 6 * small


@SPACES
def test_a_space_with_settings_picks_as_the_space_does_without(space: ModuleType) -> None:
    plain, with_settings = sample(space, 10), sample(space.Space(), 10)
    assert with_settings == [{**arch, "side": 56} for arch in plain]


@SPACES
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 56, 41)])
def test_images_of_56_pixels_are_read_alike_with_settings_and_without(
    space: ModuleType, shape: tuple[int, ...]
) -> None:
    task = TinyTask(input_shape=shape)
    (arch,) = sample(space, 1)
    assert repr(space.build(arch, task)) == repr(space.build({**arch, "side": 56}, task))


def test_settings_are_choices_ranges_or_fixed_values_and_fixed_ones_are_in_the_arch() -> None:
    space = resolve("search_spaces", "mobilenet(width=(8, 64), stages=2, kernel=[5, 7], expansion=4, side=[16, 32])")
    for trial in ask(10):
        arch = space.suggest(trial)
        assert 8 <= arch["width"] <= 64
        assert arch["side"] in (16, 32)
        assert [(stage["kernel"] in (5, 7), stage["expansion"]) for stage in arch["stages"]] == [(True, 4)] * 2
        assert not {"num_stages", "expansion_0"} & trial.params.keys()


def test_stages_of_several_blocks_have_the_smallest_kernel() -> None:
    space = resolve("search_spaces", "resnet(kernel=[7, 5], blocks=(1, 3), stages=4)")
    stages = [stage for arch in sample(space, 10) for stage in arch["stages"]]
    assert {stage["kernel"] for stage in stages if stage["blocks"] > 1} == {5}
    assert {stage["kernel"] for stage in stages if stage["blocks"] == 1} == {5, 7}


@SPACES
def test_the_same_part_of_two_students_has_the_same_name_and_kind(space: ModuleType) -> None:
    kinds: dict[str, set[str]] = {}
    for arch in sample(space, 20):
        for name, module in space.build(arch, DIGITS).named_modules():
            kinds.setdefault(name, set()).add(type(module).__name__)
    of_one_kind = {name for name, found in kinds.items() if len(found) == 1}
    assert {name for name in kinds if not name.endswith("activation")} <= of_one_kind
    assert "head" in of_one_kind


@SPACES
def test_weights_are_named_by_stage_and_block(space: ModuleType) -> None:
    (arch,) = sample(space, 1)
    groups = {name.split(".")[0] for name, _ in space.build(arch, DIGITS).named_parameters()}
    assert groups <= {"stem", "patches", "stages", "blocks", "norm", "head"}


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("mobilenet(widht=(8, 64))", "TypeError: there is no setting 'widht'; did you mean 'width'?"),
        ("mobilenet(width=(64, 8))", "width=(64, 8) is no range; write (low, high) with low below high"),
        ("mobilenet(width=0)", "width=0 is not allowed; write a whole number of at least 1, a list of such numbers"),
        ("resnet(width=(3.0, 8.0))", "width=(3.0, 8.0) is not allowed"),
        ("resnet(kernel=4)", "kernel=4 is not allowed; write one of 1, 3, 5, 7, 9, 11, or a list of some"),
        ("resnet(kernel=(3, 7))", "kernel=(3, 7) is not allowed"),
        ("mlp(activation='swish')", "activation='swish' is not allowed; write one of 'relu', 'gelu', 'silu', 'tanh'"),
        ("mlp(batch_norm=1)", "batch_norm=1 is not allowed; write one of False, True"),
        ("mlp(depth=[])", "depth=[] holds no choice"),
        ("vit(patches_per_side=[8, 65])", "patches_per_side=[8, 65] is not allowed; write a whole number from 1 to 64"),
        ("table(category_width=-1)", "category_width=-1 is not allowed; write a whole number of at least 0"),
        ("search_spaces.names(a=1)", "is of type module and takes no settings, because it has no class Space"),
    ],
)
def test_settings_that_cannot_be_are_said_in_one_line(reference: str, says: str) -> None:
    with pytest.raises(InputError) as refusal:
        resolve("search_spaces", reference)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


@SPACES
def test_a_task_of_texts_is_refused_with_the_name_of_the_space_for_texts(space: ModuleType) -> None:
    name = space.__name__.removeprefix("search_spaces.")
    (arch,) = sample(space, 1)

    class Texts:
        input_shape, num_outputs, vocabulary = (16,), 2, 100

    with pytest.raises(ValueError, match=rf"^{name} .*; use the space text$"):
        space.build(arch, Texts())


@SPACES
def test_names_in_groups_cost_no_memory(space: ModuleType) -> None:
    for arch in sample(space, 3):
        network, inputs = space.build(arch, DIGITS), torch.zeros(1, *DIGITS.input_shape)
        assert peak_memory_mb(network, inputs) == peak_memory_mb(network.with_earlier_names(), inputs)
