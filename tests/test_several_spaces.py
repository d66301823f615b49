"""One study of several search spaces: each student is of one of them, and is known by it everywhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from command_line import autokd, refused_search, write_study
from linear_space import build_linear
from small import SPACE, small_study, write_space
from torch import nn

import autokd as library
from autokd.choices import suggest_arch
from autokd.driver import export_trial, retrain, search_study
from autokd.driver.students import load_trial
from autokd.errors import InfeasibleError, InputError
from autokd.record import read_trials
from autokd.registry import resolve, source_digest, sources_of
from autokd.study import builder_of, dump
from autokd.testing import TinyTask, check_space
from autokd.trial import load_context
from search_spaces import mlp

TWO = ["mlp(width=(4, 8), depth=1)", "resnet(stages=2, width=(4, 8), blocks=1)"]


def student(trial: optuna.Trial, task: Any) -> nn.Module:
    """A search space that is one function."""
    width = trial.suggest_int("width", 2, 5)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, task.num_outputs))


def asked(space: Any, count: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(count)]
    return [(suggest_arch(space, trial, TinyTask()), trial.params) for trial in trials]


def test_each_student_is_of_one_space_and_its_choices_bear_its_name() -> None:
    for arch, params in asked(resolve("search_spaces", TWO), 12):
        name = arch["space"]
        assert params.pop("space") == name
        assert all(each.startswith(f"{name}.") for each in params)
        assert isinstance(resolve("search_spaces", TWO).build(arch, TinyTask()), nn.Module)


def test_a_space_picks_as_it_would_alone() -> None:
    alone = resolve("search_spaces", "mlp")
    for arch, params in asked(resolve("search_spaces", ["mlp", "resnet"]), 12):
        if arch.pop("space") == "mlp":
            own = {name.removeprefix("mlp."): value for name, value in params.items() if name != "space"}
            fixed: Any = optuna.trial.FixedTrial(own)
            assert suggest_arch(alone, fixed, TinyTask()) == arch


def test_names_are_short_and_those_of_the_first_spaces_stay_when_another_comes(tmp_path: Path) -> None:
    file = write_space(tmp_path, widths=[4])
    named = [mlp, "mlp(width=4)", "search_spaces.mlp", file, f"{file}:build", SimpleNamespace(**vars(mlp))]
    for count in range(1, len(named)):
        space = [*named[:4], named[5]][:count]
        found = [*resolve("search_spaces", space).members]
        assert found == ["mlp", "mlp_2", "mlp_3", "space", "SimpleNamespace"][:count]


def test_no_name_is_that_of_another_part_of_a_trial(tmp_path: Path) -> None:
    file = tmp_path / "recipe.py"
    file.write_text(SPACE.format(widths=[4], build="pass"))
    assert [*resolve("search_spaces", [str(file)]).members] == ["recipe_2"]


def test_a_function_may_be_one_of_several_spaces() -> None:
    space = resolve("search_spaces", ["mlp", student])
    archs = [arch for arch, _ in asked(space, 12) if arch["space"] == "student"]
    assert archs
    for arch in archs:
        assert arch == {"space": "student", "width": arch["width"]}
        assert space.build(arch, TinyTask())[1].out_features == arch["width"]


def test_several_sound_spaces_are_a_sound_space() -> None:
    assert check_space(TWO, TinyTask(), samples=6) == []


def test_the_builder_of_an_architecture_is_its_own_space() -> None:
    space = resolve("search_spaces", TWO)
    for arch, _ in asked(space, 6):
        builder, named, own = builder_of(space, arch)
        assert named == TWO[["mlp", "resnet"].index(arch["space"])]
        assert {"space": arch["space"], **own} == arch
        torch.manual_seed(0)
        one = builder.build(own, TinyTask())
        torch.manual_seed(0)
        other = space.build(arch, TinyTask())
        for weight, same in zip(one.parameters(), other.parameters(), strict=True):
            assert weight.equal(same)
    with pytest.raises(InfeasibleError, match="give it a key 'space' with one of mlp, resnet"):
        builder_of(space, {"widths": [4]})


def test_the_digest_covers_each_space_and_its_settings(tmp_path: Path) -> None:
    file = write_space(tmp_path, widths=[4])
    one, other = (resolve("search_spaces", [file, f"mlp(depth={depth})"]) for depth in (1, 2))
    assert source_digest(one) != source_digest(other)
    assert sources_of(one) != sources_of(other)
    before = sources_of(one)
    assert "space.py of space" in before
    Path(file).write_text(Path(file).read_text() + "\n")
    assert sources_of(resolve("search_spaces", [file, "mlp(depth=1)"])) != before


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of two spaces, one of which is in a file."""
    home = tmp_path_factory.mktemp("several")
    file = write_space(home, widths=[3, 4, 5, 6])
    study = small_study(space=["mlp(width=(4, 8), depth=1)", file], sampler="random", seed=3)
    search_study(study, run=home / "run")
    return home / "run"


def of(run: Path, name: str) -> int:
    """The number of a finished student of a space."""
    finished = [each for each in read_trials(run) if each.state == "complete" and each.arch]
    return next(each.number for each in finished if (each.arch or {})["space"] == name)


def test_a_search_has_students_of_each_space(run: Path) -> None:
    assert {(trial.arch or {})["space"] for trial in read_trials(run)} == {"mlp", "space"}
    answer = autokd("front", run)
    assert answer.code == 0
    assert "space" in answer.out


def test_an_exported_student_names_its_own_space(run: Path, tmp_path: Path) -> None:
    file = run.parent / "space.py"
    export_trial(run, of(run, "mlp"), tmp_path / "mlp" / "student.safetensors", space=file)
    loaded = library.load_student(tmp_path / "mlp")  # without the study, and without the file of the other space
    assert '"space": "mlp(width=(4, 8), depth=1)"' in (tmp_path / "mlp" / "config.json").read_text()
    context = load_context(run)
    student = load_trial(run, of(run, "mlp"), space=file)
    inputs = context.task.inputs(torch.arange(9))
    assert loaded(inputs).equal(student(inputs))
    export_trial(run, of(run, "space"), tmp_path / "own" / "student.safetensors", space=file)
    with pytest.raises(InputError, match="imports no code that only a folder names"):
        library.load_student(tmp_path / "own")
    assert library.load_student(tmp_path / "own", space=file)(inputs).shape == (9, 10)


def test_code_that_only_the_run_names_is_not_imported(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="AutoKD does not import code because a run folder names it"):
        export_trial(run, of(run, "mlp"), tmp_path / "student.safetensors")
    with pytest.raises(InputError, match="AutoKD does not import code"):
        export_trial(run, of(run, "mlp"), tmp_path / "student.safetensors", study=small_study(space=["mlp"]))


def test_a_student_is_retrained_in_its_own_space(run: Path) -> None:
    found = retrain(run, of(run, "space"), seeds=1, workers=1, space=run.parent / "space.py")
    assert found["validation"].keys() == {"accuracy"}


def test_one_file_cannot_stand_for_two_spaces_of_the_user(tmp_path: Path) -> None:
    file = write_space(tmp_path, widths=[3, 4])
    (tmp_path / "other.py").write_text(Path(file).read_text().replace("[3, 4]", "[5, 6]"))
    study = small_study(space=[file, str(tmp_path / "other.py")], **{"budget.trials": 1, "budget.rungs": [1]})
    search_study(study, run=tmp_path / "run")
    with pytest.raises(InputError, match=r"several spaces, of which 2 are no installed plug-ins.*give the study file"):
        export_trial(tmp_path / "run", 0, tmp_path / "out.safetensors", space=file)
    export_trial(tmp_path / "run", 0, tmp_path / "out.safetensors", study=study)


def test_objects_are_written_down_as_references() -> None:
    assert dump(small_study(space=[mlp, "resnet"]))["space"] == ["search_spaces.mlp", "resnet"]


@pytest.mark.slow
def test_a_baseline_in_stages_searches_architectures_of_all_spaces(tmp_path: Path) -> None:
    budget = {"budget.trials": 3, "budget.rungs": [1], "budget.reseeds": 0}
    study = small_study(space=TWO, baselines=["sequential"], sampler="random", **budget)
    search_study(study, run=tmp_path / "run")
    stages = [each for each in sorted((tmp_path / "run" / "baselines").iterdir()) if (each / "record.db").exists()]
    assert len(stages) == 2
    for stage in stages:
        assert all(trial.arch is None or trial.arch["space"] in ("mlp", "resnet") for trial in read_trials(stage))


def test_a_search_goes_on_with_one_more_space_and_with_more_choices_in_one(tmp_path: Path) -> None:
    file = tmp_path / "space.py"
    narrow = """
def suggest(trial):
    return {"width": 4, "depth": trial.suggest_int("depth", 1, 2)}
"""
    file.write_text(SPACE.format(widths=[4], build="pass").split("def suggest")[0] + narrow + _build())
    study = write_study(tmp_path, {"space": ["mlp(depth=1)", str(file)], "recipe": {"alpha": 0.9}, "sampler": "random"})
    assert autokd("search", study, "--run", tmp_path / "run").code == 0
    file.write_text(file.read_text().replace('"width": 4', '"width": trial.suggest_categorical("width", [4, 8])'))
    wider = write_study(tmp_path, {"space": ["mlp(depth=1)", str(file), "resnet"], "recipe": {"alpha": 0.9}})
    changes = ("sampler=random", "budget.trials=8", "--widen", "--run", tmp_path / "run")
    answer = autokd("search", wider, *changes)
    assert answer.code == 0, answer
    assert len(read_trials(tmp_path / "run")) == 8


def _build() -> str:
    return """

def build(arch, task):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, arch["width"]), nn.ReLU(), nn.Linear(arch["width"], 10))
"""


@pytest.mark.slow  # it starts processes
def test_students_are_the_same_in_processes(tmp_path: Path) -> None:
    file = write_space(tmp_path, widths=[3, 4])
    changes: dict[str, Any] = {"sampler": "random", "budget.trials": 3, "budget.rungs": [2], "budget.reseeds": 0}
    values = []
    for executor in ("inline", "processes"):
        study = small_study(space=["mlp(depth=1)", file], executor=executor, **changes)
        search_study(study, run=tmp_path / executor)
        values.append({canon(trial): trial.values for trial in read_trials(tmp_path / executor)})
    assert values[0] == values[1]


def canon(trial: Any) -> str:
    return str(sorted((trial.arch or {}).items()))


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ([], "space: [] given; write"),
        (["mlp", "mlp"], "search space 'mlp' is in the list twice; name each space once"),
        (["mlp", {"space": "resnet", "archs": [{}]}], "given; write"),
        (["mlp", 3], "space: ['mlp', 3] given; write"),
        (["mlp", ["resnet"]], "space: ['mlp', ['resnet']] given; write"),
        (["mlp", "resnt"], "no search space is named 'resnt'"),
        (["mlp", "text"], "space 'text': none of 64 random architectures can be built for this task"),
        ({"space": ["mlp", "resnet"], "archs": [{"widths": [4]}]}, "give it a key 'space' with one of mlp, resnet"),
    ],
    ids=["none", "twice", "architectures", "a number", "a list in it", "unknown", "for other rows", "of no space"],
)
def test_lists_that_cannot_be_searched_are_refused(space: Any, words: str, tmp_path: Path) -> None:
    assert words in refused_search(tmp_path, {"space": space})


def test_an_architecture_may_not_hold_the_name_of_the_space_itself() -> None:
    space = SimpleNamespace(suggest=lambda trial: {"space": 3}, build=build_linear)
    with pytest.raises(InputError, match="returned an architecture with the key 'space'"):
        asked(resolve("search_spaces", [space]), 1)


def test_what_each_space_lets_students_inherit_is_checked() -> None:
    def inherit(arch: Any, teacher_arch: Any, teacher_weights: Any) -> Any:
        return {name: tensor[:0] for name, tensor in teacher_weights.items()}

    wrong = SimpleNamespace(suggest=lambda trial: {}, build=build_linear, inherit=inherit)
    findings = check_space(["mlp(depth=1, width=(4, 8))", wrong], TinyTask(), samples=8)
    assert len(findings) == 1
    assert findings[0].startswith("inherit gives what does not fit")


def test_a_study_of_several_spaces_is_checked_with_its_teacher(tmp_path: Path) -> None:
    teacher = {"space": "mlp", "arch": {"widths": [8], "batch_norm": False, "activation": "relu"}, "epochs": 1}
    space = ["resnet(stages=2, width=(4, 8), blocks=1)", "mlp(depth=1, width=8, activation='relu', batch_norm=False)"]
    study = write_study(tmp_path, {"space": space, "teacher": teacher, "recipe": {"start": ["scratch", "teacher"]}})
    answer = autokd("check", study)
    assert answer.code == 0, answer
    assert "of the teacher's own architecture answers as the teacher does, bit for bit" in answer.out
