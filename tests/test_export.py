from __future__ import annotations

import json
import logging
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import needs
from torch import Tensor, nn

from autokd import registry
from autokd.errors import InputError
from autokd.export import export_student, graphs, load_student
from autokd.export.card import TaskShape

TASK = TaskShape(name="tiny", input_shape=(1, 8, 8), num_outputs=10)
ARCHES: dict[str, dict[str, Any]] = {
    "mlp": {"widths": [8, 6], "activation": "relu", "batch_norm": True},
    "resnet": {
        "width": 4,
        "stages": [
            {"blocks": 1, "kernel": 5, "widen": 1},
            {"blocks": 1, "kernel": 3, "widen": 2},
        ],
    },
    "mobilenet": {
        "width": 4,
        "activation": "relu",
        "stages": [
            {"blocks": 1, "kernel": 3, "expansion": 3, "squeeze_excite": True, "widen": 1},
            {"blocks": 2, "kernel": 5, "expansion": 1, "squeeze_excite": False, "widen": 2},
        ],
    },
    "vit": {"patches_per_side": 4, "heads": 2, "head_width": 4, "mlp_ratios": [2]},
}


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(16, 1, 8, 8)


def _student(space: str = "mlp") -> nn.Module:
    student = registry.resolve("search_spaces", space).build(ARCHES[space], TASK)
    student(torch.randn(16, 1, 8, 8))  # in train mode: batch norm has statistics of its own to keep
    return student


def _card(space: str = "mlp", **changes: object) -> dict[str, Any]:
    source = registry.source_digest(registry.resolve("search_spaces", space)) if space in ARCHES else ""
    return {
        "space": space,
        "space_digest": source,
        "arch": ARCHES.get(space, {}),
        "recipe": {"alpha": 0.9, "temperature": 4.0},
        "task": TASK.model_dump(),
        "values": {"accuracy": 0.93, "parameters": 656.0},
        "seeds": [0, 1, 2],
        "teacher": {"name": "resnet", "values": {"accuracy": 0.98}},
        "versions": {"torch": torch.__version__},
        **changes,
    }


class Tied(nn.Module):
    """One matrix used twice, which safetensors stores once."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.second = nn.Linear(64, 64)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.first(inputs.flatten(1)))


class Turncoat(nn.Module):
    """Answers otherwise once it is exported."""

    def forward(self, inputs: Tensor) -> Tensor:
        exporting = torch.compiler.is_exporting()
        return inputs.flatten(1) * (1.001 if exporting else 1.0)


class OneRowOnly(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.reshape(16, 64)


class Branching(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1) if float(inputs.sum()) > 0 else -inputs.flatten(1)


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize("space", ["mlp", "resnet", "mobilenet", "vit"])
def test_a_loaded_student_answers_as_the_exported_one(space: str, tmp_path: Path, inputs: Tensor) -> None:
    student = _student(space)
    said = export_student(student, inputs, tmp_path / "new" / "student.safetensors", card=_card(space))
    loaded = load_student(tmp_path / "new")
    assert torch.equal(loaded(inputs), student(inputs))
    assert not loaded.training
    assert said.startswith(f"wrote {tmp_path}/new/student.safetensors: ")
    assert _files(tmp_path / "new") == ["README.md", "config.json", "student.safetensors"]
    assert _files(tmp_path) == ["README.md", "config.json", "new", "student.safetensors"]


def test_the_card_says_how_to_use_the_student(tmp_path: Path, inputs: Tensor) -> None:
    export_student(_student(), inputs, tmp_path / "small.safetensors", card=_card())
    page = (tmp_path / "README.md").read_text()
    assert "| accuracy | 0.93 |" in page
    assert "shape (batch, 1, 8, 8), normalised" in page
    assert json.loads((tmp_path / "config.json").read_text())["weights"] == "small.safetensors"


def test_tied_weights_come_back_tied(tmp_path: Path, inputs: Tensor) -> None:
    space = types.SimpleNamespace(suggest=lambda trial: {}, build=lambda arch, task: Tied())
    student = Tied()
    export_student(student, inputs, tmp_path / "s.safetensors", card=_card(space="mine", arch={}))
    loaded = load_student(tmp_path, space=space)
    assert torch.equal(loaded(inputs), student(inputs))
    assert loaded.first.weight is loaded.second.weight


@pytest.mark.parametrize("suffix", ["pt2", pytest.param("onnx", marks=needs("onnxruntime"))])
def test_a_graph_is_checked_and_its_largest_difference_said(suffix: str, tmp_path: Path, inputs: Tensor) -> None:
    said = export_student(_student(), inputs, tmp_path / f"student.{suffix}", card=_card())
    assert "largest difference from torch" in said
    assert "on 16 inputs" in said
    assert _files(tmp_path) == [f"student.{suffix}"]


@pytest.mark.slow
@needs("onnxruntime")
@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
@pytest.mark.parametrize("space", ["resnet", "mobilenet", "vit"])
def test_every_space_exports_as_a_graph(space: str, suffix: str, tmp_path: Path, inputs: Tensor) -> None:
    export_student(_student(space), inputs, tmp_path / f"student.{suffix}", card=_card(space))
    assert (tmp_path / f"student.{suffix}").stat().st_size > 0


def test_an_archive_takes_any_batch_and_holds_the_card(tmp_path: Path, inputs: Tensor) -> None:
    student = _student()
    export_student(student, inputs, tmp_path / "student.pt2", card=_card())
    extra = {"autokd.json": ""}
    program = torch.export.load(tmp_path / "student.pt2", extra_files=extra)
    torch.testing.assert_close(program.module()(inputs[:5]), student(inputs[:5]))
    assert json.loads(extra["autokd.json"])["space"] == "mlp"


@needs("onnxruntime")
def test_an_onnx_file_takes_any_batch_and_holds_the_card(tmp_path: Path, inputs: Tensor) -> None:
    import onnxruntime

    student = _student()
    export_student(student, inputs, tmp_path / "student.onnx", card=_card())
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx")
    answers = session.run(None, {"input": inputs[:5].numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(answers), student(inputs[:5]).detach())
    assert json.loads(session.get_modelmeta().custom_metadata_map["autokd"])["space"] == "mlp"


@pytest.mark.parametrize("suffix", ["pt2", pytest.param("onnx", marks=needs("onnxruntime"))])
def test_a_graph_that_answers_otherwise_is_refused_and_leaves_nothing(
    suffix: str, tmp_path: Path, inputs: Tensor
) -> None:
    with pytest.raises(InputError, match=r"refused, the exported network answers otherwise: .* 1e-04 is allowed"):
        export_student(Turncoat(), inputs, tmp_path / "new" / f"s.{suffix}", card=_card())
    assert _files(tmp_path) == []


def test_nan_answers_are_refused(tmp_path: Path, inputs: Tensor) -> None:
    student = _student()
    with torch.no_grad():
        next(student.parameters()).fill_(torch.nan)
    with pytest.raises(InputError, match="refused"):
        export_student(student, inputs, tmp_path / "s.pt2", card=_card())


@pytest.mark.parametrize("student", [OneRowOnly(), Branching()])
def test_a_network_that_has_no_graph_is_refused_in_one_line(student: nn.Module, tmp_path: Path, inputs: Tensor) -> None:
    with pytest.raises(InputError, match=r"^torch.export cannot export this student: .*") as refusal:
        export_student(student, inputs, tmp_path / "s.pt2", card=_card())
    assert "\n" not in str(refusal.value)
    assert _files(tmp_path) == []


def test_a_refused_export_leaves_the_earlier_file(tmp_path: Path, inputs: Tensor) -> None:
    (tmp_path / "s.pt2").write_text("earlier")
    with pytest.raises(InputError):
        export_student(Turncoat(), inputs, tmp_path / "s.pt2", card=_card())
    assert (tmp_path / "s.pt2").read_text() == "earlier"


def test_a_later_export_replaces_an_earlier_one(tmp_path: Path, inputs: Tensor) -> None:
    export_student(_student(), inputs, tmp_path / "s.safetensors", card=_card())
    student = _student()
    export_student(student, inputs, tmp_path / "s.safetensors", card=_card())
    assert torch.equal(load_student(tmp_path)(inputs), student(inputs))


@pytest.mark.parametrize("name", ["README.md", "config.json"])
def test_a_file_that_is_not_ours_is_never_replaced(name: str, tmp_path: Path, inputs: Tensor) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=rf"has a {name} that is not from an export; name a folder of its own"):
        export_student(_student(), inputs, tmp_path / "s.safetensors", card=_card())
    assert _files(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "{}"


@pytest.mark.parametrize(("name", "hint"), [("s.onn", "; did you mean 'onnx'"), ("s.gguf", ""), ("s", "")])
def test_an_unknown_suffix_is_answered_with_the_known_ones(
    name: str, hint: str, tmp_path: Path, inputs: Tensor
) -> None:
    with pytest.raises(InputError, match=r"no exporter for .*\.onnx, \.pt2, \.safetensors.*" + hint):
        export_student(_student(), inputs, tmp_path / name, card=_card())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, inputs: Tensor) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*file/s.safetensors.*: not a directory"):
        export_student(_student(), inputs, tmp_path / "file" / "s.safetensors", card=_card())


def test_a_full_disk_leaves_nothing(tmp_path: Path, inputs: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match=r"cannot write .*: no space left on device"):
        export_student(_student(), inputs, tmp_path / "s.safetensors", card=_card())
    assert _files(tmp_path) == []


def test_without_its_packages_onnx_says_what_to_install(
    tmp_path: Path, inputs: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"needs onnxruntime: pip install 'autokd\[onnx\]'"):
        export_student(_student(), inputs, tmp_path / "s.onnx", card=_card())


def test_torchs_logger_is_as_loud_after_an_export_as_before(tmp_path: Path, inputs: Tensor) -> None:
    level = logging.getLogger("torch.onnx").level
    with pytest.raises(InputError):
        export_student(Branching(), inputs, tmp_path / "s.pt2", card=_card())
    assert logging.getLogger("torch.onnx").level == level
    assert graphs.LARGEST_RELATIVE_DIFFERENCE == 1e-4


@pytest.fixture
def exported(tmp_path: Path, inputs: Tensor) -> Path:
    export_student(_student(), inputs, tmp_path / "student.safetensors", card=_card())
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
    export_student(_student(), inputs, other / "student.safetensors", card=_card())
    shutil.copy(other / "student.safetensors", exported)
    with pytest.raises(InputError, match=r"is not the file that config.json describes"):
        load_student(exported)
    (exported / "student.safetensors").unlink()
    with pytest.raises(InputError, match=r"cannot read .*: no such file"):
        load_student(exported)
