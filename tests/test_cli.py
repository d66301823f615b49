"""The command line from a search to what is done with its front, each command in one process, on one small run."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Answer, autokd, write_study

import autokd as package
from autokd.cli.words import read_seconds
from autokd.driver import load_front
from autokd.record import read_trials


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study and of its run."""
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def searched(home: Path) -> Answer:
    """What the search said; the run is `home / "run"`."""
    changes = {"objectives": {"accuracy": {}, "parameters": {}, "flops": {}}, "baselines": ["hard"]}
    return autokd("search", write_study(home, {**changes, "budget.trials": 6}), "--run", home / "run")


@pytest.fixture(scope="module")
def run(home: Path, searched: Answer) -> Path:
    assert searched.code == 0, searched
    return home / "run"


@pytest.fixture(scope="module")
def front(run: Path) -> dict[str, Any]:
    """What `autokd front --json` prints."""
    answer = autokd("front", run, "--json")
    assert (answer.code, answer.err) == (0, "")
    found: dict[str, Any] = json.loads(answer.out)
    return found


def test_a_search_prints_the_teachers_score_before_its_progress_and_front(searched: Answer, home: Path) -> None:
    parts = [
        f"run folder: {home / 'run'}",
        "The task is digits: 1,797 rows",
        "Asking the teacher, LogisticRegression, about 360 images (there are no usable answers yet).",
        "The teacher is LogisticRegression. On validation it has accuracy 0.9",
        "Asking the teacher, LogisticRegression, about 359 images (there are no answers on test yet).",
        "trial  accuracy  parameters",
        "baseline hard: hypervolume ",
        f"report: {home / 'run' / 'report.html'}",
    ]
    places = [searched.out.find(part) for part in parts]
    assert -1 not in places, searched.out
    assert places == sorted(places), searched.out
    assert searched.err == ""


def test_piped_output_is_plain_lines(searched: Answer) -> None:
    assert "\x1b" not in searched.out
    assert "\r" not in searched.out


def test_a_run_folder_holds_what_it_should(run: Path) -> None:
    names = {"study.json", "record.db", "front.json", "report.html", "teacher", "task", "trials", "baselines"}
    assert names <= {path.name for path in run.iterdir()}
    assert not list(run.rglob("*.part")) + list(run.rglob("*.tmp"))


def test_the_same_command_again_answers_at_once_and_reads_no_test_split(home: Path, run: Path) -> None:
    before = (run / "test_reads.jsonl").read_text(), (run / "front.json").read_text()
    answer = autokd("search", home / "study.yaml", "--run", run)
    assert answer.code == 0
    assert "The teacher's answers are kept in " in answer.out
    assert ((run / "test_reads.jsonl").read_text(), (run / "front.json").read_text()) == before


def test_front_json_has_the_promised_shape(front: dict[str, Any]) -> None:
    assert {"study", "objectives", "trials", "epochs_spent", "front", "teacher", "baselines"} <= front.keys()
    assert front["study"] == "small"
    assert front["objectives"][1] == {"name": "parameters", "direction": "minimize", "unit": ""}
    assert {"complete", "pruned", "infeasible", "failed", "duplicate"} <= front["trials"].keys()
    assert front["trials"]["complete"] + front["trials"]["pruned"] == 6
    for member in front["front"]:
        assert {"trial", "arch", "recipe", "values", "test"} <= member.keys()
        assert member["values"].keys() == {"accuracy", "parameters", "flops"}
        assert member["test"].keys() == {"accuracy"}
    assert front["teacher"]["values"].keys() == front["teacher"]["test"].keys() == {"accuracy"}
    assert front["baselines"].keys() == {"hard"}
    assert front["baselines"]["hard"]["front"][0]["recipe"]["alpha"] == 0


def test_front_csv_has_a_line_for_each_member(run: Path, front: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(autokd("front", run, "--csv").out)))
    assert [int(row["trial"]) for row in rows] == [member["trial"] for member in front["front"]]
    assert [float(row["accuracy"]) for row in rows] == [member["values"]["accuracy"] for member in front["front"]]


def test_front_as_a_table_has_each_member_and_the_teacher(run: Path, front: dict[str, Any]) -> None:
    lines = autokd("front", run).out.splitlines()
    below = lines[next(i for i, line in enumerate(lines) if line.startswith("─")) + 1 :]
    rows = [line.split() for line in below[: len(front["front"]) + 2] if line]
    assert [row[0] for row in rows] == [*(str(member["trial"]) for member in front["front"]), "teacher"]


def test_pick_by_an_objective_takes_its_best_within_the_bounds(run: Path, front: dict[str, Any]) -> None:
    def picked(*words: str) -> int:
        answer = autokd("pick", run, "--json", *words)
        assert (answer.code, answer.err) == (0, "")
        return int(json.loads(answer.out)["trial"])

    members = front["front"]
    best = max(members, key=lambda member: member["values"]["accuracy"])
    smallest = min(members, key=lambda member: member["values"]["parameters"])
    assert picked("--by", "accuracy") == best["trial"]
    assert picked("--by", "parameters") == smallest["trial"]
    assert picked("--by", "accuracy", "--max", f"parameters={smallest['values']['parameters']}") == smallest["trial"]
    assert picked("--by", "parameters", "--min", f"accuracy={best['values']['accuracy']}") == best["trial"]
    assert picked("--weights", "accuracy=1") == best["trial"]
    assert picked("--weights", "parameters=1, flops=0") == smallest["trial"]
    everything = ["--min", "accuracy=0", "--max", "parameters=1e9", "--max", "flops=1e12"]
    assert picked(*everything) == picked("--by", "knee") == picked()


def test_pick_says_in_words_what_it_took_and_what_comes_next(run: Path, front: dict[str, Any]) -> None:
    trial = front["front"][0]["trial"]
    out = autokd("pick", run, "--by", "accuracy").out
    assert out.startswith(f"trial {trial}: accuracy ")
    assert f"autokd retrain {run} --trial {trial}" in out


def test_report_writes_one_file_that_names_the_study(run: Path) -> None:
    (run / "report.html").unlink()
    answer = autokd("report", run)
    assert (answer.code, answer.out, answer.err) == (0, f"{run / 'report.html'}\n", "")
    assert "small" in (run / "report.html").read_text()
    assert json.loads(autokd("report", run, "--json").out) == {"report": str(run / "report.html")}


@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_an_exported_graph_answers_as_the_student(
    run: Path, front: dict[str, Any], tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"student.{suffix}"
    answer = autokd("export", run, out, "--trial", str(front["front"][0]["trial"]))
    assert (answer.code, answer.err) == (0, "")
    assert "as trained in the search" in answer.out
    assert "largest difference from torch" in answer.out
    assert out.stat().st_size > 0


def test_an_exported_folder_gives_the_student_back(run: Path, front: dict[str, Any], tmp_path: Path) -> None:
    from autokd.checkpoints import checkpoint
    from autokd.distill import load_weights, predict
    from autokd.trial import build_student, load_context

    number = front["front"][0]["trial"]
    assert autokd("export", run, tmp_path / "student.safetensors", "--trial", str(number)).code == 0
    context, trial = load_context(str(run)), read_trials(run)[number]
    own = build_student(context, trial.arch or {}, seed=0)
    found = checkpoint(run, trial)
    assert found is not None
    load_weights(own, found)
    rows = context.task.splits["validation"]
    student = package.load_student(tmp_path)
    assert torch.equal(predict(student, context.task, rows), predict(own, context.task, rows))


def test_a_retrained_student_is_exported_in_place_of_the_searched_one(
    run: Path, front: dict[str, Any], tmp_path: Path
) -> None:
    number = str(front["front"][-1]["trial"])
    out = tmp_path / "searched.safetensors"
    assert autokd("export", run, out, "--trial", number).code == 0
    words = ["retrain", str(run), "--trial", number, "--seeds", "2", "--epochs", "3"]
    answer = autokd(*words)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].startswith("validation accuracy 0.")
    assert lines[1].startswith("test       accuracy 0.")
    assert all(" +- " in line and line.endswith("(2 seeds, 3 epochs)") for line in lines[:2])
    again = json.loads(autokd(*words, "--json").out)
    assert (again["trial"], again["seeds"], again["epochs"]) == (int(number), 2, 3)
    assert again["validation"]["accuracy"].keys() == again["test"]["accuracy"].keys() == {"mean", "spread"}
    assert lines[0].startswith(f"validation accuracy {again['validation']['accuracy']['mean']:.4f} ")
    assert (
        lines[-1] == f"The weights that are best on validation are in {again['weights']}. autokd export now takes them."
    )
    new = tmp_path / "new" / "student.safetensors"
    exported = json.loads(autokd("export", run, new, "--trial", number, "--json").out)
    assert exported.keys() == {"trial", "out", "message"}
    assert (exported["trial"], exported["out"]) == (int(number), str(new))
    assert f"trial {number} (retrained, seed-" in exported["message"]
    assert (tmp_path / "new" / "student.safetensors").read_bytes() != out.read_bytes()


def test_clean_frees_the_stopped_students_and_keeps_the_fronts(run: Path) -> None:
    answer = autokd("clean", run, "--yes")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith(" GB were freed.\n")
    members = {student.trial for student in load_front(run)}
    assert {int(path.name) for path in (run / "trials").iterdir()} == members


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), (" 2 h ", 7200), (".5m", None)])
def test_a_time_limit_is_seconds_minutes_or_hours(text: str, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(package.errors.InputError):
            read_seconds(text)
    else:
        assert read_seconds(text) == seconds
