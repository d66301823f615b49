"""The recipes for clusters can be parsed, and name commands and keys that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from autokd.study import RayExecutor

RECIPES = ROOT / "docs" / "cluster"
SCRIPTS = sorted(RECIPES.glob("*.sh"))
TEXTS = [ROOT / "docs" / "cluster.md", *sorted(RECIPES.iterdir())]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_parsed(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


def test_the_ray_job_is_yaml_with_a_head_that_trains_nothing() -> None:
    job = yaml.safe_load((RECIPES / "kuberay.yaml").read_text())
    assert job["kind"] == "RayJob"
    assert job["spec"]["entrypoint"].startswith("autokd search ")
    assert job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(text: Path) -> None:
    named = set(re.findall(r"\bexecutor\.([a-z_]+)", text.read_text()))
    assert named
    assert named <= {*RayExecutor.model_fields, "workers"}
