"""Searches on tables, from a file to a student that answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from command_line import autokd
from people import people

import autokd as library
from autokd.record import read_trials
from autokd.study import Study
from autokd.tasks import TableTask, from_frame, load_task

DROP = ["rich", "hours", "tired", "old", "patient", "day"]
BUDGET = {"trials": 4, "rungs": [1, 2], "reseeds": 1}


def study_of(target: str, data: str, teacher: Any, **task: Any) -> dict[str, Any]:
    drop = [name for name in DROP if name != target and name not in task.values()]
    quality = "r2" if target == "hours" else "accuracy"
    return {
        "name": "people",
        "task": {"data": data, "target": target, "drop": drop, **task},
        "teacher": {"sklearn": f"sklearn.ensemble:{teacher}", "args": {"max_iter": 20}},
        "space": "mlp",
        "objectives": {quality: {}, "parameters": {}},
        "budget": BUDGET,
        "sampler": "random",
        "executor": "inline",
        "workers": 1,
    }


def students(run: Path) -> list[tuple[Any, ...]]:
    return [(t.arch, t.recipe, t.costs, t.rungs, t.state) for t in read_trials(run)]


@pytest.mark.parametrize(
    ("target", "teacher"),
    [("rich", "HistGradientBoostingClassifier"), ("hours", "HistGradientBoostingRegressor")],
    ids=["classes", "values"],
)
@pytest.mark.slow
def test_a_table_is_searched_inline_and_in_processes_with_the_same_numbers(
    tmp_path: Path, target: str, teacher: str
) -> None:
    people().to_csv(tmp_path / "people.csv.gz", index=False)
    study = study_of(target, str(tmp_path / "people.csv.gz"), teacher, group="patient")
    inline, elsewhere = (
        library.search_study(
            Study.model_validate({**study, "scheduler": "none", "executor": executor}), run=tmp_path / executor
        )
        for executor in ("inline", "processes")
    )
    assert len(students(tmp_path / "inline")) == BUDGET["trials"]
    assert students(tmp_path / "inline") == students(tmp_path / "processes")
    assert list(inline) == list(elsewhere)
    kept = load_task(tmp_path / "inline" / "task")
    assert isinstance(kept, TableTask)
    pandas.testing.assert_frame_equal(
        kept.raw(torch.arange(240))[["town", "patient"]],
        pandas.read_csv(tmp_path / "people.csv.gz")[["town", "patient"]],
    )


def test_a_frame_is_searched_from_python_and_its_student_answers_raw_rows(tmp_path: Path) -> None:
    frame = people()
    task = from_frame(frame, target="rich", drop=[name for name in DROP if name != "rich"], name="people")
    study = Study.model_validate({**study_of("rich", "", "HistGradientBoostingClassifier"), "task": task})
    front = library.search_study(study, run=tmp_path / "run")
    network = front[0].load()
    rows = torch.arange(5)
    with torch.no_grad():
        expected = network(task.inputs(rows))
        given = network(task.reading.batch(frame.iloc[:5]))
    assert torch.equal(given, expected)


@pytest.mark.slow
def test_the_command_line_searches_a_table_and_retrains_with_the_rows_that_a_search_left_out(tmp_path: Path) -> None:
    import yaml

    people().to_parquet(tmp_path / "people.parquet")
    study = study_of("rich", str(tmp_path / "people.parquet"), "HistGradientBoostingClassifier", rows=90, labels=60)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    answer = autokd("search", tmp_path / "study.yaml", "--run", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert (
        "Columns: 1 of numbers (age); 2 of categories with so many values: town (3) and works (2)."
        in answer.err + answer.out
    )
    trial = library.load_front(tmp_path / "run")[0].trial
    retrained = autokd("retrain", tmp_path / "run", "--trial", str(trial), "--seeds", "1")
    assert retrained.code == 0, retrained.err


def test_a_worker_trains_on_a_table_without_pandas_and_scikit_learn(tmp_path: Path) -> None:
    from autokd.tasks import save_task

    save_task(from_frame(people(), target="rich", drop=[name for name in DROP if name != "rich"]), tmp_path / "task")
    program = f"""
import sys, torch
from autokd.tasks import load_task
task = load_task({str(tmp_path / "task")!r})
task.hard_loss(torch.zeros(4, task.num_outputs), task.targets(torch.arange(4)))
task.inputs(torch.arange(4)), task.columns
print([name for name in ("pandas", "pyarrow", "sklearn") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
