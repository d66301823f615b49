from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from optuna.trial import TrialState
from small import small_study, write_space

from autokd import checkpoints
from autokd.driver import load_front, search_study, unused
from autokd.driver.events import SEARCHING, progress_only
from autokd.errors import NoFrontError
from autokd.front import Front
from autokd.record import TrialRecord, canonical, read_study, read_trials
from autokd.record.test_reads import count_test_reads
from autokd.tasks import from_arrays
from autokd.tasks.task import ArrayTask

FIXED = {"alpha": 0.5, "temperature": 4.0, "method": "kd", "lr": 0.01}


def search(folder: Path, **overrides: Any) -> Front:
    return search_study(small_study(**overrides), run=folder / "run")


def tried(folder: Path) -> list[TrialRecord]:
    return read_trials(folder / "run")


def students(folder: Path) -> list[tuple[Any, Any, Any]]:
    """What each trial stands for and what became of it."""
    return [(trial.arch, trial.recipe, trial.rungs) for trial in tried(folder)]


def told(folder: Path) -> list[TrialState]:
    return [trial.state for trial in read_study(folder / "run").get_trials(deepcopy=False)]


def test_a_search_answers_with_a_front_of_what_it_recorded(tmp_path: Path) -> None:
    front = search(tmp_path)
    trials = tried(tmp_path)
    assert front.final
    assert front.note == "6 trials are done"
    assert front.trials["complete"] + front.trials["pruned"] == 6
    assert TrialState.RUNNING not in told(tmp_path)
    assert [trial.state == "complete" for trial in trials] == [4 in trial.rungs for trial in trials]
    assert front.epochs_spent == sum(trial.epoch for trial in trials) + 4 * len(list(tmp_path.rglob("seed-1")))
    for student in front:
        assert student.arch == trials[student.trial].arch
        assert student.values["parameters"] == trials[student.trial].costs["parameters"]
        assert student.test.keys() == {"accuracy"}
    assert load_front(tmp_path / "run") == front


def test_values_of_the_front_are_means_over_fresh_seeds(tmp_path: Path) -> None:
    front = search(tmp_path, **{"budget.reseeds": 2, "budget.trials": 3})
    for student in front:
        folders = sorted((tmp_path / "run" / "trials" / f"{student.trial:05d}").glob("seed-*"))
        fresh = [json.loads((folder / "result.json").read_text())["values"]["accuracy"] for folder in folders]
        assert student.seeds == len(fresh) == 2
        assert student.values["accuracy"] == pytest.approx(fmean(fresh))
        assert len({*fresh, tried(tmp_path)[student.trial].values["accuracy"]}) > 1


def test_a_finished_search_answers_again_without_training_or_reading_the_test_split(tmp_path: Path) -> None:
    front, before = search(tmp_path), students(tmp_path)
    again = search(tmp_path)
    assert again == front
    assert students(tmp_path) == before
    assert count_test_reads(tmp_path / "run") == 1


def test_so_does_one_that_has_exhausted_its_space(tmp_path: Path) -> None:
    overrides = {"space": write_space(tmp_path, widths=[4, 8]), "recipe": FIXED}
    front = search(tmp_path, **overrides)
    assert "exhausted" in front.note
    assert front.trials["complete"] + front.trials["pruned"] == 2
    assert search(tmp_path, **overrides) == front
    assert load_front(tmp_path / "run") == front
    assert count_test_reads(tmp_path / "run") == 1
    assert TrialState.RUNNING not in told(tmp_path)


def test_a_finished_search_goes_on_where_it_is_given_more_trials(tmp_path: Path) -> None:
    search(tmp_path, **{"budget.trials": 3})
    before = students(tmp_path)
    front = search(tmp_path, **{"budget.trials": 6})
    assert students(tmp_path)[: len(before)] == before
    assert front.trials["complete"] + front.trials["pruned"] == 6
    assert front.test_reads == 2


def test_no_decision_reads_the_labels_of_the_test_split(tmp_path: Path) -> None:
    task = some_points()
    y = task.y.clone()
    y[task.splits["test"]] = (y[task.splits["test"]] + 1) % 10
    fronts = []
    for name, given in [("as it is", task), ("poisoned", replace(task, y=y, digest="another"))]:
        (tmp_path / name).mkdir()
        fronts.append(search(tmp_path / name, task=given))
    assert students(tmp_path / "as it is") == students(tmp_path / "poisoned")
    a, b = ([(s.trial, s.values, s.spread) for s in front] for front in fronts)
    assert a == b
    assert [student.test for student in fronts[0]] != [student.test for student in fronts[1]]


def test_the_test_split_is_first_read_when_the_front_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, events = some_points(), list[str]()
    test = set(task.splits["test"].tolist())
    targets = ArrayTask.targets

    def watched(self: ArrayTask, rows: torch.Tensor) -> torch.Tensor:
        events.append("test" if test & set(rows.tolist()) else "other")
        return targets(self, rows)

    monkeypatch.setattr(ArrayTask, "targets", watched)
    front = search(tmp_path, task=task)

    first = events.index("test")
    assert set(events[first:]) == {"test"}
    assert len(events) - first == len(front) + 1  # each student with its one fresh seed, and the teacher
    assert front.test_reads == 1


def some_points() -> ArrayTask:
    """A task of 200 points around ten centres."""
    generator = np.random.default_rng(0)
    y = np.arange(200) % 10
    x = generator.normal(size=(10, 16))[y] + 0.5 * generator.normal(size=(200, 16))
    return from_arrays(x.astype(np.float32), y, labels=60)


def test_without_fresh_seeds_the_front_is_what_the_search_trained(tmp_path: Path) -> None:
    front, trials = search(tmp_path, **{"budget.reseeds": 0}), tried(tmp_path)
    for student in front:
        assert student.values == trials[student.trial].values
        assert student.seeds == 0
        assert student.test
    assert front.epochs_spent == sum(trial.epoch for trial in trials)


def test_no_stretch_begins_after_the_time_limit_and_no_trial_is_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count()  # every look at it is a second later
    monkeypatch.setattr("autokd.driver.loop.time", SimpleNamespace(monotonic=lambda: next(clock)))
    study = small_study(scheduler="none", **{"budget.trials": 100, "budget.reseeds": 0})
    front = search_study(study, run=tmp_path / "run", seconds=40)
    assert front.note == "the time limit was reached"
    assert 0 < front.trials["complete"] < 20
    assert front.trials["pruned"] <= 1
    assert TrialState.RUNNING not in told(tmp_path)


def test_no_time_at_all_gives_no_front_and_can_be_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(NoFrontError, match=r"no student was trained to the end .*the time limit was reached"):
        search_study(small_study(), run=tmp_path / "run", seconds=0)
    assert search(tmp_path).note == "6 trials are done"


def test_the_budget_of_epochs_ends_a_search(tmp_path: Path) -> None:
    front = search(tmp_path, **{"budget.epochs": 9, "budget.trials": 50, "budget.reseeds": 0})
    assert front.note == "9 epochs are spent"
    assert front.epochs_spent <= 9
    assert TrialState.RUNNING not in told(tmp_path)


def test_bounds_that_no_trained_student_meets_give_no_front_with_the_reason(tmp_path: Path) -> None:
    objectives = {"accuracy": {"bound": 1.0}, "parameters": {}}
    with pytest.raises(
        NoFrontError,
        match=r"no student .* \(2 trials are done\); 2 students were infeasible: 2 × accuracy misses its bound by",
    ):
        search(tmp_path, objectives=objectives, **{"budget.trials": 2, "scheduler": "none"})
    assert TrialState.RUNNING not in told(tmp_path)


def test_progress_tells_how_the_search_stands(tmp_path: Path) -> None:
    said: list[Mapping[str, Any]] = []
    front = search_study(small_study(), run=tmp_path / "run", tell=progress_only(said.append))
    assert said[0]["trials"]["complete"] == 0
    assert said[-1]["trials"] == front.trials
    volumes = [each["hypervolume"] for each in said]
    assert volumes == sorted(volumes)
    assert said[-1]["message"].startswith("Training students again with fresh seeds: ")


def test_a_baseline_is_the_same_study_overridden_over_the_same_teacher(tmp_path: Path) -> None:
    front = search(tmp_path, baselines={"hard": {"budget.trials": 2}})
    hard = front.baselines["hard"]
    assert hard["epochs_spent"] > 0
    trials = read_trials(tmp_path / "run" / "baselines" / "hard-0")
    assert {trial.recipe["alpha"] for trial in trials} == {0.0}
    assert search(tmp_path, baselines={"hard": {"budget.trials": 2}}) == front


def test_the_stages_of_a_baseline_are_paid_for_together(tmp_path: Path) -> None:
    front = search(tmp_path, baselines=["sequential"], scheduler="none", **{"budget.trials": 3, "budget.reseeds": 0})
    stages = [read_trials(folder) for folder in sorted((tmp_path / "run" / "baselines").iterdir())]
    tried = [[canonical(trial.arch) for trial in trials if trial.arch is not None] for trials in stages]
    assert set(tried[1]) <= set(tried[0])
    assert {trial.recipe["alpha"] for trial in stages[0]} == {0.9}
    assert front.baselines["sequential"]["epochs_spent"] == sum(trial.epoch for trials in stages for trial in trials)


def test_a_stage_begins_anew_where_the_front_of_the_one_before_has_changed(tmp_path: Path) -> None:
    overrides = {"baselines": ["sequential"], "scheduler": "none", "budget.reseeds": 0}
    search(tmp_path, **overrides, **{"budget.trials": 1})
    front = search(tmp_path, **overrides, **{"budget.trials": 9})
    assert len(list((tmp_path / "run" / "baselines").glob("sequential-1-*"))) == 2
    assert front.baselines["sequential"]["front"]


def test_a_baseline_that_trains_no_student_to_the_end_has_an_empty_front(tmp_path: Path) -> None:
    unmet = {"objectives.accuracy.bound": 1.0, "budget.trials": 2}
    front = search(tmp_path, baselines={"unmet": [unmet, {}], "hard": {}}, scheduler="none", **{"budget.trials": 2})
    spent = sum(trial.epoch for trial in read_trials(tmp_path / "run" / "baselines" / "unmet-0"))
    found = front.baselines["unmet"]
    assert (found["front"], found["hypervolume"], found["epochs_spent"]) == ([], 0.0, spent)
    assert front.baselines["hard"]["front"]


def test_fresh_takes_a_new_folder_and_leaves_the_old_one(tmp_path: Path) -> None:
    search(tmp_path, **{"budget.trials": 2})
    before = students(tmp_path)
    search_study(small_study(seed=1, **{"budget.trials": 2}), run=unused(tmp_path / "run"))
    assert students(tmp_path) == before
    assert len(read_trials(tmp_path / "run-2")) == 2


def test_the_disk_budget_holds_while_the_search_goes_on(tmp_path: Path) -> None:
    seen: list[int] = []

    def look(told: Mapping[str, Any]) -> None:
        if told["message"] == SEARCHING:
            held = {int(path.name) for path in (tmp_path / "run" / "trials").glob("*")}
            front = {member["trial"] for member in told["front"]}
            ended = {trial.number for trial in read_trials(tmp_path / "run") if trial.state in ("complete", "pruned")}
            assert held & ended == front
            seen.append(len(ended - front))

    search_study(
        small_study(**{"budget.disk_gb": 1e-9, "budget.trials": 8}), run=tmp_path / "run", tell=progress_only(look)
    )
    assert max(seen) > 3


def test_a_trial_is_measured_once_when_it_ends_and_once_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    size_gb = checkpoints.size_gb

    def watched(folder: Path) -> float:
        measured.append(folder.name)
        return size_gb(folder)

    monkeypatch.setattr(checkpoints, "size_gb", watched)
    search(tmp_path, **{"budget.disk_gb": 1e-9})
    assert {measured.count(name) for name in measured} == {2}


def test_less_disk_than_before_takes_nothing_of_the_front_that_was_answered(tmp_path: Path) -> None:
    front = search(tmp_path, scheduler="none")
    assert search(tmp_path, scheduler="none", **{"budget.disk_gb": 1e-9}) == front
    for student in front:
        assert (tmp_path / "run" / "trials" / f"{student.trial:05d}").is_dir()


def test_weights_beyond_the_disk_budget_go_and_the_front_stays(tmp_path: Path) -> None:
    front = search(tmp_path, scheduler="none", **{"budget.disk_gb": 1e-9, "budget.reseeds": 0})
    left = {int(path.parts[-4]) for path in tmp_path.rglob("trials/*/*/*/weights.safetensors")}
    assert left == {student.trial for student in front}
