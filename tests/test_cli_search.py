"""How a search is started, continued, limited and interrupted, and the commands that need no run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import STUDY, autokd, refused, write_study
from small import small_driver, small_run

from autokd import load_student
from autokd.heads import KINDS
from autokd.record import read_trials
from autokd.study import load_study

COMMAND = Path(sys.executable).with_name("autokd")


def front_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(autokd("front", run, "--json").out)
    return found


def test_more_trials_go_on_where_the_search_stopped(tmp_path: Path) -> None:
    study, run = write_study(tmp_path), tmp_path / "run"
    assert autokd("search", study, "--run", run).code == 0
    before = read_trials(run)
    answer = autokd("search", study, "budget.trials=6", "--run", run)
    assert answer.code == 0, answer
    assert read_trials(run)[: len(before)] == before
    assert sum(front_of(run)["trials"][state] for state in ("complete", "pruned", "failed")) == 6


def test_fresh_takes_a_new_folder_and_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path)
    run = Path("runs/small")
    assert "run folder: runs/small\n" in autokd("search", "study.yaml", "budget.trials=1").out
    trials, files = read_trials(run), contents(run)
    answer = autokd("search", "study.yaml", "budget.trials=1", "seed=1", "--fresh")
    assert "run folder: runs/small-2\n" in answer.out
    assert (read_trials(run), contents(run)) == (trials, files)


def test_a_missing_plotly_is_said_before_the_search_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autokd.cli.searches.find_spec", lambda name: None)
    answer = autokd("search", write_study(tmp_path), "budget.trials=1", "--run", tmp_path / "run")
    assert answer.code == 0, answer
    said, _, rest = answer.err.partition("\n")
    assert said.startswith("autokd: The search will end without report.html, which needs plotly: pip install 'autokd[r")
    assert said.endswith(f"After that, `autokd report {tmp_path / 'run'}` writes the report.")
    assert "The search will end" not in rest


def contents(run: Path) -> dict[Path, bytes]:
    """Of every file but the database's, which tidies up when it is read."""
    paths = [path for path in run.rglob("*") if path.is_file() and not path.name.startswith("record.db")]
    return {path: path.read_bytes() for path in paths}


def test_a_time_limit_ends_a_search_with_what_there_is(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"budget.trials": 100_000, "budget.rungs": [1], "budget.reseeds": 0})
    answer = autokd("search", study, "--run", tmp_path / "run", "--time-limit", "3s")
    assert answer.code == 0, answer
    assert "the time limit was reached" in answer.out
    assert not any(trial.state == "running" for trial in read_trials(tmp_path / "run"))


def test_overrides_and_options_are_kept_in_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["budget.trials=2", "recipe.alpha=0.5", "recipe.method=kd", "--workers", "2", "--executor", "processes"]
    assert autokd("search", write_study(tmp_path), *words, "--run", run).code == 0
    study = json.loads((run / "study.json").read_text())["study"]
    assert (study["budget"]["trials"], study["workers"], study["executor"]) == (2, 2, "processes")
    assert {(trial.recipe["alpha"], trial.recipe["method"]) for trial in read_trials(run)} == {(0.5, "kd")}


def test_an_exhausted_space_ends_the_search_well(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(
        "from torch import nn\n\ndef suggest(trial):\n    return {'deep': trial.suggest_int('deep', 0, 1)}\n\n"
        "def build(arch, task):\n    hidden = [nn.Linear(64, 64)] * arch['deep']\n"
        "    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 10))\n"
    )
    recipe = {"temperature": 4.0, "alpha": 0.5, "method": "kd", "lr": 0.01}
    study = write_study(tmp_path, {"space": "space.py", "recipe": recipe, "budget.trials": 50})
    answer = autokd("search", study, "--run", tmp_path / "run")
    assert answer.code == 0, answer
    assert "the space is exhausted: every student in it was tried" in answer.out


def test_a_run_that_was_put_in_place_of_another_is_read_anew(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for space in ("mlp", "resnet"):
        shutil.rmtree(run, ignore_errors=True)
        assert autokd("search", write_study(tmp_path, {"space": space, "budget.trials": 1}), "--run", run).code == 0
        trial = str(front_of(run)["front"][0]["trial"])
        assert autokd("export", run, tmp_path / space / "student.safetensors", "--trial", trial).code == 0
        assert json.loads((tmp_path / space / "config.json").read_text())["space"] == space
        load_student(tmp_path / space)


def test_the_front_of_a_search_that_has_finished_no_student_is_empty(tmp_path: Path) -> None:
    driver = small_driver(small_run(tmp_path))
    driver.propose()
    driver.record.close()
    found = front_of(tmp_path / "run")
    assert (found["front"], found["final"], found["trials"]["running"]) == ([], False, 1)
    assert autokd("front", tmp_path / "run", "--csv").out == "trial,accuracy,parameters\n"
    assert "teacher" in autokd("front", tmp_path / "run").out
    assert "the front is empty" in refused("pick", tmp_path / "run")


def test_baselines_are_searched_shown_and_searched_no_second_time(tmp_path: Path) -> None:
    study, run = write_study(tmp_path, {"baselines": ["hard", "default", "sequential"]}), tmp_path / "run"
    answer = autokd("search", study, "--run", run)
    assert answer.code == 0, answer
    front = front_of(run)
    assert list(front["baselines"]) == ["hard", "default", "sequential"]
    assert all(found["epochs_spent"] > 0 for found in front["baselines"].values())
    assert [answer.out.count(f"\nbaseline {name}: hypervolume") for name in front["baselines"]] == [1, 1, 1]
    assert (run / "report.html").is_file()
    again = autokd("search", study, "--run", run)
    assert "Searching baseline sequential" not in again.out
    assert front_of(run) == front


def test_check_says_of_a_good_space_what_it_holds() -> None:
    answer = autokd("check", "mlp", "--task", "digits")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("mlp: sound on digits, ")
    assert " choices, " in answer.out


SUMMARY = {"choices", "parameters_min", "parameters_median", "parameters_max"}


def test_check_prints_json_for_programs(tmp_path: Path) -> None:
    found = json.loads(autokd("check", "mlp", "--task", "digits", "--json").out)
    assert (found["space"], found["task"], found["sound"], found["findings"]) == ("mlp", "digits", True, [])
    assert found["summary"].keys() == SUMMARY
    (tmp_path / "space.py").write_text("def suggest(trial):\n    return {}\ndef build(arch, task):\n    return None\n")
    answer = autokd("check", tmp_path / "space.py", "--task", "digits", "--json")
    found = json.loads(answer.out)
    assert (answer.code, found["sound"], found["summary"]) == (2, False, None)
    assert len(found["findings"]) > 0


def test_check_says_of_a_bad_space_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(
        "from torch import nn\n\ndef suggest(trial):\n    return {'width': trial.suggest_int('width', 4, 8)}\n\n"
        "def build(arch, task):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))\n"
    )
    answer = autokd("check", tmp_path / "space.py", "--task", "digits")
    assert (answer.code, answer.err) == (2, "")
    assert "the network returned shape (2, 7), not (2, 10)" in answer.out


def test_spaces_lists_what_is_installed_with_choices_and_parameters() -> None:
    answer = autokd("spaces")
    assert (answer.code, answer.err) == (0, "")
    names = [line.split()[0] for line in answer.out.splitlines() if not line.startswith(" ")]
    assert names == ["hf", "mlp", "mobilenet", "resnet", "table", "text", "timm", "vit"]
    assert answer.out.count(" choices, ") == 11
    assert answer.out.count("It takes settings first: `autokd check '") == 2
    found = {each["name"]: each for each in json.loads(autokd("spaces", "--json").out)}
    assert list(found) == names
    assert (found["hf"]["takes_settings"], found["hf"]["sizes"]) == (True, {})
    assert found["mlp"]["sizes"]["8x8x1"].keys() == SUMMARY
    assert {name: list(each["sizes"]) for name, each in found.items() if each["sizes"]} == {
        "mlp": ["8x8x1", "32x32x3", "table"],
        "mobilenet": ["8x8x1", "32x32x3"],
        "resnet": ["8x8x1", "32x32x3"],
        "table": ["table"],
        "text": ["text"],
        "vit": ["8x8x1", "32x32x3"],
    }
    read = {name: each["rows"] for name, each in found.items() if each["rows"]}
    images = {name: ["images"] for name in ("mobilenet", "resnet", "vit")}
    assert read == {"mlp": ["images", "features", "tables"], **images, "table": ["tables"], "text": ["texts"]}
    assert {tuple(found[name]["heads"]) for name in read} == {tuple(KINDS)}
    assert found["mlp"]["settings"] == ["depth", "width", "activation", "batch_norm", "side"]
    assert "reads images, features, tables; answers classes, labels, values, positions\n" in answer.out


@pytest.mark.parametrize("words", ["spaces", "--help"])
def test_other_libraries_are_not_imported_to_list_what_there_is(words: str) -> None:
    command = f"""
import sys
sys.argv = ["autokd", "{words}"]
from autokd.cli import main
try:
    main()
finally:
    print({{"transformers", "nni", "timm", "ray"}} & sys.modules.keys(), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_schema_is_json_that_names_every_key_of_a_study() -> None:
    answer = autokd("schema")
    assert (answer.code, answer.err) == (0, "")
    schema = json.loads(answer.out)
    assert STUDY.keys() | {"recipe", "sampler", "baselines", "seed"} <= schema["properties"].keys()
    assert schema["additionalProperties"] is False


def test_the_starter_runs_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = autokd("init", "new")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith("next: cd new && autokd search study.yaml\n")
    monkeypatch.chdir("new")
    few = ["budget.trials=2", "budget.rungs=[1,2]", "budget.reseeds=0", "teacher.epochs=3", "--executor", "inline"]
    searched = autokd("search", "study.yaml", *few)
    assert searched.code == 0, searched
    assert Path("runs/starter/report.html").is_file()


def test_the_starters_study_is_commented_and_complete(tmp_path: Path) -> None:
    assert autokd("init", tmp_path).code == 0
    text = (tmp_path / "study.yaml").read_text()
    assert text.count("\n#") >= 5
    assert yaml.safe_load(text).keys() >= STUDY.keys()
    assert load_study(tmp_path / "study.yaml").name == "starter"


def processes_said(words: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """A real process, as a shell would start it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [COMMAND, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


def test_a_real_process_answers_bad_input_with_2_and_one_line(tmp_path: Path) -> None:
    write_study(tmp_path, {"space": "resnt"})
    answer = processes_said(["search", "study.yaml"], tmp_path)
    assert (answer.returncode, answer.stdout) == (2, "run folder: runs/small\n")
    assert answer.stderr.startswith("autokd: no search space is named 'resnt'")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("words", ["schema", "search --help"])
def test_a_reader_that_stops_reading_is_no_error(words: str, tmp_path: Path) -> None:
    command = f"'{COMMAND}' {words} | head -c 10"
    answer = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert answer.stderr == ""


TWICE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs the tests may have it ignored
from autokd import cli

def app(obj):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        print("in order", flush=True)
        signal.raise_signal(signal.SIGINT)

cli.app = app
cli.main()
"""


def test_a_second_ctrl_c_ends_it_at_once_without_a_traceback() -> None:
    answer = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False, timeout=60)
    assert (answer.returncode, answer.stdout, answer.stderr) == (-signal.SIGINT, "in order\n", "")


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"budget": {"trials": 10, "rungs": [300], "reseeds": 0}, "executor": "processes"})
    words = ["search", str(study), "--run", str(tmp_path / "run"), "--workers", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for moment in ("0 of 10 trials", "[1-9] of 10 trials"):  # while workers start, and while they train
        process = subprocess.Popen(
            [COMMAND, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        assert process.stdout is not None
        while not re.match(moment, process.stdout.readline()):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said == (
            f"autokd: The search was stopped. Everything done so far is in {tmp_path / 'run'}; "
            "the same command continues from there.\n"
        )
    finished = processes_said(words, tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    states = [trial.state for trial in read_trials(tmp_path / "run")]
    assert states.count("complete") == 10
    assert "running" not in states
