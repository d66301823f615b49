"""The run folder in tests/data/run_v0 was written before `study.json` had a format. It is still read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import autokd, refused
from conftest import ROOT
from small import small_study

from autokd.driver import export_trial, load_front, retrain, search_study
from autokd.errors import InputError
from autokd.record import counts, read_trials
from autokd.types import Recipe

OLD = ROOT / "tests" / "data" / "run_v0"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(OLD, tmp_path / "run")


def test_a_run_of_before_there_were_formats_still_has_its_front(run: Path) -> None:
    assert "format" not in json.loads((run / "study.json").read_text())
    front = load_front(run)
    told, stored = front.to_dict(), json.loads((run / "front.json").read_text())
    students, known = told.pop("front"), stored.pop("front")
    assert {key: told[key] for key in stored} == stored
    assert [{key: new[key] for key in old} for new, old in zip(students, known, strict=True)] == known
    assert front.trials["pruned"] == 5


def test_a_front_of_it_can_be_made_anew_from_its_record(run: Path) -> None:
    (run / "front.json").unlink()
    front = load_front(run)
    assert not front.final
    assert front.trials == counts(read_trials(OLD))


def test_a_student_of_it_can_be_picked_and_exported(run: Path, tmp_path: Path) -> None:
    student = load_front(run).pick()
    assert f"trial {student.trial}" in export_trial(run, student.trial, tmp_path / "student.safetensors")


def test_its_report_can_be_written(run: Path) -> None:
    answer = autokd("report", run)
    assert answer.code == 0, answer
    assert (run / "report.html").is_file()


def test_going_on_in_it_is_refused_by_its_version_as_its_teacher_is_fitted_otherwise_now(run: Path) -> None:
    study = small_study(name="v0", **{"budget.trials": 9})
    with pytest.raises(
        InputError, match=r"the teacher changed; .*its study.json is of format 0, now it is 1"
    ) as refusal:
        search_study(study, run=run)
    assert "\n" not in str(refusal.value)
    assert (run / "study.json").read_bytes() == (OLD / "study.json").read_bytes()


@pytest.mark.slow
def test_a_student_of_it_can_be_retrained(run: Path) -> None:
    student = load_front(run).pick()
    summary = retrain(run, student.trial, seeds=1)
    assert summary["epochs"] == Recipe(**student.recipe).epochs


@pytest.mark.parametrize("words", [["front"], ["pick"], ["report"], ["clean", "--yes"], ["retrain", "--trial", "2"]])
def test_every_command_refuses_a_run_of_a_later_version_by_its_version(run: Path, words: list[str]) -> None:
    data = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps(data | {"format": 99}))
    command, *options = words
    assert "study.json is of format 99, and AutoKD" in refused(command, run, *options)
