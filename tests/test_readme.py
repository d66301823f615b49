"""What README shows is true: its code runs, its help text is the real one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autokd.testing import TinyTask, check_space

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SEARCHES = [code for code in CODE if "search" in code]
SPACES = [code for code in CODE if "def suggest" in code]


def test_code_comes_before_line_30() -> None:
    assert README.splitlines().index("```python") < 30


@pytest.mark.parametrize("code", SEARCHES, ids=["impatient", "study"])
def test_searches_run_as_they_stand_and_again_with_the_same_answer(code: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1]
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_the_search_space_meets_its_contract(tmp_path: Path) -> None:
    (tmp_path / "my_space.py").write_text(SPACES[0])
    assert check_space(str(tmp_path / "my_space.py"), TinyTask()) == []


def test_the_help_text_is_the_real_one() -> None:
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    script = Path(sys.executable).with_name("autokd")
    done = subprocess.run([script, "--help"], env=environment, capture_output=True, text=True, check=True)
    shown = [line.rstrip() for line in done.stdout.strip().splitlines()]
    assert "\n".join(shown) in README
