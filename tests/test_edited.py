"""Code and data that are edited after a search: every command that uses them refuses, and names what changed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import autokd, refused, write_study
from PIL import Image
from small import forget_new_keys, small_study

from autokd.driver import search_study
from autokd.errors import START_OVER, InputError
from autokd.study import read_setup
from autokd.trial.loading import refuse_edited

SPACE = """
import math
from torch import nn
import edited_blocks


def suggest(trial):
    return {"width": trial.suggest_int("width", 4, 8)}


def build(arch, task):
    first = nn.Linear(math.prod(task.input_shape), arch["width"])
    return nn.Sequential(nn.Flatten(), first, edited_blocks.activation(), nn.Linear(arch["width"], task.num_outputs))
"""
FILES = {
    "space.py": SPACE,
    "edited_blocks.py": "from torch import nn\n\n\ndef activation():\n    return nn.ReLU()\n",
    "goal.py": """
from autokd.types import Objective

SCALE = 1


def measure(evaluation):
    return SCALE * float((evaluation.outputs.argmax(1) == evaluation.targets).double().mean())


goal = Objective("goal", "maximize", "", trained=True, measure=measure)
""",
    "soft.py": """
from autokd.losses import kd

FACTOR = 1


def soft(*given, **settings):
    return FACTOR * kd(*given, **settings)
""",
    "teaching.py": """
from sklearn.neighbors import KNeighborsClassifier


def make():
    return KNeighborsClassifier()
""",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a study of files in it, and its finished run."""
    home = tmp_path_factory.mktemp("home")
    for name, text in FILES.items():
        (home / name).write_text(text)
    sys.path.append(str(home))
    answer = autokd("search", study(home), "--run", home / "run")
    assert answer.code == 0, answer
    yield home
    sys.path.remove(str(home))
    del sys.modules["edited_blocks"]


def study(home: Path) -> Path:
    parts = {
        "space": "space.py",
        "teacher": {"sklearn": "teaching.py:make"},
        "recipe": {"method": "soft.py:soft", "alpha": 0.5, "temperature": 2.0, "lr": 0.01},
        "objectives": {"goal.py:goal": {}, "parameters": {}},
        "budget.trials": 2,
        "budget.reseeds": 0,
    }
    return write_study(home, parts)


@contextmanager
def edited(home: Path, name: str, old: str, new: str) -> Iterator[None]:
    """A file with one thing changed, inside."""
    text = (home / name).read_text()
    assert old in text
    (home / name).write_text(text.replace(old, new))
    try:
        yield
    finally:
        (home / name).write_text(text)


ACTIVATION = ("edited_blocks.py", "nn.ReLU", "nn.Tanh")
WIDTH = ("space.py", "nn.Flatten(), first", "nn.Flatten(), nn.Dropout(0.0), first")
SCALE = ("goal.py", "SCALE = 1", "SCALE = 100")
FACTOR = ("soft.py", "FACTOR = 1", "FACTOR = 2")
TEACHING = ("teaching.py", "KNeighborsClassifier()", "KNeighborsClassifier(3)")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (ACTIVATION, "the source of the space (edited_blocks.py)"),
        (WIDTH, "the source of the space (space.py)"),
        (SCALE, "goal (goal.py)"),
        (FACTOR, "soft (soft.py)"),
        (TEACHING, "the source of the teacher (teaching.py)"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_search_does_not_go_on_after_an_edit(home: Path, edit: tuple[str, str, str], words: str) -> None:
    before = (home / "run" / "study.json").read_bytes()
    with edited(home, *edit):
        said = refused("search", study(home), "budget.trials=3", "--run", home / "run")
    assert f"{words} changed; undo the change to go on, or {START_OVER}" in said
    assert (home / "run" / "study.json").read_bytes() == before


@pytest.mark.parametrize("edit", [ACTIVATION, WIDTH], ids=["a module of the space", "the space"])
def test_a_student_of_an_edited_space_is_not_exported(home: Path, edit: tuple[str, str, str]) -> None:
    with edited(home, *edit):
        said = refused("export", study(home), home / "student.safetensors", "--trial", "0", "--run", home / "run")
    assert f"the source of the space ({edit[0]}) changed since the search; undo the change, or give" in said
    assert "--space OLD_FILE (from Python: space='old_file.py')" in said
    assert not (home / "student.safetensors").exists()


@pytest.mark.parametrize("edit", [ACTIVATION, WIDTH, SCALE, FACTOR], ids=lambda edit: edit[0])
def test_a_student_is_not_retrained_after_an_edit(home: Path, edit: tuple[str, str, str]) -> None:
    with edited(home, *edit):
        said = refused("retrain", study(home), "--trial", "0", "--run", home / "run")
    assert f"({edit[0]}) changed since the search; undo the change" in said
    assert not (home / "run" / "retrained").exists()


def test_the_teacher_is_not_asked_about_more_rows_after_an_edit(home: Path) -> None:
    with edited(home, *TEACHING):
        said = refused("retrain", study(home), "--trial", "0", "--reserve", "--run", home / "run")
    assert "the source of the teacher (teaching.py) changed since the search; undo the change" in said


def test_a_student_of_an_edited_space_is_exported_from_the_file_as_it_was(home: Path, tmp_path: Path) -> None:
    old = shutil.copy(home / "space.py", tmp_path / "old_space.py")
    shutil.copy(home / "edited_blocks.py", tmp_path)
    words = ["export", home / "run", tmp_path / "student.safetensors", "--trial", "0"]
    with edited(home, *WIDTH):
        assert autokd(*words, "--space", old).code == 0
    with edited(tmp_path, "old_space.py", "nn.Flatten()", "nn.Identity(), nn.Flatten()"):
        assert "the source of the space (" in refused(*words, "--space", old)
    assert "no such file; give the .py file that holds the space as it was" in refused(*words, "--space", "gone.py")


@pytest.mark.slow
def test_a_student_of_an_edited_space_is_retrained_from_the_file_as_it_was(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "run", tmp_path / "run")
    old = shutil.copy(home / "space.py", tmp_path / "old_space.py")
    shutil.copy(home / "edited_blocks.py", tmp_path)
    words = ["retrain", study(home), "--run", run, "--trial", "0", "--seeds", "1"]
    expected = autokd(*words)
    shutil.rmtree(run / "retrained")
    with edited(home, *WIDTH):
        given = autokd(*words, "--space", old)
    assert given.code == 0, given
    assert given.out == expected.out


def test_what_only_reads_a_run_needs_no_source(home: Path) -> None:
    before = autokd("front", home / "run", "--json").out
    with edited(home, *WIDTH), edited(home, *SCALE):
        assert autokd("front", home / "run", "--json").out == before
        assert autokd("pick", home / "run").code == 0
        assert autokd("report", home / "run").code == 0


def test_an_edited_space_or_objective_is_not_learnt_from(home: Path) -> None:
    words = ["search", study(home), "--run", home / "next", "--from", home / "run"]
    with edited(home, *ACTIVATION):
        assert "its space is not that of this study" in refused(*words)
    with edited(home, *SCALE):
        assert "goal (goal.py) changed since, so the values there are of another kind" in refused(*words)
    assert not (home / "next").exists()


def test_a_wider_space_may_differ_in_its_source_and_an_objective_may_not(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "run", tmp_path / "run")
    words = ["search", study(home), "--run", run, "--widen"]
    with edited(home, "space.py", "4, 8", "4, 16"):
        with edited(home, *SCALE):
            assert "goal (goal.py) changed" in refused(*words)
        assert autokd(*words).code == 0
        assert autokd(*words[:-1]).code == 0  # it is the space of this run now
    assert "the source of the space (space.py) changed" in refused(*words[:-1])


def test_a_worker_that_starts_after_an_edit_refuses_to_train(home: Path) -> None:
    with edited(home, *WIDTH), pytest.raises(InputError, match=r"the source of the space \(space.py\) changed"):
        refuse_edited(home / "run")
    refuse_edited(home / "run")


def test_a_run_of_before_sources_were_kept_goes_on_and_keeps_them_from_then_on(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "run", tmp_path / "run")
    forget_new_keys(run)
    with edited(home, *WIDTH):
        assert "the source of the space changed" in refused("search", study(home), "--run", run)
        said = refused("export", study(home), tmp_path / "student.safetensors", "--trial", "0", "--run", run)
        assert "the source of the space changed since the search; undo the change, or give" in said
    assert autokd("search", study(home), "--run", run).code == 0
    assert read_setup(run).sources == read_setup(home / "run").sources


CELL = """
import math
from torch import nn

FACTOR = {factor}

class Space:
    def suggest(self, trial):
        return {{"width": trial.suggest_int("width", 4, 8)}}

    def build(self, arch, task):
        first = nn.Linear(math.prod(task.input_shape), FACTOR * arch["width"])
        return nn.Sequential(nn.Flatten(), first, nn.Linear(FACTOR * arch["width"], task.num_outputs))
"""


def cell(factor: int) -> Any:
    """A space of a notebook's cell."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(CELL.format(factor=factor), "<cell>", "exec"), namespace)
    return namespace["Space"]()


def test_an_edited_cell_of_a_notebook_is_refused(tmp_path: Path) -> None:
    def search(factor: int) -> None:
        changes = {"space": cell(factor), "budget.trials": 1, "budget.reseeds": 0}
        search_study(small_study(**changes), run=tmp_path / "run")

    search(1)
    search(1)
    with pytest.raises(InputError, match=r"the source of the space \(.*\) changed; .*another `run=` from Python"):
        search(2)


DATASET = """
import pathlib
import torch


class Rows(torch.utils.data.Dataset):
    def __init__(self):
        self.x = torch.arange(120.0).reshape(60, 2)
        self.y = [int(label) for label in pathlib.Path(__file__).with_name("labels.txt").read_text().split()]

    def __len__(self):
        return 60

    def __getitem__(self, index):
        return self.x[index], self.y[index]
"""


def test_labels_that_changed_between_the_first_row_and_the_last_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text(DATASET)
    labels = [index % 3 for index in range(60)]
    task = {"data": str(tmp_path / "rows.py:Rows"), "validation": 15}
    words = ["search", write_study(tmp_path, {"task": task, "budget.trials": 1, "budget.reseeds": 0})]
    words += ["--run", tmp_path / "run"]
    (tmp_path / "labels.txt").write_text(" ".join(map(str, labels)))
    assert autokd(*words).code == 0
    assert autokd(*words).code == 0
    labels[30], labels[31] = labels[31], labels[30]
    (tmp_path / "labels.txt").write_text(" ".join(map(str, labels)))
    assert "rows.py:Rows is not what it was; put it back or start in a new folder" in refused(*words)


def test_images_that_were_moved_between_class_folders_are_refused(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
    for index in range(60):
        image = Image.fromarray(generator.integers(0, 128, (4, 4), dtype=np.uint8) + np.uint8(120 * (index >= 30)))
        image.save(tmp_path / "images" / "ab"[index >= 30] / f"{index:02}.png")
    task = {"data": str(tmp_path / "images"), "validation": 15}
    words = ["search", write_study(tmp_path, {"task": task, "budget.trials": 1, "budget.reseeds": 0})]
    words += ["--run", tmp_path / "run"]
    assert autokd(*words).code == 0
    for path in sorted((tmp_path / "images" / "a").glob("2*.png")):  # names and their order stay what they were
        os.rename(path, tmp_path / "images" / "b" / path.name)
    assert "images is not what it was; put it back or start in a new folder" in refused(*words)
