"""How-tos on parts of your own: each file meets its contract, stands in its page as it is, and all search together."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import autokd, write_study
from conftest import ROOT

from autokd.registry import resolve
from autokd.testing import (
    LossContract,
    ObjectiveContract,
    SearchSpaceContract,
    TaskContract,
    TeacherContract,
    TinyTask,
)

HOWTO = ROOT / "docs" / "howto"
PAGES = [
    HOWTO / f"{part}.md" for part in ("first_weights", "loss", "objective", "own_reading", "space", "task", "teacher")
]
TASK = resolve("tasks", f"{HOWTO / 'task.py'}:bars")()


class TestSpace(SearchSpaceContract):
    space = str(HOWTO / "space.py")
    tasks = (TASK, TinyTask(input_shape=(3, 16, 16)))


class TestFirstWeights(SearchSpaceContract):
    space = str(HOWTO / "first_weights.py")
    tasks = (TASK, TinyTask(input_shape=(3, 16, 16)))


class TestTask(TaskContract):
    task = TASK


class TestTeacher(TeacherContract):
    teacher = f"{HOWTO / 'teacher.py'}:lines"
    task = TASK


class TestLoss(LossContract):
    loss = f"{HOWTO / 'loss.py'}:brier"


class TestWorstClass(ObjectiveContract):
    objective = f"{HOWTO / 'objective.py'}:worst_class"


class TestLayers(ObjectiveContract):
    objective = f"{HOWTO / 'objective.py'}:layers"


def code_of(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_the_file_as_it_is(page: Path) -> None:
    assert code_of(page)[0] == page.with_suffix(".py").read_text()


@pytest.mark.slow
def test_the_tests_that_the_pages_show_pass(tmp_path: Path) -> None:
    for page in PAGES:
        (tmp_path / f"test_{page.stem}.py").write_text(code_of(page)[-1])
        (tmp_path / f"{page.stem}.py").write_text(page.with_suffix(".py").read_text())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_all_parts_search_together(tmp_path: Path) -> None:
    words = ("executor=inline", "budget.trials=3", "budget.rungs=[1]", "budget.reseeds=0")
    answer = autokd("search", HOWTO / "study.yaml", *words, "--run", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "worst_class" in answer.out


def test_students_of_the_page_on_first_weights_begin_from_their_teacher(tmp_path: Path) -> None:
    space = str(HOWTO / "first_weights.py")
    teacher = {"space": space, "arch": {"blocks": 4, "hidden": 32}, "epochs": 2}
    study = write_study(tmp_path, {"space": space, "teacher": teacher, "recipe": {"start": "teacher"}})
    answer = autokd(
        "search", study, "budget.trials=2", "budget.rungs=[1]", "budget.reseeds=0", "--run", tmp_path / "run"
    )
    assert answer.code == 0, answer.err
    assert "began with weights from elsewhere, which are 100% of their parameters" in answer.out
