"""Searches whose students begin with weights from elsewhere keep the laws of all searches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small import small_run, small_study, write_space

from autokd.driver import export_trial, retrain, search_study
from autokd.errors import InputError
from autokd.front import Front
from autokd.record import read_trials
from autokd.study import baseline_study, override, read_setup
from autokd.trial import Stretch, begin, build_student, context_of, run_stretch, start_training, training_seed
from autokd.types import Recipe, settings_of

ARCH = {"widths": [16, 16], "activation": "relu", "batch_norm": True}
TEACHER = {"space": "mlp", "arch": ARCH, "epochs": 6, "lr": 0.02}
SPACE = "mlp(width=(4, 16), depth=(1, 2), batch_norm=True, activation='relu')"
STARTS: dict[str, Any] = {"teacher": TEACHER, "space": SPACE, "recipe.start": ["scratch", "teacher"]}


def students(run: Path) -> list[tuple[Any, ...]]:
    return [(t.arch, t.recipe, t.costs, t.rungs, t.state, t.start) for t in read_trials(run)]


def search(run: Path, **changes: Any) -> Front:
    return search_study(small_study(**{**STARTS, "sampler": "random", "scheduler": "none", **changes}), run=run)


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Front]:
    """A search in this process, of which each trial trains to the end."""
    folder = tmp_path_factory.mktemp("inline") / "run"
    return folder, search(folder)


def test_a_start_from_scratch_is_left_out_of_a_recipe_so_that_seeds_stay() -> None:
    assert "start" not in settings_of(Recipe())
    assert Recipe(**settings_of(Recipe(start="teacher"))).start == "teacher"


def test_only_students_that_begin_from_somewhere_have_a_start(inline: tuple[Path, Front]) -> None:
    trials = read_trials(inline[0])
    assert {trial.recipe.get("start", "scratch") for trial in trials} == {"scratch", "teacher"}
    assert all(bool(trial.start) == ("start" in trial.recipe) for trial in trials)
    assert all(("start" in student.to_dict()) == ("start" in student.recipe) for student in inline[1])


def test_the_run_keeps_the_teachers_layers_and_their_digest(inline: tuple[Path, Front]) -> None:
    setup = read_setup(inline[0])
    assert dict(setup.origins) == {"teacher": "starts/teacher.safetensors"}
    kept = load_file(inline[0] / "starts" / "teacher.safetensors")
    own = load_file(inline[0] / "teacher" / "teacher.safetensors")
    assert all(torch.equal(kept[name], own[name]) for name in own)
    assert context_of(inline[0], setup).origin("teacher").digest == setup.digests.origins["teacher"]


def stretch(trial: Any, start: int, stop: int, folder: Path, source: str = "", study_seed: int = 0) -> Stretch:
    recipe = Recipe(**trial.recipe)
    seed = training_seed(trial.arch, recipe, study_seed)
    return Stretch(trial.number, trial.arch, recipe, seed, start, stop, source, str(folder))


def test_resumed_training_is_uninterrupted_training(inline: tuple[Path, Front], tmp_path: Path) -> None:
    context = context_of(inline[0], read_setup(inline[0]))
    trial = next(trial for trial in read_trials(inline[0]) if trial.start)
    first = run_stretch(context, stretch(trial, 0, 2, tmp_path / "1"))
    second = run_stretch(context, stretch(trial, 2, 4, tmp_path / "2", source=str(tmp_path / "1")))
    whole = run_stretch(context, stretch(trial, 0, 4, tmp_path / "whole"))
    assert second["values"] == whole["values"] == trial.rungs[4]
    assert first["start"] == whole["start"] == trial.start
    assert "start" not in second


def test_a_lost_checkpoint_makes_the_student_begin_from_the_same_weights(
    inline: tuple[Path, Front], tmp_path: Path
) -> None:
    context = context_of(inline[0], read_setup(inline[0]))
    trial = next(trial for trial in read_trials(inline[0]) if trial.start)
    again = run_stretch(context, stretch(trial, 2, 4, tmp_path / "2", source=str(tmp_path / "gone")))
    assert (again["values"], again["start"]) == (trial.rungs[4], trial.start)


@pytest.mark.slow
def test_every_number_is_the_same_in_worker_processes(inline: tuple[Path, Front], tmp_path: Path) -> None:
    elsewhere = search(tmp_path / "run", executor="processes", workers=2)
    assert students(tmp_path / "run") == students(inline[0])
    assert list(elsewhere) == list(inline[1])


@pytest.mark.slow
def test_every_number_is_the_same_on_ray(inline: tuple[Path, Front], tmp_path: Path, ray_here: None) -> None:
    elsewhere = search(tmp_path / "run", executor="ray", workers=1)
    assert students(tmp_path / "run") == students(inline[0])
    assert list(elsewhere) == list(inline[1])


def test_fresh_seeds_draw_what_is_new_and_share_what_is_taken(inline: tuple[Path, Front]) -> None:
    context = context_of(inline[0], read_setup(inline[0]))
    deeper = {"widths": [16, 16, 32], "activation": "relu", "batch_norm": True}
    recipe = Recipe(start="teacher", epochs=4)
    seeds = [training_seed(deeper, recipe, 0, repeat) for repeat in (1, 2)]
    begun = [
        start_training(context, Stretch(0, deeper, recipe, seed, 0, 4, "", ""))[0].student.state_dict()
        for seed in seeds
    ]
    same = {name for name in begun[0] if torch.equal(begun[0][name], begun[1][name])}
    assert {"blocks.0.linear.weight", "blocks.1.linear.weight"} <= same
    assert "blocks.2.linear.weight" not in same


def test_the_largest_student_of_the_teachers_architecture_is_the_teacher(inline: tuple[Path, Front]) -> None:
    context = context_of(inline[0], read_setup(inline[0]))
    student = build_student(context, {**ARCH, "side": 56}, seed=5)
    taken = begin(context, student, {**ARCH, "side": 56}, "teacher", seed=5)
    assert taken is not None
    assert (taken.cut, taken.new) == ((), ())
    rows = context.task.splits["validation"]
    with torch.no_grad():
        answers = student.eval()(context.task.inputs(rows))
    assert torch.equal(answers, context.answers[0][rows])


def test_retrained_students_begin_from_the_weights_of_the_search(inline: tuple[Path, Front], tmp_path: Path) -> None:
    trial = next(trial for trial in read_trials(inline[0]) if trial.start)
    retrain(inline[0], trial.number, seeds=1, workers=1)
    result = json.loads(
        (inline[0] / "retrained" / f"{trial.number:05d}" / "seed-1-epochs-4" / "result.json").read_text()
    )
    assert result["start"] == trial.start


@pytest.fixture
def own_weights(tmp_path: Path) -> Path:
    """The weights of a network of the space of `file_study`."""
    run = small_run(tmp_path / "other", space=write_space(tmp_path, widths=[8]))
    network = build_student(run.context, {"width": 8}, seed=9)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def begun_from(file: Path, **changes: Any) -> Any:
    starts = ["scratch", {"file": str(file)}]
    return small_study(
        **{"space": str(file.parent / "space.py"), "recipe.start": starts, "budget.trials": 4, **changes}
    )


def test_students_begin_from_a_file_by_its_name_alone(own_weights: Path, tmp_path: Path) -> None:
    search_study(begun_from(own_weights), run=tmp_path / "run")
    begun = [trial for trial in read_trials(tmp_path / "run") if trial.start]
    assert {trial.recipe["start"] for trial in begun} == {"weights.safetensors"}
    assert begun[0].start["parameters"]["new"] == 0


def test_another_file_of_the_same_name_is_refused_and_the_run_keeps_its_own(own_weights: Path, tmp_path: Path) -> None:
    study = begun_from(own_weights)
    search_study(study, run=tmp_path / "run")
    kept = (tmp_path / "run" / "starts" / "weights.safetensors.safetensors").read_bytes()
    save_file({name: tensor + 1 for name, tensor in load_file(own_weights).items()}, own_weights)
    with pytest.raises(InputError, match="the weights from which students begin changed"):
        search_study(override(study, {"budget.trials": 6}), run=tmp_path / "run")
    assert (tmp_path / "run" / "starts" / "weights.safetensors.safetensors").read_bytes() == kept


def test_a_search_may_be_widened_by_a_start_and_keeps_its_trials(own_weights: Path, tmp_path: Path) -> None:
    narrow = override(begun_from(own_weights), {"recipe.start": "scratch"})
    search_study(narrow, run=tmp_path / "run")
    before = students(tmp_path / "run")
    wide = override(begun_from(own_weights), {"budget.trials": 10})
    with pytest.raises(InputError, match=r"recipe\.start changed"):
        search_study(wide, run=tmp_path / "run")
    search_study(wide, run=tmp_path / "run", widened=True)
    assert students(tmp_path / "run")[: len(before)] == before
    assert any(trial.start for trial in read_trials(tmp_path / "run"))


def test_a_search_learns_from_an_earlier_one_without_starts(own_weights: Path, tmp_path: Path) -> None:
    search_study(override(begun_from(own_weights), {"recipe.start": "scratch"}), run=tmp_path / "earlier")
    front = search_study(begun_from(own_weights), run=tmp_path / "run", prior=tmp_path / "earlier")
    assert "learned from 4 trials" in front.note


def test_students_of_the_baseline_hard_do_not_begin_from_the_teacher() -> None:
    alone = small_study(**{**STARTS, "recipe.start": "teacher", "baselines": ["hard", "default"]})
    assert baseline_study(alone, "hard", stage=0, epochs=8).recipe.start == "scratch"
    assert baseline_study(alone, "default", stage=0, epochs=8).recipe.start == "teacher"
    several = override(alone, {"recipe.start": ["scratch", "pretrained", "teacher"]})
    assert baseline_study(several, "hard", stage=0, epochs=8).recipe.starts == ("scratch", "pretrained")
    own = override(alone, {"baselines": {"hard": {"recipe.start": "pretrained"}}})
    assert baseline_study(own, "hard", stage=0, epochs=8).recipe.start == "pretrained"


@pytest.mark.slow
def test_baselines_begin_from_the_same_layers_of_the_teacher(tmp_path: Path) -> None:
    search(tmp_path / "run", **{"baselines": ["hard", "default"], "budget.trials": 3, "budget.reseeds": 0})
    rivals = {name: tmp_path / "run" / "baselines" / f"{name}-0" for name in ("hard", "default")}
    assert not any(trial.start for trial in read_trials(rivals["hard"]))
    assert read_setup(rivals["hard"]).origins == {}
    assert any(trial.start for trial in read_trials(rivals["default"]))
    assert read_setup(rivals["default"]).digests.origins == read_setup(tmp_path / "run").digests.origins


@pytest.mark.slow
def test_a_baseline_may_begin_from_the_teacher_where_the_search_does_not(tmp_path: Path) -> None:
    mine = {"mine": {"recipe.start": "teacher", "recipe.alpha": 0}}
    search(tmp_path / "run", **{"recipe.start": "scratch", "baselines": mine, "budget.trials": 3})
    trained = [trial for trial in read_trials(tmp_path / "run" / "baselines" / "mine-0") if trial.rungs]
    assert trained
    assert all(trial.start for trial in trained)


def test_a_run_that_says_its_origins_are_elsewhere_is_not_used(inline: tuple[Path, Front], tmp_path: Path) -> None:
    run = shutil.copytree(inline[0], tmp_path / "run")
    setup = json.loads((run / "study.json").read_text())
    setup["origins"]["teacher"] = "../elsewhere.safetensors"
    (run / "study.json").write_text(json.dumps(setup))
    with pytest.raises(InputError, match="outside of the run folder"):
        export_trial(run, inline[1][0].trial, tmp_path / "student.safetensors")
