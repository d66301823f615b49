from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd.errors import InputError
from autokd.study import (
    Study,
    changed_keys,
    dump,
    load_study,
    not_importable,
    override,
    resolve_space,
    write_starter,
)
from autokd.types import Recipe

GOOD = """\
name: digits
task: {data: digits, labels: 100}
teacher: {space: mlp, arch: {}, epochs: 3}
space: mlp
recipe:
  alpha: {low: 0, high: 1}
objectives:
  accuracy: {}
  parameters: {bound: 2.0e+4}
budget:
  trials: 60
  rungs: [3, 9, 27]
"""


class Space:
    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        return {"width": trial.suggest_int("width", 1, 4)}

    def build(self, arch: dict[str, Any], task: object) -> Any:
        return arch["width"]


SPACE = Space()
DIGITS = torch.zeros(2, 1, 8, 8)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(**changes: Any) -> Study:
    return Study(**{"name": "small", "task": "digits", "teacher": "teacher:made", "space": SPACE, **changes})


def read(text: str, overrides: list[str] | None = None) -> Study:
    Path("x.yaml").write_text(text)
    return load_study("x.yaml", overrides or [])


def refusal(act: Any, *args: Any, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        act(*args, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def draw(study: Study, trials: int, sampler: optuna.samplers.BaseSampler) -> list[tuple[Recipe, dict[str, Any]]]:
    search = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    drawn = []
    for number in range(trials):
        trial = search.ask()
        drawn.append((study.recipe.suggest(trial, epochs=27), trial.params))
        search.tell(trial, [number % 7, number % 5])
    return drawn


def test_defaults_stand_in_the_model() -> None:
    study = make()
    assert (study.sampler, study.scheduler, study.executor, study.workers) == ("autokd", "halving", "processes", 2)
    assert study.objectives == {"accuracy": {}, "parameters": {}}
    assert (study.budget.trials, study.budget.rungs, study.budget.epochs) == (60, (3, 9, 27), None)
    assert study.recipe.methods == ("kd", "dkd", "dist", "logit_std")


def test_numbers_are_read_as_people_write_them() -> None:
    study = read(GOOD.replace("alpha: {low: 0, high: 1}", "lr: {low: 1e-3, high: 3E-2, log: true}"))
    assert study.recipe.lr.low == 1e-3
    assert read(GOOD, ["recipe.weight_decay=1e-5"]).recipe.weight_decay == 1e-5
    assert dump(read(GOOD, ["teacher.arch.made=2024-01-01"]))["teacher"]["arch"] == {"made": "2024-01-01"}


def test_json_is_a_study_file_too() -> None:
    study = read(GOOD)
    assert read(json.dumps(dump(study))) == study


def test_overrides_reach_every_depth_and_create_what_is_missing() -> None:
    given = ["budget.trials=20", "recipe.alpha=0.9", "objectives.latency_ms.bound=2", "recipe.temperature.high=8"]
    study = read(GOOD, [*given, "task.augment.crop=3", "space=path.to:space"])
    assert (study.budget.trials, study.recipe.alpha, study.recipe.temperature.high) == (20, 0.9, 8)
    assert study.objectives["latency_ms"] == {"bound": 2}
    assert dump(study)["task"] == {"data": "digits", "labels": 100, "augment": {"crop": 3}}
    assert study.space == "path.to:space"


def test_a_dump_of_task_and_teacher_holds_what_was_given_and_no_default() -> None:
    task = {"data": "digits", "normalise": {"mean": [0.5], "std": [1.0]}, "augment": {"crop": 1}, "rows": None}
    teacher = [{"onnx": "a.onnx", "weight": 2.0}, "package:made", {"space": "mlp", "arch": {"depth": 1}, "epochs": 3}]
    plain = dump(make(task=task, teacher=teacher))
    assert (plain["task"], plain["teacher"]) == (task, teacher)
    assert dump(make(task={"table": "x.csv.gz"}, teacher=None, space=None, objectives={}))["task"] == {
        "table": "x.csv.gz"
    }
    assert dump(make(task="digits"))["task"] == "digits"


def test_what_was_an_object_can_be_read_again_from_a_dump() -> None:
    plain = dump(make(task=Digits(), teacher=[Digits(), "mlp"], executor="inline"))
    assert dump(Study.model_validate(plain)) == plain


def test_an_override_leaves_the_study_it_is_of_alone() -> None:
    study = make(task={"data": "digits"})
    assert override(study, {"task.data": "other", "seed": 3}).seed == 3
    assert dump(study)["task"] == {"data": "digits"}


def test_files_are_found_from_the_current_folder_or_else_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("here.py", "sub/here.py", "sub/beside.py", "sub/data.npz", "mlp"):
        (tmp_path / name).write_text("")
    text = GOOD.replace("data: digits", "data: data.npz").replace("space: mlp", "space: beside.py:Space", 1)
    (tmp_path / "sub" / "x.yaml").write_text(text)
    study = load_study("sub/x.yaml", ["scheduler=here.py"])
    assert dump(study)["task"]["data"] == f"{tmp_path}/sub/data.npz"
    assert dump(study)["teacher"]["space"] == f"{tmp_path}/sub/beside.py:Space"
    assert study.scheduler == f"{tmp_path}/here.py"
    assert study.space == "mlp"  # a name without a slash or a dot is never taken for a file


def test_a_dump_gives_the_study_back() -> None:
    study = make(recipe={"lr": [0.1, 0.2], "method": "kd"}, baselines=["hard"], sampler={"name": "tpe", "group": True})
    plain = json.loads(json.dumps(dump(study)))
    again = Study.model_validate(plain)
    assert plain["space"] == f"{__name__}:SPACE"
    assert resolve_space(again) is SPACE
    assert dump(again) == plain
    assert override(study, {"space": plain["space"]}) == again


def test_what_cannot_be_imported_is_named() -> None:
    study = make(space=Space(), teacher=[lambda: 0, "mlp"])
    assert not_importable(study) == ["teacher", "space"]
    assert dump(study)["space"] == {"object": f"{__name__}.Space"}
    assert not_importable(make()) == []


def test_changed_keys_leaves_out_what_may_change() -> None:
    study = make(task={"data": "digits"})
    free = {"budget.trials": 3, "budget.epochs": 99, "budget.disk_gb": 1, "budget.trial_minutes": 1}
    assert changed_keys(dump(study), dump(override(study, {**free, "workers": 1, "executor": "inline"}))) == []
    other = override(study, {"recipe.alpha.low": 0.5, "task.labels": 3, "objectives": {"error": {}, "flops": {}}})
    assert changed_keys(dump(study), dump(other)) == [
        "objectives.accuracy", "objectives.error", "objectives.flops", "objectives.parameters",
        "recipe.alpha.low", "task.labels",
    ]  # fmt: skip


def test_random_draws_reach_both_ends_of_alpha() -> None:
    drawn = draw(make(), 300, optuna.samplers.RandomSampler(seed=0))
    alphas = {recipe.alpha for recipe, _ in drawn}
    assert min(alphas) == 0
    assert max(alphas) == 1


def test_at_alpha_0_nothing_is_asked_of_the_teacher() -> None:
    for recipe, asked in draw(make(), 200, optuna.samplers.RandomSampler(seed=0)):
        assert next(iter(asked)) == "recipe.alpha"
        if recipe.alpha == 0:
            assert set(asked) == {"recipe.alpha", "recipe.lr"}
            assert (recipe.temperature, recipe.method) == (1.0, "kd")
        else:
            assert set(asked) == {"recipe.alpha", "recipe.temperature", "recipe.method", "recipe.lr"}


def test_fixed_settings_are_not_asked_for() -> None:
    fixed = {"alpha": 0.5, "temperature": 2, "method": "kd", "lr": 0.01}
    (recipe, asked), *_ = draw(make(recipe=fixed), 1, optuna.samplers.RandomSampler(seed=0))
    assert asked == {}
    assert recipe == Recipe(alpha=0.5, temperature=2.0, method="kd", lr=0.01, epochs=27)


@settings(deadline=None, max_examples=30)
@given(low=st.floats(0.001, 1), width=st.floats(0.01, 10), log=st.booleans(), seed=st.integers(0, 99))
def test_draws_stay_within_their_range(low: float, width: float, log: bool, seed: int) -> None:
    lr = {"low": low, "high": low + width, "log": log}
    study = make(recipe={"lr": lr, "batch_size": {"low": 2, "high": 10, "step": 4}, "weight_decay": [0.0, low]})
    for recipe, _ in draw(study, 3, optuna.samplers.RandomSampler(seed=seed)):
        assert low <= recipe.lr <= low + width
        assert recipe.batch_size in (2, 6, 10)
        assert recipe.weight_decay in (0.0, low)


def test_a_baseline_survives_the_dump() -> None:
    study = make(baselines={"sequential": {"seed": 3}}, space="mlp")
    assert Study.model_validate(dump(study)) == study


def test_the_starter_is_a_study_with_a_space() -> None:
    paths = write_starter(Path("new"))
    assert [path.name for path in paths] == ["study.yaml", "space.py"]
    study = load_study("new/study.yaml")
    space = resolve_space(study)
    for _ in range(20):
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=_)).ask()
        network = space.build(space.suggest(trial), Digits())  # type: ignore[arg-type]
        assert network(DIGITS).shape == (2, 10)
    assert space.build(dump(study)["teacher"]["arch"], Digits())(DIGITS).shape == (2, 10)  # type: ignore[arg-type]


class Digits:
    input_shape = (1, 8, 8)
    num_outputs = 10


def test_the_starter_overwrites_nothing() -> None:
    Path("space.py").write_text("mine")
    assert refusal(write_starter, Path()) == "space.py already exists; name another folder, or move it away"
    assert not Path("study.yaml").exists()
    assert Path("space.py").read_text() == "mine"


def test_the_schema_holds_the_keys_of_the_starter() -> None:
    whole = Study.model_json_schema()
    write_starter(Path())
    written = yaml.safe_load(Path("study.yaml").read_text())
    assert set(whole["required"]) <= set(written) <= set(whole["properties"])
    assert whole["additionalProperties"] is False
    assert all(entry.get("description") for entry in whole["properties"].values())
    for name in references(whole):
        assert name.removeprefix("#/$defs/") in whole["$defs"]
    json.dumps(whole)


def references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for each in schema for name in references(each)]
    if not isinstance(schema, dict):
        return []
    here = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return here + [name for each in schema.values() for name in references(each)]


def test_studies_are_read_without_torch_or_optuna() -> None:
    Path("x.yaml").write_text(GOOD)
    code = (
        "import sys; from autokd.study import Study, load_study; load_study('x.yaml'); Study.model_json_schema();"
        "print({'torch', 'optuna', 'sklearn', 'numpy'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
