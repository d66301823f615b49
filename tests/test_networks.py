from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from small import small_study
from torch import Tensor, nn

from autokd.driver import search_study
from autokd.errors import InfeasibleError
from autokd.networks import (
    as_given,
    call,
    contiguous,
    in_eval_mode,
    in_fast_format,
    laid_for,
    logits_in,
    materialised,
)
from autokd.study.teacher import TrainedSection
from autokd.teachers.networks import from_space
from autokd.teachers.weights import network_digest
from autokd.testing import TinyTask, check_space, describe_space

IMAGES = torch.randn(2, 8, 8, 3, generator=torch.Generator().manual_seed(0)).permute(0, 3, 1, 2)
GREY = torch.randn(2, 8, 8, 1, generator=torch.Generator().manual_seed(0)).permute(0, 3, 1, 2)


class Viewing(nn.Module):
    """A convolution whose maps, or whose inputs or weights, are flattened with `view`."""

    def __init__(self, what: str, channels: int = 3) -> None:
        super().__init__()
        self.what, self.convolution = what, nn.Conv2d(channels, 4, 3)
        self.head = nn.LazyLinear(10)

    def forward(self, x: Tensor) -> Tensor:
        if self.what == "weights":
            self.convolution.weight.view(4, -1)
        maps = x if self.what == "inputs" else self.convolution(x)
        return self.head(maps.view(x.size(0), -1) if self.what in ("maps", "inputs") else maps.flatten(1))


class Deep(nn.Module):
    """An image taken for a stack of slices."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.head = nn.Conv3d(1, 2, 3), nn.Linear(2 * 6 * 6, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.convolution(x[:, None]).flatten(1))


def made(network: nn.Module, inputs: Tensor) -> nn.Module:
    return materialised(network, torch.zeros(1, *inputs.shape[1:]))


@pytest.mark.parametrize("inputs", [IMAGES, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize("what", ["maps", "inputs", "weights"])
def test_a_network_that_flattens_with_view_gets_contiguous_inputs_and_keeps_its_weights(
    what: str, inputs: Tensor
) -> None:
    network = made(Viewing(what, inputs.shape[1]), inputs)
    weights = {name: (weight.clone(), weight.stride()) for name, weight in network.named_parameters()}
    network, laid = in_fast_format(network, inputs)
    if what == "maps" or inputs is IMAGES:  # one channel lies the same in both formats
        assert laid is contiguous
        for name, weight in network.named_parameters():
            assert weight.stride() == weights[name][1]
            assert torch.equal(weight, weights[name][0])
    network(laid(inputs)).sum().backward()
    assert network(laid_for(network, inputs)(inputs)).shape == (2, 10)


def test_a_convolution_in_three_dimensions_keeps_its_weights_and_gets_contiguous_inputs() -> None:
    network, laid = in_fast_format(Deep(), IMAGES)
    network(laid(IMAGES)).sum().backward()
    assert laid is contiguous


def test_other_networks_on_images_are_channels_last_and_take_inputs_as_they_are() -> None:
    network, laid = in_fast_format(made(Viewing("nothing"), IMAGES), IMAGES)
    assert laid is as_given
    assert laid_for(network, IMAGES) is as_given
    assert network.convolution.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr,operator]


@pytest.mark.parametrize("shape", [(2, 6), (2, 3, 5), (2, 1, 4, 4, 4)])
def test_inputs_that_are_no_images_have_no_format(shape: tuple[int, ...]) -> None:
    assert laid_for(nn.Flatten(), torch.zeros(shape)) is as_given


def test_asking_a_network_for_its_format_leaves_its_modes_and_the_random_state() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    network[1].eval()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    in_fast_format(network, IMAGES)
    laid_for(network, IMAGES)
    assert torch.equal(torch.rand(1), expected)
    assert [module.training for module in network] == [True, False, True]
    assert int(network[1].num_batches_tracked) == 0  # type: ignore[arg-type]


LENET = """
from torch import nn


def suggest(trial):
    return {"channels": trial.suggest_int("channels", 2, 12)}


class LeNet(nn.Module):
    def __init__(self, channels_in, channels, outputs):
        super().__init__()
        self.features, self.head = nn.Conv2d(channels_in, channels, 3), nn.Linear(channels * 36, outputs)

    def forward(self, x):
        y = self.features(x).relu()
        return self.head(y.view(x.size(0), -1))


def build(arch, task):
    return LeNet(task.input_shape[0], arch["channels"], task.num_outputs)
"""


def test_a_search_trains_students_that_flatten_with_view_as_those_that_flatten_otherwise(tmp_path: Path) -> None:
    scored = []
    for name, source in {"view": LENET, "flatten": LENET.replace("y.view(x.size(0), -1)", "y.flatten(1)")}.items():
        space = tmp_path / f"{name}.py"
        space.write_text(source)
        front = search_study(small_study(space=str(space), **{"budget.trials": 2}), run=tmp_path / name)
        assert front.trials["failed"] == 0
        scored.append({student.trial: student.values["accuracy"] for student in front})
    assert all(abs(scored[0][trial] - scored[1][trial]) < 0.05 for trial in scored[0].keys() & scored[1].keys())


LOGITS, LOSS = torch.ones(2, 3), torch.zeros(())
Named = namedtuple("Named", ["loss", "logits"])


@dataclass
class Output:
    """As the output objects of transformers."""

    logits: Tensor
    hidden_states: tuple[Tensor, ...]


@pytest.mark.parametrize(
    "given",
    [
        LOGITS,
        Output(LOGITS, (LOSS, LOSS)),
        {"loss": LOSS, "logits": LOGITS},
        OrderedDict(out=LOGITS),
        Named(LOSS, LOGITS),
        (LOGITS,),
        [LOGITS, None],
    ],
    ids=lambda given: type(given).__name__,
)
def test_the_answer_is_found_in_whatever_a_network_gives(given: Any) -> None:
    assert logits_in(given) is LOGITS


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((LOGITS, LOSS), "gives a tuple, not one tensor"),
        ({"a": LOGITS, "b": LOSS}, "gives a dict with a, b, not one tensor"),
        (None, "gives a NoneType, not one tensor; return the logits"),
    ],
)
def test_an_answer_that_could_be_several_things_is_refused_with_what_was_given(given: Any, words: str) -> None:
    with pytest.raises(InfeasibleError, match=words):
        logits_in(given)


def test_a_dict_is_passed_to_a_network_as_keywords() -> None:
    assert torch.equal(call(lambda ids, mask: ids * mask, {"ids": LOGITS, "mask": 2 * LOGITS}), 2 * LOGITS)


def test_each_module_is_left_in_its_own_mode() -> None:
    network = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    with in_eval_mode(network):
        assert not network[0].training
    assert [network.training, *(module.training for module in network)] == [True, True, False]


class Lazy:
    """A space whose layers find their inputs out by themselves."""

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {"width": trial.suggest_int("width", 3, 4)}

    def build(self, arch: dict[str, Any], task: Any) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(arch["width"]), nn.ReLU(), nn.LazyLinear(task.num_outputs))


def test_a_space_of_lazy_layers_is_sound_has_a_size_and_gives_teachers() -> None:
    task = TinyTask()
    assert check_space(Lazy(), task) == []
    assert describe_space(Lazy(), task).parameters_min == 64 * 3 + 3 + 3 * 10 + 10
    section = TrainedSection.model_construct(space=Lazy(), arch={"width": 3})  # type: ignore[arg-type]
    digests = set()
    for caller in (1, 2):
        torch.manual_seed(caller)
        digests.add(network_digest(from_space(section, task, seed=0)))
    assert len(digests) == 1
