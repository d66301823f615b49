"""Bad search spaces are refused in one line before anything is trained, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import autokd, refused, refused_search, write_study

SPACE = """
import numpy as np
import optuna
from torch import nn


def suggest(trial):
    width = trial.suggest_int("width", 4, 8)
    return {suggested}


def build(arch, task):
    return {built}
"""
GOOD = "nn.Sequential(nn.Flatten(), nn.Linear(64, arch['width']), nn.Linear(arch['width'], 10))"


def write_space(folder: Path, *, suggested: str = '{"width": width}', built: str = GOOD) -> str:
    (folder / "space.py").write_text(SPACE.replace("{suggested}", suggested).replace("{built}", built))
    return "space.py"


FILES = [
    ("def suggest(trial:\n", "space.py:1: SyntaxError: '(' was never closed"),
    ("import nosuchmodule\n", "space.py:1: ModuleNotFoundError: No module named 'nosuchmodule'"),
    ("raise SystemExit(3)\n", "space.py:1: SystemExit: 3"),
    ("1 / 0\n", "space.py:1: ZeroDivisionError: division by zero"),
    ("def suggest(trial): return {}\n", "has no function 'build'; give it 'suggest' and 'build'"),
    ("def build(arch, task): return None\n", "has no function 'suggest'"),
    ("suggest = build = 3\n", "has no function 'suggest'"),
]


@pytest.mark.parametrize(("text", "words"), FILES, ids=[text.split("\n")[0] for text, _ in FILES])
def test_a_file_that_is_no_space_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "space.py").write_text(text)
    assert words in refused_search(tmp_path, {"space": "space.py"})


def test_a_space_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot read" in refused_search(tmp_path, {"space": str(tmp_path / "space.py")})


SUGGESTED = [
    ("(1, width)", "the space's suggest returned (1, "),
    ("None", "the space's suggest returned None; return a dict"),
    ("{'widths': (width, width)}", "no tuples, tensors or numpy numbers"),
    ("{'width': np.int64(width)}", "the space's suggest returned {'width': np.int64("),
    ("{1: width}", "text keys"),
    ("{'lr': float('nan')}", "the space's suggest returned {'lr': nan}"),
    ("1 / 0", "suggest gave nothing in 64 draws; it raised ZeroDivisionError"),
    ("{'width': trial.suggest_int('other', 8, 4)}", "suggest gave nothing in 64 draws; it raised ValueError: `low <="),
]


@pytest.mark.parametrize(("suggested", "words"), SUGGESTED)
def test_a_suggestion_that_is_no_plain_dict_is_refused(tmp_path: Path, suggested: str, words: str) -> None:
    space = write_space(tmp_path, suggested=suggested)
    # with a bound, architectures are drawn already to see whether any is within it
    changes = {"space": space, "objectives.parameters": {"bound": 1e6}}
    assert words in refused_search(tmp_path, changes)


BUILT = [
    ("nn.Sequential(nn.Flatten(), nn.Linear(64, 7))", "outputs of shape (1, 7); the task has (1, 10)"),
    ("nn.Conv2d(1, 10, 3)", "gives shape (1, 10, 6, 6); the task needs (batch, 10)"),
    ("'a network'", "build gave a str, not a torch.nn.Module"),
    ("None", "build gave a NoneType, not a torch.nn.Module"),
    ("nn.Linear(-3, 10)", "none of 64 random architectures can be built for this task; the last one is {'width': "),
    ("nn.Sequential(nn.Linear(3, 10))", "mat1 and mat2 shapes cannot be multiplied"),
    ("arch['depth']", "raised KeyError: 'depth'"),
]


@pytest.mark.parametrize(("built", "words"), BUILT)
def test_a_space_that_builds_no_student_is_refused(tmp_path: Path, built: str, words: str) -> None:
    assert words in refused_search(tmp_path, {"space": write_space(tmp_path, built=built)})


def features_npz(folder: Path) -> str:
    """Features, not images, with two classes."""
    classes = np.arange(60) % 2
    features = classes[:, None] + np.random.default_rng(0).normal(0, 0.1, size=(60, 5))
    np.savez(folder / "features.npz", x_train=features.astype(np.float32), y_train=classes)
    return str(folder / "features.npz")


@pytest.mark.parametrize(
    ("space", "able", "unable"),
    [("vit", ("mlp",), ("mobilenet", "resnet")), ("space.py", ("mlp",), ("vit",))],
)
def test_a_space_that_cannot_read_the_data_is_refused_before_a_teacher_is_made(
    tmp_path: Path, space: str, able: tuple[str, ...], unable: tuple[str, ...]
) -> None:
    write_space(tmp_path)  # its networks take 64 features and give 10 classes
    (tmp_path / "teaching.py").write_text("raise SystemExit('a teacher was made')")
    changes = {"space": space, "task": {"data": features_npz(tmp_path)}, "teacher": {"sklearn": "teaching.py:make"}}
    said = refused_search(tmp_path, changes)
    assert "none of 64 random architectures can be built for this task; the last one is {" in said
    named = said.partition("`autokd check` says more, and these installed spaces can read the task: ")[2].split(", ")
    assert set(able) <= set(named)
    assert not {space, *unable} & set(named)


def test_bounds_that_no_student_meets_are_refused_before_a_teacher_is_made(tmp_path: Path) -> None:
    (tmp_path / "teaching.py").write_text("raise SystemExit('a teacher was made')")
    changes = {"objectives.parameters": {"bound": 3}, "teacher": {"sklearn": "teaching.py:make"}}
    assert "parameters bound 3, the nearest has" in refused_search(tmp_path, changes)


UNTRAINABLE = [
    ("nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False)", "no trainable parameters"),
    ("nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Threshold(1e9, float('nan')))", "diverged: "),
]


@pytest.mark.parametrize(("built", "words"), UNTRAINABLE)
def test_students_that_cannot_be_trained_give_no_front(tmp_path: Path, built: str, words: str) -> None:
    study = write_study(tmp_path, {"space": write_space(tmp_path, built=built)})
    assert words in refused("search", study, "--run", tmp_path / "run", code=1)


def test_a_space_may_refuse_some_of_its_draws(tmp_path: Path) -> None:
    space = write_space(tmp_path, suggested="{'width': width} if width > 5 else 1 / 0")
    answer = autokd("search", write_study(tmp_path, {"space": space}), "--run", tmp_path / "run", "--time-limit", "60")
    assert answer.code == 0, answer
