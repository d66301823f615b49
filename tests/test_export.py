from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
import torch
from conftest import needs
from export_samples import sample_card, sample_student
from torch import Tensor, nn

from autokd.errors import InputError
from autokd.export import export_student, graphs, load_student


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(16, 1, 8, 8)


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
    student = sample_student(space)
    said = export_student(student, inputs, tmp_path / "new" / "student.safetensors", card=sample_card(space))
    loaded = load_student(tmp_path / "new")
    assert torch.equal(loaded(inputs), student(inputs))
    assert not loaded.training
    assert said.startswith(f"wrote {tmp_path}/new/student.safetensors: ")
    assert _files(tmp_path / "new") == ["README.md", "config.json", "student.safetensors"]
    assert _files(tmp_path) == ["README.md", "config.json", "new", "student.safetensors"]


def test_the_card_says_how_to_use_the_student(tmp_path: Path, inputs: Tensor) -> None:
    export_student(sample_student(), inputs, tmp_path / "small.safetensors", card=sample_card())
    page = (tmp_path / "README.md").read_text()
    assert "| accuracy | 0.93 |" in page
    assert "Rows are float32 inputs, normalised as in training" in page
    assert "float32 inputs of shape\n(batch, 1, 8, 8), and returns outputs of shape (batch, 10)" in page
    assert json.loads((tmp_path / "config.json").read_text())["weights"] == "small.safetensors"


def test_the_card_says_what_a_latency_leaves_out(tmp_path: Path, inputs: Tensor) -> None:
    pages = []
    for name, values in (("timed", {"latency_ms": 0.5}), ("untimed", {"parameters": 9.0})):
        card = {**sample_card(), "values": values}
        export_student(sample_student(), inputs, tmp_path / name / "small.safetensors", card=card)
        pages.append((tmp_path / name / "README.md").read_text())
    assert "what is done with a raw row before, such as resizing a photo" in pages[0]
    assert "raw row before" not in pages[1]


@pytest.mark.parametrize("suffix", ["pt2", pytest.param("onnx", marks=needs("onnxruntime"))])
def test_a_graph_is_checked_and_its_largest_difference_said(suffix: str, tmp_path: Path, inputs: Tensor) -> None:
    said = export_student(sample_student(), inputs, tmp_path / f"student.{suffix}", card=sample_card())
    assert "largest difference from torch" in said
    assert "on 16 inputs" in said
    assert _files(tmp_path) == [f"student.{suffix}"]


@pytest.mark.slow
@needs("onnxruntime")
@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
@pytest.mark.parametrize("space", ["resnet", "mobilenet", "vit"])
def test_every_space_exports_as_a_graph(space: str, suffix: str, tmp_path: Path, inputs: Tensor) -> None:
    export_student(sample_student(space), inputs, tmp_path / f"student.{suffix}", card=sample_card(space))
    assert (tmp_path / f"student.{suffix}").stat().st_size > 0


def test_an_archive_takes_any_batch_and_holds_the_card(tmp_path: Path, inputs: Tensor) -> None:
    student = sample_student()
    export_student(student, inputs, tmp_path / "student.pt2", card=sample_card())
    extra = {"autokd.json": ""}
    program = torch.export.load(tmp_path / "student.pt2", extra_files=extra)
    torch.testing.assert_close(program.module()(inputs[:5]), student(inputs[:5]))
    assert json.loads(extra["autokd.json"])["space"] == "mlp"


@needs("onnxruntime")
def test_an_onnx_file_takes_any_batch_and_holds_the_card(tmp_path: Path, inputs: Tensor) -> None:
    import onnxruntime

    student = sample_student()
    export_student(student, inputs, tmp_path / "student.onnx", card=sample_card())
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx")
    answers = session.run(None, {"input": inputs[:5].numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(answers), student(inputs[:5]).detach())
    assert json.loads(session.get_modelmeta().custom_metadata_map["autokd"])["space"] == "mlp"


@pytest.mark.parametrize("suffix", ["pt2", pytest.param("onnx", marks=needs("onnxruntime"))])
def test_a_graph_that_answers_otherwise_is_refused_and_leaves_nothing(
    suffix: str, tmp_path: Path, inputs: Tensor
) -> None:
    with pytest.raises(InputError, match=r"refused, because .* answers differently: .* 1e-04 is allowed"):
        export_student(Turncoat(), inputs, tmp_path / "new" / f"s.{suffix}", card=sample_card())
    assert _files(tmp_path) == []


def test_nan_answers_are_refused(tmp_path: Path, inputs: Tensor) -> None:
    student = sample_student()
    with torch.no_grad():
        next(student.parameters()).fill_(torch.nan)
    with pytest.raises(InputError, match="refused"):
        export_student(student, inputs, tmp_path / "s.pt2", card=sample_card())


@pytest.mark.parametrize("student", [OneRowOnly(), Branching()])
def test_a_network_that_has_no_graph_is_refused_in_one_line(student: nn.Module, tmp_path: Path, inputs: Tensor) -> None:
    with pytest.raises(InputError, match=r"^torch.export cannot export this student: .*") as refusal:
        export_student(student, inputs, tmp_path / "s.pt2", card=sample_card())
    assert "\n" not in str(refusal.value)
    assert _files(tmp_path) == []


def test_a_refused_export_leaves_the_earlier_file(tmp_path: Path, inputs: Tensor) -> None:
    (tmp_path / "s.pt2").write_text("earlier")
    with pytest.raises(InputError):
        export_student(Turncoat(), inputs, tmp_path / "s.pt2", card=sample_card())
    assert (tmp_path / "s.pt2").read_text() == "earlier"


def test_a_later_export_replaces_an_earlier_one(tmp_path: Path, inputs: Tensor) -> None:
    export_student(sample_student(), inputs, tmp_path / "s.safetensors", card=sample_card())
    student = sample_student()
    export_student(student, inputs, tmp_path / "s.safetensors", card=sample_card())
    assert torch.equal(load_student(tmp_path)(inputs), student(inputs))


@pytest.mark.parametrize("name", ["README.md", "config.json"])
def test_a_file_that_is_not_ours_is_never_replaced(name: str, tmp_path: Path, inputs: Tensor) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=rf"has a {name} that is not from an export; name another folder"):
        export_student(sample_student(), inputs, tmp_path / "s.safetensors", card=sample_card())
    assert _files(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "{}"


@pytest.mark.parametrize(("name", "hint"), [("s.onn", "; did you mean 'onnx'"), ("s.gguf", ""), ("s", "")])
def test_an_unknown_suffix_is_answered_with_the_known_ones(
    name: str, hint: str, tmp_path: Path, inputs: Tensor
) -> None:
    with pytest.raises(InputError, match=r"no exporter for .*\.onnx, \.pt2, \.safetensors.*" + hint):
        export_student(sample_student(), inputs, tmp_path / name, card=sample_card())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, inputs: Tensor) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*file/s.safetensors.*: not a directory"):
        export_student(sample_student(), inputs, tmp_path / "file" / "s.safetensors", card=sample_card())


def test_a_full_disk_leaves_nothing(tmp_path: Path, inputs: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match=r"cannot write .*: no space left on device"):
        export_student(sample_student(), inputs, tmp_path / "s.safetensors", card=sample_card())
    assert _files(tmp_path) == []


def test_without_its_packages_onnx_says_what_to_install(
    tmp_path: Path, inputs: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"needs onnxruntime; run: pip install 'autokd\[onnx\]'"):
        export_student(sample_student(), inputs, tmp_path / "s.onnx", card=sample_card())


def test_torchs_logger_is_as_loud_after_an_export_as_before(tmp_path: Path, inputs: Tensor) -> None:
    level = logging.getLogger("torch.onnx").level
    with pytest.raises(InputError):
        export_student(Branching(), inputs, tmp_path / "s.pt2", card=sample_card())
    assert logging.getLogger("torch.onnx").level == level
    assert graphs.LARGEST_RELATIVE_DIFFERENCE == 1e-4


def test_an_export_to_onnx_logs_nothing_of_the_packages_behind_it(
    tmp_path: Path, inputs: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        export_student(sample_student(), inputs, tmp_path / "s.onnx", card=sample_card())
    assert caplog.text == ""
