"""Tasks of one's own by reference: each process makes the task again, and it is checked to be the same task."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import autokd, refused, refused_search, write_study
from conftest import needs
from small import small_context, small_study

import autokd as public
from autokd.driver import export_trial, load_front, retrain, search_study
from autokd.errors import InputError
from autokd.record import TrialRecord, read_trials
from autokd.study import read_setup
from autokd.tasks import ArrayTask, open_task
from autokd.tasks.made import made_again
from autokd.testing.tiny_task import TinyTask
from autokd.trial import load_context
from autokd.trial.loading import refuse_edited

OWN = """
from pathlib import Path

import numpy as np

from autokd.tasks import from_arrays
from autokd.testing import TinyTask

SEED = Path(__file__).with_name("seed.txt")


def make(features=6, classes=3):
    seed = int(SEED.read_text()) if SEED.exists() else 0
    return TinyTask(input_shape=(features,), num_outputs=classes, seed=seed)


def arrays(rows=80):
    classes = np.arange(rows) % 4
    return from_arrays(np.eye(4)[classes] + np.random.default_rng(0).normal(0, 0.3, size=(rows, 4)), classes)


def nothing():
    return 3


def failing():
    raise OSError("no data here")


tiny = TinyTask()
"""

FEW: dict[str, Any] = {"budget.trials": 2, "budget.rungs": [1, 2], "budget.reseeds": 0}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The file of a task."""
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task, a study of it, and its finished run."""
    home = tmp_path_factory.mktemp("home")
    (home / "own.py").write_text(OWN)
    task = {"task": str(home / "own.py:make"), "args": {"features": 5}}
    answer = autokd("search", write_study(home, {"task": task, **FEW}), "--run", home / "run")
    assert answer.code == 0, answer
    return home


def trials(folder: Path, **changes: Any) -> list[TrialRecord]:
    """The record of a search of `small_study` with these values changed."""
    search_study(small_study(**{**FEW, **changes}), run=folder)
    return read_trials(folder)


def test_a_plain_name_and_a_mapping_name_the_same_task(own: Path, tmp_path: Path) -> None:
    reference = f"{own}:make"
    expected = trials(tmp_path / "object", task=TinyTask(input_shape=(6,), num_outputs=3))
    for name, task in {"plain": reference, "args": {"task": reference, "args": {"classes": 3}}}.items():
        assert trials(tmp_path / name, task=task) == expected
        setup = read_setup(tmp_path / name)
        assert setup.task == ""  # no file holds the task, and the study in the same file says how it is made
        assert setup.sources["the task"].keys() == {"own.py"}


def test_the_object_itself_may_be_named(own: Path, tmp_path: Path) -> None:
    assert trials(tmp_path / "named", task=f"{own}:tiny") == trials(tmp_path / "object", task=TinyTask())


def test_arrays_that_a_function_makes_are_kept_in_files(own: Path, tmp_path: Path) -> None:
    task = {"task": f"{own}:arrays", "args": {"rows": 100}}
    trials(tmp_path / "run", task=task)
    own.unlink()
    assert read_setup(tmp_path / "run").task == "task"
    assert isinstance(load_context(str(tmp_path / "run")).task, ArrayTask)
    assert load_context(str(tmp_path / "run")).task.num_rows == 100


@pytest.mark.slow
def test_worker_processes_make_it_again_and_get_the_same_numbers(own: Path, tmp_path: Path) -> None:
    changes = {"task": {"task": f"{own}:make", "args": {"features": 8}}, "sampler": "random"}
    changes |= {"baselines": ["hard"], "scheduler": "none"}
    inline = trials(tmp_path / "inline", **changes)
    apart = trials(tmp_path / "processes", **changes, executor="processes", workers=2)
    assert apart == inline
    front = load_front(tmp_path / "processes")
    assert front.baselines["hard"]["epochs_spent"] > 0
    found = retrain(tmp_path / "processes", front.pick().trial, seeds=2, task=own)
    assert found["validation"].keys() == {"accuracy"}


@pytest.mark.slow
@needs("ray")
@pytest.mark.usefixtures("ray_here")
def test_nodes_of_a_cluster_make_it_again_and_get_the_same_numbers(own: Path, tmp_path: Path) -> None:
    changes = {"task": f"{own}:make", "sampler": "random"}
    inline = trials(tmp_path / "inline", **changes)
    assert trials(tmp_path / "ray", **changes, executor={"name": "ray", "address": "local"}, workers=2) == inline


@needs("ray")
def test_a_node_that_times_students_makes_it_again(own: Path, tmp_path: Path) -> None:
    from autokd.ray_tune.shipment import sender

    context = small_context(tmp_path, task=f"{own}:make")
    sent = pickle.loads(pickle.dumps(sender()(context)))
    assert sent.task.digest == context.task.digest
    arch = {"widths": [4], "activation": "relu", "batch_norm": False}
    assert sum(each.numel() for each in sent.build(arch).parameters()) == 4 * 7 + 3 * 5


def test_a_search_from_python_takes_the_name(own: Path, tmp_path: Path) -> None:
    front = public.search(
        teacher={"sklearn": "sklearn.neighbors:KNeighborsClassifier"},
        task=f"{own}:make",
        space="mlp",
        trials=2,
        rungs=(1, 2),
        executor="inline",
        run=tmp_path / "run",
    )
    assert front.trials["complete"] >= 1


def test_a_worker_refuses_a_task_that_came_out_otherwise(own: Path, tmp_path: Path) -> None:
    trials(tmp_path / "run", task=f"{own}:make")
    load_context(str(tmp_path / "run"))
    load_context.cache_clear()
    (tmp_path / "seed.txt").write_text("1")
    words = r"task 'tiny' was made again with the digest \w{12}, and the run began with \w{12}: its data or its code"
    with pytest.raises(InputError, match=words):
        load_context(str(tmp_path / "run"))
    with pytest.raises(InputError, match="was begun with another study: the data changed"):
        trials(tmp_path / "run", task=f"{own}:make")


def test_a_search_does_not_go_on_after_its_code_was_edited(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "run", tmp_path / "run")
    before = (run / "study.json").read_bytes()
    text = (home / "own.py").read_text()
    old = shutil.copy(home / "own.py", tmp_path / "old.py")
    try:
        (home / "own.py").write_text(text + "\n# another line\n")
        said = refused("search", home / "study.yaml", "--run", run)
        assert "was begun with another study: the source of the task (own.py) changed; undo the change" in said
        for words in (["retrain"], ["export", tmp_path / "student.safetensors"]):
            said = refused(words[0], home / "study.yaml", *words[1:], "--run", run, "--trial", "0")
            assert "the source of the task (own.py) changed since the search; undo the change" in said
            assert "--task OLD_FILE (from Python: task='old_file.py')" in said
        with pytest.raises(InputError, match=r"the source of the task \(own.py\) changed"):
            refuse_edited(run)
        assert (run / "study.json").read_bytes() == before
        out = tmp_path / "student.safetensors"
        assert autokd("export", run, out, "--trial", "0", "--task", old).code == 0
    finally:
        (home / "own.py").write_text(text)


def test_other_arguments_are_another_study(home: Path) -> None:
    said = refused("search", home / "study.yaml", "task.args.features=7", "--run", home / "run")
    assert "was begun with another study: task.args.features changed" in said


def test_a_run_folder_alone_does_not_have_the_code_imported(home: Path, tmp_path: Path) -> None:
    for words in (["retrain", home / "run"], ["export", home / "run", tmp_path / "student.safetensors"]):
        said = refused(*words, "--trial", "0")
        assert f"the task is '{home}/own.py:make', which is not an installed plug-in" in said
        assert "--task FILE (from Python: task='file.py')" in said
    answer = autokd("pick", home / "run")
    assert answer.code == 0
    assert f"autokd retrain STUDY.yaml --run {home / 'run'}" in answer.out
    for words in (["front", home / "run"], ["report", home / "run"], ["runs", home]):
        assert autokd(*words).code == 0


@pytest.mark.parametrize("named", ["study", "file"])
def test_the_study_or_the_file_lets_a_student_be_built(home: Path, tmp_path: Path, named: str) -> None:
    given = [home / "study.yaml", "--run", home / "run"] if named == "study" else [home / "run"]
    own = [] if named == "study" else ["--task", home / "own.py"]
    out = tmp_path / "student.safetensors"
    answer = autokd("export", *given[:1], out, *given[1:], *own, "--trial", "0")
    assert answer.code == 0, answer
    assert public.load_student(tmp_path) is not None


@pytest.mark.slow
def test_a_student_is_retrained_in_processes_with_the_file_alone(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "run", tmp_path / "run")
    words = ["--trial", "0", "--seeds", "2"]
    expected = autokd("retrain", home / "study.yaml", "--run", run, *words)
    assert expected.code == 0, expected
    shutil.rmtree(run / "retrained")
    given = autokd("retrain", run, *words, "--task", home / "own.py")
    assert given.out == expected.out


def test_another_file_must_make_the_same_task(home: Path, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(OWN.replace("seed=seed", "seed=seed + 1"))
    words = ["export", home / "run", tmp_path / "student.safetensors", "--trial", "0", "--task"]
    assert "task 'tiny' was made again with the digest" in refused(*words, tmp_path / "other.py")
    assert "no such file; give the .py file that holds the task as it was" in refused(*words, "gone.py")


def test_a_run_that_holds_its_data_takes_no_task(own: Path, tmp_path: Path) -> None:
    trials(tmp_path / "run", task=f"{own}:arrays")
    with pytest.raises(InputError, match="holds its data in files, so that it takes no other task"):
        export_trial(tmp_path / "run", 0, tmp_path / "student.onnx", task=own)


def test_an_object_is_given_again_to_retrain_and_to_export(tmp_path: Path) -> None:
    task = TinyTask()
    front = search_study(small_study(task=task, **FEW), run=tmp_path / "run")
    front.pick().export(tmp_path / "first" / "student.safetensors")  # the front of the search still has the task
    number = front.pick().trial
    assert retrain(tmp_path / "run", number, seeds=1, task=task)["test"].keys() == {"accuracy"}
    load_front(tmp_path / "run", task=task).pick().export(tmp_path / "second" / "student.safetensors")
    with pytest.raises(InputError, match="task 'tiny' was made again with the digest"):
        export_trial(tmp_path / "run", number, tmp_path / "third.onnx", task=TinyTask(seed=1))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("{own}:mako", "own.py has no 'mako'; did you mean 'make'?"),
        ({"task": "{own}:nothing"}, "own.py:nothing' is not a task (it has no 'name'); give what"),
        ({"task": "{own}:failing"}, "own.py:failing' failed: OSError: no data here; it must return"),
        ({"task": "{own}:make", "args": {"rows": 3}}, "own.py:make' with rows=3 failed: TypeError: make() got"),
        ({"task": "{own}:tiny", "args": {"rows": 3}}, "own.py:tiny' is of type TinyTask and takes no arguments"),
        ({"task": "{own}:make", "labels": 3}, "task.labels: there is no such key; known: task, args"),
        ({"task": "{own}:make", "args": 3}, "task.args: 3 given; it should be a mapping {key: value}"),
        ({"data": "{own}:make", "labels": 3}, "is a task already made, with its own settings; leave out labels"),
        ({"task": ""}, "task.task: '' given; write a reference to a function or a class"),
        ({"task": "os:system", "args": {"command": "true"}}, "'os' is a module of Python itself"),
    ],
    ids=str,
)
def test_what_makes_no_task_is_refused(own: Path, task: Any, words: str) -> None:
    def filled(part: Any) -> Any:
        return part.replace("{own}", str(own)) if isinstance(part, str) else part

    given = {key: filled(part) for key, part in task.items()} if isinstance(task, dict) else filled(task)
    said = refused_search(own.parent, {"task": given})
    assert words in said


def test_arguments_that_no_file_can_hold_are_refused(own: Path) -> None:
    with pytest.raises(InputError, match=r"task.args: .* given; write numbers, texts, true, false, null, lists and"):
        small_study(task={"task": f"{own}:make", "args": {"features": object()}})


def test_a_task_is_opened_and_made_again_as_it_is(own: Path, tmp_path: Path) -> None:
    task = open_task(f"{own}:make", seed=0, folder=tmp_path / "task")
    assert not (tmp_path / "task").exists()
    assert made_again(f"{own}:make", digest=task.digest).digest == task.digest


def test_a_space_is_checked_on_it(own: Path) -> None:
    answer = autokd("check", "mlp", "--task", f"{own}:make")
    assert answer.code == 0, answer
    assert "sound on" in answer.out
