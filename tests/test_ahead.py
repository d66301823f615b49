"""Batches that are read ahead: the same ones, in their order, and nothing is left when the reader or its user fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autokd.ahead import AHEAD, read_ahead
from autokd.distill import Training, predict
from autokd.losses import kd
from autokd.tasks import ArrayTask, from_arrays, load_task, save_task
from autokd.tasks import task as task_module
from autokd.types import Recipe


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("autokd-read-ahead")]


def test_all_parts_are_read_in_order_by_another_thread() -> None:
    read = list(read_ahead(lambda part: (part, threading.current_thread()), range(7)))
    assert [part for part, _ in read] == [*range(7)]
    assert threading.current_thread() not in {thread for _, thread in read}
    assert threads() == []


@pytest.mark.parametrize("parts", [0, 1, 2, 3])
def test_few_parts_are_all_given(parts: int) -> None:
    assert list(read_ahead(str, range(parts))) == [str(part) for part in range(parts)]


def test_no_more_than_two_parts_wait_for_the_caller() -> None:
    begun: list[int] = []
    given = read_ahead(begun.append, range(9))
    for asked in range(1, 5):
        next(given)
        assert len(begun) <= asked + AHEAD
    given.close()  # type: ignore[attr-defined]
    assert len(begun) < 9
    assert threads() == []


def test_an_error_is_raised_as_it_was_after_the_parts_before_it() -> None:
    error = OSError(5, "the disk is gone", "x.npy")

    def read(part: int) -> int:
        if part == 3:
            raise error
        return part

    given, found = read_ahead(read, range(9)), []
    with pytest.raises(OSError, match="the disk is gone") as raised:
        found.extend(given)
    assert found == [0, 1, 2]
    assert raised.value is error
    assert threads() == []


def images(folder: Path) -> ArrayTask:
    """Colour images in a file, with augmented views."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (80, 3, 8, 8), dtype=np.uint8)
    augment = {"flip": True, "crop": 2, "cutout": 3, "views": 3}
    return save_task(from_arrays(x, np.arange(80) % 4, augment=augment, labels=40), folder)


@pytest.fixture
def from_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """No inputs are held in memory."""
    monkeypatch.setattr(task_module, "WHOLE_BYTES", 0)


def training(task: Any, loss: Callable[..., Tensor] = kd) -> Training:
    torch.manual_seed(1)
    student = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, 4))
    answers = torch.randn(task.views, task.num_rows, 4, generator=torch.Generator().manual_seed(2))
    return Training(student, task, answers, Recipe(batch_size=8, epochs=4), loss=loss, seed=3)


def test_a_student_that_was_trained_from_the_map_is_the_one_that_was_trained_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = images(tmp_path)
    found = []
    for limit in (1_000_000, 0):
        monkeypatch.setattr(task_module, "WHOLE_BYTES", limit)
        opened = load_task(tmp_path)
        assert opened.in_memory == bool(limit)
        trained = training(opened)
        trained.run(0, 4)
        found.append([predict(trained.student, opened, torch.arange(task.num_rows)), *trained.student.parameters()])
    assert all(torch.equal(here, there) for here, there in zip(*found, strict=True))


@pytest.mark.usefixtures("from_the_map")
@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_a_training_that_stops_early_leaves_no_thread(kind: type[BaseException], tmp_path: Path) -> None:
    steps = []

    def loss(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        steps.append(threads())
        if len(steps) == 2:
            raise kind("in the middle of an epoch")
        return kd(student, teacher, temperature=temperature)

    with pytest.raises(kind, match="in the middle"):
        training(images(tmp_path), loss).run(0, 1)
    assert [len(each) for each in steps] == [1, 1]
    assert threads() == []


@pytest.mark.usefixtures("from_the_map")
def test_an_error_of_the_map_is_that_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, error = training(images(tmp_path)), OSError(5, "the disk is gone")

    def inputs(self: ArrayTask, rows: Tensor, view: int = 0) -> Tensor:
        raise error

    monkeypatch.setattr(ArrayTask, "inputs", inputs)
    with pytest.raises(OSError, match="the disk is gone") as raised:
        trained.run(0, 1)
    assert raised.value is error
    assert threads() == []
