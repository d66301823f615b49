from __future__ import annotations

import json
import logging
import math
import multiprocessing
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autokd.errors import InputError
from autokd.teachers.cache import SPLITS, CachedOutputs, open_outputs, teacher_outputs
from autokd.teachers.networks import NetworkTeacher
from autokd.teachers.scores import refuse_chance, teacher_score
from autokd.testing import TinyTask


class Counting(nn.Module):
    """Counts the samples it is given, with dropout that must be off."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
        self.samples = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.samples += len(inputs)
        return self.layers(inputs)


class Interrupted(nn.Module):
    """A network during which somebody presses Ctrl-C, after so many questions."""

    def __init__(self, network: nn.Module, questions: int) -> None:
        super().__init__()
        self.network, self.left = network, questions

    def forward(self, inputs: Tensor) -> Any:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.network(inputs)


@dataclass
class Prototypes:
    """A teacher that answers with the classes of `TinyTask`, so that it is right."""

    task: TinyTask
    name: str = "prototypes"
    digest: str = "0"

    def outputs(self, inputs: Tensor) -> Tensor:
        rows = torch.arange(self.task.num_rows)
        distances = torch.cdist(inputs.flatten(1), self.task.inputs(rows).flatten(1))
        return nn.functional.one_hot(self.task.targets(distances.argmin(dim=1)), self.task.num_outputs).float()


@dataclass
class NotFinite:
    """A teacher that answers two samples with NaN and infinity."""

    name: str = "broken"
    digest: str = "1"

    def outputs(self, inputs: Tensor) -> Tensor:
        given = torch.zeros(len(inputs), 10)
        given[3, 1], given[5, 0] = math.nan, math.inf
        return given


@dataclass
class Dying:
    """A teacher whose process ends at its third question, without a word."""

    name: str = "dying"
    digest: str = "2"
    asked: list[int] = field(default_factory=list)

    def outputs(self, inputs: Tensor) -> Tensor:
        self.asked.append(len(inputs))
        if len(self.asked) == 3:
            os._exit(9)
        return torch.zeros(len(inputs), 10)


def _teacher(seed: int = 0) -> tuple[NetworkTeacher, Counting]:
    network = Counting(seed)
    return NetworkTeacher("counting", f"seed {seed}", network), network


def test_forward_passes_are_samples_times_views_and_then_none(tmp_path: Path) -> None:
    task, (teacher, network) = TinyTask(views=3), _teacher()
    training, validation = 24 + 12, 12
    cold = teacher_outputs(teacher, task, tmp_path, batch_size=7)
    assert (cold.warm, cold.forward_passes, network.samples) == (False, 120, 120)
    assert training * 3 + validation == 120
    warm = teacher_outputs(teacher, task, tmp_path)
    assert warm == CachedOutputs(cold.path, warm=True, forward_passes=0, reason="")
    assert network.samples == 120


def test_each_row_and_view_holds_the_teachers_own_answer_and_the_rest_is_nan(tmp_path: Path) -> None:
    task, (teacher, _) = TinyTask(views=2), _teacher()
    outputs = open_outputs(teacher_outputs(teacher, task, tmp_path, batch_size=5).path)
    assert outputs.shape == (2, task.num_rows, task.num_outputs)
    for split, rows in task.splits.items():
        for view in range(2):
            if split in ("reserve", "test") or (view == 1 and split == "validation"):
                assert outputs[view, rows].isnan().all()
            else:
                torch.testing.assert_close(outputs[view, rows], teacher.outputs(task.inputs(rows, view)))


def test_asking_for_more_splits_asks_only_their_rows(tmp_path: Path) -> None:
    task, (teacher, network) = TinyTask(views=2), _teacher()
    first = teacher_outputs(teacher, task, tmp_path)
    before = open_outputs(first.path).clone()
    network.samples = 0
    more = teacher_outputs(teacher, task, tmp_path, splits=(*SPLITS, "reserve"))
    assert (more.path, more.forward_passes, network.samples) == (first.path, 8, 8)
    assert more.reason == "there are no answers on reserve yet"
    after = open_outputs(more.path)
    assert torch.equal(after[:, :60].nan_to_num(), before[:, :60].nan_to_num())
    assert not after[:, task.splits["reserve"]].isnan().any()
    assert teacher_outputs(teacher, task, tmp_path).warm


@pytest.mark.parametrize(
    ("task", "seed", "reason"),
    [
        (TinyTask(), 1, "the teacher is another one than before"),
        (TinyTask(seed=1), 0, "the task is another one than before"),
        (TinyTask(views=2), 0, "the task is another one than before"),
    ],
    ids=["teacher", "data", "augmentation"],
)
def test_a_changed_part_is_computed_anew_with_the_reason(
    task: TinyTask, seed: int, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = teacher_outputs(_teacher()[0], TinyTask(), tmp_path)
    with caplog.at_level(logging.INFO, "autokd"):
        second = teacher_outputs(_teacher(seed)[0], task, tmp_path)
    views = " (36 of them in 2 views)" if task.views == 2 else ""
    assert not second.warm
    assert second.path != first.path
    assert reason in second.reason
    assert f"Asking the teacher, counting, about 48 images{views} ({second.reason})." in caplog.text


def test_a_foreign_file_is_not_used(tmp_path: Path) -> None:
    teacher, _ = _teacher()
    first = teacher_outputs(teacher, TinyTask(), tmp_path)
    good = open_outputs(first.path).clone()
    foreign = np.zeros((1, 64, 10), dtype=np.float32)
    first.path.unlink()
    np.save(first.path, foreign)
    again = teacher_outputs(teacher, TinyTask(), tmp_path)
    assert "was changed or damaged since it was written" in again.reason
    assert torch.equal(open_outputs(again.path).nan_to_num(), good.nan_to_num())


@pytest.mark.parametrize("content", ["", "[1]", json.dumps({"teacher": "another"})], ids=["empty", "list", "another"])
def test_a_damaged_record_is_not_believed(content: str, tmp_path: Path) -> None:
    teacher, _ = _teacher()
    first = teacher_outputs(teacher, TinyTask(), tmp_path)
    first.path.with_suffix(".json").write_text(content)
    again = teacher_outputs(teacher, TinyTask(), tmp_path)
    assert (again.warm, again.forward_passes) == (False, 48)


def test_writing_into_the_opened_answers_changes_no_file(tmp_path: Path) -> None:
    path = teacher_outputs(_teacher()[0], TinyTask(), tmp_path).path
    open_outputs(path).zero_()
    assert open_outputs(path)[0, 0].abs().sum() > 0


def test_answers_that_are_not_finite_are_refused_by_row(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'broken' gives NaN or infinity on 2 rows \(3, 5; view 0\)"):
        teacher_outputs(NotFinite(), TinyTask(), tmp_path)
    assert not list(tmp_path.glob("*.npy")) + list(tmp_path.glob("*.json")) + list(tmp_path.glob("*.tmp"))


def test_another_class_count_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the teacher has 10 classes, and the task has 7"):
        teacher_outputs(_teacher()[0], TinyTask(num_outputs=7), tmp_path)


def test_another_input_shape_is_refused_with_the_networks_own_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fails on inputs of shape \(24, 9\) .* RuntimeError: mat1 and mat2"):
        teacher_outputs(_teacher()[0], TinyTask(input_shape=(9,)), tmp_path)


def test_a_network_that_gives_no_tensor_is_refused(tmp_path: Path) -> None:
    class Pair(nn.Module):
        def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
            return inputs, inputs

    with pytest.raises(InputError, match="teacher 'pair' gives a tuple, not one tensor"):
        teacher_outputs(NetworkTeacher("pair", "3", Pair()), TinyTask(), tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written to .*file/teacher: Not a directory"):
        teacher_outputs(_teacher()[0], TinyTask(), tmp_path / "file" / "teacher")


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with _largest_file(1000), pytest.raises(InputError, match=r"cannot be written .*; free some space"):
        teacher_outputs(_teacher()[0], TinyTask(), tmp_path)
    assert [file.suffix for file in tmp_path.iterdir()] in ([], [".lock"])


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01"], ids=["empty", "cut"])
def test_opening_what_is_no_array_is_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "o.npy").write_bytes(content)
    with pytest.raises(InputError, match="cannot be opened"):
        open_outputs(tmp_path / "o.npy")


def test_opening_another_array_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.zeros((3, 4)))
    with pytest.raises(InputError, match=r"float64 of shape \(3, 4\)"):
        open_outputs(tmp_path / "o.npy")


@pytest.mark.slow
def test_two_processes_that_start_at_once_build_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_build, args=(tmp_path, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    passes = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert passes == [0, 48]
    assert teacher_outputs(_teacher()[0], TinyTask(), tmp_path).warm


def test_a_pass_that_was_interrupted_goes_on_where_it_was_with_the_same_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task, (teacher, network) = TinyTask(views=2), _teacher()
    whole = open_outputs(teacher_outputs(teacher, task, tmp_path / "whole", batch_size=5).path)
    with pytest.raises(KeyboardInterrupt):
        teacher_outputs(replace(teacher, network=Interrupted(network, 4)), task, tmp_path, batch_size=5)
    assert not list(tmp_path.glob("*.npy"))
    network.samples, told = 0, list[tuple[int, int]]()
    with caplog.at_level(logging.INFO, "autokd"):
        more = teacher_outputs(
            teacher, task, tmp_path, batch_size=5, told=lambda done, total: told.append((done, total))
        )
    assert network.samples == more.forward_passes == 84 - 20
    assert "20 of 84 answers are there already." in caplog.text
    assert torch.equal(open_outputs(more.path).nan_to_num(), whole.nan_to_num())
    assert (told[0], told[-1]) == ((20, 84), (84, 84))
    assert not list(tmp_path.glob("*.tmp"))


def test_what_an_interrupted_pass_left_damaged_is_begun_anew(tmp_path: Path) -> None:
    task, (teacher, network) = TinyTask(), _teacher()
    with pytest.raises(KeyboardInterrupt):
        teacher_outputs(replace(teacher, network=Interrupted(network, 1)), task, tmp_path, batch_size=5)
    (unfinished,) = tmp_path.glob("*.tmp")
    unfinished.write_bytes(unfinished.read_bytes()[:-100])
    assert teacher_outputs(teacher, task, tmp_path).forward_passes == 48


@pytest.mark.slow
def test_a_pass_that_was_killed_leaves_nothing_that_looks_finished_and_goes_on(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert not list(tmp_path.glob("*.npy"))
    again = teacher_outputs(replace(_teacher()[0], digest="2"), TinyTask(), tmp_path, batch_size=4)
    assert again.forward_passes == 48 - 2 * 4
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".lock", ".npy"]


def test_the_score_is_the_tasks_score_on_the_split(tmp_path: Path) -> None:
    task = TinyTask()
    outputs = open_outputs(teacher_outputs(Prototypes(task), task, tmp_path).path)
    assert teacher_score(outputs, task) == 1.0
    assert teacher_score(-outputs, task) == 0.0
    refuse_chance(outputs, task)


def test_the_score_is_nan_where_an_answer_is_missing(tmp_path: Path) -> None:
    task = TinyTask()
    outputs = open_outputs(teacher_outputs(Prototypes(task), task, tmp_path, splits=["train"]).path)
    assert math.isnan(teacher_score(outputs, task))
    refuse_chance(outputs, task)


def test_a_teacher_no_better_than_chance_is_refused_with_the_figure() -> None:
    task = TinyTask()
    with pytest.raises(
        InputError, match=r"scores 0\.083 on validation, and an answer that does not look at the input scores 0\.167"
    ):
        refuse_chance(torch.zeros(1, task.num_rows, task.num_outputs), task)


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: a write then fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _build(folder: Path, barrier: Any, results: Any) -> None:
    barrier.wait()
    results.put(teacher_outputs(_teacher()[0], TinyTask(), folder, batch_size=1).forward_passes)


def _die(folder: Path) -> None:
    teacher_outputs(Dying(), TinyTask(), folder, batch_size=4)
