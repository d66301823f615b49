"""What people wrote for an earlier AutoKD works unchanged: the pages, parts and studies in `written_before`."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import autokd
from conftest import ROOT, needs
from following import follow_in

from autokd import search
from autokd.driver import export_trial, load_front, search_study
from autokd.registry import resolve
from autokd.study import Study, load_study
from autokd.testing import (
    LossContract,
    ObjectiveContract,
    SearchSpaceContract,
    TaskContract,
    TeacherContract,
    TinyTask,
    check_space,
)

BEFORE = ROOT / "tests" / "written_before"
HOWTO, PARTS = BEFORE / "howto", BEFORE / "parts.py"
SMALL = ("executor=inline", "budget.trials=3", "budget.rungs=[1]", "budget.reseeds=0")
TASK = resolve("tasks", f"{HOWTO / 'task.py'}:bars")()
GRADES = resolve("tasks", f"{PARTS}:Ordered")()
SLOW_PAGES = ("latency", "own_images", "choosing", "resuming", "callbacks")
PAGES = [
    *(HOWTO / f"{name}.md" for name in ("loss", "objective", "space", "task", "teacher")),
    *(pytest.param(HOWTO / f"{name}.md", marks=pytest.mark.slow) for name in SLOW_PAGES),
    pytest.param(BEFORE / "llms.txt", marks=pytest.mark.slow),  # the example of index.md is that of the readme
]


MOVED = {
    'shift, divisor = (np.array(card["inputs"][key]).reshape(-1, 1, 1) for key in ("shift", "divisor"))\n': "",
    '((raw - shift) / divisor).astype("float32")': "raw",
    'card["task"]["classes"]': 'card["task"]["outputs"]',
}
"""The one thing that moved: a file that is exported now takes raw pixels. Whoever runs a new file as an old one gets an
error, because its card has no `inputs`."""


def moved(text: str) -> str:
    for before, after in MOVED.items():
        text = text.replace(before, after)
    return text


def test_nobody_edited_these_files() -> None:
    digest = hashlib.sha256()
    for path in sorted(path for path in BEFORE.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(path.relative_to(BEFORE).as_posix().encode() + path.read_bytes())
    assert digest.hexdigest() == "359204370d37e0760f1ce07cee6bf250dc2d4cdf3819e07446990c68eae0061e", (
        "change AutoKD, not what people wrote for it"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_who_follows_a_page_of_before_gets_what_it_promised(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if moved(page.read_text(encoding="utf-8")) != page.read_text(encoding="utf-8"):
        (tmp_path / "before").mkdir()
        (tmp_path / "before" / page.name).write_text(moved(page.read_text(encoding="utf-8")), encoding="utf-8")
        page = tmp_path / "before" / page.name
    follow_in(page, tmp_path, monkeypatch)


class TestSpaceOfBefore(SearchSpaceContract):
    space = str(HOWTO / "space.py")
    tasks = (TASK, TinyTask(input_shape=(3, 16, 16)))


class TestSpaceThatReadsTheTask(SearchSpaceContract):
    space = str(PARTS)
    tasks = (GRADES, TinyTask(input_shape=(6,)))


class TestTaskOfBefore(TaskContract):
    task = TASK


class TestTaskByTheProtocol(TaskContract):
    task = GRADES


class TestTeacherOfBefore(TeacherContract):
    teacher = f"{HOWTO / 'teacher.py'}:lines"
    task = TASK


class TestLossOfBefore(LossContract):
    loss = f"{HOWTO / 'loss.py'}:brier"


class TestObjectiveOfBefore(ObjectiveContract):
    objective = f"{HOWTO / 'objective.py'}:worst_class"


class TestCostOfBefore(ObjectiveContract):
    objective = f"{HOWTO / 'objective.py'}:layers"


def test_the_parts_of_the_how_tos_search_together(tmp_path: Path) -> None:
    answer = autokd("search", HOWTO / "study.yaml", *SMALL, "--run", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert {"worst_class", "layers", "parameters"} <= set(load_front(tmp_path / "run")[0].values)


@pytest.mark.slow
def test_they_do_so_in_worker_processes_and_their_student_is_retrained_and_exported(tmp_path: Path) -> None:
    run = ("--run", tmp_path / "run")
    answer = autokd("search", HOWTO / "study.yaml", *SMALL[1:], "executor=processes", *run)
    assert answer.code == 0, answer.err
    trial = load_front(tmp_path / "run")[0].trial
    assert autokd("retrain", HOWTO / "study.yaml", *run, "--trial", trial, "--seeds", 1).code == 0
    exported = autokd("export", HOWTO / "study.yaml", *run, "--trial", trial, tmp_path / "shipped" / "a.safetensors")
    assert exported.code == 0, exported.err


def grades_study(**changes: Any) -> Study:
    """Every part is one of `parts.py`; the task is an object that is in no file, so students train inline."""
    parts = {
        "name": "grades",
        "task": GRADES,
        "teacher": f"{PARTS}:halves",
        "space": str(PARTS),
        "recipe": {"method": [f"{PARTS}:margin", "kd"]},
        "objectives": {f"{PARTS}:within": {"grades": 1}, f"{PARTS}:weights": {"bound": 400}, "accuracy": {}},
        "scheduler": f"{PARTS}:first_half",
        "budget": {"trials": 4, "rungs": [1, 2], "reseeds": 1},
        "executor": "inline",
        "workers": 1,
    }
    return Study.model_validate(parts | changes)


def test_parts_by_the_public_protocols_search_together(tmp_path: Path) -> None:
    front = search_study(grades_study(), run=tmp_path / "run")
    assert {"within", "weights", "accuracy"} == set(front[0].values)
    assert front.reference["weights"] == 400


@pytest.mark.parametrize("sampler", ["tpe", "random", {"name": "nsga2", "population_size": 4}, "GPSampler"])
@pytest.mark.slow
def test_they_do_so_with_samplers_of_optuna(sampler: Any, tmp_path: Path) -> None:
    assert len(search_study(grades_study(sampler=sampler), run=tmp_path / "run")) >= 1


def test_an_exporter_of_an_installed_package_writes_a_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "sizes-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: sizes\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[autokd.exporters]\nsizes = sizes_of_before:write_sizes\n")
    (package.parent / "sizes_of_before.py").write_text(PARTS.read_text())
    monkeypatch.syspath_prepend(package.parent)
    study = Study.model_validate(
        {
            "name": "digits",
            "task": {"data": "digits", "labels": 60, "rows": 100, "validation": 60},
            "teacher": {"sklearn": "sklearn.neighbors:KNeighborsClassifier"},
            "space": "mlp",
            "budget": {"trials": 1, "rungs": [1], "reseeds": 0},
            "executor": "inline",
        }
    )
    front = search_study(study, run=tmp_path / "run")
    said = export_trial(tmp_path / "run", front[0].trial, tmp_path / "student.sizes")
    assert "tensors" in said
    assert (tmp_path / "student.sizes").read_text().endswith("accuracy\nparameters\n")


def blocks_of_readme(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (BEFORE / "readme.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_space_and_the_study_of_the_readme_are_still_sound(tmp_path: Path) -> None:
    (space,) = [code for code in blocks_of_readme("python") if "def suggest" in code]
    (tmp_path / "my_space.py").write_text(space)
    assert check_space(str(tmp_path / "my_space.py"), TinyTask(input_shape=(3, 12, 12))) == []
    (study,) = blocks_of_readme("yaml")
    (tmp_path / "photos.yaml").write_text(study)
    assert set(load_study(tmp_path / "photos.yaml").objectives) == {"accuracy", "latency_ms", "parameters"}


SCRIPTS = {
    "readme": lambda: next(code for code in blocks_of_readme("python") if "autokd.search" in code),
    "coming_from_optuna": lambda: (BEFORE / "coming_from_optuna" / "after.py").read_text(),
    "tutorial": lambda: (
        (BEFORE / "tutorial.py")
        .read_text()
        .replace("trials=40", "trials=8")
        .replace("(3, 9, 27)", "(1, 3)")
        .replace('"budget.trials": 12', '"budget.trials": 4')
        .replace("epochs=54", "epochs=4")
    ),
}
"""Scripts of before, with less to do."""


@needs("onnxruntime")
@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_of_before_runs(name: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(moved(SCRIPTS[name]()), encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_objects_are_searched_from_python_as_before(tmp_path: Path) -> None:
    parts = resolve("losses", f"{PARTS}:margin").__globals__
    front = search(
        task=GRADES,
        teacher=parts["Halves"](),
        space=str(PARTS),
        objectives=("accuracy", "nll", "parameters"),
        recipe={"alpha": [0, 0.5, 1], "temperature": 2, "method": f"{PARTS}:margin"},
        trials=3,
        rungs=(1, 2),
        executor="inline",
        run=tmp_path / "run",
    )
    student = front.pick(by="accuracy", maximum={"parameters": 10_000})
    assert student.recipe["temperature"] in (1, 2)
    assert front.teacher["values"]["accuracy"] > GRADES.chance
