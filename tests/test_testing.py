from __future__ import annotations

import random
from itertools import count
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from linear_space import TASK, Linear, WrongWidth, pick_width, space_of, space_with
from torch import Tensor, nn
from torch.nn import functional

from autokd.errors import InfeasibleError, InputError
from autokd.readings import Column
from autokd.testing import (
    TinyTask,
    check_space,
    describe_space,
)


def suggest_raises(trial: optuna.Trial) -> dict[str, Any]:
    raise KeyError("width")


def suggest_list(trial: optuna.Trial) -> Any:
    return [trial.suggest_int("width", 1, 100)]


def suggest_tuple(trial: optuna.Trial) -> dict[str, Any]:
    return {"widths": (trial.suggest_int("width", 1, 100),)}


def suggest_number_as_key(trial: optuna.Trial) -> dict[Any, Any]:
    return {0: trial.suggest_int("width", 1, 100)}


def suggest_tensor(trial: optuna.Trial) -> dict[str, Any]:
    return {"width": torch.tensor(trial.suggest_int("width", 1, 100))}


def suggest_recipe_name(trial: optuna.Trial) -> dict[str, Any]:
    return {"lr": trial.suggest_float("recipe.lr", 1e-3, 1e-1)}


def suggest_at_random(trial: optuna.Trial) -> dict[str, Any]:
    return {"width": trial.suggest_int("width", 1, 100) + random.random()}


def suggest_other_choices(trial: optuna.Trial) -> dict[str, Any]:
    return {"width": trial.suggest_int(f"width_{random.random()}", 1, 100)}


BROKEN_SUGGESTS = {
    suggest_raises: "suggest raised KeyError: 'width': let it only call trial.suggest_*",
    suggest_list: "suggest returned a list: return a dict",
    suggest_tuple: "suggest returned what JSON gives back as {'widths': [",
    suggest_number_as_key: "strings for keys",
    suggest_tensor: "what JSON cannot hold (Object of type Tensor is not JSON serializable)",
    suggest_recipe_name: "suggest picks 'recipe.lr', but names with 'recipe.' are the recipe's",
    suggest_at_random: "suggest returned another arch for the same picks",
    suggest_other_choices: "suggest asked for other choices when the same were picked",
}


@pytest.mark.parametrize("suggest", BROKEN_SUGGESTS, ids=lambda each: each.__name__)
def test_a_broken_suggest_is_described(suggest: Any) -> None:
    findings = check_space(space_with(suggest=suggest), TASK)

    assert len(findings) == 1
    assert BROKEN_SUGGESTS[suggest] in findings[0]


class Pair(Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


class Integers(Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).argmax(1, keepdim=True).expand(-1, 10)


class NotFinite(Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).relu().log()


class DropsRowsOfOne(Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).squeeze(0)


class RaisesOnOneRow(Linear):
    def forward(self, x: Tensor) -> Any:
        if len(x) == 1:
            raise RuntimeError("more rows\nplease")
        return super().forward(x)


class ChangesInputs(Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.relu_())


class UnusedLayer(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(3, 4)


class NormalisesOverRows(Linear):
    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y - y.mean(0)


class DropoutLeftOn(Linear):
    def forward(self, x: Tensor) -> Any:
        return functional.dropout(super().forward(x))


class NothingToTrain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [Linear()]

    def forward(self, x: Tensor) -> Any:
        return self.layers[0](x)


class NothingCounted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(10))

    def forward(self, x: Tensor) -> Any:
        return x.flatten(1)[:, :10] * self.scale


class TensorThatIsNoBuffer(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.mask = torch.rand(64)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x.flatten(1) * self.mask.to(x.device))


BROKEN_NETWORKS = {
    WrongWidth: "in train mode with a batch of 2 the network returned shape (2, 9), not (2, 10): end it with",
    Pair: "returned a tuple: return one tensor",
    Integers: "returned torch.int64: return logits as floating-point numbers",
    NotFinite: "returned NaN or infinity before any training",
    DropsRowsOfOne: "in eval mode with a batch of 1 the network returned shape (10,), not (1, 10)",
    RaisesOnOneRow: "the network in eval mode with a batch of 1 raised RuntimeError: more rows please",
    ChangesInputs: "changed its inputs",
    UnusedLayer: "no gradient reaches unused.weight, unused.bias: use it in forward",
    NormalisesOverRows: "the answer to a row depends on the rows beside it",
    DropoutLeftOn: "answers the same rows differently each time: is dropout left on?",
    NothingToTrain: "build returned a network with nothing to train",
    NothingCounted: "no operation was counted in NothingCounted",
    TensorThatIsNoBuffer: "built again from the same arch, with the same weights, answers differently",
}


@pytest.mark.parametrize("network", BROKEN_NETWORKS, ids=lambda each: each.__name__)
def test_a_broken_network_is_described(network: type[nn.Module]) -> None:
    findings = check_space(space_of(network), TASK)

    assert len(findings) == 1
    assert BROKEN_NETWORKS[network] in findings[0]
    assert "Seen with arch {'width': " in findings[0]


def build_nothing(arch: dict[str, Any], task: Any) -> Any:
    return None


def build_raises(arch: dict[str, Any], task: Any) -> nn.Module:
    raise ValueError("needs images")


def build_changes_arch(arch: dict[str, Any], task: Any) -> nn.Module:
    del arch["width"]
    return Linear()


def build_at_random(arch: dict[str, Any], task: Any) -> nn.Module:
    hidden = 1 + next(BUILDS)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.Linear(hidden, 10))


BUILDS = count()

BROKEN_BUILDS = {
    build_nothing: "build returned a NoneType: return a torch.nn.Module",
    build_raises: "build raised ValueError: needs images",
    build_changes_arch: "build changed the arch it was given into {}: copy what it must change",
    build_at_random: "trained weights do not fit the network built again from the same arch",
}


@pytest.mark.parametrize("build", BROKEN_BUILDS, ids=lambda each: each.__name__)
def test_a_broken_build_is_described(build: Any) -> None:
    findings = check_space(space_with(build=build), TASK)

    assert len(findings) == 1
    assert BROKEN_BUILDS[build] in findings[0]


def test_what_is_no_space_is_one_finding() -> None:
    (finding,) = check_space(SimpleNamespace(suggest=pick_width), TASK)

    assert "build" in finding


def test_an_unknown_reference_is_one_finding() -> None:
    (finding,) = check_space("mpl", TASK)

    assert "did you mean 'mlp'?" in finding


def test_two_kinds_of_fault_in_two_architectures_are_two_findings() -> None:
    def build(arch: dict[str, Any], task: Any) -> Any:
        return WrongWidth() if arch["width"] > 50 else UnusedLayer()

    assert len(check_space(space_with(build=build), TASK)) == 2


def build_the_narrow(arch: dict[str, Any], task: Any) -> nn.Module:
    if arch["width"] > 50:
        raise InfeasibleError(f"width {arch['width']} is too wide")
    return Linear()


def test_architectures_the_space_refuses_are_no_finding() -> None:
    assert check_space(space_with(build=build_the_narrow), TASK) == []


def test_a_space_that_refuses_everything_is_one_finding() -> None:
    def build(arch: dict[str, Any], task: Any) -> nn.Module:
        raise InfeasibleError("no vectors")

    assert check_space(space_with(build=build), TASK, samples=3) == [
        "none of 3 architectures can be built for this task; the first: no vectors."
    ]


def test_checking_leaves_the_random_state_of_the_caller() -> None:
    before = torch.get_rng_state()

    check_space(space_with(), TASK, samples=2)
    describe_space(space_with(), TASK, samples=2)

    assert torch.equal(torch.get_rng_state(), before)


def test_a_summary_counts_choices_and_parameters() -> None:
    def suggest(trial: optuna.Trial) -> dict[str, Any]:
        deep = trial.suggest_categorical("deep", [False, True])
        return {"hidden": trial.suggest_int("hidden", 1, 2) if deep else 0}

    def build(arch: dict[str, Any], task: Any) -> nn.Module:
        hidden = arch["hidden"]
        layers = [nn.Linear(64, hidden), nn.Linear(hidden, 10)] if hidden else [nn.Linear(64, 10)]
        return nn.Sequential(nn.Flatten(), *layers)

    summary = describe_space(space_with(suggest, build), TASK)

    assert summary.choices == 2
    assert (summary.parameters_min, summary.parameters_max) == (65 + 20, 650)
    assert summary.parameters_min <= summary.parameters_median <= summary.parameters_max


def test_a_space_of_which_nothing_can_be_built_has_no_summary() -> None:
    with pytest.raises(InputError, match=r"for task 'tiny' .* ValueError: needs images; `autokd check` says more"):
        describe_space(space_with(build=build_raises), TASK)


def test_tiny_tasks_of_one_seed_are_one_task() -> None:
    assert TinyTask().digest == TinyTask().digest
    assert len({TinyTask().digest, TinyTask(seed=1).digest, TinyTask(views=2).digest}) == 3


def test_the_categories_of_a_tiny_table_are_zeros_with_at_most_a_single_one() -> None:
    columns = (
        Column("age", "number", 0, 1),
        Column("city", "category", 1, 4),
        Column("age is missing", "category", 4, 5),
    )
    task = TinyTask(input_shape=(5,), num_outputs=3, columns=columns)
    inputs = task.inputs(torch.arange(task.num_rows))

    assert len(inputs[:, 0].unique()) == task.num_rows
    assert set(inputs[:, 1:].unique().tolist()) == {0.0, 1.0}
    assert set(inputs[:, 1:4].sum(dim=1).tolist()) <= {0.0, 1.0}


def test_a_tiny_task_can_be_learnt() -> None:
    network = Linear()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    train, validation = TASK.splits["train"], TASK.splits["validation"]
    for _ in range(20):
        optimizer.zero_grad()
        TASK.hard_loss(network(TASK.inputs(train)), TASK.targets(train)).backward()
        optimizer.step()

    with torch.no_grad():
        score = TASK.score(network(TASK.inputs(validation)), TASK.targets(validation))

    assert score > 2 * TASK.chance


TEXTS = TinyTask(input_shape=(9,), num_outputs=3, vocabulary=20)


class BagOfWords(nn.Module):
    """The mean over the tokens of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 4), nn.Linear(4, 3)

    def forward(self, ids: Tensor) -> Any:
        mask = (ids != 0).unsqueeze(2)
        return self.head((self.embedding(ids) * mask).sum(1) / mask.sum(1).clamp(min=1))


class MeanOverPadding(BagOfWords):
    def forward(self, ids: Tensor) -> Any:
        return self.head(self.embedding(ids).mean(1))


class ConvolutionOverPadding(BagOfWords):
    """The embedding of padding is zero, but a convolution of zeros is its bias, which can be the largest number."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.convolve = nn.Embedding(20, 4, padding_idx=0), nn.Conv1d(4, 4, 3, padding=1)

    def forward(self, ids: Tensor) -> Any:
        return self.head(self.convolve(self.embedding(ids).transpose(1, 2)).amax(2))


class AttentionToPadding(BagOfWords):
    def forward(self, ids: Tensor) -> Any:
        x, mask = self.embedding(ids), (ids != 0).unsqueeze(2)
        x = functional.scaled_dot_product_attention(x, x, x) * mask
        return self.head(x.sum(1) / mask.sum(1).clamp(min=1))


def test_a_space_that_leaves_out_padding_is_sound_on_texts() -> None:
    assert check_space(space_of(BagOfWords), TEXTS, samples=3) == []


@pytest.mark.parametrize(
    "network", [MeanOverPadding, ConvolutionOverPadding, AttentionToPadding], ids=lambda e: e.__name__
)
def test_a_space_whose_answer_changes_with_padding_is_told_to_use_the_mask(network: type[nn.Module]) -> None:
    (finding,) = check_space(space_of(network), TEXTS)

    assert finding.startswith("the answer to a text changes by ")
    assert "when the text is padded: leave out the padding, where ids are 0, with the mask `ids != 0`" in finding
    assert "\n" not in finding


def test_tiny_texts_are_as_long_as_the_longest_of_a_batch_and_end_in_padding() -> None:
    rows = torch.arange(TEXTS.num_rows)
    ids = TEXTS.inputs(rows)
    lengths = ids.count_nonzero(dim=1)

    assert set(lengths.tolist()) == set(range(1, 10))
    assert torch.equal(ids != 0, torch.arange(9) < lengths[:, None])
    shortest = int(lengths.argmin())
    assert TEXTS.inputs(rows[shortest : shortest + 1]).shape == (1, 1)


def test_tiny_texts_of_two_vocabularies_are_two_tasks() -> None:
    assert TEXTS.digest != TinyTask(input_shape=(9,), num_outputs=3, vocabulary=21).digest
