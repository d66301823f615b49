from __future__ import annotations

import hashlib
import logging
import math
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import needs
from safetensors.torch import save_file
from torch import Tensor, nn

from autokd.errors import InputError
from autokd.teachers.answers import ask
from autokd.teachers.cache import open_outputs, teacher_outputs
from autokd.teachers.ensemble import Ensemble
from autokd.teachers.scores import teacher_score
from autokd.teachers.sources import load_teacher
from autokd.testing import TinyTask
from autokd.types import Teacher

TASK = TinyTask()
ROWS = torch.arange(6)


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))


def load(source: Any, folder: Path, *, task: TinyTask = TASK) -> Teacher:
    return load_teacher(source, task, folder=folder, train=_never, seed=0)


def _never(module: nn.Module, spec: object, task: object, folder: Path) -> None:
    raise AssertionError("nothing is trained here")


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


# Weights


def _save(state: dict[str, Tensor], path: Path) -> None:
    if path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
    elif path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)


def _by_reference(weights: Path) -> dict[str, str]:
    return {"network": f"{__file__}:network", "weights": str(weights)}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "w.npz"])
def test_weights_of_each_format_are_the_networks_own(name: str, tmp_path: Path) -> None:
    original = network().eval()
    state = {key: value for key, value in original.state_dict().items() if "num_batches" not in key}
    _save(state, tmp_path / name)
    given = load(_by_reference(tmp_path / name), tmp_path)
    assert given.name == "network"
    assert torch.equal(given.outputs(TASK.inputs(ROWS)), original(TASK.inputs(ROWS)))


def test_a_checkpoints_state_dict_is_found(tmp_path: Path) -> None:
    torch.save({"state_dict": network().state_dict(), "epoch": 3}, tmp_path / "w.pt")
    assert load(_by_reference(tmp_path / "w.pt"), tmp_path).outputs(TASK.inputs(ROWS)).shape == (6, 10)


def test_weights_of_another_network_are_refused_with_some_names(tmp_path: Path) -> None:
    save_file({"module.1.weight": torch.zeros(10, 64)}, tmp_path / "w.safetensors")
    expected = r"missing '1.weight', '1.bias', '2.weight' and 3 more; unexpected 'module.1.weight'"
    with pytest.raises(InputError, match=expected):
        load(_by_reference(tmp_path / "w.safetensors"), tmp_path)


def test_weights_of_another_shape_are_refused_with_both(tmp_path: Path) -> None:
    save_file(network().state_dict() | {"1.bias": torch.zeros(7)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"'1.bias' has shape \(7,\), but the network's has \(10,\)"):
        load(_by_reference(tmp_path / "w.safetensors"), tmp_path)


ODD = {
    "sparse": lambda: torch.eye(10, 64).to_sparse(),
    "sparse by rows": lambda: torch.eye(10, 64).to_sparse_csr(),
    "quantised": lambda: torch.quantize_per_tensor(torch.zeros(10, 64), 0.1, 0, torch.quint8),
    "meta": lambda: torch.empty(10, 64, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.zeros(64)] * 10),
    "complex": lambda: torch.zeros(10, 64, dtype=torch.complex64),
}


@pytest.mark.filterwarnings("ignore")  # torch's own, that some of these are a beta or go away
@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_are_no_weights_are_refused(kind: str, tmp_path: Path) -> None:
    torch.save(network().state_dict() | {"1.weight": ODD[kind]()}, tmp_path / "w.pt")
    words = "holds complex numbers" if kind == "complex" else f"is a {kind.split()[0]} tensor; save plain tensors"
    with pytest.raises(InputError, match=f"'1.weight' {words}"):
        load(_by_reference(tmp_path / "w.pt"), tmp_path)


def test_an_archive_of_weights_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}\n"
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("1.weight.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(InputError, match="get the file again"):
        load(_by_reference(tmp_path / "w.npz"), tmp_path)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.npz", "w.pkl", "w.joblib", "w.safetensors"])
@pytest.mark.parametrize("saved", ["by torch", "by pickle"])
def test_a_malicious_pickle_is_refused_and_not_executed(name: str, saved: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / name
    if saved == "by torch":
        torch.save({"1.weight": Evil(marker)}, path)
    else:
        path.write_bytes(pickle.dumps({"1.weight": Evil(marker)}))
    with pytest.raises(InputError):
        load(_by_reference(path), tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["w.pt", "w.npz", "w.safetensors"])
@pytest.mark.parametrize("length", [0, 100, -60])
def test_truncated_weights_are_refused(name: str, length: int, tmp_path: Path) -> None:
    path = tmp_path / name
    _save(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"get the file again|not executed"):
        load(_by_reference(path), tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"network": f"{__file__}:network", "weights": "none.npz"}, "none.npz: there is no such file"),
        ({"network": f"{__file__}:network", "weights": "w.h5"}, "w.h5 cannot be read .* .safetensors, .pt, .pth or"),
        ({"network": f"{__file__}:network", "args": {"depth": 3}}, "cannot be built: TypeError: .*depth"),
        ({"network": f"{__file__}:Evil", "args": {"marker": "m"}}, "gives a Evil, not a torch.nn.Module"),
        ({"network": f"{__file__}:ROWS"}, "is a Tensor; name a torch module, or a function that makes one"),
        ({"onnx": "none.onnx"}, "none.onnx: there is no such file"),
        ({"outputs": "o.csv"}, "o.csv cannot be read .* .npy"),
        ({"timm": "resnet18"}, r"needs timm, .* pip install 'autokd\[timm\]'"),
        ({"torchvision": "resnet18"}, r"needs torchvision, .* pip install 'autokd\[torchvision\]'"),
    ],
)
def test_what_cannot_be_loaded_is_said(
    source: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(InputError, match=message):
        load(source, tmp_path)


def test_timm_and_torchvision_networks_come_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, pretrained: bool, num_classes: int = 10, in_chans: int = 3) -> nn.Module:
        return network()

    timm = types.SimpleNamespace(create_model=create)
    monkeypatch.setitem(sys.modules, "timm", timm)
    torch.save(network().state_dict(), tmp_path / "w")
    named = tmp_path / f"net-{hashlib.sha256((tmp_path / 'w').read_bytes()).hexdigest()[:8]}.pth"
    (tmp_path / "w").rename(named)
    models = types.SimpleNamespace(
        get_model=lambda name, weights, num_classes=10: network(),
        get_model_weights=lambda name: types.SimpleNamespace(DEFAULT=types.SimpleNamespace(url=named.as_uri())),
    )
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(models=models))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    stored = torch.load(named, weights_only=True)
    for key in ("timm", "torchvision"):
        teacher = load({key: "net", "weights": str(named)}, tmp_path)
        assert torch.equal(teacher.network[1].weight, stored["1.weight"])  # type: ignore[attr-defined]
    assert load({"timm": "net"}, tmp_path).name == "net"
    pretrained = load({"torchvision": "net"}, tmp_path)
    assert torch.equal(pretrained.network[1].weight, stored["1.weight"])  # type: ignore[attr-defined]


# ONNX


def _onnx_linear(path: Path, *, batch: int | str = "batch", beside: bool = False, seed: int = 0) -> Tensor:
    """Writes flatten and a 64 x 10 product, and gives the matrix."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    matrix = torch.randn(64, 10, generator=torch.Generator().manual_seed(seed))
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("MatMul", ["flat", "matrix"], ["y"]),
        ],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(matrix.numpy(), "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=beside, location="tensors.bin", size_threshold=0)
    return matrix


@needs("onnxruntime")
@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_an_onnx_file_answers_as_its_graph_says(batch: int | str, tmp_path: Path) -> None:
    matrix = _onnx_linear(tmp_path / "m.onnx", batch=batch)
    teacher = load({"onnx": str(tmp_path / "m.onnx")}, tmp_path)
    torch.testing.assert_close(teacher.outputs(TASK.inputs(ROWS)), TASK.inputs(ROWS).flatten(1) @ matrix)


@needs("onnxruntime")
@pytest.mark.parametrize("beside", [False, True])
def test_the_digest_covers_tensors_inside_and_beside_an_onnx_file(beside: bool, tmp_path: Path) -> None:
    digests = []
    for seed in (0, 1, 0):
        (tmp_path / "tensors.bin").unlink(missing_ok=True)
        _onnx_linear(tmp_path / "m.onnx", beside=beside, seed=seed)
        digests.append(load({"onnx": str(tmp_path / "m.onnx")}, tmp_path).digest)
    assert digests[0] == digests[2] != digests[1]


@needs("onnxruntime")
def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"not a graph")
    with pytest.raises(InputError, match="is not an ONNX file that can be run"):
        load({"onnx": str(tmp_path / "m.onnx")}, tmp_path)


@needs("onnxruntime")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's exporter calls what torch deprecates
def test_an_exported_torch_network_answers_as_itself(tmp_path: Path) -> None:
    original, path = network().eval(), tmp_path / "m.onnx"
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        original, (TASK.inputs(ROWS),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    assert program is not None
    program.save(path)
    teacher = load({"onnx": str(path)}, tmp_path)
    torch.testing.assert_close(teacher.outputs(TASK.inputs(ROWS)), original(TASK.inputs(ROWS)))


# Answers computed elsewhere


def _answers(path: Path, array: np.ndarray[Any, Any], gives: str = "logits") -> dict[str, str]:
    np.save(path, array)
    return {"outputs": str(path), "gives": gives}


def test_a_file_of_answers_gives_them_by_row(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(2, 64, 10)).astype(np.float32)
    task = TinyTask(views=2)
    teacher = load(_answers(tmp_path / "o.npy", array), tmp_path, task=task)
    assert torch.equal(ask(teacher, task, ROWS + 3, 1), torch.from_numpy(array[1, 3:9]))
    with pytest.raises(InputError, match="cannot answer new inputs"):
        teacher.outputs(task.inputs(ROWS))


def test_rows_without_answers_are_nan_and_make_the_score_unavailable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = _answers(tmp_path / "o.npy", np.full((36, 10), 0.1), "probabilities")
    whole = _answers(tmp_path / "p.npy", np.full((64, 10), 0.1), "probabilities")
    for teacher in (load(training, tmp_path), load([training, whole], tmp_path)):
        with caplog.at_level(logging.WARNING, "autokd"):
            outputs = open_outputs(teacher_outputs(teacher, TASK, tmp_path).path)
        assert outputs[0, :36].exp() == pytest.approx(0.1)
        assert outputs[0, 36:].isnan().all()
        assert math.isnan(teacher_score(outputs, TASK))
        assert "no answers for 12 rows of validation" in caplog.text
    assert isinstance(teacher, Ensemble)


@pytest.mark.parametrize(
    ("array", "gives", "message"),
    [
        (np.zeros((64, 7)), "logits", "7 classes, but task 'tiny' has 10"),
        (np.zeros((2, 64, 10)), "logits", "answers for 2 views, but task 'tiny' has 1"),
        (np.zeros((65, 10)), "logits", "answers 65 rows, but task 'tiny' has 64"),
        (np.zeros(64), "logits", r"float64 of shape \(64,\)"),
        (np.zeros((64, 10), dtype=np.int64), "logits", "holds int64"),
        (np.zeros((30, 10)), "logits", r"no answers for 6 rows of transfer \(the first: 30\)"),
        (np.where(np.eye(64, 10) > 0, np.inf, 0.0), "logits", "NaN or infinity"),
        (np.where(np.eye(64, 10) > 0, np.nan, 0.0), "logits", r"NaN or infinity on 10 rows \(0, 1, 2, 3, 4, ...;"),
        (np.zeros((64, 10)), "probabilities", "sums to 0"),
        (np.tile([2.0, -1.0] + [0.0] * 8, (64, 1)), "probabilities", "smallest number is -1"),
    ],
)
def test_a_file_of_answers_that_does_not_fit_is_refused(array: Any, gives: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        teacher_outputs(load(_answers(tmp_path / "o.npy", array, gives), tmp_path), TASK, tmp_path)


def test_a_pickle_named_npy_is_refused_and_not_executed(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([Evil(tmp_path / "marker")], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="not a file of numbers"):
        load({"outputs": str(tmp_path / "o.npy")}, tmp_path)
    assert not (tmp_path / "marker").exists()
