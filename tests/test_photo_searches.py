"""The size of photos is searched beside the architecture, from files of all sizes to a student that answers files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import autokd, refused_search, write_study
from PIL import Image

from autokd import load_front, load_predictor, trials_dataframe
from autokd.tasks import PhotoTask, load_task

ARCH = {"width": 4, "stages": [{"blocks": 1, "kernel": 3, "widen": 1}]}
TEACHER = {"space": "resnet", "arch": ARCH, "epochs": 60, "reading": {"size": 12, "fit": "stretch"}}
AUGMENT = {"views": 2, "flip": True, "crop": 0.1}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty photos of two classes, of which one is brighter, in several sizes."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("photos") / "pets"
    for i in range(20):
        for kind, low in (("cat", 0), ("dog", 90)):
            values = random.integers(low, low + 160, (9 + i % 5, 12, 3), dtype=np.uint8)
            file = folder / kind / f"{i:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(file)
    return folder


def study_of(photos: Path, size: Any = (6, 8), **changes: Any) -> dict[str, Any]:
    return {
        "task": {"data": str(photos), "reading": {"size": list(size)}, "augment": AUGMENT},
        "teacher": TEACHER,
        "space": "resnet",
        "objectives": {"accuracy": {}, "flops": {}, "parameters": {"bound": 5000}},
        "budget": {"trials": 6, "rungs": [1, 2], "reseeds": 1},
        **changes,
    }


def trials_of(run: Path) -> Any:
    return trials_dataframe(run).drop(columns="seconds").set_index("trial")


@pytest.mark.slow
def test_a_student_of_a_searched_size_answers_files_as_in_the_search(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = write_study(tmp_path, study_of(photos))
    with caplog.at_level(logging.INFO, "autokd"):
        assert autokd("search", study, "--run", tmp_path / "run").code == 0
    assert "40 photos of 6x6 or 8x8 pixels in 3 channel(s)" in caplog.text
    front = load_front(tmp_path / "run")
    assert {student.reading["size"] for student in front} <= {6, 8}
    task = load_task(tmp_path / "run" / "task")
    assert isinstance(task, PhotoTask)
    for student in front:
        out = tmp_path / f"student {student.trial}"
        assert autokd("export", tmp_path / "run", "--trial", str(student.trial), out / "student.safetensors").code == 0
        predictor = load_predictor(out)
        rows = task.splits["validation"]
        right = [task.class_names[i] for i in task.targets(rows)]
        answers = predictor.predict([task.originals.paths[i] for i in rows])
        side = student.reading["size"]
        assert predictor.reading.plain()["photos"]["size"] == [side, side]  # type: ignore[union-attr]
        seen = task.seen_through(student.reading)
        assert torch.equal(predictor.reading.batch([task.originals.paths[i] for i in rows]), seen.inputs(rows))  # type: ignore[union-attr]
        assert np.mean(np.array(answers) == np.array(right)) >= 0.5


@pytest.mark.slow
def test_a_size_is_added_by_widen_and_changes_no_number_of_the_others(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert autokd("search", write_study(tmp_path, study_of(photos)), "--run", run).code == 0
    before, arrays = trials_of(run), {file: file.read_bytes() for file in (run / "task").rglob("*.npy")}
    budget = {"trials": 10, "rungs": [1, 2], "reseeds": 1}
    wider = write_study(tmp_path, study_of(photos, (6, 8, 10), budget=budget))
    assert "reading" in autokd("search", wider, "--run", run).err
    assert autokd("search", wider, "--run", run, "--widen").code == 0
    after = trials_of(run)
    assert len(after) == 10
    assert after.loc[before.index].equals(before)
    assert {file: file.read_bytes() for file in arrays} == arrays


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no reading of the teacher", {"teacher": {**TEACHER, "reading": None}}, "teacher: what students see is searched"),
    ("several sizes of a teacher", {"teacher": {**TEACHER, "reading": {"size": [6, 8]}}}, "teacher.reading"),
    ("a length", {"teacher": {**TEACHER, "reading": {"columns": ["a"]}}}, "teacher.reading.columns: pets is a folder"),
    (
        "too many means",
        {"teacher": {**TEACHER, "reading": {"size": 8, "normalise": {"mean": [0.5], "std": [0.5]}}}},
        "1 mean(s) and 1 std(s) for 3 channel(s)",
    ),
    ("a huge size", {"teacher": {**TEACHER, "reading": {"size": 100_000}}}, "more than task.max_gb: 20"),
]


@pytest.mark.parametrize(("changes", "said"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_what_cannot_be_seen_is_refused_in_one_line(
    changes: dict[str, Any], said: str, photos: Path, tmp_path: Path
) -> None:
    assert said in refused_search(tmp_path, study_of(photos, **changes))


def test_a_space_that_can_read_none_of_the_sizes_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "large.py").write_text(
        "def suggest(trial):\n    return {'w': trial.suggest_int('w', 1, 3)}\n\n\n"
        "def build(arch, task):\n    raise ValueError(f'{task.input_shape[1]} pixels are too few')\n"
    )
    line = refused_search(tmp_path, study_of(photos, space=str(tmp_path / "large.py")))
    assert "pixels are too few" in line


def test_one_class_is_refused(photos: Path, tmp_path: Path) -> None:
    for file in sorted((photos / "cat").iterdir()):
        (tmp_path / "pets" / "cat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / "cat" / file.name).write_bytes(file.read_bytes())
    line = refused_search(tmp_path, study_of(tmp_path / "pets"))
    assert "all training labels are cat; classification needs two classes or more" in line
