"""Students, weights and teachers of runs that began before layers had names by stage and block.

tests/data/earlier_networks.json was written by that version. It has the names of weights in their order, and the digest
of the same network as a teacher.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from export_samples import ARCHES, sample_card, sample_student
from small import small_study
from torch import nn

from autokd.driver import export_trial, load_front, retrain, search_study
from autokd.errors import InputError
from autokd.export import export_student, load_student
from autokd.registry import resolve, source_digest, sources_of
from autokd.teachers import weights as teacher_weights
from autokd.testing import TinyTask
from autokd.weights import load_tensors, load_weights, save_tensors, with_earlier_names
from search_spaces import mlp

EARLIER = json.loads((ROOT / "tests" / "data" / "earlier_networks.json").read_text(encoding="utf-8"))
EACH = pytest.mark.parametrize("was", EARLIER, ids=lambda was: f"{was['space']}-{was['input_shape'][-1]}")

SOURCES = {
    "__init__.py": "9fc1b2da2437e063c3f44f97d3f3a4e4466cbaa7862fec0733ac303c837ae42e",
    "mlp.py": "1ecefc1d47f6822ae06f35ec497fbd940707bd3b3789cd23e659d32225bdfd44",
    "resnet.py": "61a8138a94fa070ccb80db93a09e8cc764a917a91a55875d5dea919249e0fbee",
    "mobilenet.py": "71ffd70286e340c63959f2cadf639026f170cabdcebd75bf18cf28b57000465e",
    "vit.py": "796d521ef72feb26e49440012315d3d056beaa72ea6aa656c7fa28430814a64c",
    "table.py": "cdafa677876f38bb5f8d6a48d2c6e88e664a39fdd7a78f487e237a66c38d6395",
    "nni.py": "040a04f8e04151f4e61e8055cb54a78c968b2b13ebca91f9a722ecceab9244c1",
    "hf.py": "197b42f74140b2143927edccf94b5c453886944f8a9f6efb1159cd8d6c597990",
    "timm.py": "5e0561ee7baaabd8119cfc06b9203a5a795d39013617ace31ceb17a93d152b19",
    "picks.py": "cbd0999d25d09c172c30b7a030dc4828a060686d69ea7d6cafa799075c5585d3",
}
"""Digests of the files of spaces in that version."""

SPACES = pytest.mark.parametrize("space", ["mlp", "resnet", "mobilenet", "vit"])


def built(was: dict[str, Any]) -> nn.Module:
    """The network with numbers that do not depend on how random ones are drawn."""
    task = TinyTask(input_shape=tuple(was["input_shape"]))
    network: nn.Module = resolve("search_spaces", was["space"]).build(was["arch"], task)
    for i, value in enumerate(network.state_dict().values()):
        value.copy_((torch.arange(value.numel()).view(value.shape) % 7 + i % 5) / 16)
    return network.eval()


@EACH
def test_weights_under_the_names_of_before_are_loaded_into_the_same_layers(was: dict[str, Any], tmp_path: Path) -> None:
    network, file = built(was), tmp_path / "weights.safetensors"
    save_tensors(dict(zip(was["names"], network.state_dict().values(), strict=True)), file)
    for load in (load_weights, teacher_weights.load_weights):
        again = resolve("search_spaces", was["space"]).build(
            was["arch"], TinyTask(input_shape=tuple(was["input_shape"]))
        )
        load(again, file)
        for name, value in network.state_dict().items():
            assert torch.equal(again.state_dict()[name], value), name


@EACH
def test_a_teacher_of_before_has_the_digest_of_before(was: dict[str, Any]) -> None:
    assert teacher_weights.network_digest(built(was)) == was["digest"]


def test_weights_that_fit_under_neither_names_are_refused_under_the_names_of_now(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_tensors({"9.weight": torch.zeros(3)}, file)
    with pytest.raises(InputError, match=r"missing 'blocks\.0\.linear\.weight'.*unexpected '9\.weight'"):
        teacher_weights.load_weights(built(EARLIER[0]), file)


@pytest.mark.parametrize("space", [each.stem for each in map(Path, SOURCES) if each.stem not in ("__init__", "picks")])
def test_a_run_of_before_recognises_the_code_of_its_space(space: str) -> None:
    """After an edit that leaves all students as they were, write the new digest into search_spaces/same_students.json.

    After an edit that changes students, remove the entry of the space.
    """
    own = ["__init__.py", f"{space}.py", *(["picks.py"] if space in ("hf", "timm") else [])]
    home = ROOT / "search_spaces"
    entry = json.loads((home / "same_students.json").read_text(encoding="utf-8"))[f"{space}.py"]
    assert entry["now"] == {name: hashlib.sha256((home / name).read_bytes()).hexdigest() for name in entry["now"]}
    assert entry["before"] == {name: SOURCES[name] for name in own}


@SPACES
def test_runs_know_a_space_by_the_code_of_before(space: str) -> None:
    found = resolve("search_spaces", space)
    own = ("__init__.py", f"{space}.py")
    assert sources_of(found) == {f"search_spaces/{name}": SOURCES[name] for name in own}
    assert source_digest(found) == SOURCES[f"{space}.py"]
    assert source_digest(resolve("search_spaces", f"{space}(side=28)")) not in ("", source_digest(found))


@pytest.mark.parametrize("edited", ["mlp.py", "names.py", "picks.py", "__init__.py"])
def test_an_edit_of_any_of_its_files_is_noticed(edited: str, tmp_path: Path) -> None:
    home = shutil.copytree(ROOT / "search_spaces", tmp_path / "search_spaces")
    file = home / "mlp.py"
    assert source_digest(resolve("search_spaces", str(file))) == SOURCES["mlp.py"]
    with (home / edited).open("a", encoding="utf-8") as opened:
        opened.write("# edited\n")
    found = resolve("search_spaces", str(file))
    assert source_digest(found) != SOURCES["mlp.py"]
    assert sources_of(found)[f"search_spaces/{edited}"] == hashlib.sha256((home / edited).read_bytes()).hexdigest()


def test_an_entry_that_cannot_be_read_lets_files_count_as_they_are(tmp_path: Path) -> None:
    home = shutil.copytree(ROOT / "search_spaces", tmp_path / "search_spaces")
    for content in ("", "[]", '{"mlp.py": 3}', '{"mlp.py": {"now": {"gone.py": "0"}, "before": {}}}'):
        (home / "same_students.json").write_text(content, encoding="utf-8")
        digest = source_digest(resolve("search_spaces", str(home / "mlp.py")))
        assert digest == hashlib.sha256((home / "mlp.py").read_bytes()).hexdigest()


@SPACES
def test_an_exported_student_of_before_is_loaded_without_a_warning(
    space: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    student, inputs, file = sample_student(space).eval(), torch.randn(4, 1, 8, 8), tmp_path / "student.safetensors"
    card = sample_card(space, space_digest=SOURCES[f"{space}.py"])
    export_student(with_earlier_names(student), inputs, file, card=card)

    loaded = load_student(tmp_path)

    assert torch.equal(loaded(inputs), student(inputs))
    assert caplog.messages == []


@pytest.mark.slow
def test_a_run_of_before_goes_on_and_its_students_are_retrained_and_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, run, other = mlp.build, tmp_path / "run", tmp_path / "other"
    teacher = {"space": "mlp", "arch": ARCHES["mlp"], "epochs": 10}
    settings = {"teacher": teacher, "sampler": "random", "budget.trials": 3}
    with monkeypatch.context() as before:
        before.setattr(mlp, "build", lambda arch, task: with_earlier_names(build(arch, task)))
        search_study(small_study(**settings), run=run)
    for file in (next(run.glob("trials/**/weights.safetensors")), run / "teacher" / "teacher.safetensors"):
        assert "1.weight" in load_tensors(file)

    search_study(small_study(**settings), run=other)

    for folder in (run, other):
        search_study(small_study(**settings | {"budget.trials": 5}), run=folder)
    assert load_front(run).to_dict()["front"] == load_front(other).to_dict()["front"]
    student = load_front(run).pick()
    assert retrain(run, student.trial, seeds=1)["epochs"] == 4
    assert f"trial {student.trial}" in export_trial(run, student.trial, tmp_path / "student.safetensors")
