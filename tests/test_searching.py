"""Searches from Python: what they show, what they log, and a callback that changes nothing."""

from __future__ import annotations

import inspect
import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from report_samples import sample_progress
from small import small_study, write_space

import autokd
from autokd.record import read_trials
from autokd.registry import resolve
from autokd.report.notebook import page
from autokd.study import Budget, Study

FEW = {"budget.trials": 2, "budget.reseeds": 0}


def unconfigured(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """The logger of the package as it is in a process whose user has configured no logging.

    To be called in the test itself: pytest adds handlers of its own between a fixture and the test.
    """
    log = logging.getLogger("autokd")
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(log, "handlers", [])
    log.setLevel(logging.NOTSET)
    return log


def test_a_search_logs_a_line_a_trial_where_the_caller_can_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = unconfigured(monkeypatch)
    autokd.search_study(small_study(**FEW), run=tmp_path / "run")
    seen = capsys.readouterr()
    for number in (0, 1):
        assert seen.err.count(f"] Trial {number} was ") == 1
    assert "optuna-dashboard sqlite:///" in seen.err
    assert seen.out == ""
    assert (log.handlers, log.level) == ([], logging.NOTSET)


def test_a_caller_who_configured_logging_keeps_that_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = unconfigured(monkeypatch)
    monkeypatch.setattr(log, "level", logging.ERROR)
    autokd.search_study(small_study(**FEW), run=tmp_path / "run")
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "")
    assert log.level == logging.ERROR


def test_with_progress_the_view_of_the_command_line_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unconfigured(monkeypatch)
    autokd.search_study(small_study(**FEW), run=tmp_path / "run", progress=True)
    seen = capsys.readouterr()
    assert "2 of 2 trials: " in seen.out
    assert "The teacher is KNeighborsClassifier." in seen.out
    assert "] Trial 0" not in seen.out + seen.err


def test_the_state_of_the_search_itself_is_shown_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = small_study(baselines={"hard": {"budget.trials": 1}}, **FEW)
    autokd.search_study(study, run=tmp_path / "run", progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("2 of 2 trials: ")
    assert lines[-1].endswith("The search and its baselines have ended.")


def test_fresh_starts_over_in_a_new_folder(tmp_path: Path) -> None:
    for _ in range(2):
        autokd.search_study(small_study(**FEW), run=tmp_path / "run", fresh=True)
    assert [len(read_trials(tmp_path / name)) for name in ("run", "run-2")] == [2, 2]


def test_a_callback_that_fails_changes_nothing_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fail(event: dict[str, Any]) -> None:
        told.append(event["event"])
        event.clear()
        raise ValueError("no connection")

    with caplog.at_level(logging.INFO, "autokd"):
        front = autokd.search_study(small_study(), run=tmp_path / "run", on_event=fail)
    assert front.to_dict() == autokd.search_study(small_study(), run=tmp_path / "other").to_dict()
    assert told.count("trial_ended") == 6
    assert caplog.text.count("(ValueError: no connection)") == 1


def test_what_a_callback_changes_in_an_event_changes_nothing_in_the_search(tmp_path: Path) -> None:
    def change(event: dict[str, Any]) -> None:
        for key in ("arch", "recipe", "values"):
            event.get(key, {}).clear()

    autokd.search_study(small_study(**FEW), run=tmp_path / "run", on_event=change)
    assert all(trial.arch and trial.recipe and trial.values for trial in read_trials(tmp_path / "run"))


def test_a_callback_stops_a_search_as_ctrl_c_does(tmp_path: Path) -> None:
    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "trial_ended":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        autokd.search_study(small_study(), run=tmp_path / "run", on_event=stop)
    assert len(read_trials(tmp_path / "run")) < 6


def test_search_has_the_defaults_of_a_study() -> None:
    given = {name: each.default for name, each in inspect.signature(autokd.search).parameters.items()}
    study = Study(name="any", task="digits", teacher={"space": "mlp", "arch": {}, "epochs": 1}, space="mlp")
    assert (given["trials"], given["rungs"]) == (Budget().trials, Budget().rungs)
    assert {name: {} for name in given["objectives"]} == study.objectives
    assert dict(given["baselines"]) == study.baselines
    for name in ("recipe", "workers", "executor", "seed"):
        assert given[name] == getattr(study, name)


def test_search_passes_on_all_that_it_is_given(tmp_path: Path) -> None:
    small = small_study()
    front = autokd.search(
        teacher=small.teacher,
        task=small.task,
        space="mlp",
        trials=2,
        rungs=(1,),
        recipe={"temperature": 2, "alpha": 0.5},
        baselines=["hard"],
        executor="inline",
        workers=1,
        name="mine",
        run=tmp_path / "run",
    )
    assert {(trial.recipe["temperature"], trial.recipe["alpha"]) for trial in read_trials(tmp_path / "run")} == {
        (2, 0.5)
    }
    assert (front.study, list(front.baselines)) == ("mine", ["hard"])


def test_search_trains_here_what_worker_processes_cannot_import_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = resolve("search_spaces", write_space(tmp_path, widths=[4, 8]))

    class Mine:
        suggest, build = staticmethod(file.suggest), staticmethod(file.build)

    small = small_study()
    with caplog.at_level(logging.INFO, "autokd"):
        front = autokd.search(
            teacher=small.teacher, task=small.task, space=Mine(), trials=1, rungs=(1,), run=tmp_path / "run"
        )
    assert front.trials["complete"] == 1
    assert caplog.text.count("worker processes cannot import the space that was given") == 1


@pytest.mark.slow
def test_search_trains_in_processes_with_a_task_and_a_teacher_that_are_objects(tmp_path: Path) -> None:
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.neighbors import KNeighborsClassifier

    from autokd.tasks import from_arrays

    x, y = load_digits(return_X_y=True)
    task = from_arrays(x.reshape(-1, 1, 8, 8).astype(np.float32)[:300], y[:300], labels=100)
    front = autokd.search(
        teacher=KNeighborsClassifier(), task=task, space="mlp", trials=2, rungs=(1,), run=tmp_path / "run"
    )
    assert front.trials["complete"] == 2


def test_a_notebook_shows_a_table_that_holds_nothing_but_text() -> None:
    html = page(sample_progress(message="<script>alert(1)</script>"))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<tr>") == 13
    assert '<progress value="50" max="60"' in html
    assert "There are 3 more students on the front." in html


NOTEBOOK = """
import logging
from autokd import Study, search_study

study = Study.model_validate({study!r})
front = search_study(study, run="run", progress=True)
"""


@pytest.mark.slow
def test_a_notebook_shows_one_output_that_is_updated_in_place(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    study = {
        "name": "small",
        "task": {"data": "digits", "labels": 60, "rows": 240, "validation": 120},
        "teacher": {"sklearn": "sklearn.neighbors:KNeighborsClassifier"},
        "space": "mlp",
        "budget": {"trials": 2, "rungs": [1, 2], "reseeds": 0},
        "executor": "inline",
    }
    cells = [nbformat.v4.new_code_cell(NOTEBOOK.format(study=study))]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = notebook.cells[0].outputs
    shown = [output for output in outputs if output.output_type == "display_data"]
    assert len(shown) == 1
    assert "2 of 2 trials" in shown[0].data["text/html"]
    assert "<table>" in shown[0].data["text/html"]
    logged = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "The teacher is KNeighborsClassifier." in logged
    assert "Trial 0" not in logged


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trials": -1}, "^trials: -1 given; "),
        ({"rungs": 3}, "^rungs: 3 given; "),
        ({"rungs": "3,9"}, "^rungs: '3,9' given; "),
        ({"objectives": "accuracy"}, "^objectives: 'accuracy' given; "),
        ({"objectives": None}, "^objectives: None given; "),
        ({"objectives": {"accuracy": {}, "parameters": 3}}, r"^objectives\.parameters: 3 given; "),
        ({"baselines": "hard"}, "^baselines: 'hard' given; "),
        ({"workers": 0}, "^workers: 0 given; "),
        ({"seed": -1}, "^seed: -1 given; "),
        ({"run": ""}, "^run: '' given; "),
        ({"run": 3}, "^run: an object of type int given; "),
        ({"on_event": 3}, "^on_event: 3 given; "),
    ],
    ids=str,
)
def test_what_search_cannot_use_is_refused_before_a_run_is_begun(
    given: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    least: dict[str, Any] = {"teacher": "t.pt", "task": {"data": "digits"}, "space": "mlp", "executor": "inline"}
    with pytest.raises(ValueError, match=said) as refusal:
        autokd.search(**least | given)
    assert type(refusal.value) is autokd.InputError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("study", ["study.yaml", {"name": "x"}, None])
def test_what_is_no_study_is_answered_with_how_one_is_read(study: Any) -> None:
    with pytest.raises(autokd.InputError, match=r"^study: .* autokd\.load_study\("):
        autokd.search_study(study)


@pytest.mark.parametrize(
    "door",
    [
        autokd.load_front,
        autokd.load_student,
        autokd.load_study,
        autokd.trials_dataframe,
        lambda run: autokd.retrain(run, 0),
        lambda run: autokd.search_study(small_study(), run=run or ""),
        lambda prior: autokd.search_study(small_study(), prior=prior or ""),
    ],
)
@pytest.mark.parametrize("path", [None, ""])
def test_no_door_takes_nothing_for_the_current_folder(door: Any, path: Any) -> None:
    with pytest.raises(autokd.InputError, match=r"^(run|folder|path|prior): .* given; give a path"):
        door(path)


@pytest.mark.parametrize(
    "given", [{"seeds": 0}, {"workers": 0}, {"epochs": 0}, {"epochs": 1.5}, {"number": -1}], ids=str
)
def test_retrain_refuses_numbers_that_will_not_do_before_it_trains(given: dict[str, Any]) -> None:
    with pytest.raises(autokd.InputError, match=r"^(trial|seeds|workers|epochs): .* given; it should be "):
        autokd.retrain("runs/small", **{"number": 0, **given})


def test_a_shell_completes_the_public_names() -> None:
    assert {*autokd.__all__, "__version__"} <= {*dir(autokd)}
    assert autokd.__version__ == version("autokd")
