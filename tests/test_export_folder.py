from __future__ import annotations

import json
import shutil
import types
from pathlib import Path

import pytest
import torch
from export_samples import ARCHES, sample_card, sample_student
from torch import Tensor, nn

from autokd.errors import InputError
from autokd.export import export_student, load_student


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(16, 1, 8, 8)


class Tied(nn.Module):
    """One matrix used twice, which safetensors stores once."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.second = nn.Linear(64, 64)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.first(inputs.flatten(1)))


@pytest.fixture
def exported(tmp_path: Path, inputs: Tensor) -> Path:
    export_student(sample_student(), inputs, tmp_path / "student.safetensors", card=sample_card())
    return tmp_path


def _edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_a_folder_cannot_have_its_own_code_imported(exported: Path) -> None:
    (exported / "evil.py").write_text("raise SystemExit('ran')")
    for space in (str(exported / "evil.py"), "os", "os:system"):
        _edit(exported, space=space)
        with pytest.raises(InputError, match=r"is no installed plug-in \(known: .*mlp.*\).*pass it yourself"):
            load_student(exported)


def test_a_space_may_be_named_by_what_its_plug_in_stands_for(exported: Path) -> None:
    _edit(exported, space="search_spaces.mlp")
    assert isinstance(load_student(exported), nn.Module)


def test_a_changed_space_is_said(exported: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_student(exported)
    assert caplog.text == ""
    _edit(exported, space_digest="0" * 64)
    load_student(exported)
    assert "search space 'mlp' has changed since this student was exported" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "autokd-student-9"}, "format: "),
        ({"weights": "../student.safetensors"}, "weights: "),
        ({"surprise": 1}, "surprise: extra inputs"),
        ({"arch": []}, "arch: "),
        ({"task": {"name": "tiny", "input_shape": [8], "num_outputs": "ten"}}, "task.num_outputs: "),
    ],
)
def test_a_wrong_config_is_answered_with_its_key(exported: Path, changes: dict[str, object], said: str) -> None:
    _edit(exported, **changes)
    with pytest.raises(InputError, match=f"does not describe an exported student: {said}"):
        load_student(exported)


def test_a_config_that_is_no_json_is_refused(exported: Path) -> None:
    (exported / "config.json").write_text("not json")
    with pytest.raises(InputError, match="does not describe an exported student: file: invalid json"):
        load_student(exported)


def test_a_folder_that_is_no_student_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no exported student: no such file"):
        load_student(tmp_path / "nowhere")


def test_an_architecture_that_cannot_be_built_is_refused(exported: Path) -> None:
    _edit(exported, arch={"widths": [8, 6]})
    with pytest.raises(InputError, match=r"search space 'mlp' cannot build this student: .*batch_norm"):
        load_student(exported)


def test_weights_of_another_architecture_are_refused(exported: Path) -> None:
    _edit(exported, arch={**ARCHES["mlp"], "widths": [8, 7]})
    with pytest.raises(InputError, match="does not fit search space 'mlp': ") as refusal:
        load_student(exported)
    assert "\n" not in str(refusal.value)


def test_other_weights_than_the_configs_are_refused(exported: Path, inputs: Tensor) -> None:
    other = exported / "other"
    export_student(sample_student(), inputs, other / "student.safetensors", card=sample_card())
    shutil.copy(other / "student.safetensors", exported)
    with pytest.raises(InputError, match=r"is not the file that config.json describes"):
        load_student(exported)
    (exported / "student.safetensors").unlink()
    with pytest.raises(InputError, match=r"cannot read .*: no such file"):
        load_student(exported)


def test_tied_weights_come_back_tied(tmp_path: Path, inputs: Tensor) -> None:
    space = types.SimpleNamespace(suggest=lambda trial: {}, build=lambda arch, task: Tied())
    student = Tied()
    export_student(student, inputs, tmp_path / "s.safetensors", card=sample_card(space="mine", arch={}))
    loaded = load_student(tmp_path, space=space)
    assert torch.equal(loaded(inputs), student(inputs))
    assert loaded.first.weight is loaded.second.weight


class Odd(nn.Module):
    """A lazy layer, extra state and complex weights."""

    def __init__(self, state: object = 2.0) -> None:
        super().__init__()
        self.layer, self.state = nn.LazyLinear(10), state
        self.filter = nn.Parameter(torch.randn(6, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        outputs = torch.fft.irfft(torch.fft.rfft(self.layer(x.flatten(1))) * self.filter, n=10)
        return outputs * (self.state if isinstance(self.state, float) else 1.0)

    def get_extra_state(self) -> object:
        return {"state": self.state}

    def set_extra_state(self, state: object) -> None:
        self.state = state["state"]  # type: ignore[index]


def test_lazy_layers_extra_state_and_complex_weights_come_back(tmp_path: Path, inputs: Tensor) -> None:
    space = types.SimpleNamespace(suggest=lambda trial: {}, build=lambda arch, task: Odd())
    student = Odd(state=3.0)
    expected = student(inputs)
    export_student(student, inputs, tmp_path / "s.safetensors", card=sample_card(space="mine", arch={}))
    assert torch.equal(load_student(tmp_path, space=space)(inputs), expected)


def test_extra_state_that_no_file_can_hold_is_refused(tmp_path: Path, inputs: Tensor) -> None:
    student = Odd(state=print)
    student(inputs)
    with pytest.raises(InputError, match=r"builtin_function_or_method in '_extra_state.state'"):
        export_student(student, inputs, tmp_path / "s.safetensors", card=sample_card(space="mine", arch={}))
    assert not list(tmp_path.iterdir())
