from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from command_line import autokd, refused, write_study
from small import small_driver, small_run, write_space
from test_driver_core import FIXED, propose, to_the_end, told

from autokd.driver import Driver
from autokd.driver.costs import latencies_of, open_latencies
from autokd.driver.preparation import Run
from autokd.errors import InputError
from autokd.latency.latencies import Latencies
from autokd.latency.meter import IN_PROCESS
from autokd.latency.table import LatencyTable, Measurement
from autokd.record import read_trials
from autokd.registry import resolve
from autokd.testing import TinyTask
from autokd.types import Objective, SearchSpace

QUICK = {"seconds": 0.001}
WIDTHS = range(2, 102)


def ms(width: int) -> float:
    """A latency far from any that is measured here."""
    return 1000.0 + 10.0 * width


def run_with_table(tmp_path: Path, **overrides: Any) -> Run:
    """A run of MLPs of one hidden layer whose latencies go into `tmp_path / "table.jsonl"`."""
    space = overrides.get("space") or write_space(tmp_path, widths=WIDTHS)
    objectives = {"accuracy": {}, "latency_ms": QUICK | {"table": str(tmp_path / "table.jsonl")}}
    return small_run(tmp_path, **({"scheduler": "none", "objectives": objectives} | overrides | {"space": space}))


def latencies_in(run: Run) -> Latencies:
    return opened_anew(run)["latency_ms"]


def opened_anew(run: Run) -> dict[str, Latencies]:
    context: Any = run.context
    return open_latencies(context, run.folder, meter=IN_PROCESS, calibration_ms=run.calibration_ms)


def fill(run: Run, *, number: int = 60, seconds: float = 2.0, scale: float = 1.0) -> None:
    """Puts measurements of some widths into the run's table, `scale` times slower on a machine as much slower."""
    table = latencies_in(run).table
    table.path.unlink()  # what the run itself has measured
    for width in list(WIDTHS)[:: len(WIDTHS) // number or 1][:number]:
        calibration_ms = scale * run.calibration_ms
        table.add(Measurement({"width": width}, scale * ms(width), 0.01, calibration_ms, seconds))


def restarted(run: Run) -> Driver:
    """A driver that reads the table as it is now."""
    return small_driver(replace(run, latencies=opened_anew(run)))


def test_a_run_keeps_what_it_measures_even_for_its_reference_point(tmp_path: Path) -> None:
    run = small_run(tmp_path, **{"objectives": {"accuracy": {}, "latency_ms": QUICK}})
    lines = (run.folder / "latency_ms.jsonl").read_text().splitlines()
    assert 1 < len(lines) <= 16


def test_a_known_latency_is_taken_at_the_speed_of_this_run_and_not_measured(tmp_path: Path) -> None:
    run = run_with_table(tmp_path)
    fill(run, number=100, seconds=0.1, scale=3.0)
    before = (tmp_path / "table.jsonl").read_text()
    driver = restarted(run)
    stretch = propose(driver)
    costs = driver.record.trials[stretch.trial].costs
    driver.record.close()
    assert costs["latency_ms"] == pytest.approx(ms(stretch.arch["width"]))
    assert (tmp_path / "table.jsonl").read_text() == before


def test_another_source_of_the_space_or_another_batch_is_another_latency(tmp_path: Path) -> None:
    run = run_with_table(tmp_path)
    fill(run)
    objective = next(each for each in run.context.objectives if each.timed)
    larger = replace(objective, settings=objective.settings | {"batch": 8})
    other = latencies_of(run.context, larger, run.folder, meter=IN_PROCESS, calibration_ms=1.0)
    assert latencies_in(run).known({}, {"width": 2}) is not None
    assert other.known({}, {"width": 2}) is None
    write_space(tmp_path, widths=WIDTHS, build="width = width + 1")
    assert latencies_in(run).known({}, {"width": 2}) is None


def test_another_vocabulary_of_texts_is_another_latency(tmp_path: Path) -> None:
    timed: Objective = replace(resolve("objectives", "latency_ms"), settings=QUICK)

    def opened(vocabulary: int) -> Latencies:
        candidates: Any = SimpleNamespace(task=TinyTask(input_shape=(5,), num_outputs=3, vocabulary=vocabulary))
        return Latencies(lambda _: candidates, timed, tmp_path, space={"s": 1}, meter=IN_PROCESS, calibration_ms=1.0)

    opened(20).table.add(Measurement({"width": 2}, 5.0, 0.01, 1.0, 0.1))

    assert opened(20).known({}, {"width": 2}) == 5.0
    assert opened(30).known({}, {"width": 2}) is None


def test_a_table_is_refused_for_a_space_without_source(tmp_path: Path) -> None:
    class Unknown:
        suggest = build = print

    run = run_with_table(tmp_path)
    context = replace(run.context, space=cast(SearchSpace, Unknown()))
    Unknown.__module__ = "nowhere"
    objective = next(each for each in run.context.objectives if each.timed)
    with pytest.raises(InputError, match="the space lives in no source file"):
        latencies_of(context, objective, run.folder, meter=IN_PROCESS, calibration_ms=1.0)


def test_latencies_are_predicted_once_measuring_is_slow(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = run_with_table(tmp_path)
    fill(run, number=50)
    latencies = latencies_in(run)
    unknown = {"width": next(width for width in WIDTHS if latencies.known({}, {"width": width}) is None)}
    driver = restarted(run)
    with caplog.at_level(logging.INFO, "autokd"):
        costs, spreads = driver.costs.estimate({}, unknown)
        driver.costs.estimate({}, unknown)
    driver.record.close()
    assert costs["latency_ms"] == pytest.approx(ms(unknown["width"]), rel=0.5)
    assert spreads["latency_ms"] > 0
    assert (
        caplog.text.count("latency_ms is predicted until a student is trained to the end. The prediction is fitted on ")
        == 1
    )
    assert "cross-validation" in caplog.text


@pytest.mark.parametrize(("number", "seconds"), [(50, 0.9), (10, 2.0)], ids=["quick", "few"])
def test_latencies_are_measured_where_that_is_quick_or_few_were(tmp_path: Path, number: int, seconds: float) -> None:
    run = run_with_table(tmp_path)
    fill(run, number=number, seconds=seconds)
    assert latencies_in(run).stand_in() is None


def test_what_cannot_be_ranked_is_measured(tmp_path: Path) -> None:
    run = run_with_table(tmp_path)
    (tmp_path / "table.jsonl").unlink()
    table, random = latencies_in(run).table, np.random.default_rng(0)
    for width in WIDTHS:
        table.add(Measurement({"width": width}, float(random.uniform(1, 2)), 0.01, run.calibration_ms, 2.0))
    found = latencies_in(run).prediction()
    assert found is not None
    assert found.spearman < 0.8
    assert latencies_in(run).stand_in() is None


def predicting(tmp_path: Path, bound: float | None, *, predicted_ms: float = 5.0, **overrides: Any) -> Driver:
    """A driver for which all latencies are predicted: `predicted_ms` and up to a tenth more, give or take 1 %."""
    run = run_with_table(tmp_path, **overrides)
    objectives = tuple(replace(each, bound=bound if each.timed else None) for each in run.context.objectives)
    driver = restarted(replace(run, context=replace(run.context, objectives=objectives)))
    known = driver.costs.latencies["latency_ms"].table.known
    known.clear()
    random = np.random.default_rng(0)
    for width in WIDTHS:
        median_ms = predicted_ms * (1 + width / 1000) * float(random.uniform(0.98, 1.02))
        key = f"not {width}"  # it is fitted on, and not found
        known[key] = Measurement({"width": width}, median_ms, 0.01, run.calibration_ms, 2.0)
    return driver


def test_a_predicted_trial_says_so_in_the_record_until_it_is_trained_in_full_and_measured(tmp_path: Path) -> None:
    driver = predicting(tmp_path, None)
    stretch = propose(driver)
    trial = driver.record.trials[stretch.trial]
    (stored,) = read_trials(driver.folder)
    assert stored.predicted == trial.predicted
    assert trial.costs["latency_ms"] > 1.0
    assert "latency_ms of 1 students" in driver.costs.notes(driver.record.trials)[0]
    to_the_end(driver, stretch)
    assert trial.state == "complete"
    assert trial.predicted == {}
    assert trial.costs["latency_ms"] < 1.0  # what an MLP takes indeed
    (stored,) = read_trials(driver.folder)
    assert (stored.predicted, stored.costs) == ({}, trial.costs)
    assert driver.record.study.trials[0].values[1] == trial.costs["latency_ms"]
    assert driver.costs.notes(driver.record.trials) == []
    driver.record.close()


@pytest.mark.parametrize(("bound", "state"), [(5.2, "running"), (4.9, "infeasible")])
def test_a_bound_ends_a_predicted_trial_only_if_it_is_clearly_broken(tmp_path: Path, bound: float, state: str) -> None:
    one = {"space": write_space(tmp_path, widths=[50])} | FIXED
    driver = predicting(tmp_path, bound, **one)
    driver.propose()
    first = driver.record.trials[0]
    driver.record.close()
    assert first.costs["latency_ms"] == pytest.approx(5.25, rel=0.005)
    assert first.predicted["latency_ms"] == pytest.approx(0.012, rel=0.2)
    assert first.state == state


def test_a_student_that_proves_too_slow_when_it_is_measured_is_infeasible(tmp_path: Path) -> None:
    driver = predicting(tmp_path, 1e-6, predicted_ms=1e-7)
    stretch = propose(driver)
    to_the_end(driver, stretch)
    assert driver.record.trials[stretch.trial].state == "infeasible"
    assert [state.name for state in told(driver)] == ["PRUNED"]
    driver.record.close()


# the command


def test_a_device_is_measured_once_and_a_search_takes_it_from_there(tmp_path: Path) -> None:
    objectives = {"accuracy": {}, "latency_ms": QUICK}
    study, out = write_study(tmp_path, {"objectives": objectives, "budget.trials": 2}), tmp_path / "table.jsonl"
    answer = autokd("latency-table", study, "--out", out, "--number", "3")
    assert answer.code == 0, answer
    assert f"{out} holds the latencies of 3 architectures" in answer.out
    first = out.read_text()
    assert len(first.splitlines()) == 3
    answer = autokd("latency-table", study, "--out", out, "--number", "20")
    assert out.read_text().startswith(first)
    assert len(out.read_text().splitlines()) == 20
    assert "holds the latencies of 20 architectures. Others are predicted, fitted on 20 measured" in answer.out
    answer = autokd("search", study, f"objectives.latency_ms.table={out}", "--run", tmp_path / "run")
    assert answer.code == 0, answer
    assert not (tmp_path / "run" / "latency_ms.jsonl").exists()
    assert LatencyTable(out, {}).path == out
    again = autokd("search", study, f"objectives.latency_ms.table={out}", "--run", tmp_path / "run")
    assert again.code == 0, again


def test_a_table_of_nothing_that_is_timed_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "table.jsonl"
    study = write_study(tmp_path, {})
    assert "none of them is timed; add latency_ms" in refused("latency-table", study, "--out", out)
    assert "there is no such setting" in refused("search", study, "objectives.parameters.table=t.jsonl")
    assert "write the name of a file" in refused("search", study, "objectives.latency_ms.table=3")
    assert not out.exists()
