"""`--from`: the sampler learns from an earlier run, and runs that do not fit are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import refused_search
from small import small_study
from tables import write_table

from autokd import search_study
from autokd.errors import InputError
from autokd.record import read_trials
from autokd.study import Study


def test_a_run_that_learns_from_another_says_so_and_counts_only_its_own(tmp_path: Path) -> None:
    first = tmp_path / "first"
    search_study(small_study(seed=1, **{"budget.trials": 8}), run=first)
    study = small_study(**{"budget.trials": 4, "task.labels": 40})
    front = search_study(study, run=tmp_path / "second", prior=first)
    assert "the sampler learned from 8 trials of the earlier run small, which differs in the data" in front.note
    assert "task.labels" in front.note
    assert len([t for t in read_trials(tmp_path / "second") if t.state != "duplicate"]) == 4
    fresh = search_study(study, run=tmp_path / "third")
    assert "earlier run" not in fresh.note
    proposed = [[t.arch for t in read_trials(tmp_path / name)] for name in ("second", "third")]
    assert proposed[0] != proposed[1]


def test_it_goes_on_with_what_it_learnt_from_when_the_other_is_gone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    search_study(small_study(**{"budget.trials": 5}), run=first)
    search_study(small_study(seed=2, **{"budget.trials": 3}), run=second, prior=first)
    shutil.rmtree(first)
    front = search_study(small_study(seed=2, **{"budget.trials": 5}), run=second)
    assert "the sampler learned from 5 trials" in front.note


def test_students_trained_there_may_be_trained_here(tmp_path: Path) -> None:
    table = {"table": str(write_table(tmp_path))}
    study = Study(name="all", task=table, budget={"trials": 24, "rungs": [1]}, executor="inline")  # type: ignore[arg-type]
    first, second = tmp_path / "first", tmp_path / "second"
    search_study(study, run=first)
    search_study(study, run=second, prior=first)
    complete = [{str(t.arch) for t in read_trials(run) if t.state == "complete"} for run in (first, second)]
    assert complete[0] == complete[1]
    assert len(complete[0]) == 24


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"sampler": "tpe"}, "only the sampler autokd learns from it; 'tpe' given"),
        ({"space": "resnet"}, "its space is not that of this study"),
        ({"objectives": {"f1": {}, "parameters": {}}}, "no trial there has f1"),
        ({"objectives": {"accuracy": {}, "f1": {}, "parameters": {}}}, "no trial there has f1"),
    ],
)
def test_what_cannot_teach_is_refused_and_leaves_nothing(
    override: dict[str, object], words: str, tmp_path: Path
) -> None:
    search_study(small_study(**{"budget.trials": 2, "budget.reseeds": 0}), run=tmp_path / "first")
    with pytest.raises(InputError, match=words):
        search_study(small_study(**override), run=tmp_path / "second", prior=tmp_path / "first")
    assert not (tmp_path / "second").exists()


def test_a_run_that_began_without_it_is_refused(tmp_path: Path) -> None:
    study = small_study(**{"budget.trials": 2, "budget.reseeds": 0})
    for name in ("first", "second"):
        search_study(study, run=tmp_path / name)
    with pytest.raises(InputError, match="began without an earlier run; start over in a new folder"):
        search_study(study, run=tmp_path / "second", prior=tmp_path / "first")


def test_a_folder_that_is_no_run_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    assert "nowhere is not a run" in refused_search(tmp_path, {}, "--from", str(tmp_path / "nowhere"))
