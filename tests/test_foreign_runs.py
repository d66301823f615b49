"""Run folders that somebody else made are data: nothing that they name is imported, opened or changed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import autokd, refused, write_study
from small import small_study, write_space

from autokd.driver import export_trial, load_front, retrain, search_study
from autokd.driver.events import progress_only
from autokd.errors import InputError
from autokd.record import read_trials
from autokd.study import load_study

EVIL = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of installed parts alone."""
    folder = tmp_path_factory.mktemp("foreign")
    answer = autokd("search", write_study(folder), "--run", folder / "run")
    assert answer.code == 0, answer
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


def change(run: Path, **sections: Any) -> None:
    """Writes other sections into the study that a run folder says it is of."""
    path = run / "study.json"
    setup = json.loads(path.read_text())
    setup["study"] |= sections
    if "task" in sections:
        setup["task"] = ""  # no file holds the task
    path.write_text(json.dumps(setup))


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Each file of a folder, with what it holds and its time."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


CODE: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "a file as its space": lambda file, _: {"space": file},
    "a command as its space": lambda _, ran: {"space": f"os:system(command='touch {ran}')"},
    "an adapted space": lambda file, _: {"space": f"nni:{file}"},
    "a function that makes its task": lambda file, _: {"task": {"task": f"{file}:make"}},
    "a command as its task": lambda _, ran: {"task": {"task": "os:system", "args": {"command": f"touch {ran}"}}},
    "architectures of a space": lambda file, _: {"space": {"space": file, "archs": [{"width": 4}]}},
}
ALSO: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "an objective": lambda file, _: {"objectives": {f"{file}:goal": {}, "parameters": {}}},
    "a loss": lambda file, _: {"recipe": {"method": f"{file}:soft"}},
    "a module as its teacher": lambda file, _: {"teacher": f"{file}:teacher"},
    "a network with settings": lambda _, ran: {
        "teacher": {"network": "os:system", "args": {"command": f"touch {ran}"}}
    },
}


@pytest.mark.parametrize("settled", [True, False], ids=["settled", "unfinished"])
@pytest.mark.parametrize("kind", CODE | ALSO)
def test_what_only_reads_a_run_imports_nothing_that_it_names(
    run: Path, tmp_path: Path, kind: str, settled: bool
) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    change(run, **(CODE | ALSO)[kind](str(tmp_path / "evil.py"), str(tmp_path / "ran")))
    if not settled:
        (run / "front.json").unlink()
    before = contents(run)
    for words in (["front"], ["front", "--json"], ["pick"]):
        answer = autokd(words[0], run, *words[1:])
        assert (answer.code, answer.err) == (0, "")
    assert contents(run) == before
    assert autokd("report", run).code == 0
    assert not (tmp_path / "ran").exists()


def test_objectives_that_the_record_does_not_have_are_refused(run: Path) -> None:
    (run / "front.json").unlink()
    setup = json.loads((run / "study.json").read_text())
    setup["objectives"][0]["name"] = "nothing"
    (run / "study.json").write_text(json.dumps(setup))
    assert "study.json is damaged (nothing recorded has its objective 'nothing')" in refused("front", run)


@pytest.mark.parametrize("kind", CODE)
def test_a_student_is_not_built_by_code_that_a_run_folder_names(run: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    change(run, **CODE[kind](str(tmp_path / "evil.py"), str(tmp_path / "ran")))
    before = contents(tmp_path)
    for words in (["retrain", run], ["export", run, tmp_path / "student.onnx"]):
        said = refused(*words, "--trial", "0")
        part = "task" if "task" in kind else "space"
        assert f"the {part} is '" in said
        assert "which is not an installed plug-in, and AutoKD does not import code" in said
        assert f"--{part} FILE (from Python: {part}='file.py')" in said
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", ALSO)
def test_a_student_is_not_trained_by_code_that_a_run_folder_names(run: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    change(run, **ALSO[kind](str(tmp_path / "evil.py"), str(tmp_path / "ran")))
    before = contents(tmp_path)
    said = refused("retrain", run, "--trial", "0", "--reserve")
    assert "which is not an installed plug-in, and AutoKD does not import code" in said
    assert contents(tmp_path) == before


def test_going_on_with_a_search_uses_the_code_of_the_callers_study_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    change(run, space=str(tmp_path / "evil.py"))
    said = refused("search", write_study(tmp_path), "--run", run)
    assert "was begun with another study: space changed" in said
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("key", "path"), [("task", "/etc"), ("outputs", "teacher/../../elsewhere.npy")])
def test_a_run_whose_data_are_said_to_lie_elsewhere_is_refused(run: Path, tmp_path: Path, key: str, path: str) -> None:
    setup = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps(setup | {key: path}))
    words = f"study.json: {key} is '{path}', which is outside of the run folder"
    assert words in refused("retrain", run, "--trial", "0")
    assert words in refused("export", run, tmp_path / "student.safetensors", "--trial", "0")
    assert words in refused("search", write_study(tmp_path), "--run", run)


def test_a_student_of_a_space_of_ones_own_is_exported_with_the_study_or_the_space(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"space": write_space(tmp_path, widths=[4, 8]), "budget.trials": 1})
    run, out = tmp_path / "run", tmp_path / "out" / "student.safetensors"
    assert autokd("search", study, "--run", run).code == 0
    for words in (
        ["front", run],
        ["pick", study, "--run", run],
        ["clean", run, "--yes"],
        ["report", study, "--run", run],
    ):
        assert autokd(*words).code == 0
    assert f"next: autokd retrain {study} --run {run} --trial 0" in autokd("pick", study, "--run", run).out
    picked = autokd("pick", run).out
    assert f"next: autokd retrain STUDY.yaml --run {run} --trial 0, or autokd export STUDY.yaml --run {run}" in picked
    assert "STUDY.yaml is the study file of this run: the run uses code of your own" in picked
    assert "space.py', which is not an installed plug-in" in refused("export", run, out, "--trial", "0")
    assert autokd("export", study, out, "--trial", "0", "--run", run).code == 0
    assert autokd("export", run, out, "--trial", "0", "--space", tmp_path / "space.py").code == 0
    export_trial(run, 0, out, study=load_study(study))
    assert "which is no study file; give a study file with --run, or the run folder alone" in refused(
        "front", run, "--run", run
    )


def test_an_objective_of_ones_own_is_not_needed_to_export(tmp_path: Path) -> None:
    (tmp_path / "goal.py").write_text(
        "import math\nfrom autokd.objectives.quality import accuracy\nfrom autokd.types import Objective\n"
        "goal = Objective('goal', 'maximize', '', True, accuracy, ideal=1.0, worst=0.0,"
        " standard_error=lambda value, rows: 2 / math.sqrt(rows))\n"
    )
    study = write_study(tmp_path, {"objectives": {"goal.py:goal": {}, "parameters": {}}, "budget.trials": 2})
    run = tmp_path / "run"
    assert autokd("search", study, "--run", run).code == 0
    (run / "front.json").unlink()
    students = load_front(run).front
    assert students
    assert {student.spread["goal"] for student in students} == {2 / 120**0.5}  # by its own formula
    assert autokd("export", run, tmp_path / "student.safetensors", "--trial", "0").code == 0
    assert "the objective " in refused("retrain", run, "--trial", "0")


def test_a_space_that_lies_in_no_file_is_given_again_to_export_and_retrains_in_this_process(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(Path(write_space(tmp_path, widths=[4, 8])).read_text(), "<cell>", "exec"), namespace)
    space = SimpleNamespace(suggest=namespace["suggest"], build=namespace["build"])
    run, out = tmp_path / "run", tmp_path / "out" / "student.onnx"
    front = search_study(small_study(space=space, **{"budget.trials": 1}), run=run)
    assert front.teacher["test"].keys() == front.front[0].test.keys() == {"accuracy"}
    assert "its space was a Python object that is in no file" in refused("export", run, out, "--trial", "0")
    assert "trial 0 (as trained in the search)" in export_trial(run, 0, out, space=space)
    assert retrain(run, 0, space=space, seeds=1)["validation"].keys() == {"accuracy"}


@pytest.mark.slow
def test_workers_train_what_the_callers_study_names(tmp_path: Path) -> None:
    (tmp_path / "soft.py").write_text("from autokd.losses import kd as soft\n")
    changes = {"space": write_space(tmp_path, widths=[4]), "recipe": {"method": "soft.py:soft"}, "budget.trials": 1}
    study, run = write_study(tmp_path, changes), tmp_path / "run"
    assert autokd("search", study, "--run", run).code == 0
    answer = autokd("retrain", study, "--run", run, "--trial", "0", "--seeds", "1", "--reserve")
    assert answer.code == 0, answer
    assert "validation accuracy" in answer.out


def test_a_run_of_before_is_read_with_the_study_file_where_its_objectives_are_ones_own(tmp_path: Path) -> None:
    (tmp_path / "goal.py").write_text("from autokd.objectives import accuracy as goal\n")
    study = write_study(tmp_path, {"objectives": {"goal.py:goal": {}, "parameters": {}}, "budget.trials": 1})
    run = tmp_path / "run"
    assert autokd("search", study, "--run", run).code == 0
    front = autokd("front", run, "--json").out
    setup = json.loads((run / "study.json").read_text())
    del setup["objectives"], setup["validation_rows"]
    (run / "study.json").write_text(json.dumps(setup))
    assert autokd("front", run, "--json").out == front
    (run / "front.json").unlink()
    assert "goal.py:goal' is, and code that a run folder names is not imported; give the study" in refused("front", run)
    assert autokd("front", study, "--run", run).code == 0


@pytest.mark.parametrize(
    "reference", ["os:system", "os:system(command='true')", "subprocess", "shutil:rmtree(path='x')"]
)
def test_a_function_of_python_itself_is_no_part_of_a_study(reference: str, tmp_path: Path) -> None:
    assert "is a module of Python itself" in refused("check", reference, "--task", "digits")


# The record


def test_a_database_outside_the_folder_is_opened_only_for_the_study_that_names_it(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (a)")
    change(run, record=f"sqlite:///{other}")
    before = contents(tmp_path)
    for words in (["front"], ["pick"], ["report"], ["clean"], ["export", "out.onnx", "--trial", "0"]):
        said = refused(words[0], run, *words[1:])
        assert "a database outside a run folder is opened only for the study file that names it" in said
    assert contents(tmp_path) == before
    assert "opened only for the study" in refused("search", write_study(tmp_path), "--run", run)
    with pytest.raises(InputError, match="opened only for the study"):
        search_study(small_study(), run=tmp_path / "next", prior=run)
    assert other.read_bytes() == before[other][0]


def test_a_run_whose_record_is_elsewhere_is_read_with_its_study(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"record": f"sqlite:///{tmp_path / 'elsewhere.db'}", "budget.trials": 1})
    run = tmp_path / "run"
    assert autokd("search", study, "--run", run).code == 0
    assert autokd("front", study, "--run", run).code == 0
    assert len(read_trials(run, load_study(study).record)) == 1
    assert not (run / "record.db").exists()


def test_a_record_that_is_a_link_is_refused(run: Path, tmp_path: Path) -> None:
    shutil.move(run / "record.db", tmp_path / "other.db")
    (run / "record.db").symlink_to(tmp_path / "other.db")
    assert "record.db is a link; a run's record must be a file in the run folder" in refused("front", run)


def test_reading_a_run_under_way_takes_what_is_in_the_log_and_changes_nothing(tmp_path: Path) -> None:
    run, seen = tmp_path / "run", list[int]()

    def look(progress: Any) -> None:
        before = contents(run)
        if (run / "record.db-wal").exists() and (run / "record.db-wal").stat().st_size:
            seen.append(len(read_trials(run)) - len(progress["front"]))
            load_front(run)
            assert contents(run) == before

    search_study(small_study(), run=run, tell=progress_only(look))
    assert seen
    assert min(seen) >= 0


def test_a_run_that_may_not_be_written_is_read(run: Path) -> None:
    expected = autokd("front", run, "--json").out
    run.chmod(0o500)
    try:
        assert autokd("front", run, "--json").out == expected
    finally:
        run.chmod(0o700)
