"""Searches on several Ray nodes of one machine: nodes come and go, workers die, and every number stays the same."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from claims import load_claim
from conftest import needs

from autokd.driver import search_study
from autokd.driver.events import progress_only
from autokd.record import TrialRecord, read_trials
from autokd.study import Study, load_study, override

pytestmark = [needs("ray"), pytest.mark.slow]

kills = load_claim("kills")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that trains nothing, and one node for one student."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100_000_000})
    add_node(found)
    yield found
    found.shutdown()


def add_node(cluster: Any) -> Any:
    return cluster.add_node(num_cpus=1, object_store_memory=100_000_000)


def study_on(cluster: Any, home: Path, *, trials: int = 8) -> Study:
    """Eight students of 27 epochs, none stopped early, two at once."""
    changes = {
        "executor": {"name": "ray", "address": cluster.address},
        "sampler": "random",
        "scheduler": "none",
        "budget.reseeds": 0,
    }
    return override(load_study(kills.write_search(home, seed=0, trials=trials)), changes)


def search_while(study: Study, home: Path, happens: Callable[[], object], *, after: int) -> list[TrialRecord]:
    """The trials of a search during which something happens, once so many stretches have begun."""
    happened: list[object] = []

    def watch(progress: Mapping[str, Any]) -> None:
        if not happened and len(kills.begun_stretches(home)) >= after:
            happened.append(happens())

    search_study(study, run=home / "run", tell=progress_only(watch))
    assert happened
    return read_trials(home / "run")


def assert_nothing_lost(trials: list[TrialRecord], home: Path, *, repeated: int) -> None:
    """All trained to the end, with the numbers of a search in this process, and few stretches trained twice."""
    here = home / "here"
    quiet = override(
        load_study(kills.write_search(here, seed=0, trials=8)),
        {"executor": "inline", "workers": 1, "sampler": "random", "scheduler": "none", "budget.reseeds": 0},
    )
    search_study(quiet, run=here / "run")
    assert [(t.arch, t.recipe, t.rungs, t.state) for t in trials] == [
        (t.arch, t.recipe, t.rungs, t.state) for t in read_trials(here / "run")
    ]
    assert {trial.state for trial in trials} == {"complete"}
    digests = [digest for digest, _ in kills.begun_stretches(home)]
    assert len(digests) - len(set(digests)) <= repeated


def test_a_killed_worker_costs_one_stretch_at_most(cluster: Any, tmp_path: Path) -> None:
    add_node(cluster)

    def kill() -> None:
        os.kill(kills.begun_stretches(tmp_path)[-1][1], signal.SIGKILL)

    trials = search_while(study_on(cluster, tmp_path), tmp_path, kill, after=6)
    assert_nothing_lost(trials, tmp_path, repeated=1)


def test_trials_of_a_killed_node_go_on_elsewhere(cluster: Any, tmp_path: Path) -> None:
    node = add_node(cluster)
    trials = search_while(
        study_on(cluster, tmp_path), tmp_path, lambda: cluster.remove_node(node, allow_graceful=False), after=6
    )
    assert_nothing_lost(trials, tmp_path, repeated=1)


def test_a_node_that_joins_takes_part(cluster: Any, tmp_path: Path) -> None:
    trials = search_while(study_on(cluster, tmp_path), tmp_path, lambda: add_node(cluster), after=3)
    assert_nothing_lost(trials, tmp_path, repeated=0)
    assert len({pid for _, pid in kills.begun_stretches(tmp_path)}) == 2


def test_kills_of_workers_driver_and_ray_lose_nothing(tmp_path: Path) -> None:
    out = tmp_path / "kills.jsonl"
    kills.main(out, kills=3, minutes=10, executor="ray")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert kills.faults(lines) == list(kills.FAULTS[:3])
    assert sum(line["lost"] + line["told_twice"] for line in lines) == 0
    last = lines[-1]
    assert last["repeated"] <= kills.WORKERS * 3 + kills.FAULTS[:3].count("damage")  # whose file is lost, too
    assert (last["left_running"], last["front_is_the_records"], last["failed"]) == (0, True, [])
    assert last["other_numbers"] == []


def test_a_worker_that_dies_between_two_stretches_costs_nothing(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autokd.ray_tune.doors import Search

    killed: list[int] = []
    finish = Search.finish_stretch

    def finish_and_kill(self: Search, number: int, outcome: dict[str, Any]) -> bool:
        goes_on = finish(self, number, outcome)
        begun = kills.begun_stretches(tmp_path)
        if len(begun) in (2, 6) and begun[-1][1] not in killed:  # the one worker waits now
            killed.append(begun[-1][1])
            os.kill(killed[-1], signal.SIGKILL)
        return goes_on

    monkeypatch.setattr(Search, "finish_stretch", finish_and_kill)
    search_study(override(study_on(cluster, tmp_path), {"workers": 1}), run=tmp_path / "run")
    assert len(killed) == 2
    assert_nothing_lost(read_trials(tmp_path / "run"), tmp_path, repeated=0)


def test_students_share_a_gpu_as_far_as_it_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ray.cluster_utils import Cluster

    found = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 8, "num_gpus": 1, "object_store_memory": 100_000_000}
    )
    try:
        changes = {"executor.gpus_per_trial": 0.5, "workers": 4}  # of a GPU that Ray is told of; students use the CPU
        search_study(override(study_on(found, tmp_path), changes), run=tmp_path / "run")
    finally:
        found.shutdown()
    assert "Ray's nodes have room for 2 of 4 students at once (1 CPU and 0.5 GPU each). The others wait." in caplog.text
    assert_nothing_lost(read_trials(tmp_path / "run"), tmp_path, repeated=0)
    assert len({pid for _, pid in kills.begun_stretches(tmp_path)}) == 2
