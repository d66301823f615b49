"""Commands on a finished run that get bad arguments end with exit code 2 and one line that says what to give."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import autokd, refused, write_study


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose stopped students' weights were deleted."""
    folder = tmp_path_factory.mktemp("finished")
    assert autokd("search", write_study(folder), "--run", folder / "run").code == 0
    assert autokd("clean", folder / "run", "--yes").code == 0
    return folder / "run"


RUN_COMMANDS = [
    ["front", "RUN"],
    ["pick", "RUN"],
    ["retrain", "RUN", "--trial", "0"],
    ["export", "RUN", "student.onnx", "--trial", "0"],
    ["report", "RUN"],
    ["clean", "RUN"],
]


@pytest.mark.parametrize("words", RUN_COMMANDS, ids=[words[0] for words in RUN_COMMANDS])
@pytest.mark.parametrize("where", ["", "nothere", "file"])
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, words: list[str], where: str) -> None:
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    said = refused(*[str(tmp_path / where) if word == "RUN" else word for word in words])
    no_run = "is not a run: it has no record.db; give the folder that `autokd search` wrote"
    assert (no_run if where != "file" else "file is empty; 'autokd init DIR' writes a study to start from") in said
    assert sorted(tmp_path.rglob("*")) == before


COMMANDS = [
    (["pick", "RUN", "--max", "parameters"], "'parameters': write objective=number, as parameters=20000"),
    (["pick", "RUN", "--max", "parameters=many"], "'parameters=many': write objective=number"),
    (["pick", "RUN", "--max", "parameter=1"], "no objective 'parameter' in this study"),
    (["pick", "RUN", "--min", "accuracy=1.5"], "no student of the front is within the bounds; the front holds"),
    (["pick", "RUN", "--max", "parameters=5"], "the front holds accuracy"),
    (["pick", "RUN", "--by", "kne"], "no objective 'kne' in this study (it has accuracy, parameters)"),
    (["pick", "RUN", "--weights", "accuracy"], "'accuracy': write objective=number"),
    (["pick", "RUN", "--weights", "accuracy=-1"], "weights {'accuracy': -1.0}: give numbers >= 0, one of them above 0"),
    (["pick", "RUN", "--weights", "accuracy=0"], "weights {'accuracy': 0.0}: give numbers >= 0"),
    (["pick", "RUN", "--max", "accuracy=nan"], "'accuracy=nan': write objective=number"),
    (["retrain", "RUN", "--trial", "99"], "no trial 99 in"),
    (["retrain", "RUN", "--trial", "-1"], "trial: -1 given; it should be greater than or equal to 0"),
    (["retrain", "RUN", "--trial", "0", "--seeds", "0"], "Invalid value for '--seeds'"),
    (["retrain", "RUN", "--trial", "0", "--epochs", "0"], "Invalid value for '--epochs'"),
    (["retrain", "RUN"], "Missing option '--trial'; see"),
    (["export", "RUN", "OUT/student.onnx", "--trial", "99"], "no trial 99 in"),
    (
        ["export", "RUN", "OUT/student.h5", "--trial", "FRONT"],
        "no exporter for '.h5' (known: .onnx, .pt2, .safetensors)",
    ),
    (["export", "RUN", "OUT/student", "--trial", "FRONT"], "no exporter for ''"),
    (["export", "RUN", "/dev/null/student.pt2", "--trial", "FRONT"], "cannot write '/dev/null/student.pt2'"),
    (["export", "RUN", "OUT/student.pt2", "--trial", "STOPPED"], "are not kept, or are damaged; `autokd retrain "),
    (["clean", "RUN", "--disk-gb", "-1"], "Invalid value for '--disk-gb'"),
    (["check", "nothere.py", "--task", "digits"], "cannot read"),
    (["check", "mlp", "--task", "digit"], "did you mean 'digits'?"),
    (["check", "mlp"], "give the data to try the space on, as in --task digits"),
    (["init", "/dev/null/new"], "/dev/null/new cannot be written"),
    (["serch"], "No such command 'serch'. Did you mean 'search'?"),
]


@pytest.mark.parametrize(("words", "said"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_words_that_will_not_do_are_refused(run: Path, tmp_path: Path, words: list[str], said: str) -> None:
    from autokd.driver import load_front
    from autokd.record import read_trials

    stopped = next(trial.number for trial in read_trials(run) if trial.state == "pruned")
    names = {"RUN": run, "FRONT": load_front(run).front[0].trial, "STOPPED": stopped}
    filled = [str(names.get(word, word)).replace("OUT", str(tmp_path)) for word in words]
    assert said in refused(*filled)
    assert not list(tmp_path.iterdir())


def test_init_replaces_no_file_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text("mine")
    assert f"{tmp_path / 'space.py'} already exists; name another folder" in refused("init", tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("space.py", "mine")]


def test_an_export_replaces_no_file_of_the_users(run: Path, tmp_path: Path) -> None:
    from autokd.driver import load_front

    (tmp_path / "config.json").write_text("mine")
    trial = load_front(run).front[0].trial
    said = refused("export", run, tmp_path / "student.safetensors", "--trial", str(trial))
    assert "has a config.json that is not from an export; name another folder" in said
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("config.json", "mine")]


def test_the_findings_of_a_check_are_its_answer(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text("def suggest(trial):\n    return {}\ndef build(arch, task):\n    return None\n")
    answer = autokd("check", tmp_path / "space.py", "--task", "digits")
    assert answer.code == 2
    assert "findings" in answer.out or "finding" in answer.out
    assert answer.err == ""
