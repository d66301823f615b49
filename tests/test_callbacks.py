"""The scripts of docs/howto/callbacks.md: each runs as it stands, and what it tracked can be read back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, needs

from autokd.record import read_trials

PAGE = ROOT / "docs" / "howto" / "callbacks.md"
SCRIPTS = PAGE.with_suffix("")

pytestmark = pytest.mark.slow


def run_script(name: str, folder: Path) -> list[int]:
    """Runs a script of the page in a folder, and returns the numbers of the trials that its search trained."""
    environment = {**os.environ, "WANDB_SILENT": "true", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, str(SCRIPTS / name)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "on_event failed" not in done.stderr
    return [trial.number for trial in read_trials(folder / "runs" / "search") if trial.rungs]


def test_the_page_shows_every_script() -> None:
    shown = re.findall(r'^--8<-- "docs/howto/callbacks/(\w+\.py)"$', PAGE.read_text(), re.MULTILINE)
    assert sorted(shown) == sorted(path.name for path in SCRIPTS.glob("*.py"))


@needs("tensorboard")
def test_tensorboard_has_a_curve_for_each_student(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for number in run_script("to_tensorboard.py", tmp_path):
        written = EventAccumulator(str(tmp_path / "tensorboard" / f"trial-{number:05d}")).Reload()
        assert set(written.Tags()["scalars"]) == {"accuracy", "parameters"}
    written = EventAccumulator(str(tmp_path / "tensorboard" / "search")).Reload()
    assert written.Scalars("hypervolume")[-1].value > 0


@needs("mlflow")
def test_mlflow_has_a_run_for_the_search_and_one_below_it_for_each_student(tmp_path: Path) -> None:
    trained = run_script("to_mlflow.py", tmp_path)
    reader = f"""
from mlflow import MlflowClient
client = MlflowClient("sqlite:///{tmp_path / "mlflow.db"}")
runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
children = [run for run in runs if run not in parents]
assert {{run.data.tags["mlflow.parentRunId"] for run in children}} == {{parents[0].info.run_id}}
assert parents[0].info.status == "FINISHED" and parents[0].data.metrics["hypervolume"] > 0
assert all(run.info.status in ("FINISHED", "KILLED") and run.data.metrics["accuracy"] > 0 for run in children)
print(len(parents), len(children))
"""
    # In a process of its own, where a warning of MLflow's is no error.
    done = subprocess.run([sys.executable, "-c", reader], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", str(len(trained))]


@needs("wandb")
def test_weights_and_biases_keeps_a_run_without_a_network(tmp_path: Path) -> None:
    assert run_script("to_wandb.py", tmp_path)
    (written,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = written.read_bytes()
    assert b"hypervolume" in content
    assert b"accuracy" in content
