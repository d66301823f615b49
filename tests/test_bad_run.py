"""Run folders of another study, in use, damaged, unwritable or on a full disk are refused in one line."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import autokd, refused, refused_search, write_study
from filelock import FileLock

from autokd.errors import OTHER_FOLDER, START_OVER


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `study.yaml` and its finished run, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    answer = autokd("search", write_study(folder), "--run", folder / "run")
    assert answer.code == 0, answer
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A run of its own for each test, as the finished one."""
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path / "run"


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"seed": 1}, "seed"),
    ({"recipe": {"lr": 0.01}}, "recipe.lr"),
    ({"objectives": {"accuracy": {}, "flops": {}}}, "objectives.flops, objectives.parameters"),
    ({"space": "resnet"}, "space"),
    ({"task.labels": 70}, "task.labels"),
    ({"budget.rungs": [1, 3]}, "budget.rungs"),
]


@pytest.mark.parametrize(("changes", "words"), CHANGES, ids=[words for _, words in CHANGES])
def test_the_run_of_another_study_is_refused_by_what_changed(
    run: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    said = refused("search", write_study(tmp_path, changes), "--run", run)
    assert f"was begun with another study: {words} changed; undo the change to go on, or {START_OVER}" in said


def test_changed_data_are_refused(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(90, 5)).astype("float32")
    labels = np.arange(90) % 3
    rows[:, 0] += 3 * labels
    study = write_study(tmp_path, {"task": {"data": str(tmp_path / "data.npz")}, "budget.trials": 1})
    np.savez(tmp_path / "data.npz", x=rows, y=labels)
    assert autokd("search", study, "--run", tmp_path / "run").code == 0
    rows[0, 0] += 1
    np.savez(tmp_path / "data.npz", x=rows, y=labels)
    assert "is not what it was; put it back or start in a new folder" in refused(
        "search", study, "--run", tmp_path / "run"
    )


def test_a_changed_source_of_the_space_is_refused(tmp_path: Path) -> None:
    space = "def suggest(trial):\n    return {'width': trial.suggest_int('width', 4, 8)}\n\n\ndef build(arch, task):\n"
    space += "    from torch import nn\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    (tmp_path / "space.py").write_text(space)
    study = write_study(tmp_path, {"space": "space.py", "budget.trials": 1})
    assert autokd("search", study, "--run", tmp_path / "run").code == 0
    (tmp_path / "space.py").write_text(space.replace("4, 8", "4, 9"))
    said = refused("search", study, "--run", tmp_path / "run")
    assert "was begun with another study: the source of the space (space.py) changed" in said


def test_a_run_that_another_search_holds_is_refused(run: Path, tmp_path: Path) -> None:
    for path in (run / "teacher").iterdir():
        path.unlink()  # so that a search would have to ask it again
    before = contents(run)
    with FileLock(run / "record.lock"):
        said = refused("search", write_study(tmp_path, {"budget.trials": 9}), "--run", run)
    assert f"{run} is held by another search that is running; wait for it" in said
    assert contents(run) == before


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("above", ["file", "/dev/null"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, above: str) -> None:
    (tmp_path / "file").touch()
    said = refused("search", write_study(tmp_path), "--run", tmp_path / above / "run")
    assert f"cannot be made (Not a directory); {OTHER_FOLDER}" in said


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    said = refused("search", write_study(tmp_path), "--run", tmp_path / os.fsdecode(b"run-\xe9"))
    assert "the path is not UTF-8 text, and weights cannot be saved there" in said
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    assert "cannot be made (File exists)" in refused("search", write_study(tmp_path), "--run", tmp_path / "run")


@contextmanager
def full_disk(nbytes: int) -> Iterator[None]:
    """No file of this process can grow beyond `nbytes` inside."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_too_full_for_the_data_leaves_nothing_behind(tmp_path: Path) -> None:
    with full_disk(50_000):
        assert "the task cannot be written into" in refused_search(tmp_path)


@pytest.mark.parametrize("nbytes", [80_000, 200_000, 300_000])
def test_a_disk_that_fills_up_stops_the_search_and_the_same_command_goes_on(tmp_path: Path, nbytes: int) -> None:
    labels = np.arange(90) % 3
    np.savez(tmp_path / "data.npz", x=(np.eye(5)[labels] + np.arange(90)[:, None] / 90), y=labels)
    words = ["search", str(write_study(tmp_path, {"task": {"data": "data.npz"}})), "--run", str(tmp_path / "run")]
    with full_disk(nbytes):
        assert "free some disk and run the same search again, which goes on" in refused(*words)
    assert autokd(*words).code == 0


def overwritten(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        for path in run.glob(name):
            path.write_bytes(content)

    return damage


def flipped(name: str) -> Callable[[Path], None]:
    """One bit of the last byte of a file."""

    def damage(run: Path) -> None:
        for path in run.glob(name):
            *content, last = path.read_bytes()
            path.write_bytes(bytes([*content, last ^ 1]))

    return damage


def without(name: str, key: str) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        data = json.loads((run / name).read_text())
        del data[key]
        (run / name).write_text(json.dumps(data))

    return damage


def with_teacher(name: str, **facts: Any) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        data = json.loads((run / name).read_text())
        data["teacher"] |= facts
        (run / name).write_text(json.dumps(data))

    return damage


def gone(*names: str) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        for name in names:
            (run / name).unlink()

    return damage


SEARCH_AND_FRONT = [
    (overwritten("record.db*", b"no database " * 500), "record.db cannot be used as a record"),
    (overwritten("record.db*", b""), f"record.db holds no search; {START_OVER}"),
    (gone("study.json"), "study.json cannot be read (No such file or directory)"),
    (overwritten("study.json", b"{"), "study.json is damaged (Expecting property name"),
    (overwritten("study.json", b"\xff\xfe"), "study.json is damaged ('utf-8' codec can't decode"),
    (overwritten("study.json", b"[]"), "study.json is damaged (no study)"),
    (without("study.json", "digests"), "study.json is damaged (no digests)"),
    (without("study.json", "reference_point"), "study.json is damaged (no reference_point)"),
    (with_teacher("study.json", values={"accuracy": {}}), "study.json is damaged (teacher: values.accuracy"),
    (with_teacher("study.json", more=1), "study.json is damaged (teacher: more: Extra inputs are not permitted)"),
    (with_teacher("front.json", test={"accuracy": "a"}), "front.json is damaged (teacher.test.accuracy"),
    (overwritten("front.json", b"{"), "front.json is damaged"),
    (overwritten("front.json", b"[]"), "front.json is damaged"),
    (without("front.json", "front"), "front.json is damaged (no front); remove it and run the search again"),
]


@pytest.mark.parametrize("command", ["search", "front"])
@pytest.mark.parametrize(("damage", "words"), SEARCH_AND_FRONT)
def test_a_damaged_run_is_refused(
    run: Path, tmp_path: Path, damage: Callable[[Path], None], words: str, command: str
) -> None:
    damage(run)
    if command == "search":
        assert words in refused("search", write_study(tmp_path), "--run", run)
    else:
        assert words in refused("front", run)


SEARCH = [
    (gone("record.db"), f"has trials, but its record.db, which describes them, is gone; {START_OVER}"),
    (overwritten("task/task.json", b"{"), "cannot be opened: JSONDecodeError"),
    (without("task/task.json", "origin"), "cannot be opened: ValueError: it is not of format 1"),
    (without("task/task.json", "name"), "cannot be opened: KeyError: 'name'"),
    (overwritten("task/x.npy", b""), "cannot be opened: "),
    (flipped("task/x.npy"), "x.npy is not the file that was written, by its sha256; remove the folder to have it made"),
    (flipped("task/y.npy"), "y.npy is not the file that was written, by its sha256"),
    (flipped("task/split_transfer.npy"), "split_transfer.npy is not the file that was written, by its sha256"),
]


@pytest.mark.parametrize(("damage", "words"), SEARCH)
def test_a_search_does_not_go_on_with_what_is_damaged(
    run: Path, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(run)
    assert words in refused("search", write_study(tmp_path), "--run", run)


def test_answers_that_are_damaged_are_asked_again(run: Path, tmp_path: Path) -> None:
    for path in (run / "teacher").glob("*.npy"):
        path.write_bytes(path.read_bytes()[:300])
    answer = autokd("search", write_study(tmp_path), "--run", run)
    assert answer.code == 0
    assert "was changed or damaged since it was written: its sha256 differs" in answer.out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("task/x.npy", "not the file that was written, by its sha256"),
        ("teacher/outputs-*.npy", "were changed or damaged since they were written (their sha256 differs)"),
    ],
)
def test_nothing_is_trained_anew_on_data_or_answers_that_are_damaged(run: Path, name: str, words: str) -> None:
    flipped(name)(run)
    member = json.loads((run / "front.json").read_text())["front"][0]["trial"]
    assert words in refused("retrain", run, "--trial", str(member))
    assert not (run / "retrained").exists()


def test_retraining_in_a_run_folder_that_cannot_be_written_is_refused_in_one_line(run: Path) -> None:
    (run / "retrained").touch()
    member = json.loads((run / "front.json").read_text())["front"][0]["trial"]
    said = refused("retrain", run, "--trial", str(member))
    assert "retrained" in said
    assert "cannot be written" in said


def test_a_task_of_before_there_were_digests_is_opened(run: Path, tmp_path: Path) -> None:
    without("task/task.json", "sha256")(run)
    assert autokd("search", write_study(tmp_path), "--run", run).code == 0
