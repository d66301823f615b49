"""Searches on a table use the same command and the same code as others; every number is looked up."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from command_line import autokd, refused
from conftest import needs
from small import small_driver
from tables import COLUMNS, OBJECTIVES, PARAMETERS, rows, write_table

from autokd.driver import load_front, search_study
from autokd.driver.events import progress_only
from autokd.driver.preparation import prepare
from autokd.front import Front
from autokd.pareto import as_losses, non_dominated, scaled_hypervolume
from autokd.record import TrialRecord, read_trials
from autokd.study import Study, dump, override, read_setup
from autokd.trial import Context, Searched, Stretch, Tabulated, files_of, load_context, read_table
from autokd.types import Recipe

NAMES = ["accuracy", "latency_ms"]


def study_of(path: Path, **overrides: Any) -> Study:
    """All 24 rows at random, inline, accuracies at the end only."""
    budget = {"trials": 100, "rungs": [1]}
    study = Study.model_validate(
        {"name": "small", "task": {"table": str(path)}, "budget": budget, "executor": "inline", "sampler": "random"}
    )
    return override(study, overrides)


def looked_up(arch: dict[str, Any], column: str) -> Any:
    (row,) = (row for row in rows() if row[: len(arch)] == list(arch.values()))
    return row[COLUMNS.index(column)]


def true_front() -> set[tuple[float, float]]:
    values = [(row[COLUMNS.index("accuracy")], row[COLUMNS.index("latency_ms")]) for row in rows()]
    losses = np.array([(-accuracy, latency) for accuracy, latency in values])
    return {value for value, keep in zip(values, non_dominated(losses), strict=True) if keep}


def found_by(front: Front) -> set[tuple[float, float]]:
    return {(student.values["accuracy"], student.values["latency_ms"]) for student in front}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `study.yaml`, the table, and the finished run of it by command."""
    folder = tmp_path_factory.mktemp("table")
    write_table(folder)
    study = {"name": "small", "task": {"table": "table.csv.gz"}, "budget": {"trials": 100, "rungs": [3, 9, 27]}}
    (folder / "study.yaml").write_text(json.dumps(study | {"executor": "inline"}))
    answer = autokd("search", folder / "study.yaml", "--run", folder / "run")
    assert answer.code == 0, answer
    return folder


def test_a_search_finds_the_front_of_a_table_and_says_when_it_is_exhausted(tmp_path: Path) -> None:
    front = search_study(study_of(write_table(tmp_path)), run=tmp_path / "run")
    assert found_by(front) == true_front()
    assert front.note == "the space is exhausted: every student in it was tried"
    assert (front.trials["complete"], front.epochs_spent) == (24, 24)
    assert {student.seeds for student in front} == {0}
    assert front.teacher == {}
    assert front.validation_labels == front.standard_error == 0


def test_every_number_in_the_record_is_one_of_the_table(finished: Path) -> None:
    trials = read_trials(finished / "run")
    at = {3: "accuracy@3", 9: "accuracy@9", 27: "accuracy"}
    assert {epoch for trial in trials for epoch in trial.rungs} == {3, 9, 27}
    for trial in trials:
        assert trial.recipe == {}
        assert trial.arch is not None
        if trial.state != "duplicate":
            assert trial.costs == {"latency_ms": looked_up(trial.arch, "latency_ms")}
        for epoch, values in trial.rungs.items():
            assert values == {"accuracy": looked_up(trial.arch, at[epoch])}


def test_nothing_is_looked_up_twice_and_no_file_is_written(finished: Path) -> None:
    trained = [json.dumps(trial.arch) for trial in read_trials(finished / "run") if trial.rungs]
    assert len(trained) == len(set(trained)) == 24
    assert not (finished / "run" / "trials").exists()


def test_front_pick_report_and_clean_work_on_it(finished: Path) -> None:
    run = finished / "run"
    shown = autokd("front", run)
    assert "All values were looked up in a table, and nothing was trained." in shown.out
    assert "teacher" not in shown.out
    picked = autokd("pick", run, "--by", "accuracy")
    assert "accuracy 90" in picked.out
    assert "retrain" not in picked.out
    assert autokd("report", run).code == 0
    page = (run / "report.html").read_text()
    assert "from a table" in page
    assert "standard error of accuracy" not in page
    assert autokd("clean", run).code == 0


def test_what_needs_a_student_says_why_not(finished: Path) -> None:
    run = finished / "run"
    for words in (("retrain", run, "--trial", 0), ("export", run, finished / "x.onnx", "--trial", 0)):
        assert "is a search on a table, which holds numbers and no students" in refused(*map(str, words))


def test_the_run_holds_its_table(finished: Path) -> None:
    context = load_context(str(finished / "run"))
    assert isinstance(context, Tabulated)
    assert context.table.digest == read_table(finished / "table.csv.gz").digest
    setup = json.loads((finished / "run" / "study.json").read_text())
    assert setup["digests"]["task"] == context.table.digest
    assert dump(Study.model_validate(setup["study"])) == setup["study"]


def test_workers_on_other_machines_are_sent_the_table_with_its_description(finished: Path) -> None:
    run = finished / "run"
    setup = read_setup(run)
    assert files_of(run, setup) == [run / "table.csv.gz", run / "table.json"]
    made_again = setup.model_copy(update={"task": "", "outputs": "teacher/outputs.npy"})
    assert files_of(run, made_again) == [run / "teacher" / "outputs.npy"]


def test_a_table_is_searched_without_a_task_a_space_or_a_teacher(finished: Path) -> None:
    context = load_context(str(finished / "run"))
    assert {field.name for field in fields(context)} == {"study", "table", "objectives"}  # type: ignore[arg-type]
    asked = {name for name in vars(Searched) if not name.startswith("_")}
    assert [name for name in asked if not hasattr(context, name)] == []
    assert [name for name in asked if not hasattr(Context, name) and name not in Context.__annotations__] == []


def test_the_reference_is_the_bound_or_the_worst_of_the_table_and_the_best_is_where_hypervolume_is_full(
    tmp_path: Path,
) -> None:
    study = study_of(write_table(tmp_path), objectives={"accuracy": {}, "latency_ms": {"bound": 2}})
    run = prepare(study, tmp_path / "run")
    assert run.worst == {"accuracy": 60, "latency_ms": 2}
    assert run.ideal == {"accuracy": 90, "latency_ms": 0.5}
    ends = {"ideal": run.ideal, "worst": run.worst}
    assert scaled_hypervolume([run.ideal], run.context.objectives, **ends) == 1
    assert scaled_hypervolume([{"accuracy": 75, "latency_ms": 1.25}], run.context.objectives, **ends) == 0.25


def test_a_bound_holds(tmp_path: Path) -> None:
    study = study_of(write_table(tmp_path), **{"objectives": {"accuracy": {}, "latency_ms": {"bound": 1.0}}})
    front = search_study(study, run=tmp_path / "run")
    assert {latency for _, latency in found_by(front)} <= {0.5, 0.6, 0.7, 0.8, 0.9, 1.0}
    assert front.trials["infeasible"] == 18


def test_the_front_that_a_search_tells_is_the_one_that_is_read_from_its_record(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    search_study(study_of(write_table(tmp_path), **{"budget.trials": 10}), run=tmp_path / "run", tell=events.append)
    told = [event for event in events if event["event"] == "front"][-1]
    (tmp_path / "run" / "front.json").unlink()
    read = load_front(tmp_path / "run")
    assert not read.final
    assert {student.trial for student in read} == {student["trial"] for student in told["front"]}
    assert read.hypervolume == told["hypervolume"]


def test_an_objective_that_never_varies_does_no_harm(tmp_path: Path) -> None:
    cells = [[*row[:5], 1.0, *row[6:]] for row in rows()]
    front = search_study(study_of(write_table(tmp_path, cells=cells)), run=tmp_path / "run")
    assert found_by(front) == {(90, 1.0)}
    assert front.hypervolume == 1


def test_only_the_objectives_that_are_named_are_searched(tmp_path: Path) -> None:
    objectives = OBJECTIVES | {"note": {"direction": "minimize", "trained": False}}
    cells = [[*row[:-1], i] for i, row in enumerate(rows())]
    path = write_table(tmp_path, cells=cells, description={"parameters": PARAMETERS, "objectives": objectives})
    names = {"latency_ms": {}, "accuracy": {}}
    run = prepare(study_of(path, objectives=names), tmp_path / "run")
    assert [objective.name for objective in run.context.objectives] == list(names)
    everything = prepare(study_of(path), tmp_path / "all")
    assert [objective.name for objective in everything.context.objectives] == list(objectives)


@pytest.mark.parametrize("cell", ["", "nan", "inf"])
def test_a_row_without_a_value_is_infeasible_and_the_search_goes_on(tmp_path: Path, cell: str) -> None:
    cells = rows()
    cells[5][COLUMNS.index("accuracy")] = cell
    del cells[7]
    search_study(study_of(write_table(tmp_path, cells=cells)), run=tmp_path / "run")
    trials = [trial for trial in read_trials(tmp_path / "run") if trial.state != "duplicate"]
    lacking = {trial.reason for trial in trials if trial.state == "infeasible"}
    assert lacking == {
        "the table has no accuracy in the row of this architecture",
        "the table has no row for this architecture",
    }
    assert sum(trial.state == "complete" for trial in trials) == 22


def test_what_a_table_does_not_hold_counts_as_no_trial_and_our_sampler_proposes_none_of_it(tmp_path: Path) -> None:
    path = write_table(tmp_path, cells=rows()[::5])
    at_random = search_study(study_of(path), run=tmp_path / "random")
    assert at_random.trials["complete"] == 5
    assert at_random.trials["failed"] == 0
    ours = search_study(study_of(path, sampler="autokd", **{"budget.trials": 5}), run=tmp_path / "ours")
    assert (ours.trials["complete"], ours.trials["infeasible"], ours.trials["duplicate"]) == (5, 0, 0)


def test_a_number_may_be_written_in_another_way(tmp_path: Path) -> None:
    cells = [[f"{row[0]:.1f}", *row[1:3], f"{row[3]:.2e}", *row[4:]] for row in rows()]
    assert set(read_table(write_table(tmp_path, cells=cells)).rows) == set(read_table(write_table(tmp_path)).rows)


def test_a_value_that_is_missing_at_a_rung_fails_there(tmp_path: Path) -> None:
    cells = rows()
    cells[23][COLUMNS.index("accuracy@9")] = ""
    context = prepare(
        study_of(write_table(tmp_path, cells=cells), **{"budget.rungs": [9, 27]}), tmp_path / "run"
    ).context
    arch = dict(zip(PARAMETERS, cells[23], strict=False))
    stretch = Stretch(0, arch, Recipe(), seed=0, start=0, stop=9, source="", folder="")
    reason = "the table has no accuracy@9 in the row of this architecture"
    assert context.run(stretch) == {"error": reason}


def test_choices_keep_their_type(tmp_path: Path) -> None:
    context = prepare(study_of(write_table(tmp_path)), tmp_path / "run").context
    params = {"depth": 2, "act": "gelu", "bn": True, "drop": 0.5}
    reading, arch, recipe = context.suggest(optuna.trial.FixedTrial(params))  # type: ignore[arg-type]
    assert (reading, arch, recipe) == ({}, params, {})
    assert [type(choice) for choice in arch.values()] == [int, str, bool, float]
    assert context.costs(arch) == {"latency_ms": looked_up(arch, "latency_ms")}
    assert (context.costs_are_free, context.reseeds, context.validation_rows) == (True, 0, 0)


def test_an_interrupted_search_goes_on_to_the_same_front(tmp_path: Path) -> None:
    study, run = study_of(write_table(tmp_path), **{"budget.rungs": [3, 9, 27], "scheduler": "none"}), tmp_path / "run"

    def interrupt(progress: Any) -> None:
        if progress["trials"]["complete"] >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_study(study, run=run, tell=progress_only(interrupt))
    assert not load_front(run).final
    driver = small_driver(prepare(study, run))  # and one that dies with a row at its first rung
    stretch = driver.propose()
    assert stretch is not None
    (second,) = driver.advance(stretch.trial, driver.context.run(stretch))
    assert (second.start, second.stop) == (3, 9)
    driver.record.close()
    front = search_study(study, run=run)
    assert found_by(front) == true_front()
    assert (front.trials["complete"], front.epochs_spent) == (24, 24 * 27)


def test_a_table_that_changed_is_refused(tmp_path: Path) -> None:
    study = study_of(write_table(tmp_path), **{"budget.trials": 3})
    search_study(study, run=tmp_path / "run")
    write_table(tmp_path, cells=rows()[1:])
    with pytest.raises(Exception, match="the data changed"):
        search_study(study, run=tmp_path / "run")


@pytest.mark.slow
def test_processes_give_what_inline_gives(tmp_path: Path) -> None:
    def outcomes(executor: str) -> dict[str, TrialRecord]:
        study = study_of(path, executor=executor, **{"budget.trials": 12, "budget.rungs": [3, 9, 27]})
        search_study(override(study, {"scheduler": "none"}), run=tmp_path / executor)
        trials = read_trials(tmp_path / executor)
        return {json.dumps(trial.arch): trial.values for trial in trials if trial.state == "complete"}

    path = write_table(tmp_path)
    assert outcomes("inline") == outcomes("processes")


@pytest.mark.slow
@needs("shared")
def test_nas_bench_201_is_searched_as_it_stands(shared: Path, tmp_path: Path) -> None:
    path = shared / "tables" / "nb201_cifar100_raspi4.csv.gz"
    front = search_study(study_of(path, **{"budget.trials": 40, "sampler": "random"}), run=tmp_path / "run")
    table = read_table(path)
    assert len(table.rows) == 15_625
    assert all(student.values["accuracy"] == table.look_up(student.arch, "accuracy") for student in front)
    losses = as_losses(list(table.rows.values()), list(table.objectives.values()))
    best = [row for row, keep in zip(table.rows.values(), non_dominated(losses), strict=True) if keep]
    context = load_context(str(tmp_path / "run"))
    full = scaled_hypervolume(best, context.objectives, ideal=context.ideal, worst=front.reference)
    assert 0.5 < front.hypervolume / full <= 1
