from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import optuna
import pytest
import torch
from torch import nn

from autokd.objectives.costs import flops
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


def sample(space: ModuleType, count: int) -> list[dict[str, Any]]:
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
    assert isinstance(network, nn.Sequential)
    for block in network[2:4]:
        for weight in block.parameters():
            nn.init.zeros_(weight)
    inputs = DIGITS.inputs(torch.arange(2))

    stem, blocks = network[:2](inputs), network[:4](inputs)

    assert torch.equal(blocks[:, :4], stem[:, :, ::2, ::2])
    assert not blocks[:, 4:].any()


def test_gradients_that_a_resnet_block_hands_down_are_channels_last() -> None:
    arch = {"width": 4, "stages": [{"blocks": 1, "kernel": 3, "widen": 1}, {"blocks": 1, "kernel": 3, "widen": 2}]}
    network = resnet.build(arch, DIGITS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = DIGITS.inputs(torch.arange(4)).to(memory_format=torch.channels_last)
    gradients: list[torch.Tensor] = []

    before = network[:3](inputs)
    before.register_hook(gradients.append)
    network[3:](before).sum().backward()

    assert gradients[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_search_spaces_import_neither_autokd_nor_optuna() -> None:
    program = (
        "import sys; from search_spaces import mlp, mobilenet, resnet, vit; "
        "print([name for name in ('autokd', 'optuna') if name in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"
