"""Tasks that are Python objects: one that is no `ArrayTask` cannot be written, so it is searched inline or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small import small_study

from autokd.driver import export_trial, load_front, retrain, search_study
from autokd.errors import InputError
from autokd.front import Front
from autokd.record import read_trials
from autokd.study import TaskSection
from autokd.testing.tiny_task import TinyTask


def search(folder: Path, **overrides: Any) -> Front:
    return search_study(small_study(**{"task": TinyTask(), "budget.trials": 2} | overrides), run=folder / "run")


def test_a_task_that_is_in_no_file_is_searched_inline_and_gone_on_with(tmp_path: Path) -> None:
    search(tmp_path)
    before = read_trials(tmp_path / "run")
    front = search(tmp_path, **{"budget.trials": 4})
    assert read_trials(tmp_path / "run")[:2] == before
    assert front.trials["complete"] + front.trials["pruned"] == 4
    assert front.teacher["test"].keys() == {"accuracy"}
    assert load_front(tmp_path / "run") == front


def test_so_are_its_baselines(tmp_path: Path) -> None:
    front = search(tmp_path, baselines=["hard"], scheduler="none")
    assert front.baselines["hard"]["front"]


def test_worker_processes_cannot_have_it(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"a TinyTask is in no file; use executor='inline', name a function that makes"
    ):
        search(tmp_path, executor="processes")
    assert list(tmp_path.iterdir()) == []


def test_another_one_is_refused(tmp_path: Path) -> None:
    search(tmp_path)
    with pytest.raises(InputError, match="the data changed"):
        search(tmp_path, task=TinyTask(seed=1))


def test_without_it_a_student_is_neither_retrained_nor_exported(tmp_path: Path) -> None:
    (trial, *_) = [student.trial for student in search(tmp_path)]
    with pytest.raises(InputError, match="its task was a Python object that is kept in no file"):
        retrain(tmp_path / "run", trial)
    with pytest.raises(InputError, match="its task was a Python object that is kept in no file"):
        export_trial(tmp_path / "run", trial, tmp_path / "student.onnx")


def test_settings_may_be_given_as_what_they_are_read_into(tmp_path: Path) -> None:
    task = TaskSection(data="digits", labels=60, rows=240, validation=120)
    study = small_study(**{"budget.trials": 1}).model_copy(update={"task": task})
    assert len(search_study(study, run=tmp_path / "run")) == 1


@pytest.mark.parametrize("given", [torch.zeros(3, 4), object()])
def test_what_is_no_task_is_refused_by_what_it_lacks(given: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a task \(it has no '\w+'\); give what autokd.tasks.from_arrays or"):
        search(tmp_path, task=given)
    assert list(tmp_path.iterdir()) == []
