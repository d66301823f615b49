"""Bad study files and overrides end with exit code 2 and one line that says why, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import LEFT_OUT, refused, refused_search, write_study

TEXTS = [
    ("", "study.yaml: the file is empty; 'autokd init DIR' writes a study to start from"),
    ("- a\n- b\n", "this is no study, because the file holds ['a', 'b']; write 'name: ...'"),
    ("name: [a\n", "study.yaml:2: not YAML"),
    ("name: a\nname: b\n", "study.yaml:2: name: this key is given twice, first in line 1"),
    ("name: !!python/object/apply:os.system [touch MARK]\n", "not YAML: could not determine a constructor"),
    ("name: small\n", "task: this key is missing; write {data: digits, labels: 100}"),
]


@pytest.mark.parametrize(("text", "words"), TEXTS)
def test_a_file_that_is_no_study_is_refused(
    tmp_path: Path, text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(text)
    assert words in refused("search", "study.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_a_missing_file_is_refused_with_how_to_get_one(tmp_path: Path) -> None:
    assert "there is no such file; 'autokd init DIR' writes" in refused("search", tmp_path / "study.yaml")


def test_a_folder_is_no_study_file(tmp_path: Path) -> None:
    assert f"{tmp_path} is a folder; name the study file in it" in refused("search", tmp_path)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes("name: Grün\n".encode("latin-1"))
    assert "is not text in UTF-8" in refused("search", tmp_path / "study.yaml")


CHANGES: list[tuple[dict[str, Any], str]] = [
    # of the wrong type, misspelt, missing
    ({"budget.trials": "many"}, "study.yaml:16: budget.trials: 'many' given; it should be a whole number"),
    ({"budget": 60}, "study.yaml:15: budget: 60 given; it should be a mapping {key: value}"),
    ({"budget.trails": 3}, "budget.trails: there is no such key; did you mean 'trials'?"),
    ({"task.lables": 60}, "study.yaml:7: task.lables: there is no such key; did you mean 'labels'?"),
    ({"teacher.agrs": {}}, "teacher.agrs: there is no such key"),
    ({"space": LEFT_OUT}, "space: this key is missing; write a plug-in's name"),
    ({"name": "a/b"}, "name: 'a/b' given; write letters, digits, '.', '_' and '-', as a folder gets this name"),
    ({"name": ".."}, "name: '..' given"),
    ({"seed": -1}, "seed: -1 given; it should be greater than or equal to 0"),
    ({"workers": 0}, "workers: 0 given; it should be greater than or equal to 1"),
    ({"executor": "threads"}, "executor: 'threads' given; it should be 'inline', 'processes' or 'ray'"),
    # parts that there are not
    ({"space": "resnt"}, "no search space is named 'resnt': it is not a plug-in (known: hf, mlp,"),
    ({"objectives": {"accuracy": {}, "latency": {}}}, "did you mean 'latency_ms'?"),
    ({"objectives": {"accuracy": {}, "flops": {"devices": 1}}}, "objectives.flops.devices: there is no such setting"),
    ({"sampler": "tpee"}, "sampler: no sampler is named 'tpee'"),
    ({"sampler": "CmaEsSampler"}, "CmaEsSampler cannot drive a search, because it knows one objective only"),
    ({"sampler": {"name": "tpe", "startup": 3}}, "sampler.startup: TPESampler has no such setting"),
    ({"scheduler": "halvin"}, "did you mean 'halving'?"),
    ({"baselines": ["hart"]}, "no baseline is named 'hart' (known: hard, default, sequential)"),
    ({"baselines": {"hard": {"budget.trails": 2}}}, "baselines.hard"),
    # objectives
    ({"objectives": {"accuracy": {}}}, "objectives: accuracy given; name two or more"),
    ({"objectives": {"parameters": {}, "flops": {}}}, "parameters, flops are known without training"),
    (
        {"objectives.parameters": {"bound": "small"}},
        "objectives.parameters: bound 'small' given; it should be a number",
    ),
    ({"objectives.parameters": {"bound": 10}}, "parameters bound 10, the nearest has 310; loosen the bounds"),
    # recipe
    ({"recipe": {"method": "kdd"}}, "no loss is named 'kdd': it is not a plug-in (known: dist, dkd, kd, logit_std)"),
    ({"recipe": {"temperature": 0}}, "recipe.temperature: 0 given; it should be above 0"),
    ({"recipe": {"alpha": 2}}, "recipe.alpha: 2 given; it should be between 0 (labels only) and 1 (teacher only)"),
    ({"recipe": {"batch_size": 1}}, "recipe.batch_size: 1 given; it should be 2 or more, because BatchNorm cannot"),
    ({"recipe": {"lr": {"low": 0.1, "high": 0.01}}}, "low 0.1 is not below high 0.01"),
    ({"recipe": {"lr": float("nan")}}, "recipe.lr: nan given"),
    # budget
    ({"budget.rungs": [3, 3]}, "budget.rungs: [3, 3] given; write rising epochs of 1 or more"),
    ({"budget.rungs": []}, "budget.rungs: [] given"),
    ({"budget.epochs": 1}, "epochs: 1 is too few to train one student, which takes 2;"),
    ({"budget.disk_gb": 0}, "budget.disk_gb: 0 given; it should be greater than 0"),
]


@pytest.mark.parametrize(("changes", "words"), CHANGES, ids=[" ".join(c[0]) for c in CHANGES])
def test_a_study_that_cannot_be_searched_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert words in refused_search(tmp_path, changes)


WORDS = [
    (["budget.trials"], "override 'budget.trials': write key=value, such as budget.trials=20"),
    (["budget.trails=3"], "override budget.trails=3: budget.trails: there is no such key; did you mean 'trials'?"),
    (["budget.trials=[3"], "override 'budget.trials=[3': not YAML"),
    (["name.first=x"], "'name' is 'small', which has no 'first'; override 'name' itself"),
    (["seed=1.5"], "override seed=1.5: seed: 1.5 given; it should be a whole number"),
    (["--time-limit", "soon"], "time limit 'soon': write a length of time such as 90s, 10m or 2h"),
    (["--time-limit", "0"], "time limit '0'"),
    (["--executor", "threads"], "executor: 'threads' given; it should be 'inline', 'processes' or 'ray'"),
    (["--workers", "0"], "Invalid value for '--workers'"),
    (["--workers", "two"], "Invalid value for '--workers'"),
    (["--frsh"], "No such option: --frsh"),
]


@pytest.mark.parametrize(("words", "said"), WORDS, ids=[" ".join(words) for words, _ in WORDS])
def test_an_override_or_option_that_will_not_do_is_refused(tmp_path: Path, words: list[str], said: str) -> None:
    assert said in refused_search(tmp_path, None, *words)


SMALL_OR_FAST = """
from torch import nn

def suggest(trial):
    return {"conv": trial.suggest_categorical("conv", [False, True])}

def build(arch, task):
    conv = [nn.Conv2d(1, 5, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 10)]
    return nn.Sequential(*conv if arch["conv"] else [nn.Flatten(), nn.Linear(64, 10)])
"""
"""110 parameters and many FLOPs, or 650 parameters and few."""


def test_bounds_that_no_student_meets_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(SMALL_OR_FAST)
    objectives = {"accuracy": {}, "parameters": {"bound": 500}, "flops": {"bound": 1500}}
    said = refused_search(tmp_path, {"space": "space.py", "objectives": objectives})
    assert "none of 2 different architectures tried is within the bounds" in said
    assert "parameters bound 500, the nearest has 110, flops bound 1500, the nearest has 1280" in said


def test_a_bound_that_shows_only_after_training_gives_no_front(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"objectives.accuracy": {"bound": 0.9999}})
    said = refused("search", study, "--run", tmp_path / "run", code=1)
    assert "accuracy misses its bound by" in said
