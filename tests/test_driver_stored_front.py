"""The students of a front are loaded, retrained and exported as students of the run from which they come."""

from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from small import small_study, write_space
from tables import write_table
from torch import nn

import autokd
from autokd.driver import load_front, search_study
from autokd.errors import InputError
from autokd.front import Front
from autokd.study import Study


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Front:
    return search_study(small_study(), run=tmp_path_factory.mktemp("doors") / "run")


def images(number: int = 5) -> torch.Tensor:
    return torch.randn(number, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_front_knows_its_run_whether_it_was_searched_or_read(front: Front) -> None:
    assert front.run is not None
    read = load_front(front.run)
    assert read == front
    assert read.run == front.run


def test_a_loaded_student_answers_as_the_exported_one(front: Front, tmp_path: Path) -> None:
    student = front.pick()
    network = student.load()
    assert not network.training
    said = student.export(tmp_path / "out" / "student.safetensors")
    assert said.startswith(f"trial {student.trial} (as trained in the search): wrote ")
    assert torch.equal(network(images()), autokd.load_student(tmp_path / "out")(images()))


@pytest.mark.slow
def test_after_retraining_a_student_the_best_of_the_new_ones_is_loaded(front: Front, tmp_path: Path) -> None:
    run = shutil.copytree(str(front.run), tmp_path / "run")
    student = load_front(run).pick()
    before = student.load()(images())
    summary = student.retrain(seeds=2, epochs=3)
    assert summary["epochs"] == 3
    assert not torch.equal(student.load()(images()), before)
    assert "(retrained, seed-" in student.export(tmp_path / "student.pt2")


def test_a_copy_of_a_student_knows_its_run(front: Front) -> None:
    student = front[0]
    for copied in (copy.deepcopy(student), pickle.loads(pickle.dumps(student))):
        assert copied == student
        assert torch.equal(copied.load()(images()), student.load()(images()))


def test_a_student_of_a_space_of_ones_own_is_loaded_once_the_space_is_given(tmp_path: Path) -> None:
    file = write_space(tmp_path, widths=[4, 8])
    study, run = small_study(space=file, **{"budget.trials": 2}), tmp_path / "run"
    searched = search_study(study, run=run)
    assert isinstance(searched[0].load(), nn.Module)
    with pytest.raises(InputError, match=r"the space is '.*', which is not an installed plug-in"):
        load_front(run)[0].load()
    for given in (load_front(run, study=study), load_front(run, space=file)):
        assert torch.equal(given[0].load()(images()), searched[0].load()(images()))


class Narrow:
    """A space that no other process can import: it is an object of a program."""

    def suggest(self, trial: object) -> dict[str, int]:
        return {"width": trial.suggest_int("width", 2, 8)}  # type: ignore[attr-defined]

    def build(self, arch: dict[str, int], task: object) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, arch["width"]), nn.ReLU(), nn.Linear(arch["width"], 10))


def test_a_student_of_a_space_that_is_an_object_is_loaded_retrained_and_exported(tmp_path: Path) -> None:
    front = search_study(small_study(space=Narrow(), **{"budget.trials": 2}), run=tmp_path / "run")
    student = front.pick()
    assert student.retrain(seeds=1)["weights"].endswith("seed-1-epochs-4")
    assert student.load()(images()).shape == (5, 10)
    assert "retrained, seed-1" in student.export(tmp_path / "out" / "student.safetensors")


def test_a_student_of_a_table_says_that_a_table_holds_none(tmp_path: Path) -> None:
    study = Study.model_validate(
        {"name": "small", "task": {"table": str(write_table(tmp_path))}, "budget": {"trials": 9}, "executor": "inline"}
    )
    student = search_study(study, run=tmp_path / "run")[0]
    for use in (student.load, student.retrain, lambda: student.export(tmp_path / "student.onnx")):
        with pytest.raises(InputError, match="a search on a table, which holds numbers and no students"):
            use()
