"""A space gets more choices in the middle of a search, through the command line."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import LEFT_OUT, autokd, refused, refused_search, write_study
from small import forget_new_keys, small_driver, small_run, small_study
from tables import write_table

from autokd.driver import search_study
from autokd.record import open_storage, read_study, read_trials
from autokd.trial import run_stretch

SPACE = """
from torch import nn


def suggest(trial):
    return {"width": trial.suggest_categorical("width", [4, 8]), "depth": trial.suggest_int("depth", 1, 2)}


def build(arch, task):
    layers, size = [nn.Flatten()], 64
    for _ in range(arch["depth"]):
        layers += [nn.Linear(size, arch["width"]), nn.GELU() if arch.get("gelu") else nn.ReLU()]
        size = arch["width"]
    return nn.Sequential(*layers, nn.Linear(size, 10))
"""
WIDER = SPACE.replace("[4, 8]", "[4, 8, 32]").replace("1, 2)", "1, 3)")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space, a study of it, and its finished search of 4 trials."""
    home = tmp_path_factory.mktemp("begun")
    (home / "space.py").write_text(SPACE)
    study = write_study(home, {"space": "space.py", "recipe": {"alpha": 0.9}, "sampler": "random"})
    assert autokd("search", study, "objectives.parameters.bound=1100", "--run", home / "run").code == 0
    assert {trial.state for trial in read_trials(home / "run")} >= {"complete"}
    return home


@pytest.fixture
def home(begun: Path, tmp_path: Path) -> Path:
    """A copy of it; the space and the run are found there, and the study names the first space no more."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    setup = (tmp_path / "run" / "study.json").read_text()
    (tmp_path / "run" / "study.json").write_text(setup.replace(str(begun), str(tmp_path)))
    return tmp_path


def search(home: Path, *words: str, space: str = "") -> list[Any]:
    if space:
        (home / "space.py").write_text(space)
    bound = "objectives.parameters.bound=1100"
    return ["search", home / "study.yaml", bound, "--run", home / "run", *words]


def everything(run: Path, name: str) -> list[Any]:
    """What Optuna has of each trial in a study of a run, but its distributions."""
    import optuna

    storage = open_storage(f"sqlite:///{run / 'record.db'}")
    trials = optuna.load_study(study_name=name, storage=storage).get_trials()
    return [
        (t.number, t.state, t.values, t.params, t.user_attrs, t.system_attrs, t.datetime_start, t.datetime_complete)
        for t in trials
    ]


def test_a_wider_space_goes_on_with_all_that_was_done(home: Path) -> None:
    run = home / "run"
    before = read_trials(run)
    said = refused(*search(home, "budget.trials=12", space=WIDER))
    assert "source of the space (space.py) changed; undo the change" in said
    assert said.endswith("if it only got more choices, `--widen` (`widened=True` from Python) goes on with it")
    answer = autokd(*search(home, "budget.trials=12", "--widen"))
    assert answer.code == 0, answer
    trials = read_trials(run)
    assert trials[: len(before)] == before
    assert {trial.arch["width"] for trial in trials if trial.arch} == {4, 8, 32}
    assert everything(run, "autokd-2")[: len(before)] == everything(run, "autokd")
    choices = [trial.distributions["width"].choices for trial in read_study(run).get_trials()]  # type: ignore[attr-defined]
    assert set(choices) == {(4, 8, 32)}
    assert autokd(*search(home, "budget.trials=12", "--widen")).code == 0  # nothing is wider now
    assert json.loads((run / "study.json").read_text())["records"] == ["autokd", "autokd-2"]
    assert autokd("report", run).code == 0


def test_a_recipe_may_be_widened_and_a_fixed_setting_is_then_known_of_each_trial(home: Path) -> None:
    words = ["recipe.alpha={low: 0, high: 1}", "budget.trials=6"]
    assert refused(*search(home, *words)).endswith(
        "if it only got more choices, `--widen` (`widened=True` from Python) goes on with it"
    )
    assert autokd(*search(home, *words, "--widen")).code == 0
    trials = read_study(home / "run").get_trials()
    assert {trial.params["recipe.alpha"] for trial in trials[:4]} == {0.9}
    assert len({trial.params["recipe.alpha"] for trial in trials}) > 1


def test_a_parameter_that_is_new_leaves_the_trials_as_they_were(home: Path) -> None:
    more = SPACE.replace("1, 2)}", '1, 2), "gelu": trial.suggest_categorical("gelu", [False, True])}')
    before = read_trials(home / "run")
    assert autokd(*search(home, "budget.trials=6", "--widen", space=more)).code == 0
    assert read_trials(home / "run")[: len(before)] == before
    assert "gelu" not in read_study(home / "run").get_trials()[0].params


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[4, 8]", "[4, 32]"), "width"),
        (("[4, 8]", "[8, 32]"), "width"),
        (("1, 2)", "2, 3)"), "which is outside of 2 .. 3"),
        (('trial.suggest_int("depth", 1, 2)', "1"), "depth is not suggested any more"),
        (("nn.Linear(size, 10)", "nn.Linear(size, 10, bias=False)"), "build must make the same networks"),
        (('arch["width"]), nn', 'arch["breadth"]), nn'), "no longer builds"),
        (('{"width": trial', '{"width": 2 * trial'), "its recorded choices gave"),
    ],
)
def test_a_space_that_lost_something_is_refused_and_nothing_changes(
    home: Path, change: tuple[str, str], words: str
) -> None:
    assert change[0] in SPACE
    before = everything(home / "run", "autokd"), (home / "run" / "study.json").read_bytes()
    said = refused(*search(home, "--widen", space=SPACE.replace(*change)))
    assert "the space is not wider: " in said
    assert words in said
    assert (everything(home / "run", "autokd"), (home / "run" / "study.json").read_bytes()) == before


def test_nothing_but_what_is_searched_may_change(home: Path) -> None:
    assert "begun with another study: seed changed" in refused(*search(home, "seed=3", "--widen", space=WIDER))


def test_a_run_of_before_there_was_a_key_can_be_widened(home: Path) -> None:
    before = read_trials(home / "run")
    forget_new_keys(home / "run")
    assert autokd(*search(home, "budget.trials=5", "--widen", space=WIDER)).code == 0
    assert read_trials(home / "run")[: len(before)] == before
    assert json.loads((home / "run" / "study.json").read_text())["records"] == ["autokd", "autokd-2"]


def test_a_trial_that_was_under_way_goes_on_in_the_wider_space(tmp_path: Path) -> None:
    space = tmp_path / "space.py"
    space.write_text(SPACE)
    study = {"space": str(space), "scheduler": "none", "budget.trials": 1}
    run = small_run(tmp_path, **study)
    driver = small_driver(run)
    first = driver.propose()
    assert first is not None
    (second,) = driver.advance(first.trial, run_stretch(run.context, first))
    driver.record.close()  # as if killed while the second stretch is trained
    (begun,) = read_trials(run.folder)
    assert begun.state == "running"

    space.write_text(WIDER)
    search_study(small_study(**study), run=run.folder, widened=True)

    (done,) = read_trials(run.folder)
    assert (done.state, done.arch, begun.epoch) == ("complete", begun.arch, second.start)
    assert begun.rungs.items() < done.rungs.items()


def test_the_choices_of_a_table_cannot_be_widened(tmp_path: Path) -> None:
    changes = dict.fromkeys(("teacher", "space", "objectives"), LEFT_OUT)
    study = {"task": {"table": str(write_table(tmp_path))}, **changes}
    assert "a table has its own choices and cannot be widened" in refused_search(tmp_path, study, "--widen")


KILLED = """
import os, signal, sys
from optuna.storages import RDBStorage
from autokd.cli import main
from autokd.driver import preparation

left = int(sys.argv.pop(1))
def dying(real):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return call
RDBStorage._create_new_trial = dying(RDBStorage._create_new_trial)  # the public one is gone round by Optuna
preparation.write_setup = dying(preparation.write_setup)
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("done", [0, 1, 3, "all"])
def test_a_kill_while_the_record_is_copied_changes_nothing(home: Path, done: int | str) -> None:
    run, before = home / "run", everything(home / "run", "autokd")
    writes = len(before) if done == "all" else done
    words = [str(word) for word in search(home, "budget.trials=6", "--widen", space=WIDER)]
    died = subprocess.run([sys.executable, "-c", KILLED, str(writes), *words], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died
    assert everything(run, "autokd") == before
    assert autokd("front", run).code == 0
    answer = autokd(*search(home, space=SPACE))
    assert answer.code == 0, answer.err  # put back, it goes on as if nothing had been
    assert everything(run, "autokd") == before
    assert autokd(*search(home, "budget.trials=6", "--widen", space=WIDER)).code == 0
    assert everything(run, "autokd-2")[: len(before)] == before
