from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small import small_context, small_study
from torch import Tensor, nn

from autokd import objectives
from autokd.checkpoints import read_result
from autokd.distill import predict
from autokd.errors import InfeasibleError
from autokd.study import resolve_objectives
from autokd.tasks import from_arrays
from autokd.tasks.rows import all_labels, with_reserve
from autokd.testing import TinyTask
from autokd.trial import (
    Context,
    Stretch,
    build_student,
    evaluate,
    reason_of,
    run_stretch,
    run_stretch_in,
    start_training,
    training_seed,
)
from autokd.types import Recipe
from search_spaces import mlp, mobilenet, resnet, vit

ARCHS: dict[ModuleType, dict[str, Any]] = {
    mlp: {"widths": [12, 8], "activation": "gelu", "batch_norm": True},
    resnet: {"width": 4, "stages": [{"blocks": 1, "kernel": 5, "widen": 1}, {"blocks": 2, "kernel": 3, "widen": 2}]},
    mobilenet: {
        "width": 4,
        "activation": "hardswish",
        "stages": [
            {"blocks": 1, "kernel": 3, "expansion": 1, "squeeze_excite": False, "widen": 1},
            {"blocks": 2, "kernel": 5, "expansion": 2, "squeeze_excite": True, "widen": 2},
        ],
    },
    vit: {"patches_per_side": 4, "heads": 2, "head_width": 4, "mlp_ratios": [1, 2]},
}
RECIPE = Recipe(alpha=0.5, temperature=3.0, batch_size=16, epochs=4)


@dataclass(frozen=True)
class Space:
    """A search space of one network, made by a function."""

    make: Callable[[], Any]

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {}

    def build(self, arch: dict[str, Any], task: Any) -> nn.Module:
        return self.make()


class Dropping(nn.Module):
    """A network that draws random numbers in training, and holds a buffer that counts its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(0.5), nn.Linear(8, 10))
        self.batches: Tensor
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.batches += 1
        return self.layers(x + 0.1 * torch.randn_like(x) if self.training else x)


def context(space: Any, *, task: Any = None) -> Context:
    """What a trial needs, without a run folder: random digits-sized images in two views, a random teacher."""
    study = small_study(**{"budget.rungs": [1, 2, 4]})
    if task is None:
        generator = torch.Generator().manual_seed(0)
        x, y = torch.rand(100, 8, 8, generator=generator), torch.arange(100) % 10
        task = from_arrays(x, y, labels=40, augment={"views": 2, "flip": True, "crop": 1})
    shape = (task.views, task.num_rows, task.num_outputs)
    answers = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    return Context(study, space, task, answers, resolve_objectives(study))


def stretch(folder: Path, start: int, stop: int, **changes: Any) -> Stretch:
    source = str(folder.parent / f"{start}") if start else ""
    given: dict[str, Any] = {"arch": {}, "recipe": RECIPE, "seed": 7, "source": source} | changes
    return Stretch(trial=0, start=start, stop=stop, folder=str(folder), **given)


def nothing() -> Space:
    return Space(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))


def assert_resumed_is_uninterrupted(shared: Context, tmp_path: Path, **changes: Any) -> None:
    """Trains 0 to 4, and 0 to 1 to 2 to 4 in fresh objects and other random states; compares every bit."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    once = run_stretch(shared, stretch(whole / "4", 0, 4, **changes))
    for start, stop in [(0, 1), (1, 2), (2, 4)]:
        torch.manual_seed(100 + start)
        result = run_stretch(shared, stretch(parts / f"{stop}", start, stop, **changes))
    assert "error" not in once, once
    assert result["values"] == once["values"]
    for name in ("weights.safetensors", "optimizer.safetensors"):
        resumed, uninterrupted = load_file(parts / "4" / name), load_file(whole / "4" / name)
        assert resumed.keys() == uninterrupted.keys()
        assert [key for key in resumed if not torch.equal(resumed[key], uninterrupted[key])] == []
    outputs = [answers(shared, stretch(folder / "5", 4, 5, **changes)) for folder in (whole, parts)]
    assert torch.equal(*outputs)


def answers(shared: Context, following: Stretch) -> Tensor:
    """What a student restored for its next stretch says of the validation rows."""
    training, _ = start_training(shared, following)
    return predict(training.student, shared.task, shared.task.splits["validation"])


@pytest.mark.parametrize("space", ARCHS, ids=lambda space: space.__name__.split(".")[-1])
def test_resumed_training_is_the_same_training(space: ModuleType, tmp_path: Path) -> None:
    assert_resumed_is_uninterrupted(context(space), tmp_path, arch=ARCHS[space])


def test_a_stretch_without_the_checkpoint_from_which_it_goes_on_is_trained_from_the_beginning(tmp_path: Path) -> None:
    whole = run_stretch(context(nothing()), stretch(tmp_path / "2", 0, 2))
    anew = run_stretch(context(nothing()), stretch(tmp_path / "anew" / "2", 1, 2, source=""))
    assert anew["values"] == whole["values"]
    assert "damaged" not in anew


@pytest.mark.parametrize("method", ["kd", "dkd", "dist", "logit_std"])
def test_it_is_with_every_method(method: str, tmp_path: Path) -> None:
    assert_resumed_is_uninterrupted(context(mlp), tmp_path, arch=ARCHS[mlp], recipe=replace(RECIPE, method=method))


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_it_is_at_both_ends_of_alpha(alpha: float, tmp_path: Path) -> None:
    assert_resumed_is_uninterrupted(context(resnet), tmp_path, arch=ARCHS[resnet], recipe=replace(RECIPE, alpha=alpha))


def test_it_is_with_dropout_noise_and_buffers(tmp_path: Path) -> None:
    assert_resumed_is_uninterrupted(context(Space(Dropping)), tmp_path)


def test_it_is_with_tied_weights_and_a_parameter_of_one_number(tmp_path: Path) -> None:
    assert_resumed_is_uninterrupted(context(Space(Tied)), tmp_path)


def test_a_stretch_writes_its_result_last_and_returns_it(tmp_path: Path) -> None:
    result = run_stretch(context(nothing()), stretch(tmp_path / "1", 0, 1))
    assert result == read_result(tmp_path / "1")
    assert result["epoch"] == 1
    assert result["values"].keys() == {"accuracy"}
    names = {path.name for path in (tmp_path / "1").iterdir()}
    assert names == {"result.json", "weights.safetensors", "optimizer.safetensors", "answers.safetensors"}


def test_what_has_no_formula_for_its_spread_is_given_one_at_the_end_of_training(tmp_path: Path) -> None:
    shared = replace(context(nothing()), objectives=(objectives.accuracy, objectives.f1))
    assert "spread" not in run_stretch(shared, stretch(tmp_path / "1", 0, 1))
    result = run_stretch(shared, stretch(tmp_path / "4", 0, 4))
    assert result["spread"].keys() == {"f1"}
    assert 0 < result["spread"]["f1"] < 0.5


def test_the_result_is_the_accuracy_on_validation_and_on_nothing_else(tmp_path: Path) -> None:
    shared = context(nothing())
    result = run_stretch(shared, stretch(tmp_path / "1", 0, 1))
    training, _ = start_training(shared, stretch(tmp_path / "2", 1, 2))
    assert evaluate(shared, training.student, "validation") == result["values"]

    y = shared.task.targets(torch.arange(shared.task.num_rows)).clone()
    y[shared.task.splits["test"]] = -1  # a loss or a score that read them would raise
    poisoned = replace(shared, task=replace(shared.task, y=y), answers=shared.answers.clone())  # type: ignore[type-var]
    poisoned.answers[:, shared.task.splits["test"]] = torch.nan
    assert run_stretch(poisoned, stretch(tmp_path / "poisoned", 0, 1))["values"] == result["values"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: raised(ValueError("no such\nlayer")), "raised ValueError: no such"),
        (lambda: raised(MemoryError()), "out of memory"),
        (
            lambda: raised(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you")),
            "out of memory",
        ),
        (lambda: raised(SystemExit(3)), "raised SystemExit: 3"),
        (lambda: nn.Sequential(nn.Flatten(), Poisoned(torch.nan)), "diverged: the loss is nan in epoch 0"),
        (lambda: nn.Sequential(nn.Flatten(), Poisoned(torch.inf)), "diverged: the loss is nan in epoch 0"),
        (
            lambda: nn.Sequential(nn.Flatten(), Poisoned(torch.nan, training=False)),
            "diverged: outputs on validation are NaN",
        ),
        (nn.Flatten, "cannot be built: build gave outputs of shape (1, 64); the task has (1, 10)"),
        (lambda: "a network", "cannot be built: build gave a str, not a torch.nn.Module"),
    ],
)
def test_each_way_to_fail_has_a_reason_of_its_own(make: Callable[[], Any], reason: str, tmp_path: Path) -> None:
    result = run_stretch(context(Space(make)), stretch(tmp_path / "1", 0, 1))
    assert result["error"].startswith(reason)
    assert read_result(tmp_path / "1") == result
    assert "Traceback" in (tmp_path / "1" / "error.txt").read_text()
    assert not (tmp_path / "1" / "weights.safetensors").exists()


def test_a_reason_is_one_line() -> None:
    assert reason_of(ValueError("")) == "raised ValueError"
    assert reason_of(FloatingPointError("nan\nmore")) == "diverged: nan"
    assert reason_of(FloatingPointError()) == "diverged: FloatingPointError"
    assert reason_of(InfeasibleError("too deep")) == "cannot be built: too deep"


def test_a_seed_follows_from_architecture_recipe_study_and_repeat_alone() -> None:
    arch = {"b": [1, 2], "a": {"x": 1.5, "y": True}}
    seed = training_seed(arch, RECIPE, 0)
    assert seed == training_seed({"a": {"y": True, "x": 1.5}, "b": [1, 2]}, replace(RECIPE), 0)
    others = [
        training_seed(arch | {"b": [2, 1]}, RECIPE, 0),
        training_seed(arch, replace(RECIPE, lr=0.01), 0),
        training_seed(arch, RECIPE, 1),
        training_seed(arch, RECIPE, 0, repeat=1),
    ]
    assert len({seed, *others}) == 5


def test_initial_weights_follow_from_the_seed_and_leave_the_callers_random_state_alone() -> None:
    shared, states = context(nothing()), []
    for caller in (1, 2):
        torch.manual_seed(caller)
        before = torch.get_rng_state()
        states.append(build_student(shared, {}, seed=5).state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(build_student(shared, {}, seed=6).state_dict()["1.weight"], states[0]["1.weight"])


def test_a_space_cannot_change_the_architecture_it_is_given() -> None:
    @dataclass(frozen=True)
    class Greedy(Space):
        def build(self, arch: dict[str, Any], task: Any) -> nn.Module:
            arch["widths"].pop()
            return super().build(arch, task)

    arch = {"widths": [3]}
    build_student(context(Greedy(nothing().make)), arch, seed=0)
    assert arch == {"widths": [3]}


def test_building_leaves_batch_statistics_as_they_begin() -> None:
    student = build_student(context(mlp), ARCHS[mlp], seed=0)
    counts = [value for name, value in student.state_dict().items() if name.endswith("num_batches_tracked")]
    assert counts
    assert not any(counts)
    assert all(module.training for module in student.modules())


def test_a_worker_that_knows_only_the_run_folder_gets_the_same_numbers(tmp_path: Path) -> None:
    shared = small_context(tmp_path)
    arch = {"widths": [8], "activation": "relu", "batch_norm": False}
    inline = run_stretch(shared, stretch(tmp_path / "a" / "1", 0, 1, arch=arch))
    elsewhere = run_stretch_in(str(tmp_path / "run"), stretch(tmp_path / "b" / "1", 0, 1, arch=arch))
    assert inline["values"] == elsewhere["values"]


def test_a_teacher_trains_on_every_label_and_a_pick_on_the_reserve() -> None:
    task = TinyTask()
    splits = task.splits
    assert all_labels(task).splits["train"].tolist() == [*range(36), *range(60, 64)]
    assert with_reserve(task).splits["transfer"].tolist() == [*range(24, 36), *range(60, 64)]
    assert with_reserve(task).splits["train"] is splits["train"]
    assert not len(with_reserve(task).splits["reserve"])
    assert torch.equal(all_labels(task).inputs(torch.arange(3)), task.inputs(torch.arange(3)))


def raised(error: BaseException) -> nn.Module:
    raise error


class Poisoned(nn.Module):
    """Adds a number to its outputs, in training or else in evaluation."""

    def __init__(self, number: float, *, training: bool = True) -> None:
        super().__init__()
        self.layer, self.number, self.when = nn.Linear(64, 10), number, training

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + (self.number if self.training == self.when else 0.0)


class Tied(nn.Module):
    """A network that uses one matrix twice, and scales by a parameter of shape ()."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(64, 10), nn.Linear(64, 10)
        self.decode.weight = self.encode.weight
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.encode(x.flatten(1)) @ self.decode.weight
        return self.scale * self.decode(hidden)
