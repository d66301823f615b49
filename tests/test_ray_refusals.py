"""What cannot be searched on Ray is refused in one line; no cluster is started for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command_line import refused_search
from conftest import needs

pytestmark = needs("ray")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:9", "Connection refused"),
        ("nonsense", "Invalid address format: nonsense"),
        ("ray://127.0.0.1:10001", "run it on the cluster with `ray job submit`"),
    ],
)
def test_an_address_without_a_cluster_is_refused_in_one_line(
    address: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    said = refused_search(tmp_path, {}, "--executor", "ray", f"executor.address={address}")
    assert f"executor.address: no Ray cluster at '{address}' (" in said
    assert reason in said


def test_the_address_of_the_dashboard_is_not_that_of_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    said = refused_search(tmp_path, {}, "--executor", "ray", "executor.address=auto")
    assert "`ray job` submits to this address; a search connects to the head node, like host:6379" in said


def test_a_dead_cluster_in_the_environment_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    said = refused_search(tmp_path, {}, "--executor", "ray", "executor.address=auto")
    assert "executor.address: no Ray cluster at '127.0.0.1:9', as RAY_ADDRESS says, (" in said
    assert "Connection refused" in said


def test_more_than_this_machine_has_is_refused(tmp_path: Path) -> None:
    said = refused_search(tmp_path, {}, "--executor", "ray", "executor.cpus_per_trial=4000")
    assert "executor: each student needs 4000 CPU, but Ray on this machine has" in said
    assert not (tmp_path / "runs").exists()


def test_without_ray_a_search_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = refused_search(tmp_path, {}, "--executor", "ray")
    assert "executor: ray needs ray, which is not installed; run: pip install 'autokd[ray]'" in said
