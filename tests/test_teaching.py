"""The teacher of a run is asked when its answers are needed, and goes on training and answering after a kill."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from small import small_run, small_study
from torch import nn

from autokd.distill import Training
from autokd.driver import retrain, search_study
from autokd.driver.events import progress_only, steps, tell_nobody
from autokd.driver.teaching import with_test_answers
from autokd.errors import InputError
from autokd.study import read_setup
from autokd.teachers.cache import open_outputs

TRAINED = {"space": "mlp", "arch": {"widths": [16], "activation": "relu", "batch_norm": True}, "epochs": 6}
OBJECTIVES = {"accuracy": {}, "agreement": {}, "parameters": {}}


def outputs_of(run: Path) -> torch.Tensor:
    return open_outputs(run / read_setup(run).outputs)


def test_test_rows_are_asked_when_the_front_is_settled_and_not_before(tmp_path: Path) -> None:
    run = small_run(tmp_path, **{"budget.trials": 2, "objectives": OBJECTIVES})
    rows = run.context.task.splits["test"]
    assert outputs_of(run.folder)[0, rows].isnan().all()
    front = search_study(run.context.study, run=run.folder)
    assert not outputs_of(run.folder)[0, rows].isnan().any()
    assert front.teacher["test"].keys() == {"accuracy", "agreement"}
    assert all(student.test.keys() == {"accuracy", "agreement"} for student in front)


class Leaving:
    """A teacher that answers well, and is gone after so many questions."""

    name, digest = "leaving", "1"

    def __init__(self, task: Any, questions: int) -> None:
        self.task, self.left = task, questions

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left < 0:
            raise ConnectionError("nobody answers any more")
        known = self.task.inputs(torch.arange(self.task.num_rows)).flatten(1)
        nearest = torch.cdist(inputs.flatten(1), known).argmin(dim=1)
        return 4 * nn.functional.one_hot(self.task.targets(nearest), self.task.num_outputs).float()


def test_a_teacher_that_is_gone_costs_only_what_it_is_compared_with_on_test(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = small_run(tmp_path, **{"budget.trials": 1}).context.task
    study = small_study(**{"budget.trials": 2, "objectives": OBJECTIVES})
    study = study.model_copy(update={"teacher": Leaving(task, 3)})  # train, transfer and validation
    with caplog.at_level(logging.WARNING, "autokd"):
        front = search_study(study, run=tmp_path / "gone")
    assert "cannot be asked about the test rows: teacher 'leaving' fails" in caplog.text
    assert (
        "The teacher's own values on the test split are not known, and neither is agreement of the students there."
        in caplog.text
    )
    assert front.teacher["test"] == {}
    assert all(student.test.keys() == {"accuracy"} for student in front)
    assert all(student.values.keys() == set(OBJECTIVES) for student in front)
    json.dumps(front.to_dict(), allow_nan=False)


def test_another_teacher_than_the_search_began_with_is_not_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = small_run(tmp_path)
    digests = run.setup.digests.model_copy(update={"teacher": "another"})
    other = run.setup.model_copy(update={"digests": digests})
    with caplog.at_level(logging.WARNING, "autokd"):
        context = with_test_answers(run.context, run.folder, other, tell_nobody, own=run.context.study)
    assert context.answers is run.context.answers
    assert "about the test rows: it differs from the teacher with which the search began" in caplog.text


# Trained here


def stop(*_: Any, **__: Any) -> None:
    """Somebody presses Ctrl-C."""
    raise KeyboardInterrupt


def interrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Begins a run, in which somebody presses Ctrl-C when the teacher was trained for so many epochs."""
    whole = Training.run

    def run(self: Training, start: int, stop: int) -> None:
        if start == epochs:
            raise KeyboardInterrupt
        whole(self, start, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "run", run)
        with pytest.raises(KeyboardInterrupt):
            small_run(tmp_path, teacher=TRAINED)


def test_a_kept_epoch_that_is_damaged_costs_no_more_than_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = small_run(tmp_path / "whole", teacher=TRAINED)
    interrupted_run(tmp_path, monkeypatch, 4)
    (kept,) = tmp_path.rglob("unfinished-*/epoch-4/optimizer.safetensors")
    kept.write_bytes(kept.read_bytes()[:-8])
    with caplog.at_level(logging.INFO, "autokd"):
        again = small_run(tmp_path, teacher=TRAINED)
    assert "was kept" not in caplog.text
    assert again.setup.digests.teacher == whole.setup.digests.teacher


def test_a_training_that_was_interrupted_goes_on_and_is_the_same_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = small_run(tmp_path / "whole", teacher=TRAINED)
    interrupted_run(tmp_path, monkeypatch, 4)
    with caplog.at_level(logging.INFO, "autokd"):
        again = small_run(tmp_path, teacher=TRAINED)
    assert "The teacher was trained for 4 epochs before. Its training goes on from there." in caplog.text
    assert again.setup.digests.teacher == whole.setup.digests.teacher
    assert torch.equal(outputs_of(again.folder).nan_to_num(), outputs_of(whole.folder).nan_to_num())
    assert {path.name for path in (again.folder / "teacher").iterdir() if not path.name.startswith("outputs")} == {
        "teacher.json",
        "teacher.safetensors",
    }


def test_another_training_does_not_go_on_with_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    interrupted_run(tmp_path, monkeypatch, 4)
    with caplog.at_level(logging.INFO, "autokd"):
        small_run(tmp_path, teacher=TRAINED | {"lr": 0.004})
    assert "was kept" not in caplog.text


def test_a_training_that_diverges_is_refused_with_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the teacher's training diverged: .*; write a smaller 'teacher.lr'"):
        small_run(tmp_path, teacher=TRAINED | {"lr": 1e30})
    assert not (tmp_path / "run").exists()


def test_weights_that_are_gone_are_not_trained_again_for_the_test_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = small_run(tmp_path, teacher=TRAINED)
    (run.folder / "teacher" / "teacher.safetensors").unlink()
    with caplog.at_level(logging.WARNING, "autokd"):
        with_test_answers(run.context, run.folder, run.setup, tell_nobody, own=run.context.study)
    assert "about the test rows: the weights of its training are gone" in caplog.text


@pytest.mark.slow
def test_retraining_in_a_run_that_was_stopped_before_its_front_asks_the_test_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run(tmp_path, **{"budget.trials": 1, "objectives": OBJECTIVES})
    with monkeypatch.context() as patch:
        patch.setattr("autokd.driver.whole_search.finish", stop)
        with pytest.raises(KeyboardInterrupt):
            search_study(run.context.study, run=run.folder)
    found = retrain(run.folder, 0, study=run.context.study, seeds=1, workers=1)
    assert found["test"].keys() == {"accuracy", "agreement"}


@pytest.mark.slow
def test_a_search_with_baselines_goes_on_after_a_retraining_on_the_reserve(tmp_path: Path) -> None:
    study = small_study(**{"budget.trials": 1, "baselines": ["hard"]})
    search_study(study, run=tmp_path)
    before = outputs_of(tmp_path).clone()
    retrain(tmp_path, 0, study=study, seeds=1, workers=1, reserve=True)
    assert torch.equal(outputs_of(tmp_path).nan_to_num(), before.nan_to_num())
    assert search_study(small_study(**{"budget.trials": 2, "baselines": ["hard"]}), run=tmp_path).baselines["hard"]


# Progress


def test_progress_says_how_much_is_done_and_how_long_the_rest_takes(caplog: pytest.LogCaptureFixture) -> None:
    now, said = [0.0], list[str]()
    told = steps("Asking the teacher about 1,000 images", said.append, clock=lambda: now[0])
    told(200, 1000)  # done before: they took no time now
    now[0] = 0.1
    told(201, 1000)
    now[0] = 100
    with caplog.at_level(logging.INFO, "autokd"):
        told(600, 1000)
    assert said == ["Asking the teacher about 1,000 images: 600 of 1,000 done, about 100 s left."]
    assert said[0] in caplog.text
    now[0] = 300
    told(601, 1000)
    assert said[1].endswith("601 of 1,000 done, about 5 min left.")


def test_a_search_tells_whoever_looks_how_far_the_teacher_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autokd.driver.events._TOLD_EVERY", 0.0)
    seen = []
    study = small_study(**{"budget.trials": 1}, teacher=TRAINED)
    search_study(study, run=tmp_path / "run", tell=progress_only(lambda progress: seen.append(progress["message"])))
    assert any(message.startswith("Training the teacher for 6 epochs: 3 of 6 done, about ") for message in seen)
    assert any(message.startswith("Asking the teacher about 360 images: 60 of 360 done, about ") for message in seen)
    assert any(message.startswith("Asking the teacher about 359 images of the test split: ") for message in seen)
