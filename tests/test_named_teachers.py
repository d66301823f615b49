"""Networks of timm and torchvision are trained for the task's classes, or answer in its columns.

Stand-ins take the place of both packages.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from command_line import STUDY, refused, write_study
from PIL import Image
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from torch import nn

from autokd.distill import Training
from autokd.driver.teaching import teacher_and_outputs
from autokd.errors import InputError
from autokd.study import Study
from autokd.tasks import from_arrays, open_task
from autokd.teachers.columns import Columns
from autokd.teachers.new_layer import train_alone
from autokd.teachers.origins import origin_of
from autokd.teachers.sources import load_teacher
from autokd.teachers.through import Through
from autokd.types import Task

KNOWN = ("fish, n01", "cat, n02", "dog, n03", "fox, n04", "owl, n05")
READING = {"input_size": (3, 12, 12), "crop_pct": 1.0, "crop_mode": "center", "mean": (0.5,) * 3, "std": (0.2,) * 3}


class Net(nn.Module):
    """A small network in the place of one that a package knows."""

    def __init__(self, num_classes: int = 5, in_chans: int = 3) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.body = nn.Sequential(nn.Conv2d(in_chans, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.head = nn.Linear(32, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.body(x).flatten(1))
        return answer

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes, self.head = num_classes, nn.Linear(32, num_classes)

    def get_classifier(self) -> nn.Module:
        return self.head


def pretrained() -> Net:
    """The network as the packages have it: with weights that do not depend on the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return Net().eval()


class ImageNetInfo:
    def __init__(self, subset: str) -> None:
        assert subset == "five"

    def label_descriptions(self) -> list[str]:
        return [name.partition(",")[0] for name in KNOWN]

    def label_names(self) -> list[str]:
        return [name.partition(", ")[2] for name in KNOWN]


def create_model(name: str, pretrained: bool, **arguments: Any) -> nn.Module:
    if name != "net":
        raise RuntimeError(f"Unknown model ({name})")
    network = Net(**arguments)
    if pretrained:
        logging.getLogger("huggingface_hub").warning("retrying")
        given = globals()["pretrained"]().state_dict()
        given["body.0.weight"] = given["body.0.weight"][:, : network.body[0].in_channels]
        network.load_state_dict(given)
    return network


@pytest.fixture(autouse=True)
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand-ins for timm and torchvision, whose one network has the same weights in both."""
    data = SimpleNamespace(
        resolve_data_config=lambda given, model: READING,
        infer_imagenet_subset=lambda model: "five" if model.num_classes == 5 else None,
        ImageNetInfo=ImageNetInfo,
    )
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model, data=data))
    torch.save(pretrained().state_dict(), tmp_path / "w")
    file = tmp_path / f"net-{hashlib.sha256((tmp_path / 'w').read_bytes()).hexdigest()[:8]}.pth"
    (tmp_path / "w").rename(file)
    preset = SimpleNamespace(crop_size=[12], resize_size=[12], mean=[0.5] * 3, std=[0.2] * 3)
    names = [name.partition(",")[0] for name in KNOWN]
    default = SimpleNamespace(url=file.as_uri(), transforms=lambda: preset, meta={"categories": names})
    models = SimpleNamespace(
        get_model=lambda name, weights, num_classes=5: Net(num_classes),
        get_model_weights=lambda name: SimpleNamespace(DEFAULT=default),
    )
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=models))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of two kinds, of which one is brighter on the left and one on the right."""
    random = np.random.default_rng(0)
    for i in range(40):
        for kind, side in (("Dog", slice(0, 6)), ("CAT", slice(6, 12))):
            values = random.integers(0, 160, (12, 12, 3), dtype=np.uint8)
            values[:, side] += 60
            (tmp_path / "pets" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(tmp_path / "pets" / kind / f"{i}.png")
    return tmp_path / "pets"


def task_of(folder: Path, **settings: Any) -> Task:
    spec = {"data": str(folder), "reading": {"size": 8}, **settings}
    return open_task(spec, seed=0, folder=folder.parent / "task")


def load(source: Any, task: Task, folder: Path, train: Any = None) -> Any:
    return load_teacher(source, task, folder=folder / "teacher", train=train, seed=0)


def seen(task: Task, size: int = 12) -> torch.Tensor:
    see: Any = task
    through: Task = see.seen_through({"size": size, "normalise": {"mean": [0.5] * 3, "std": [0.2] * 3}})
    return through.inputs(torch.arange(task.num_rows))


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_columns_are_chosen_by_the_names_that_the_package_knows(package: str, photos: Path) -> None:
    task = task_of(photos)
    teacher = load({package: "net"}, task, photos.parent)
    assert isinstance(teacher, Through)
    assert isinstance(teacher.teacher, Columns)
    with torch.no_grad():
        expected = pretrained()(seen(task))[:, [1, 2]]  # CAT and Dog
    assert torch.allclose(teacher.answers(task, torch.arange(task.num_rows), 0), expected, atol=1e-5)


def test_students_begin_from_the_rows_of_the_tasks_classes(photos: Path) -> None:
    task = task_of(photos)
    teacher = load({"timm": "net"}, task, photos.parent)
    origin, whole = origin_of({"timm": "net"}, teacher, task), pretrained().state_dict()
    assert origin.arch == {"model": "net"}
    assert {name for name in whole if not torch.equal(origin.tensors[name], whole[name])} == {
        "head.weight",
        "head.bias",
    }
    assert torch.equal(origin.tensors["head.weight"], whole["head.weight"][[1, 2]])
    assert torch.equal(origin.tensors["head.bias"], whole["head.bias"][[1, 2]])


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_weights_in_a_file_may_be_those_of_the_package_or_of_the_task(package: str, photos: Path) -> None:
    task = task_of(photos)
    save_file(pretrained().state_dict(), photos.parent / "own.safetensors")
    given = load({package: "net", "weights": str(photos.parent / "own.safetensors")}, task, photos.parent)
    assert given.digest == load({package: "net"}, task, photos.parent).digest
    save_file(Net(2).state_dict(), photos.parent / "task.safetensors")
    given = load({package: "net", "weights": str(photos.parent / "task.safetensors")}, task, photos.parent)
    assert given.teacher.network.head.out_features == 2
    save_file(Net(3).state_dict(), photos.parent / "other.safetensors")
    with pytest.raises(InputError, match=r"'head.bias' has shape \(3,\), but the network's has \(2,\)"):
        load({package: "net", "weights": str(photos.parent / "other.safetensors")}, task, photos.parent)


def test_a_class_that_the_package_does_not_know_is_refused_with_what_to_write(photos: Path) -> None:
    (photos / "CAT").rename(photos / "foxx")
    task = task_of(photos)
    with pytest.raises(InputError) as refused:
        load({"timm": "net"}, task, photos.parent)
    assert "none is named 'foxx'; the nearest names are 'fox, n04'" in str(refused.value)
    assert str(refused.value).endswith(
        "; or write epochs: 2, and AutoKD trains the network for the classes of the task"
    )
    chosen = {"foxx": "fox"}
    assert load({"timm": "net", "classes": chosen}, task, photos.parent).teacher.columns == (2, 3)


def study_of(photos: Path, teacher: Any, **settings: Any) -> Study:
    task = {"data": str(photos), "reading": {"size": 8}, "validation": 20, **settings}
    return Study.model_validate({**STUDY, "task": task, "teacher": teacher})


def answers_of(study: Study, folder: Path) -> Any:
    """The teacher of a study as a run makes it."""
    folder.mkdir(exist_ok=True)
    task = open_task(study.task, seed=0, folder=folder / "task")
    return teacher_and_outputs(study, task, folder, notify=lambda _: None)[0]


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_a_new_last_layer_is_put_on_and_trained_and_then_the_network_is(
    package: str, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = study_of(photos, {package: "net", "epochs": 3, "lr": 1e-3})
    with caplog.at_level(logging.INFO, "autokd"):
        teacher = answers_of(study, photos.parent / "run")
    assert f"sees photos as {package} says: 12x12 pixels" in caplog.text
    assert "Training the teacher for 3 epochs (there is no trained teacher yet)." in caplog.text
    network = teacher.teacher.network
    assert network.head.out_features == 2
    assert not torch.equal(network.body[0].weight, pretrained().body[0].weight)
    task = open_task(study.task, seed=0, folder=photos.parent / "run" / "task")
    rows = task.splits["test"]
    assert (teacher.answers(task, rows, 0).argmax(dim=1) == task.targets(rows)).float().mean() > 0.9
    caplog.clear()
    with caplog.at_level(logging.INFO, "autokd"):
        again = answers_of(study, photos.parent / "run")
    assert "The teacher was trained before" in caplog.text
    assert again.digest == teacher.digest


def test_an_interrupted_training_with_a_new_layer_ends_as_a_whole_one(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(photos, {"timm": "net", "epochs": 3, "lr": 1e-3})
    whole, run = answers_of(study, photos.parent / "whole"), Training.run

    def interrupted(self: Training, start: int, stop: int) -> None:
        if start == 2:
            raise KeyboardInterrupt
        run(self, start, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            answers_of(study, photos.parent / "stopped")
    assert answers_of(study, photos.parent / "stopped").digest == whole.digest


def test_a_network_without_weights_can_be_trained_from_scratch(photos: Path) -> None:
    teacher = answers_of(study_of(photos, {"timm": "net", "pretrained": False, "epochs": 6, "lr": 1e-2}), photos / "r")
    assert teacher.teacher.network.head.out_features == 2


def test_grey_arrays_reach_a_network_of_timm_in_their_own_channels(tmp_path: Path) -> None:
    task = from_arrays(np.zeros((20, 1, 8, 8), np.uint8), [0, 1] * 10, layout="channels_first")
    teacher = load({"timm": "net", "classes": {"0": 3, "1": 0}}, task, tmp_path)
    assert teacher.outputs(task.inputs(torch.arange(3))).shape == (3, 2)


# The new layer alone


def features(network: Net, task: Task, rows: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        given: torch.Tensor = network.eval().body(task.inputs(rows)).flatten(1)
    return given


def test_the_new_layer_is_the_logistic_regression_of_scikit_learn_and_the_rest_stays(photos: Path) -> None:
    task, network, told = task_of(photos), pretrained().train(), []
    network.reset_classifier(2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    train_alone([network.head], network, task, told=lambda done, total: told.append((done, total)))
    after = network.state_dict()
    assert {name for name in after if not torch.equal(after[name], before[name])} == {"head.weight", "head.bias"}
    assert network.training
    rows = task.splits["train"]
    assert told[-1] == (len(rows), len(rows))
    inputs = features(network, task, rows)
    fitted = LogisticRegression(max_iter=10_000, tol=1e-8).fit(inputs.numpy(), task.targets(rows).numpy())
    with torch.no_grad():
        found = network.head(inputs).softmax(dim=1)[:, 1]
    # The regression of two classes has one vector of weights, of which two have half each, at half of the penalty.
    assert np.corrcoef(found.numpy(), fitted.predict_proba(inputs.numpy())[:, 1])[0, 1] > 0.99


def test_several_layers_that_answer_together_are_each_trained(photos: Path) -> None:
    class Twice(Net):
        def __init__(self) -> None:
            super().__init__(2)
            self.second = nn.Linear(32, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            given = self.body(x).flatten(1)
            return (self.head(given) + self.second(given)) / 2

    torch.manual_seed(0)
    task, network = task_of(photos), Twice()
    train_alone([network.head, network.second], network, task, told=lambda *_: None)
    assert torch.allclose(network.head.weight, network.second.weight, atol=1e-2)


# What cannot be


def lines(folder: Path, teacher: Any) -> str:
    study = write_study(folder, {"task": {"data": str(folder / "pets"), "reading": {"size": 8}}, "teacher": teacher})
    return refused("search", study, "--run", folder / "run")


def test_what_cannot_be_meant_is_refused_in_one_line(photos: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"timm": "nett"}, "teacher: timm 'nett' cannot be built: RuntimeError: Unknown model (nett)"),
        ({"timm": "net", "epochs": 1, "classes": {"Dog": 2}}, "'epochs: 1' trains the network for the task's classes"),
        ({"timm": "net", "epochs": -1}, "teacher.epochs: -1 given; it should be"),
        ({"timm": "net", "pretrained": False}, "an untrained network teaches nothing; give 'weights' or 'epochs'"),
        ({"timm": "net", "classes": {"Dog": 9, "CAT": 1}}, "has 5 classes, counted from 0, so none is 9"),
        ({"timm": "net", "classes": {"Wolf": 1}}, "has no class 'Wolf'; its classes are CAT and Dog"),
    ]
    for teacher, words in cases:
        assert words in lines(photos.parent, teacher)
        assert not (photos.parent / "run").exists()


def test_weights_that_cannot_be_fetched_are_one_line(
    photos: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone = SimpleNamespace(DEFAULT=SimpleNamespace(url=(photos / "gone-01234567.pth").as_uri()))
    monkeypatch.setattr(sys.modules["torchvision"].models, "get_model_weights", lambda name: gone)
    with pytest.raises(
        InputError,
        match=r"^teacher: the weights of torchvision 'net' cannot be fetched \(.*No such file.*under teacher.weights$",
    ):
        load({"torchvision": "net"}, task_of(photos), photos.parent)
    level = logging.getLogger("huggingface_hub").level
    load({"timm": "net"}, task_of(photos), photos.parent)
    assert "retrying" not in caplog.text
    assert logging.getLogger("huggingface_hub").level == level


def test_a_network_of_torchvision_without_a_last_layer_is_not_trained(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Conv(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 3)

    monkeypatch.setattr(sys.modules["torchvision"].models, "get_model", lambda name, weights, num_classes=5: Conv())
    with pytest.raises(InputError, match=r"a Conv has no last layer that can be replaced; name a classifier, or leave"):
        load({"torchvision": "net", "pretrained": False, "epochs": 1}, task_of(photos), photos.parent)
