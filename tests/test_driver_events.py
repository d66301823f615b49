"""A search tells each event once, in order, as plain data, wherever its students train."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import needs
from small import small_study

from autokd.driver import search_study
from autokd.record import read_trials


def events_of(folder: Path, **overrides: Any) -> list[dict[str, Any]]:
    """All events of a search of `small_study` but those that say how it stands."""
    told: list[dict[str, Any]] = []
    search_study(small_study(**overrides), run=folder, tell=told.append)
    return [event for event in told if event["event"] != "progress"]


def of_trial(events: list[dict[str, Any]], number: int) -> list[tuple[str, int]]:
    """What was told of one trial: the events, each with its epoch."""
    return [(event["event"], event["epoch"]) for event in events if event.get("trial") == number]


def check_against_the_record(events: list[dict[str, Any]], run: Path) -> None:
    """Each trial of the run was told of in order, and as the record has it."""
    for trial in read_trials(run):
        begun = [("trial_began", 0)] if trial.rungs else []
        reached = [("stretch_ended", epoch) for epoch in sorted(trial.rungs)]
        assert of_trial(events, trial.number) == [*begun, *reached, ("trial_ended", trial.epoch)]
        end = next(event for event in events if event["event"] == "trial_ended" and event["trial"] == trial.number)
        assert (end["state"], end["reason"], end["values"]) == (trial.state, trial.reason, trial.values)
        assert (end["arch"], end["recipe"]) == (trial.arch, trial.recipe)


def test_each_trial_is_told_from_its_beginning_to_its_end_as_the_record_has_it(tmp_path: Path) -> None:
    events = events_of(tmp_path / "run")
    check_against_the_record(events, tmp_path / "run")
    assert events[0]["event"] == "search_began"
    assert events[0]["objectives"][0] == {"name": "accuracy", "direction": "maximize", "unit": ""}
    assert events[0]["teacher"]["values"]["accuracy"] > 0.5
    assert events[-1]["event"] == "search_ended"
    assert {(event["study"], event["run"], event["baseline"]) for event in events} == {
        ("small", str(tmp_path / "run"), "")
    }


def test_events_are_plain_data(tmp_path: Path) -> None:
    events = events_of(tmp_path / "run", **{"budget.trials": 3})
    assert json.loads(json.dumps(events)) == events


def test_the_front_is_told_when_it_changed_and_the_answer_at_the_end(tmp_path: Path) -> None:
    events = events_of(tmp_path / "run", scheduler="none")
    fronts = [event for event in events if event["event"] == "front"]
    members = [[student["trial"] for student in event["front"]] for event in fronts]
    assert fronts
    assert all(one != other for one, other in pairwise(members))
    assert [event["hypervolume"] for event in fronts] == sorted(event["hypervolume"] for event in fronts)
    answer = json.loads((tmp_path / "run" / "front.json").read_text())
    assert {key: events[-1][key] for key in answer} == answer


def test_after_an_interruption_each_trial_is_told_again_from_where_it_goes_on(tmp_path: Path) -> None:
    first: list[dict[str, Any]] = []

    def interrupt(event: dict[str, Any]) -> None:
        first.append(event)
        if event["event"] == "stretch_ended" and event["trial"] == 1:
            raise KeyboardInterrupt

    overrides = {"scheduler": "none", "budget.trials": 4}
    with pytest.raises(KeyboardInterrupt):
        search_study(small_study(**overrides), run=tmp_path / "run", tell=interrupt)
    second = events_of(tmp_path / "run", **overrides)

    assert ("trial_began", 1) in of_trial(second, 1)
    assert ("stretch_ended", 1) not in of_trial(second, 1)
    ended = [event["trial"] for event in [*first, *second] if event["event"] == "trial_ended"]
    assert sorted(ended) == [trial.number for trial in read_trials(tmp_path / "run")]
    assert events_of(tmp_path / "run", **overrides)[0]["trials"]["complete"] == 4


def test_the_events_of_a_baseline_bear_its_name(tmp_path: Path) -> None:
    events = events_of(tmp_path / "run", baselines={"hard": {"budget.trials": 1}}, **{"budget.trials": 1})
    rival = [event for event in events if event["baseline"]]
    assert {(event["baseline"], event["study"]) for event in rival} == {("hard", "small-hard")}
    assert [rival[0]["event"], rival[-1]["event"]] == ["search_began", "search_ended"]
    assert events[-1]["baseline"] == ""


def check_tells_the_same_as_this_process(tmp_path: Path, executor: str) -> None:
    same = {"sampler": "random", "scheduler": "none", "budget.trials": 4}
    here = events_of(tmp_path / "here", **same)
    there = events_of(tmp_path / "there", executor=executor, workers=2, **same)
    check_against_the_record(there, tmp_path / "there")
    kinds = [Counter((event["event"], event.get("trial")) for event in each) for each in (here, there)]
    for kind in kinds:
        del kind["front", None]  # which depends on the order in which trials end
    assert kinds[0] == kinds[1]


@pytest.mark.slow
def test_processes_tell_the_same_as_this_process(tmp_path: Path) -> None:
    check_tells_the_same_as_this_process(tmp_path, "processes")


@needs("ray")
@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_ray_tells_the_same_as_this_process(tmp_path: Path) -> None:
    check_tells_the_same_as_this_process(tmp_path, "ray")
