"""Networks of timm and torchvision see photos as these packages say. Stand-ins take the place of both packages."""

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
from PIL import Image
from torch import nn

from autokd.errors import InputError
from autokd.readings.photos import Photos
from autokd.tasks import ArrayTask, PhotoTask, from_arrays, open_task
from autokd.teachers.answers import ask
from autokd.teachers.networks import NetworkTeacher
from autokd.teachers.sources import load_teacher
from autokd.teachers.through import Through
from autokd.types import Task

ROWS = torch.arange(12)
TIMM = {"input_size": (3, 12, 10), "crop_pct": 0.75, "interpolation": "bilinear", "crop_mode": "center"}
MOMENTS = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}


class Seeing(nn.Module):
    """Answers with two numbers about its inputs, which must have the shape that it was trained with."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.scale = shape, nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == self.shape
        return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], dim=1) * self.scale


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for i in range(6):
        for kind in ("cat", "dog"):
            (tmp_path / "pets" / kind).mkdir(parents=True, exist_ok=True)
            values = random.integers(0, 256, (16, 12 + i, 3), dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / "pets" / kind / f"{i}.png")
    return tmp_path / "pets"


def task_of(folder: Path, **settings: Any) -> PhotoTask:
    spec = {"data": str(folder), "reading": {"size": 8}, **settings}
    task = open_task(spec, seed=0, folder=folder.parent / f"task {len(list(folder.parent.iterdir()))}")
    assert isinstance(task, PhotoTask)
    return task


def in_place_of_timm(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...] = (3, 12, 10), **config: Any) -> None:
    def resolve_data_config(given: Any, model: nn.Module) -> dict[str, Any]:
        return {**TIMM, **MOMENTS, **config}

    made = SimpleNamespace(
        create_model=lambda name, pretrained, num_classes=2: Seeing(shape),
        data=SimpleNamespace(resolve_data_config=resolve_data_config),
    )
    monkeypatch.setitem(sys.modules, "timm", made)


def in_place_of_torchvision(monkeypatch: pytest.MonkeyPatch, folder: Path, **config: Any) -> None:
    torch.save(Seeing((3, 12, 12)).state_dict(), folder / "w")
    file = folder / f"net-{hashlib.sha256((folder / 'w').read_bytes()).hexdigest()[:8]}.pth"
    (folder / "w").rename(file)
    preset = SimpleNamespace(crop_size=[12], resize_size=[16], **{key: list(each) for key, each in MOMENTS.items()})
    default = SimpleNamespace(url=file.as_uri(), transforms=lambda: preset)
    models = SimpleNamespace(
        get_model=lambda name, weights, num_classes=2: Seeing((3, 12, 12)),
        get_model_weights=lambda name: SimpleNamespace(DEFAULT=default),
    )
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=models))
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))


def load(source: Any, task: Task, folder: Path) -> Any:
    return load_teacher(source, task, folder=folder, train=None, seed=0)  # type: ignore[arg-type]


def expected(task: PhotoTask, size: tuple[int, int], keep: float) -> torch.Tensor:
    """The inputs of the packages' own reading: resized so that `keep` of each side fits, cropped and normalised."""
    x = Photos(size, "crop", (255, 255, 255), 3, keep).batch(task.originals.paths)
    mean, std = (torch.tensor(MOMENTS[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return (torch.from_numpy(x.copy()) / 255 - mean) / std


def test_a_network_of_timm_sees_photos_as_timm_says(
    photos: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    in_place_of_timm(monkeypatch)
    task = task_of(photos)
    with caplog.at_level(logging.INFO, "autokd"):
        teacher = load({"timm": "net"}, task, photos.parent)
    assert isinstance(teacher, Through)
    assert (
        "The teacher, net, sees photos as timm says: 12x10 pixels (fit: crop of the middle 0.75 of each" in caplog.text
    )
    answers = Seeing((3, 12, 10))(expected(task, (12, 10), 0.75))
    assert torch.allclose(ask(teacher, task, ROWS, 0), answers, atol=1e-5)


def test_a_network_of_torchvision_sees_photos_as_its_weights_say(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_place_of_torchvision(monkeypatch, photos.parent)
    task = task_of(photos)
    teacher = load({"torchvision": "net"}, task, photos.parent)
    answers = Seeing((3, 12, 12))(expected(task, (12, 12), 0.75))
    assert torch.allclose(ask(teacher, task, ROWS, 0), answers, atol=1e-5)


def test_it_also_answers_where_the_size_of_students_is_searched(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_place_of_timm(monkeypatch)
    augment = {"views": 2, "flip": True, "crop": 0.1}
    task = task_of(photos, reading={"size": [6, 8]}, augment=augment)
    teacher = load({"timm": "net"}, task, photos.parent)
    fixed = task_of(photos, reading={"size": 6}, augment=augment)
    same = load({"timm": "net"}, fixed, photos.parent)
    for view in range(2):
        assert torch.equal(ask(teacher, task, ROWS, view), ask(same, fixed, ROWS, view))


def test_a_reading_in_the_section_of_a_teacher_comes_first(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_place_of_timm(monkeypatch, (3, 8, 8))
    task = task_of(photos)
    teacher = load({"timm": "net", "reading": {"size": 8}}, task, photos.parent)
    inputs = task.inputs(ROWS)
    assert torch.allclose(ask(teacher, task, ROWS, 0), Seeing((3, 8, 8))(inputs), atol=1e-6)


def test_grey_photos_have_the_channels_that_the_network_takes(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in photos.glob("*/*.png"):
        Image.open(file).convert("L").save(file)
    in_place_of_timm(monkeypatch)
    task = task_of(photos)
    assert task.input_shape == (1, 8, 8)
    assert ask(load({"timm": "net"}, task, photos.parent), task, ROWS, 0).shape == (12, 2)


def test_where_only_arrays_are_known_the_network_sees_what_students_see(monkeypatch: pytest.MonkeyPatch) -> None:
    in_place_of_timm(monkeypatch)
    task: ArrayTask = from_arrays(np.zeros((20, 3, 8, 8), np.uint8), [0, 1] * 10, layout="channels_first")
    assert isinstance(load({"timm": "net"}, task, Path()), NetworkTeacher)


@pytest.mark.parametrize(
    ("mode", "size", "fit"), [("squash", (3, 9, 9), "stretch"), ("border", (3, 9, 9), "pad"), (None, (3, 9, 9), "crop")]
)
def test_the_ways_of_timm_to_reach_a_size_have_their_names_here(
    mode: str | None, size: tuple[int, ...], fit: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place_of_timm(monkeypatch, size, crop_mode=mode, input_size=size, crop_pct=1.0)
    teacher = load({"timm": "net"}, task_of(photos), photos.parent)
    assert (teacher.seen.photos.fit, teacher.seen.photos.size, teacher.seen.photos.keep) == (fit, size[1:], 1.0)


def test_views_in_pixels_and_unknown_settings_are_refused_in_one_line(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place_of_timm(monkeypatch)
    task = task_of(photos, augment={"crop": 2})
    said = r"^teacher 'net' sees photos as timm says, 12x10 pixels .*: size: task.augment.crop counts 2 .* crop: 0.25"
    with pytest.raises(InputError, match=said):
        load({"timm": "net"}, task, photos.parent)
    in_place_of_timm(monkeypatch, mean=None)
    with pytest.raises(InputError, match=r"^teacher: timm does not say how 'net' sees photos .*reading: {size: 224}"):
        load({"timm": "net"}, task_of(photos), photos.parent)
