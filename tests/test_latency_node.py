"""Latencies on a Ray cluster are measured on its node with the resource `meter`, or else by the driver."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import needs
from small import small_study

from autokd.driver import search_study
from autokd.driver.events import progress_only
from autokd.errors import UnmeasuredError
from autokd.record import read_trials
from autokd.study import Study

pytestmark = [needs("ray"), pytest.mark.slow]

SPACE = """
import os
import signal
from pathlib import Path

import ray
import torch
from torch import nn

HERE = Path(__file__).parent


def suggest(trial):
    return {"width": trial.suggest_categorical("width", list(range(2, 40)))}


def build(arch, task):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, arch["width"]), nn.ReLU(), Timed(arch["width"], 10))


class Timed(nn.Linear):
    told = False

    def forward(self, x):
        if torch.is_inference_mode_enabled() and len(x) == 1 and not self.told:
            self.told = True
            with (HERE / "timed.log").open("a") as file:
                file.write(ray.get_runtime_context().get_node_id() + "\\n")
            if (HERE / "kill").exists():
                (HERE / "kill").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)
"""


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that trains nothing, and one node for two students."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100_000_000})
    found.add_node(num_cpus=2, object_store_memory=100_000_000)
    yield found
    found.shutdown()


def add_meter(cluster: Any) -> Any:
    return cluster.add_node(num_cpus=0, resources={"meter": 1}, object_store_memory=100_000_000)


def study_on(cluster: Any, home: Path, **overrides: Any) -> Study:
    (home / "space.py").write_text(SPACE)
    return small_study(
        space=str(home / "space.py"),
        objectives={"accuracy": {}, "latency_ms": {"seconds": 0.01}},
        executor={"name": "ray", "address": cluster.address},
        workers=2,
        sampler="random",
        scheduler="none",
        **overrides,
    )


def nodes_that_timed(home: Path) -> list[str]:
    return (home / "timed.log").read_text().splitlines()


def test_all_latencies_are_measured_on_the_meter_and_none_by_the_driver(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("timing.time_calls", "table.device_name"):  # which only the driver's process replaces
        monkeypatch.setattr(f"autokd.latency.{name}", lambda *_, **__: pytest.fail("measured by the driver"))
    meter = add_meter(cluster)
    (tmp_path / "kill").touch()  # the process that measures first dies at it
    with caplog.at_level(logging.INFO, "autokd"):
        front = search_study(study_on(cluster, tmp_path), run=tmp_path / "run")
    assert set(nodes_that_timed(tmp_path)) == {meter.node_id}
    assert not (tmp_path / "kill").exists()
    trials = read_trials(tmp_path / "run")
    assert {trial.state for trial in trials} <= {"complete", "duplicate"}
    assert all(student.values["latency_ms"] > 0 for student in front)
    assert caplog.text.count("Latencies are measured on the node with the resource 'meter'") == 1


def test_without_a_meter_the_driver_measures_and_says_so(
    cluster: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "autokd"):
        search_study(study_on(cluster, tmp_path, **{"budget.trials": 2}), run=tmp_path / "run")
    assert set(nodes_that_timed(tmp_path)) == {cluster.head_node.node_id}
    assert caplog.text.count("Latencies are measured by the driver, because no node") == 1


def test_a_search_that_loses_its_meter_goes_on_and_answers_once_there_is_another(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autokd.latency.node._PATIENCE_SECONDS", 1.0)
    first, lost = add_meter(cluster), []

    def watch(progress: Any) -> None:
        if not lost and sum(progress["trials"].values()) >= 2:
            lost.append(cluster.remove_node(first, allow_graceful=False))

    study = study_on(cluster, tmp_path, **{"budget.trials": 8})
    with pytest.raises(UnmeasuredError, match="the node with the resource 'meter' is gone; start one"):
        search_study(study, run=tmp_path / "run", tell=progress_only(watch))
    assert lost
    trials = read_trials(tmp_path / "run")
    failed = [trial for trial in trials if trial.state == "failed"]
    assert failed
    assert all(trial.reason.startswith("not measured: ") for trial in failed)
    assert {trial.state for trial in trials} <= {"complete", "failed", "duplicate"}
    second = add_meter(cluster)
    front = search_study(study, run=tmp_path / "run")
    assert set(nodes_that_timed(tmp_path)) == {first.node_id, second.node_id}
    assert front.final
