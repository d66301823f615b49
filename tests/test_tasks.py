"""The numbers that a task gives, and the folders in which tasks are kept."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autokd.errors import InputError
from autokd.study import TaskSection
from autokd.tasks import ArrayTask, from_arrays, load_task, open_task, save_task
from autokd.tasks import task as task_module
from autokd.tasks.splits import SPLITS

Array = np.ndarray[Any, Any]


def grey(rows: int = 60, *, classes: int = 3, size: int = 6) -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (rows, size, size), dtype=np.uint8), np.arange(rows) % classes


def write_npz(folder: Path, x: Array, y: Array) -> str:
    np.savez(folder / "toy.npz", x=x, y=y)
    return str(folder / "toy.npz")


def all_inputs(task: ArrayTask) -> torch.Tensor:
    return task.inputs(torch.arange(task.num_rows))


def test_standard_inputs_have_mean_0_and_deviation_1_over_the_training_rows() -> None:
    x = np.random.default_rng(0).normal(5, 3, (400, 3)).astype(np.float32) * [1, 1000, 0]

    task = from_arrays(x, np.arange(400) % 2, labels=40)

    seen = task.inputs(torch.cat([task.splits["train"], task.splits["transfer"]]))
    assert torch.allclose(seen.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(seen.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5)


def test_unit_divides_by_the_largest_value() -> None:
    x, y = grey()

    assert np.allclose(all_inputs(from_arrays(x, y, normalise="unit")), x[:, None] / 255)
    assert from_arrays(x.astype(np.float32) * 4, y, normalise="unit").divisor[0] > 900


def test_inputs_are_the_same_from_memory_and_from_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = grey()
    task = save_task(from_arrays(np.stack([x, x // 2, x // 3], 1), y), tmp_path / "task")
    held = all_inputs(task)

    monkeypatch.setattr(task_module, "WHOLE_BYTES", 0)
    mapped = all_inputs(load_task(tmp_path / "task"))

    assert isinstance(task.x, np.memmap)
    assert torch.equal(held, mapped)
    assert mapped.is_contiguous(memory_format=torch.channels_last)


def test_views_are_deterministic_and_the_first_is_plain() -> None:
    one, other = (from_arrays(*grey(), augment={"views": 3, "flip": True, "crop": 1}) for _ in range(2))
    rows = torch.arange(10)

    assert torch.equal(one.inputs(rows), from_arrays(*grey()).inputs(rows))
    assert torch.equal(one.inputs(rows, 2), other.inputs(rows.flip(0), 2).flip(0))
    assert not torch.equal(one.inputs(rows, 1), one.inputs(rows, 2))
    with pytest.raises(ValueError, match="view 3"):
        one.inputs(rows, 3)


def test_without_weights_the_score_is_accuracy_and_the_loss_cross_entropy() -> None:
    task = from_arrays(*grey())
    outputs, targets = torch.randn(9, 3), torch.arange(9) % 3

    assert task.score(outputs, targets) == pytest.approx(float((outputs.argmax(1) == targets).float().mean()))
    assert torch.equal(task.hard_loss(outputs, targets), F.cross_entropy(outputs, targets))
    assert task.chance == pytest.approx(1 / 3, abs=0.1)
    assert np.isnan(task.score(torch.full((9, 3), torch.nan), targets))


def test_with_weights_the_score_is_balanced_accuracy() -> None:
    from sklearn.metrics import balanced_accuracy_score

    y = np.repeat([0, 1], [90, 10])
    task = from_arrays(np.arange(100.0)[:, None], y, class_weights="balanced")
    outputs, targets = torch.randn(40, 2), torch.arange(40) // 32
    weights = torch.tensor(task.class_weights)

    assert task.score(outputs, targets) == pytest.approx(balanced_accuracy_score(targets, outputs.argmax(1)))
    assert torch.equal(task.hard_loss(outputs, targets), F.cross_entropy(outputs, targets, weight=weights))
    assert weights[1] / weights[0] == pytest.approx(9, rel=0.2)
    assert task.chance == 0.5


def test_labels_with_gaps_are_numbered_and_keep_their_names() -> None:
    x, y = grey()

    task = from_arrays(x, np.array([3, 7, 40])[y])

    assert task.class_names == ("3", "7", "40")
    assert task.y.tolist() == y.tolist()


def test_the_summary_is_one_line_with_the_labels_used() -> None:
    summary = from_arrays(*grey(150), labels=30, label_noise=0.1, name="toy").summary()

    assert "\n" not in summary
    assert "labels used: 30 to train, 24 to validate, 10% of the training labels changed" in summary


@pytest.mark.parametrize(
    "change",
    [
        {"labels": 20},
        {"label_noise": 0.1},
        {"seed": 1},
        {"normalise": "unit"},
        {"class_weights": "balanced"},
        {"augment": {"views": 2, "flip": True}},
    ],
)
def test_the_digest_tells_tasks_apart(change: dict[str, Any]) -> None:
    assert from_arrays(*grey(), **change).digest != from_arrays(*grey()).digest


def test_the_digest_depends_on_the_data_and_not_on_where_they_lie(tmp_path: Path) -> None:
    x, y = grey()
    task = from_arrays(x, y)
    x[0, 0, 0] ^= 1

    assert save_task(task, tmp_path / "task").digest == task.digest == from_arrays(*grey()).digest
    assert from_arrays(x, y).digest != task.digest


def test_a_task_is_made_once_and_opened_again(tmp_path: Path) -> None:
    spec, folder = {"data": write_npz(tmp_path, *grey())}, tmp_path / "task"
    first = open_task(spec, seed=0, folder=folder)
    written = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}

    again = open_task(spec, seed=0, folder=folder)

    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == written
    assert again.digest == first.digest == load_task(folder).digest
    assert all(torch.equal(again.splits[name], first.splits[name]) for name in SPLITS)
    assert torch.equal(all_inputs(again), all_inputs(first))


def test_a_saved_task_is_data_for_another_run(tmp_path: Path) -> None:
    task = save_task(from_arrays(*grey(), labels=9), tmp_path / "saved")

    for _ in range(2):
        assert open_task(str(tmp_path / "saved"), seed=9, folder=tmp_path / "run").digest == task.digest
    assert load_task(tmp_path / "run").digest == task.digest


def test_data_touched_but_unchanged_are_still_the_same_task(tmp_path: Path) -> None:
    data, folder = write_npz(tmp_path, *grey()), tmp_path / "task"
    digest = open_task(data, seed=0, folder=folder).digest
    os.utime(data, ns=(0, 0))

    assert open_task(data, seed=0, folder=folder).digest == digest


def test_a_task_made_before_a_setting_existed_is_opened_where_the_setting_has_its_default(tmp_path: Path) -> None:
    data, folder = write_npz(tmp_path, *grey()), tmp_path / "task"
    digest = open_task(data, seed=0, folder=folder).digest
    described = json.loads((folder / "task.json").read_text())
    del described["origin"]["settings"]["layout"], described["origin"]["settings"]["unlabelled"]
    (folder / "task.json").write_text(json.dumps(described))

    assert open_task(data, seed=0, folder=folder).digest == digest
    with pytest.raises(InputError, match=r"other settings: unlabelled \(was 'auto', now 2\)"):
        open_task({"data": data, "unlabelled": 2}, seed=0, folder=folder)


def test_a_half_written_folder_is_written_again(tmp_path: Path) -> None:
    spec, folder = {"data": write_npz(tmp_path, *grey())}, tmp_path / "task"
    digest = open_task(spec, seed=0, folder=folder).digest
    (folder / "task.json").unlink()
    os.truncate(folder / "x.npy", 200)

    assert open_task(spec, seed=0, folder=folder).digest == digest
    assert sorted(each.name for each in tmp_path.iterdir()) == ["task", "toy.npz"]


def test_other_settings_or_data_in_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    data, folder = write_npz(tmp_path, *grey()), tmp_path / "task"
    open_task(data, seed=0, folder=folder)

    with pytest.raises(InputError, match=r"labels \(was None, now 9\), seed \(was 0, now 1\)"):
        open_task({"data": data, "labels": 9}, seed=1, folder=folder)
    write_npz(tmp_path, *grey(66))
    with pytest.raises(InputError, match=r"toy\.npz is not what it was"):
        open_task(data, seed=0, folder=folder)
    with pytest.raises(InputError, match="another task"):
        save_task(from_arrays(*grey(), labels=9), folder)
    with pytest.raises(InputError, match="already made, with its own settings; leave out labels"):
        open_task({"data": str(folder), "labels": 9}, seed=0, folder=tmp_path / "other")


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(InputError, match="cannot be written into"):
            open_task("digits", seed=0, folder=tmp_path / "run" / "task")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list((tmp_path / "run").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match="cannot be written into"):
        save_task(from_arrays(*grey()), tmp_path / "file" / "task")


@pytest.mark.parametrize("name", ["x.npy", "y.npy", "task.json"])
def test_a_damaged_folder_is_said(name: str, tmp_path: Path) -> None:
    save_task(from_arrays(*grey()), tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])

    with pytest.raises(InputError, match="cannot be opened"):
        load_task(tmp_path)


def test_settings_import_neither_torch_nor_numpy() -> None:
    code = "import sys, autokd.study.task; print({'torch', 'optuna', 'numpy'} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_every_setting_is_described_in_the_json_schema() -> None:
    properties = TaskSection.model_json_schema()["properties"]

    assert all("description" in each for each in properties.values())
    assert json.dumps(properties)


def test_class_weights_follow_the_outputs_to_their_device() -> None:
    task = from_arrays(*grey(), class_weights="balanced")
    outputs, targets = torch.randn(9, 3, device="meta"), torch.zeros(9, dtype=torch.int64, device="meta")

    assert task.hard_loss(outputs, targets).device.type == "meta"
