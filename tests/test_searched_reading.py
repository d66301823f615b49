"""How rows are read may be searched: laws of a trial that is a reading, an architecture and a recipe."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import needs
from small import small_driver, small_study, write_space

import autokd
from autokd.driver.preparation import Run, prepare
from autokd.errors import InputError
from autokd.front.front import Front
from autokd.latency.table import Measurement
from autokd.record import TrialRecord, read_trials
from autokd.study import Study
from autokd.tasks.rows import with_reserve
from autokd.testing import TinyTask, check_space
from autokd.trial import run_stretch_in, training_seed
from autokd.types import Recipe

SIZES = (4, 8)
RECIPE = {"temperature": 2.0, "method": "kd", "lr": 0.01, "alpha": 0.5, "batch_size": 16}


def study_of(tmp_path: Path, sizes: Sequence[int] = SIZES, **overrides: Any) -> Study:
    """A study of tiny images whose size is searched, with a file of answers as teacher."""
    task, answers = TinyTask(), tmp_path / "answers.npy"
    if not answers.exists():
        right = torch.eye(task.num_outputs)[task.targets(torch.arange(task.num_rows))]
        np.save(answers, (3 * right).numpy())
    space = tmp_path / "space.py"
    if not space.exists():
        write_space(tmp_path, widths=[2, 3, 4])
    changes: dict[str, Any] = {
        "task": {"task": "autokd.testing:TinyTask", "args": {"sizes": list(sizes)}},
        "teacher": {"outputs": str(answers)},
        "space": str(space),
        "recipe": RECIPE,
        "sampler": "random",
        "scheduler": "none",
        "budget.rungs": [1, 2],
        "budget.reseeds": 0,
    }
    return small_study(**(changes | overrides))


def run_of(tmp_path: Path, sizes: Sequence[int] = SIZES, **overrides: Any) -> Run:
    return prepare(study_of(tmp_path, sizes, **overrides), tmp_path / "run")


def small_seen(tmp_path: Path) -> Any:
    """The context of a run, with the smallest size picked."""
    return run_of(tmp_path).context.seen_through({"size": SIZES[0]})


def searched(tmp_path: Path, name: str, sizes: Sequence[int] = SIZES, **overrides: Any) -> Front:
    return autokd.search_study(study_of(tmp_path, sizes, **overrides), run=tmp_path / name)


def numbers(trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """The costs and values of all trials that were trained, by reading, architecture and recipe."""
    return {trial.key: (trial.costs, trial.rungs) for trial in trials if trial.rungs}


def test_a_search_over_sizes_trains_students_of_each_and_says_their_reading_everywhere(tmp_path: Path) -> None:
    front = searched(tmp_path, "run", **{"budget.reseeds": 1})
    trials = read_trials(tmp_path / "run")
    assert {trial.reading["size"] for trial in trials} == set(SIZES)
    for student in front:
        assert student.reading == trials[student.trial].reading
        inputs = student.reading["size"] ** 2
        width = student.arch["width"]
        assert student.values["parameters"] == inputs * width + width + 10 * width + 10
    assert [each["reading"] for each in front.to_dict()["front"]] == [student.reading for student in front]
    assert autokd.load_front(tmp_path / "run").to_dict() == front.to_dict()
    assert set(front.to_dataframe()["reading.size"]) <= set(SIZES)
    assert set(autokd.trials_dataframe(tmp_path / "run")["reading.size"]) == set(SIZES)


def test_what_reads_all_rows_alike_has_no_key_for_a_reading_in_any_file(tmp_path: Path) -> None:
    front = searched(tmp_path, "run", ())
    trials = read_trials(tmp_path / "run")
    assert all(trial.reading == {} for trial in trials)
    assert all("reading" not in student for student in front.to_dict()["front"])
    for file in ("front.json", "study.json"):
        assert "reading" not in (tmp_path / "run" / file).read_text()
    assert b"reading" not in (tmp_path / "run" / "record.db").read_bytes()


def test_another_size_in_the_list_changes_no_number_of_the_others(tmp_path: Path) -> None:
    searched(tmp_path, "few", SIZES)
    searched(tmp_path, "more", (2, *SIZES), **{"budget.trials": 10})
    few, more = numbers(read_trials(tmp_path / "few")), numbers(read_trials(tmp_path / "more"))
    both = few.keys() & more.keys()
    assert len(both) >= 3
    assert {key: few[key] for key in both} == {key: more[key] for key in both}


def test_a_reading_has_a_seed_of_its_own_and_an_empty_one_the_seed_from_before_readings() -> None:
    arch, recipe = {"width": 3}, Recipe()
    seeds = [training_seed(arch, recipe, 0, reading=reading) for reading in ({}, {"size": 4}, {"size": 8})]
    assert len(set(seeds)) == 3
    assert seeds[0] == training_seed(arch, recipe, 0)


def test_a_student_is_a_duplicate_only_with_the_same_reading(tmp_path: Path) -> None:
    write_space(tmp_path, widths=[3])
    front = searched(tmp_path, "run", **{"budget.trials": 9})
    trials = read_trials(tmp_path / "run")
    assert sorted(trial.reading["size"] for trial in trials if trial.rungs) == [4, 8]
    assert "the space is exhausted" in front.note
    assert {t.reason.partition(" as")[0] for t in trials if t.state == "duplicate"} == {
        "same reading, architecture and recipe"
    }


@pytest.mark.parametrize("sampler", ["autokd", "tpe"])
def test_every_sampler_searches_sizes_as_it_searches_the_space(tmp_path: Path, sampler: str) -> None:
    searched(tmp_path, "run", **{"sampler": sampler, "budget.trials": 10})
    trials = [trial for trial in read_trials(tmp_path / "run") if trial.rungs]
    assert {trial.reading["size"] for trial in trials} == set(SIZES)
    assert len({trial.key for trial in trials}) == len(trials)


def test_costs_depend_on_the_reading_and_bounds_tell_readings_apart(tmp_path: Path) -> None:
    bound = 16 * 4 + 4 + 50
    searched(tmp_path, "run", **{"objectives": {"accuracy": {}, "parameters": {"bound": bound}}})
    trials = read_trials(tmp_path / "run")
    small = {trial.arch["width"]: trial.costs["parameters"] for trial in trials if trial.arch and trial.rungs}
    assert {trial.reading["size"] for trial in trials if trial.rungs} == {4}
    large = {t.arch["width"]: t.costs["parameters"] for t in trials if t.costs and t.reading == {"size": 8}}
    assert all(large[width] > small[width] for width in small.keys() & large.keys())


def test_an_interrupted_search_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    driver = small_driver(run)
    first = driver.propose()
    assert first is not None
    driver.advance(first.trial, run.context.run(first))
    driver.record.close()
    searched(tmp_path, "run")
    searched(tmp_path, "whole")
    resumed, whole = (numbers(read_trials(tmp_path / name)) for name in ("run", "whole"))
    assert resumed.keys() & whole.keys()
    assert {key: resumed[key] for key in whole if key in resumed} == {k: whole[k] for k in whole if k in resumed}


def test_a_worker_that_knows_only_the_run_folder_gets_the_same_numbers(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    driver = small_driver(run)
    stretch = driver.propose()
    driver.record.close()
    assert stretch is not None
    assert stretch.reading["size"] in SIZES
    elsewhere = replace(stretch, folder=str(tmp_path / "run" / "trials" / "elsewhere"))
    here, there = run.context.run(stretch), run_stretch_in(str(run.folder), elsewhere)
    assert here["values"] == there["values"]


@pytest.mark.slow
def test_worker_processes_give_the_numbers_of_this_process(tmp_path: Path) -> None:
    searched(tmp_path, "inline")
    searched(tmp_path, "processes", **{"executor": "processes", "workers": 2})
    inline, processes = (numbers(read_trials(tmp_path / name)) for name in ("inline", "processes"))
    assert inline == processes


@pytest.mark.slow
@needs("ray")
@pytest.mark.usefixtures("ray_here")
def test_ray_gives_the_numbers_of_this_process(tmp_path: Path) -> None:
    searched(tmp_path, "inline")
    searched(tmp_path, "ray", **{"executor": {"name": "ray", "address": "local"}, "workers": 2})
    inline, ray = (numbers(read_trials(tmp_path / name)) for name in ("inline", "ray"))
    assert inline == ray


@needs("ray")
def test_a_node_that_times_students_builds_them_for_their_reading(tmp_path: Path) -> None:
    from autokd.ray_tune.shipment import sender

    seen = small_seen(tmp_path)
    sent = pickle.loads(pickle.dumps(sender()(seen)))
    assert (sent.task.digest, sent.task.input_shape) == (seen.task.digest, (1, 4, 4))
    assert sent.build({"width": 2})(torch.zeros(1, 1, 4, 4)).shape == (1, 10)


def test_a_student_with_a_reading_is_retrained_loaded_and_exported(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    front = autokd.search_study(study, run=tmp_path / "run")
    student = next((each for each in front if each.reading["size"] == 4), front[-1])
    size = student.reading["size"]
    summary = autokd.retrain(tmp_path / "run", student.trial, seeds=1, epochs=1, workers=1, study=study)
    assert set(summary["test"]) == {"accuracy"}
    network = student.load()
    assert network(torch.zeros(2, 1, size, size)).shape == (2, 10)
    student.export(tmp_path / "out" / "student.safetensors")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["task"]["input_shape"] == [1, size, size]
    assert config["picked_reading"] == {"size": size}
    assert f'"size": {size}' in (tmp_path / "out" / "README.md").read_text()


def test_the_rows_that_a_search_leaves_out_stay_in_when_the_task_is_seen_through_a_reading() -> None:
    task: Any = with_reserve(TinyTask(sizes=SIZES))
    seen = task.seen_through({"size": 4})
    assert seen.splits.keys() == task.splits.keys()
    assert all(torch.equal(seen.splits[name], rows) for name, rows in task.splits.items())
    assert len(seen.splits["reserve"]) == 0
    assert seen.inputs(seen.splits["train"]).shape[1:] == (1, 4, 4)


def test_a_wider_list_of_sizes_is_taken_when_asked_for_and_keeps_all_trials(tmp_path: Path) -> None:
    searched(tmp_path, "run", SIZES, **{"budget.trials": 4})
    before = numbers(read_trials(tmp_path / "run"))
    wider = study_of(tmp_path, (2, *SIZES), **{"budget.trials": 14})
    with pytest.raises(InputError, match=r"task\.args\.sizes changed.*--widen"):
        autokd.search_study(wider, run=tmp_path / "run")
    autokd.search_study(wider, run=tmp_path / "run", widened=True)
    after = read_trials(tmp_path / "run")
    assert {key: value for key, value in numbers(after).items() if key in before} == before
    assert 2 in {trial.reading["size"] for trial in after}


def test_a_list_that_lost_a_size_is_refused(tmp_path: Path) -> None:
    searched(tmp_path, "run", SIZES, **{"budget.trials": 6})
    with pytest.raises(InputError, match=r"the space is not wider: trial \d+: reading\.size "):
        autokd.search_study(study_of(tmp_path, (4, 6)), run=tmp_path / "run", widened=True)


def test_a_run_that_searched_no_size_does_not_take_one(tmp_path: Path) -> None:
    searched(tmp_path, "run", ())
    with pytest.raises(InputError, match=r"its rows were read with \{\}, and now would be with"):
        prepare(study_of(tmp_path), tmp_path / "run", widened=True)


def test_an_object_with_other_choices_is_refused_or_widened(tmp_path: Path) -> None:
    autokd.search_study(study_of(tmp_path, task=TinyTask(sizes=(4, 8))), run=tmp_path / "run")
    wider = study_of(tmp_path, task=TinyTask(sizes=(2, 4, 8)))
    with pytest.raises(InputError, match=r"the choices of the reading changed.*--widen"):
        prepare(wider, tmp_path / "run")
    assert prepare(wider, tmp_path / "run", widened=True).setup.readings == {"size": (2, 4, 8)}


def test_an_earlier_run_over_other_sizes_informs_the_sampler(tmp_path: Path) -> None:
    searched(tmp_path, "earlier", SIZES, **{"budget.trials": 6})
    study = study_of(tmp_path, (2, 4), **{"sampler": "autokd", "budget.trials": 3})
    front = autokd.search_study(study, run=tmp_path / "run", prior=tmp_path / "earlier")
    assert "learned from" in front.note
    assert {trial.reading["size"] for trial in read_trials(tmp_path / "run")} <= {2, 4}


def test_the_second_stage_of_a_baseline_keeps_the_reading_of_each_architecture(tmp_path: Path) -> None:
    recipe = {**RECIPE, "temperature": [1.0, 4.0]}
    front = searched(tmp_path, "run", recipe=recipe, baselines=["sequential"])
    assert front.baselines["sequential"]["front"]
    (first, second) = sorted((tmp_path / "run" / "baselines").glob("sequential-*"))
    won = {(str(each.reading), str(each.arch)) for each in autokd.load_front(first)}
    tried = {(str(trial.reading), str(trial.arch)) for trial in read_trials(second) if trial.arch}
    assert tried <= won
    assert all(student["reading"] for student in front.baselines["sequential"]["front"])


@pytest.mark.parametrize("name", ["reading.size", "recipe.width"])
def test_a_space_that_takes_the_names_of_another_part_is_refused(tmp_path: Path, name: str) -> None:
    space = Path(write_space(tmp_path, widths=[3]))
    space.write_text(space.read_text().replace('suggest_categorical("width"', f'suggest_categorical("{name}"'))
    with pytest.raises(InputError, match=f"asks for '{name}', but names that begin with"):
        run_of(tmp_path, ())


def test_latencies_are_kept_by_reading_with_the_shape_that_was_timed(tmp_path: Path) -> None:
    quick = {"seconds": 0.001}
    run = run_of(tmp_path, objectives={"accuracy": {}, "latency_ms": quick})
    lines = [json.loads(line) for line in (run.folder / "latency_ms.jsonl").read_text().splitlines()]
    assert {line["key"]["reading"]["size"] for line in lines} == set(SIZES)
    assert all(line["key"]["input_shape"] == [1, *[line["key"]["reading"]["size"]] * 2] for line in lines)
    latencies = run.latencies["latency_ms"]
    assert latencies.known({"size": 4}, {"width": 99}) is None
    measured = latencies.measure_together([({"size": 4}, {"width": 2}), ({"size": 8}, {"width": 2})])
    assert all(each.median_ms > 0 for each in measured)


def test_latencies_are_predicted_from_the_reading_as_well(tmp_path: Path) -> None:
    run = run_of(tmp_path, objectives={"accuracy": {}, "latency_ms": {"seconds": 0.001}})
    latencies = run.latencies["latency_ms"]
    for size in SIZES:
        for width in range(10, 30):
            latencies._table({"size": size}).add(Measurement({"width": width}, size * width / 100, 0.01, 1.0, 2.0))
    found = latencies.prediction()
    assert found is not None
    four, eight = found.predict([{"reading.size": size, "width": 20} for size in SIZES])
    assert eight / four == pytest.approx(2, rel=0.1)


def test_a_space_is_checked_on_the_task_as_seen_through_its_readings(tmp_path: Path) -> None:
    space = Path(write_space(tmp_path, widths=[2, 3]))
    assert check_space(str(space), TinyTask(sizes=SIZES), samples=2) == []
    space.write_text(space.read_text().replace('suggest_categorical("width"', 'suggest_categorical("reading.width"'))
    (found,) = check_space(str(space), TinyTask(sizes=SIZES), samples=1)
    assert "suggest picks 'reading.width', but names with 'reading.' are the reading's" in found
