"""A wheel is built, installed into an environment of its own away from the repository, and the first example runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from following import blocks

LEFT_OUT = {"timm", "torchvision", "dev", "docs", "trackers"}
"""Extras that are not installed: two whose wheels ask for another build of torch, and those of developers."""
EXTRAS = [*tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]]
WITH = [each for each in EXTRAS if each not in LEFT_OUT]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built from a copy, so that nothing is left in it."""
    source = tmp_path_factory.mktemp("source") / "autokd"
    names = ["autokd", "search_spaces", "pyproject.toml", "README.md", "LICENSE"]
    source.mkdir()
    for name in names:
        at = ROOT / name
        (shutil.copytree if at.is_dir() else shutil.copy)(at, source / name)
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", out, source, at=out)
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_a_wheel_holds_what_the_packages_hold(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    files = [path for name in ("autokd", "search_spaces") for path in (ROOT / name).rglob("*") if path.is_file()]
    wanted = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert wanted - held == set()


@pytest.mark.slow
@pytest.mark.parametrize("extras", ["", f"[{','.join(WITH)}]"], ids=["bare", "extras"])
def test_the_first_example_runs_where_a_wheel_was_installed(extras: str, wheel: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "venv", tmp_path / "venv", at=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    _run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{wheel}{extras}", at=tmp_path)
    example = next(block.text for block in blocks(ROOT / "README.md") if block.language == "python")
    assert ".onnx" in example
    (tmp_path / "example.py").write_text(example if extras else example.replace(".onnx", ".pt2"))
    _run(python, "example.py", at=tmp_path)
    shown = _run(tmp_path / "venv" / "bin" / "autokd", "runs", at=tmp_path)
    assert "search" in shown
    where = _run(python, "-c", "import autokd; print(autokd.__file__)", at=tmp_path)
    assert where.startswith(str(tmp_path))


def _run(*command: object, at: Path) -> str:
    """What a command prints, run without this repository on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(word) for word in command], cwd=at, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
