"""Programs of TorchScript and torch.export are teachers, as objects and as files."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from autokd.errors import InputError
from autokd.networks import contiguous
from autokd.tasks import ArrayTask, from_arrays
from autokd.teachers.answers import ask
from autokd.teachers.sources import load_teacher
from autokd.types import Teacher

ROWS = torch.arange(50)
FIXED, ANY, SOME = None, ({0: Dim.AUTO},), ({0: Dim("rows", min=3, max=16)},)


class Convolution(nn.Module):
    """Flattens by `view`, and answers with a dict."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolution, self.head = nn.Conv2d(3, 4, 3), nn.Linear(144, 3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.dropout(self.convolution(x)).view(x.size(0), -1))}


@pytest.fixture(scope="module")
def task() -> ArrayTask:
    """Colour images, which come in the channels_last memory format."""
    generator = torch.Generator().manual_seed(0)
    return from_arrays(torch.randn(300, 3, 8, 8, generator=generator).numpy(), [row % 3 for row in range(300)])


def scripted(network: nn.Module, *, frozen: bool = False) -> Any:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of torch.jit itself
        program = torch.jit.script(network.eval())
        return torch.jit.freeze(program) if frozen else program


def exported(network: nn.Module, sizes: Any = FIXED) -> ExportedProgram:
    return torch.export.export(network.eval(), (torch.zeros(4, 3, 8, 8),), dynamic_shapes=sizes)


def load(source: Any, task: ArrayTask, tmp_path: Path) -> Teacher:
    return load_teacher(source, task, folder=tmp_path, train=lambda *_: None, seed=0)


def answers_as_it_should(teacher: Teacher, task: ArrayTask) -> None:
    right = Convolution().eval()(task.inputs(ROWS).contiguous())["logits"]
    torch.testing.assert_close(ask(teacher, task, ROWS, 0), right)
    torch.testing.assert_close(ask(teacher, task, ROWS[:1], 0), right[:1])


def test_a_network_that_flattens_by_view_and_answers_with_a_dict_is_a_teacher(task: ArrayTask, tmp_path: Path) -> None:
    answers_as_it_should(load(Convolution(), task, tmp_path), task)


def test_torchscript_is_a_teacher_as_object_and_as_file(task: ArrayTask, tmp_path: Path) -> None:
    program, file = scripted(Convolution()), tmp_path / "big.pt"
    program.save(file)
    teachers = [load(source, task, tmp_path) for source in (program, file, str(file), {"network": str(file)})]
    for teacher in teachers:
        answers_as_it_should(teacher, task)
    assert len({teacher.digest for teacher in teachers}) == 1
    assert teachers[-1].name == "big"


def test_a_frozen_torchscript_is_a_teacher_that_is_told_by_its_constants(task: ArrayTask, tmp_path: Path) -> None:
    frozen, other = (scripted(Convolution(seed), frozen=True) for seed in (0, 1))
    answers_as_it_should(load(frozen, task, tmp_path), task)
    assert load(frozen, task, tmp_path).digest != load(other, task, tmp_path).digest


@pytest.mark.parametrize("sizes", [FIXED, ANY, SOME], ids=["one batch size", "any", "3 to 16"])
def test_an_exported_program_is_a_teacher_as_object_and_as_file(sizes: Any, task: ArrayTask, tmp_path: Path) -> None:
    program, file = exported(Convolution(), sizes), tmp_path / "big.pt2"
    torch.export.save(program, file)
    teachers = [load(source, task, tmp_path) for source in (program, str(file), {"network": str(file)})]
    for teacher in teachers:
        answers_as_it_should(teacher, task)
    assert len({teacher.digest for teacher in teachers}) == 1
    assert load(exported(Convolution(1), sizes), task, tmp_path).digest != teachers[0].digest


def test_grey_images_are_contiguous_for_a_program_that_flattens_by_view(tmp_path: Path) -> None:
    class Grey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.convolution(x).view(x.size(0), -1)[:, :2]

    grey = from_arrays(np.random.default_rng(0).normal(size=(200, 1, 8, 8)).astype("float32"), [0, 1] * 100)
    network = Grey().eval()
    right = network(contiguous(grey.inputs(ROWS)))
    for program in (network, scripted(network), torch.export.export(network, (torch.zeros(4, 1, 8, 8),))):
        torch.testing.assert_close(ask(load(program, grey, tmp_path), grey, ROWS, 0), right)


def test_programs_of_the_same_weights_and_other_code_are_told_apart(task: ArrayTask, tmp_path: Path) -> None:
    class Doubled(Convolution):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": 2 * self.head(self.convolution(x).view(x.size(0), -1))}

    pairs = [(exported(Convolution()), exported(Doubled())), (scripted(Convolution()), scripted(Doubled()))]
    for one, other in pairs:
        assert load(one, task, tmp_path).digest != load(other, task, tmp_path).digest


def test_a_program_of_two_inputs_is_refused(task: ArrayTask, tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    program = torch.export.export(Two(), (torch.zeros(2, 3), torch.zeros(2, 3)))
    with pytest.raises(InputError, match="is a program of 2 inputs; export it with one"):
        load(program, task, tmp_path)


def test_weights_in_place_of_a_program_are_refused_with_what_to_write(task: ArrayTask, tmp_path: Path) -> None:
    torch.save(Convolution().state_dict(), tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"holds no program of TorchScript; .* \{network: 'module:attr', weights: "):
        load(str(tmp_path / "w.pt"), task, tmp_path)


@pytest.mark.parametrize("name", ["broken.pt", "broken.pt2"])
def test_a_program_that_is_cut_short_is_refused(name: str, task: ArrayTask, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match="cannot be read"):
        load(str(tmp_path / name), task, tmp_path)


def test_weights_beside_a_program_are_refused(task: ArrayTask, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave out 'args' and 'weights'"):
        load({"network": "big.pt2", "weights": "w.pt"}, task, tmp_path)


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("part", ["sample_inputs/model.pt", "constants/model_constants_config.json"])
def test_pickled_objects_in_an_exported_program_are_refused_and_not_executed(
    part: str, task: ArrayTask, tmp_path: Path
) -> None:
    marker, evil = tmp_path / "marker", tmp_path / "evil.pt2"
    torch.export.save(exported(Convolution()), tmp_path / "good.pt2")
    content: bytes = b'{"config": {"x": {"path_name": "custom_obj_0", "is_param": false, "use_pickle": true}}}'
    if part.endswith(".pt"):
        torch.save(Evil(marker), tmp_path / "inputs")
        content = (tmp_path / "inputs").read_bytes()
    with zipfile.ZipFile(tmp_path / "good.pt2") as good, zipfile.ZipFile(evil, "w") as archive:
        for name in good.namelist():
            archive.writestr(name, content if name.endswith(part) else good.read(name))
        archive.writestr("good/data/constants/custom_obj_0", pickle.dumps(Evil(marker)))
    with pytest.raises(InputError, match="refused and not executed"):
        load(str(evil), task, tmp_path)
    assert not marker.exists()
