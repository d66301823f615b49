from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autokd.errors import InputError
from autokd.study.teacher import TrainedSection
from autokd.teachers.answers import logits_of_probabilities
from autokd.teachers.ensemble import Ensemble
from autokd.teachers.networks import NetworkTeacher
from autokd.teachers.sources import load_teacher
from autokd.teachers.weights import network_digest
from autokd.testing import TeacherContract, TinyTask
from autokd.types import Teacher

TASK = TinyTask()
ROWS = torch.arange(6)
SPACE = """
from torch import nn

def suggest(trial):
    return {"width": trial.suggest_int("width", 2, 9)}

def build(arch, task):
    width = arch["width"]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.Linear(width, task.num_outputs))
"""


@dataclass(frozen=True)
class Fixed:
    """A teacher that gives the same logits for any input."""

    logits: tuple[float, ...]
    name: str = "fixed"

    @property
    def digest(self) -> str:
        return repr(self.logits)

    def outputs(self, inputs: Tensor) -> Tensor:
        return torch.tensor([self.logits] * len(inputs))


NAMED = Fixed((1.0, 2.0), "named")


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))


def load(source: Any, folder: Path, *, task: TinyTask = TASK, train: Any = None, seed: int = 0) -> Teacher:
    return load_teacher(source, task, folder=folder, train=train, seed=seed)


def test_a_module_answers_in_eval_mode_and_is_left_as_it_was(tmp_path: Path) -> None:
    module = nn.Sequential(network(), nn.Dropout(0.5))
    module[0].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    answers = load(module, tmp_path).outputs(TASK.inputs(ROWS))
    assert (module.training, module[0].training, module[1].training) == (True, False, True)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not answers.requires_grad
    assert not answers.is_inference()
    assert torch.equal(answers, module[0](TASK.inputs(ROWS)))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda module: None, True),
        (lambda module: module[1].weight.data[0, 0].add_(1e-3), False),
        (lambda module: module[2].running_mean.add_(1e-3), False),
        (lambda module: setattr(module, "activation", "relu"), False),
        (lambda module: module.append(nn.ReLU()), False),
    ],
    ids=["nothing", "weight", "statistic", "setting", "layer"],
)
def test_the_digest_tells_networks_that_answer_differently(change: Any, same: bool, tmp_path: Path) -> None:
    first, second = network(), network()
    change(second)
    assert (load(first, tmp_path).digest == load(second, tmp_path).digest) is same


class TestNetworkTeacher(TeacherContract):
    teacher = NetworkTeacher("network", network_digest(network()), network())


def test_an_object_with_the_three_members_is_a_teacher_itself_or_by_reference(tmp_path: Path) -> None:
    teacher = Fixed((1.0, 2.0))
    assert load(teacher, tmp_path) is teacher
    assert load(f"{__file__}:NAMED", tmp_path).name == "named"


def test_anything_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a int is not a teacher; give a torch module"):
        load(3, tmp_path)


# Trained by us


@pytest.fixture
def section(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "space.py").write_text(SPACE)
    return {"space": str(tmp_path / "space.py"), "arch": {"width": 4}, "epochs": 2, "lr": 0.1}


class Training:
    """Stands for training: shifts every weight, and remembers what it was called with."""

    def __init__(self) -> None:
        self.specs: list[TrainedSection] = []

    def __call__(self, module: nn.Module, spec: TrainedSection, task: object, folder: Path) -> None:
        self.specs.append(spec)
        for parameter in module.parameters():
            parameter.data.add_(spec.lr)


def test_a_trained_teacher_is_kept_and_used_again(section: dict[str, Any], tmp_path: Path) -> None:
    train = Training()
    first = load(section, tmp_path / "teacher", train=train)
    again = load(section, tmp_path / "teacher", train=train)
    assert [spec.epochs for spec in train.specs] == [2]
    assert first.digest == again.digest
    assert torch.equal(first.outputs(TASK.inputs(ROWS)), again.outputs(TASK.inputs(ROWS)))
    assert sorted(file.name for file in (tmp_path / "teacher").iterdir()) == [
        "teacher.json",
        "teacher.safetensors",
    ]


@pytest.mark.parametrize("changed", ["spec", "task", "seed", "space source", "weights", "record"])
def test_a_trained_teacher_is_trained_again_when_something_changed(
    changed: str, section: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train, folder = Training(), tmp_path / "teacher"
    load(section, folder, train=train)
    task, seed = TinyTask(seed=int(changed == "task")), int(changed == "seed")
    if changed == "spec":
        section["lr"] = 0.2
    elif changed == "space source":
        (tmp_path / "space.py").write_text(SPACE + "# changed")
    elif changed == "weights":
        with (folder / "teacher.safetensors").open("ab") as file:
            file.write(b"0")
    elif changed == "record":
        (folder / "teacher.json").write_text("{")
    with caplog.at_level(logging.INFO, "autokd"):
        load(section, folder, task=task, train=train, seed=seed)
    assert len(train.specs) == 2
    assert {"record": "cannot be read", "weights": "was changed since"}.get(changed, changed) in caplog.text


def test_building_a_teacher_leaves_the_callers_random_numbers(section: dict[str, Any], tmp_path: Path) -> None:
    before = torch.get_rng_state()
    load(section, tmp_path / "teacher", train=Training())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_space_that_cannot_build_the_teacher_is_said(section: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"with arch \{'depth': 4\} cannot be built: KeyError: 'width'"):
        load(section | {"arch": {"depth": 4}}, tmp_path, train=Training())


def test_a_space_with_given_weights_is_not_trained(section: dict[str, Any], tmp_path: Path) -> None:
    trained = load(section, tmp_path / "teacher", train=Training())
    weights = str(tmp_path / "teacher" / "teacher.safetensors")
    given = load({"space": section["space"], "arch": section["arch"], "weights": weights}, tmp_path)
    assert torch.equal(trained.outputs(TASK.inputs(ROWS)), given.outputs(TASK.inputs(ROWS)))


# Ensembles

LOGITS = st.tuples(*[st.floats(-8, 8, width=32)] * 3)


@settings(deadline=None)
@given(st.lists(st.tuples(LOGITS, st.floats(0.1, 10)), min_size=1, max_size=4))
def test_an_ensemble_is_the_log_of_the_weighted_mean_of_probabilities(
    drawn: list[tuple[tuple[float, ...], float]],
) -> None:
    members, weights = tuple(Fixed(logits) for logits, _ in drawn), tuple(weight for _, weight in drawn)
    outputs = Ensemble(members, weights).outputs(torch.zeros(2, 1))
    expected = sum(
        weight / sum(weights) * torch.tensor(member.logits).double().softmax(0)
        for member, weight in zip(members, weights, strict=True)
    )
    torch.testing.assert_close(outputs[1].exp().double(), expected, rtol=1e-5, atol=2e-7)
    turned = Ensemble(members[::-1], tuple(3 * weight for weight in weights[::-1]))
    torch.testing.assert_close(turned.outputs(torch.zeros(2, 1)), outputs)


def test_no_probability_enters_below_the_floor() -> None:
    assert torch.equal(logits_of_probabilities(torch.tensor([[1.0, 0.0]])), torch.tensor([[1.0, 1e-7]]).log())
    assert Ensemble((Fixed((90.0, 0.0)),), (1.0,)).outputs(torch.zeros(1, 1))[0, 1] == pytest.approx(-16.118, abs=1e-3)


def test_a_list_is_an_ensemble_with_the_weights_of_its_sections(section: dict[str, Any], tmp_path: Path) -> None:
    teacher = load([section | {"weight": 3}, section, network()], tmp_path / "teacher", train=Training())
    assert isinstance(teacher, Ensemble)
    assert teacher.weights == (3, 1, 1)
    first, second, _ = teacher.members
    assert first.digest != second.digest  # trained alike from other seeds
    assert teacher.digest != Ensemble(teacher.members, (1, 1, 1)).digest
    assert (tmp_path / "teacher" / "1" / "teacher.json").is_file()


@pytest.mark.parametrize(
    ("members", "weights", "message"),
    [((), (), "one teacher or more"), ((Fixed((1.0,)),), (0.0,), "positive")],
)
def test_an_ensemble_of_nobody_or_without_weight_is_refused(members: Any, weights: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Ensemble(members, weights)


# The real thing


@pytest.mark.slow
def test_the_published_resnet20_has_its_published_accuracy(shared: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    weights = shared / "teachers_cifar10_resnet" / "resnet20.npz"
    teacher = load({"network": f"{root}/studies/cifar_resnet.py:resnet20", "weights": str(weights)}, tmp_path)
    with np.load(shared / "cifar10_lossless_5k" / "cifar10_lossless_5k.npz") as data:
        images, labels = torch.from_numpy(data["x_test"]), torch.from_numpy(data["y_test"]).long()
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    inputs = ((images / 255 - mean) / deviation).permute(0, 3, 1, 2)
    found = torch.cat([teacher.outputs(batch).argmax(dim=1) for batch in inputs.split(100)])
    assert teacher.name == "resnet20"
    assert float((found == labels).float().mean()) == pytest.approx(0.915, abs=0.002)
