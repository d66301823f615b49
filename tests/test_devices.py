from __future__ import annotations

import gc
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from command_line import autokd, refused_search, write_study
from small import small_context, small_run, small_study
from test_contract_of_tasks import KINDS, task_of
from torch import Tensor, nn

from autokd import devices
from autokd.devices import Compute, _OnDevice, batches, pick_device
from autokd.driver import search_study, teaching
from autokd.losses import takes_labels
from autokd.record import read_trials
from autokd.registry import resolve
from autokd.tasks import from_arrays
from autokd.tasks import task as task_module
from autokd.tasks.rows import all_labels
from autokd.teachers.answers import ask
from autokd.teachers.cache import open_outputs, teacher_outputs
from autokd.teachers.ensemble import Ensemble
from autokd.teachers.networks import NetworkTeacher
from autokd.teachers.sources import placed
from autokd.testing import TinyTask
from autokd.trial import Stretch, run_stretch
from autokd.types import Recipe

CPU = torch.device("cpu")
needs_no_gpu = pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="needs a machine without a GPU"
)


@needs_no_gpu
def test_without_a_gpu_auto_is_the_cpu_and_a_gpu_is_refused(tmp_path: Path) -> None:
    assert pick_device("auto") == CPU
    for name in ("cuda", "cuda:1", "mps"):
        assert f"device: {name} is not there (this machine has cpu); write auto" in refused_search(
            tmp_path, {"device": name}
        )
    assert "device" in refused_search(tmp_path, {"device": "gpu"})


def test_a_task_on_a_device_gives_what_it_gives(tmp_path: Path) -> None:
    task = small_context(tmp_path).task
    copied: Any = _OnDevice(task, CPU)
    rows = task.splits["validation"][[3, 1, 2]]
    assert torch.equal(copied.inputs(rows), task.inputs(rows))
    assert torch.equal(copied.targets(rows), task.targets(rows))
    assert copied.num_outputs == task.num_outputs


@pytest.mark.parametrize("whole", [2_000_000_000, 0], ids=["whole", "by the batch"])
@pytest.mark.parametrize("name", KINDS)
def test_inputs_on_a_device_are_the_inputs(name: str, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "WHOLE_BYTES", whole)
    task = task_of(KINDS[name])
    parts = torch.randperm(task.num_rows, generator=torch.Generator().manual_seed(0)).split(17)
    for view in range(task.views):
        given = batches(_OnDevice(task, CPU), parts, view)  # type: ignore[arg-type]
        for rows, found in zip(parts, given, strict=True):
            torch.testing.assert_close(found, task.inputs(rows, view), atol=1e-6, rtol=0)


def colours(dtype: str = "uint8") -> Any:
    """Small colour images in three augmented views."""
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 6, 5)).astype(dtype)
    return from_arrays(x, np.arange(40) % 2, augment={"flip": True, "crop": 1, "cutout": 2, "views": 3})


@pytest.mark.parametrize("memory", [0, 512_000_000], ids=["from the map", "from memory"])
@pytest.mark.parametrize("whole", [0, 2_000_000_000], ids=["by the batch", "whole"])
def test_images_reach_a_device_as_bytes_and_are_normalised_and_augmented_there(
    memory: int, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "WHOLE_BYTES", whole)
    monkeypatch.setattr(task_module, "WHOLE_BYTES", memory)
    for task in (colours(), all_labels(colours())):
        there: Any = _OnDevice(task, CPU)
        copied: list[Tensor] = []
        monkeypatch.setattr(_OnDevice, "placed", _noting(copied, _OnDevice.placed))
        parts = torch.arange(40).flip(0).split(16)
        for view in range(3):
            for rows, found in zip(parts, batches(there, parts, view), strict=True):
                torch.testing.assert_close(found, task.inputs(rows, view), atol=1e-6, rtol=0)
                assert found.is_contiguous(memory_format=torch.channels_last)
        assert {each.dtype for each in copied} == {torch.uint8}


def _noting(copied: list[Tensor], placed: Any) -> Any:
    def noted(self: Any, read: Tensor, rows: Tensor, view: int) -> Any:
        copied.append(read)
        return placed(self, read, rows, view)

    return noted


@pytest.mark.parametrize("memory", [0, 512_000_000], ids=["from the map", "from memory"])
def test_views_of_other_images_are_made_on_the_cpu(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_module, "WHOLE_BYTES", memory)
    task = colours(dtype="float32")
    there: Any = _OnDevice(task, CPU)
    parts = torch.arange(40).split(16)
    for view in range(3):
        for rows, found in zip(parts, batches(there, parts, view), strict=True):
            assert torch.equal(found, task.inputs(rows, view))
    assert there.in_memory == (memory > 0)


def test_images_in_bytes_take_a_byte_each_on_a_device() -> None:
    there: Any = _OnDevice(colours(), CPU)
    assert there.inputs(torch.arange(3)).dtype == torch.float32
    assert there._whole.dtype == torch.uint8


def test_a_task_that_reads_otherwise_than_the_one_it_holds_is_not_passed_by() -> None:
    class Darker:
        def __init__(self, task: Any) -> None:
            self.task = task

        def __getattr__(self, name: str) -> Any:
            return getattr(self.task, name)

        def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
            dark: Tensor = self.task.inputs(rows, view) - 1
            return dark

    task: Any = Darker(colours())
    there: Any = _OnDevice(task, CPU)
    for view in (0, 1):
        assert torch.equal(there.inputs(torch.arange(9), view), task.inputs(torch.arange(9), view))


def train(folder: Path, parts: tuple[int, ...], **overrides: Any) -> tuple[Any, bytes]:
    """Values and weights of one student after 4 epochs, trained in these parts."""
    context = small_context(folder, **overrides)
    recipe, source = Recipe(alpha=0.5, method="kd", epochs=4), ""
    arch = {"depth": 1, "width": 16}
    for start, stop in zip((0, *parts), parts, strict=False):
        stretch = Stretch(0, arch, recipe, 1, start, stop, source, str(folder / f"epoch-{stop}"))
        result = run_stretch(context, stretch)
        source = stretch.folder
    return result["values"], (Path(source) / "weights.safetensors").read_bytes()


def arch_free(folder: Path) -> str:
    path = folder / "space.py"
    path.write_text(
        "from torch import nn\n\n\ndef suggest(trial):\n    return {'width': trial.suggest_int('width', 4, 16)}\n\n\n"
        "def build(arch, task):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, arch['width']), nn.ReLU(),\n"
        "        nn.Dropout(0.2), nn.Linear(arch['width'], 10))\n"
    )
    return str(path)


@pytest.mark.parametrize(
    "how", [{"precision": "bf16"}, pytest.param({"compile": True}, marks=pytest.mark.slow)], ids=["bf16", "compile"]
)
def test_training_that_was_resumed_is_the_same_in_bf16_and_compiled(how: dict[str, Any], tmp_path: Path) -> None:
    space = arch_free(tmp_path)
    whole = train(tmp_path / "whole", (4,), space=space, **how)
    assert train(tmp_path / "parts", (1, 4), space=space, **how) == whole
    assert train(tmp_path / "plain", (4,), space=space)[1] != whole[1]


def test_a_student_of_texts_is_compiled_once_for_batches_of_all_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler gives up after 8 graphs of one function."""
    from torch._dynamo.utils import counters

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch.compiler.reset()
    counters.clear()
    task = TinyTask(input_shape=(16,), num_outputs=3, vocabulary=20)
    forward = Compute(compiled=True).forward(nn.Embedding(20, 3), task)

    for length in range(2, 16):
        forward(task.example(4)[:, :length])

    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.slow
def test_the_compiler_keeps_no_student_that_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.convert_frame import input_codes, output_codes

    students: list[Any] = []
    load = nn.Module.train
    monkeypatch.setattr(nn.Module, "train", lambda self, mode=True: students.append(ref(self)) or load(self, mode))
    train(tmp_path, (1,), space=arch_free(tmp_path), compile=True)
    gc.collect()
    assert students
    assert [each for each in students if each() is not None] == []
    assert len(input_codes.seen) == len(output_codes.seen) == 0


def test_a_search_may_go_on_with_another_device_and_not_with_other_numbers(tmp_path: Path) -> None:
    study, run = write_study(tmp_path, {"budget.trials": 1, "precision": "bf16"}), tmp_path / "run"
    assert autokd("search", study, "--run", run).code == 0
    assert autokd("search", study, "device=auto", "--run", run).code == 0
    assert "precision changed" in autokd("search", study, "precision=float32", "--run", run).err


def test_on_the_cpu_auto_gives_the_same_trials(tmp_path: Path) -> None:
    for device in ("cpu", "auto"):
        search_study(small_study(device=device, **{"budget.trials": 2}), run=tmp_path / device)
    if pick_device("auto") == CPU:
        assert read_trials(tmp_path / "cpu") == read_trials(tmp_path / "auto")


class Unmoved:
    """A teacher that is no network."""

    name, digest = "unmoved", "2"

    def outputs(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1)[:, :10]


def test_networks_among_teachers_answer_on_the_device_and_their_answers_are_the_same(tmp_path: Path) -> None:
    task, network = TinyTask(), nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    here = Ensemble((NetworkTeacher("network", "1", network), Unmoved()), (1.0, 1.0))
    there = placed(here, CPU)
    assert there.digest == here.digest
    cached = teacher_outputs(there, task, tmp_path)
    rows = task.splits["train"]
    assert torch.equal(open_outputs(cached.path)[0, rows], ask(here, task, rows, 0))
    assert teacher_outputs(here, task, tmp_path).warm


def test_a_network_that_is_asked_elsewhere_stays_where_its_owner_has_it() -> None:
    network = nn.Linear(64, 10)
    with pytest.raises(NotImplementedError, match="no data"):  # `meta` takes everything, and answers nothing
        NetworkTeacher("network", "1", network, torch.device("meta")).outputs(torch.zeros(1, 64))
    assert network.weight.device == CPU


def test_the_device_of_a_study_is_where_its_teacher_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[Any] = []
    monkeypatch.setattr(teaching, "placed", lambda teacher, device: devices.append(device) or teacher)
    small_run(tmp_path, device="auto")
    assert devices == [pick_device("auto")]


@pytest.mark.parametrize("name", ["kd", "dkd", "dist", "logit_std"])
def test_a_loss_stays_on_the_device_of_its_outputs(name: str) -> None:
    loss = resolve("losses", name)
    labels = {"labels": torch.zeros(9, dtype=torch.int64, device="meta")} if takes_labels(loss) else {}

    assert loss(*torch.zeros(2, 9, 3, device="meta"), temperature=2.0, **labels).device.type == "meta"


def test_an_ensemble_answers_on_the_device_of_its_members() -> None:
    class There:
        name, digest = "there", "00"

        def outputs(self, inputs: Tensor) -> Tensor:
            return torch.zeros(len(inputs), 3, device="meta")

    assert Ensemble((There(), There()), (1.0, 3.0)).outputs(torch.zeros(2, 4)).device.type == "meta"
