from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import optuna
import pytest
import torch
from command_line import autokd, refused_search, write_study
from conftest import ROOT
from small import small_driver, small_run
from torch import nn

import autokd as package
from autokd.errors import InfeasibleError, InputError
from autokd.registry import reference_of, resolve, source_digest
from autokd.samplers.draw import Draw
from autokd.testing import SearchSpaceContract, TinyTask, check_space

TASK = TinyTask()
COMING = ROOT / "docs" / "coming_from_optuna"
RUNS: list[int] = []


def student(trial: Any, task: Any) -> nn.Module:
    """Which parameters there are depends on a number of layers, a kind, and on whether a number is large."""
    RUNS.append(1)
    width = trial.suggest_int("width", 4, 64, log=True)
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, width)]
    if trial.suggest_categorical("kind", ["plain", "normal"]) == "normal":
        layers.append(nn.LayerNorm(width, eps=trial.suggest_float("eps", 1e-6, 1e-4, log=True)))
    for i in range(trial.suggest_int("depth", 0, 2)):
        layers += [nn.Linear(width, width := trial.suggest_int(f"width_{i}", 4, 32)), nn.ReLU()]
    drop = trial.suggest_float("drop", 0, 0.5)
    if drop > 0.25:
        layers.append(nn.Dropout(drop * trial.suggest_float("share", 0, 1)))
    return nn.Sequential(*layers, nn.Linear(width, task.num_outputs))


def narrowing(trial: Any, task: Any) -> nn.Module:
    """The range of a width is another for each width before."""
    RUNS.append(1)
    first = trial.suggest_int("first", 8, 64)
    second = trial.suggest_int("second", 1, first)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, first), nn.Linear(first, second), nn.Linear(second, 10))


def one_argument(trial: Any) -> nn.Module:
    return nn.Identity()


class TestStudent(SearchSpaceContract):
    space = student


def picks(space: Any, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = space.suggest(Draw(Random(seed), {}), TASK)
    return found


def asked_by(function: Any, arch: dict[str, Any]) -> dict[str, Any]:
    trial = optuna.trial.FixedTrial(arch)
    function(trial, TASK)
    return trial.params


def is_asked_for(arch: dict[str, Any]) -> bool:
    try:
        return asked_by(student, arch) == arch
    except ValueError:  # it lacks a parameter
        return False


def test_an_architecture_is_what_was_suggested_and_fixed_trials_build_it_again() -> None:
    space = resolve("search_spaces", student)
    trial = optuna.create_study().ask()
    arch = space.suggest(trial, TASK)
    assert arch == trial.params == asked_by(student, arch)
    assert json.loads(json.dumps(arch)) == arch
    assert space.build(arch, TASK)[1].out_features == arch["width"]


def test_after_some_runs_what_is_imagined_is_what_the_function_would_ask_for() -> None:
    space = resolve("search_spaces", student)
    for seed in range(200):
        picks(space, seed)
    before = len(RUNS)
    imagined = [picks(space, seed) for seed in range(200, 500)]
    assert len(RUNS) == before
    assert mean(is_asked_for(arch) for arch in imagined) > 0.9
    assert len({frozenset(arch) for arch in imagined}) > 10


def test_a_proposal_of_the_default_sampler_runs_the_function_no_more_than_its_networks_are_built(
    tmp_path: Path,
) -> None:
    run = small_run(tmp_path, space=student, **{"budget.trials": 30})
    driver = small_driver(run)
    for number in range(12):
        before = len(RUNS)
        stretch = driver.propose()
        assert stretch is not None
        driver.advance(stretch.trial, {"epoch": stretch.stop, "values": {"accuracy": 0.5 + number / 100}})
    driver.record.close()
    assert len(RUNS) - before < 20


def test_where_guesses_are_often_wrong_the_function_runs() -> None:
    space = resolve("search_spaces", narrowing)
    for seed in range(100):
        arch = picks(space, seed)
        assert asked_by(narrowing, arch) == arch


def test_what_was_guessed_wrongly_is_found_when_it_is_built_and_learnt() -> None:
    def rarely(trial: Any, task: Any) -> nn.Module:
        number = trial.suggest_int("number", 0, 10_000)
        if number == 5:
            trial.suggest_int("extra", 1, 2)
        return nn.Linear(64, 10)

    space = resolve("search_spaces", rarely)
    for seed in range(100):
        picks(space, seed)
    wished = {"number": 5}
    generator = Random(0)
    assert space.suggest(Draw(generator, wished), TASK) == {"number": 5}
    message = "the function asks for 'extra' .*, but the architecture does not have it"
    with pytest.raises(InfeasibleError, match=message):
        space.build({"number": 5}, TASK)
    assert set(space.suggest(Draw(generator, wished), TASK)) == {"number", "extra"}


def test_texts_of_two_vocabularies_are_learnt_apart() -> None:
    def bag(trial: Any, task: Any) -> nn.Module:
        width = trial.suggest_int("width", 1, 4) if task.vocabulary > 20 else 1
        return nn.Sequential(nn.EmbeddingBag(task.vocabulary, width), nn.Linear(width, task.num_outputs))

    space = resolve("search_spaces", bag)
    small, large = (TinyTask(input_shape=(5,), num_outputs=2, vocabulary=vocabulary) for vocabulary in (10, 30))
    for seed in range(100):
        space.suggest(Draw(Random(seed), {}), large)

    assert space.suggest(Draw(Random(0), {}), small) == {}
    assert set(space.suggest(Draw(Random(0), {}), large)) == {"width"}


def test_an_architecture_that_the_function_no_longer_allows_is_refused() -> None:
    space = resolve("search_spaces", narrowing)
    with pytest.raises(InfeasibleError, match=r"asks for 'second' .*high=8.*, but the architecture has 20"):
        space.build({"first": 8, "second": 20}, TASK)


def test_random_state_is_left_as_it_was_by_suggestions() -> None:
    space = resolve("search_spaces", student)
    before = torch.get_rng_state()
    space.suggest(optuna.create_study().ask(), TASK)
    picks(space, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_function_that_looks_at_numbers_is_run_with_weights() -> None:
    def careful(trial: Any, task: Any) -> nn.Module:
        network = nn.Linear(task.num_outputs, trial.suggest_int("width", 1, 4))
        assert float(network.weight.sum().item()) < 1e9
        return network

    space = resolve("search_spaces", careful)
    assert all(picks(space, seed)["width"] in range(1, 5) for seed in range(5))


def test_references_and_digests_are_those_of_the_function() -> None:
    space = resolve("search_spaces", f"{__name__}:student")
    assert reference_of(space) == f"{__name__}:student"
    assert source_digest(space) == source_digest(student) != ""


def test_a_function_of_other_arguments_is_refused() -> None:
    with pytest.raises(InputError, match=r"is called with \(trial\); write a function student\(trial, task\), or"):
        resolve("search_spaces", one_argument)


def test_a_file_that_has_the_function_is_told_how_to_name_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def student(trial, task):\n    pass\n")
    assert "if it is the function, write " in refused_search(tmp_path, {"space": str(tmp_path / "mine.py")})


def test_a_function_is_searched_exported_and_loaded(tmp_path: Path) -> None:
    space = tmp_path / "mine.py"
    space.write_text((COMING / "after.py").read_text())
    study, run, out = write_study(tmp_path, {"space": f"{space}:student"}), tmp_path / "run", tmp_path / "out"
    assert autokd("search", study, "--run", run).code == 0
    picked = json.loads(autokd("pick", run, "--json").out)
    words = ["export", study, out / "student.safetensors", "--run", run, "--trial", str(picked["trial"])]
    assert autokd(*words).code == 0
    with pytest.raises(InputError, match="pass it yourself"):
        package.load_student(out)
    student = package.load_student(out, space=f"{space}:student")
    assert student(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_a_nondeterministic_function_is_found_out() -> None:
    def drifting(trial: Any, task: Any) -> nn.Module:
        trial.suggest_int(f"width_{len(RUNS)}", 1, 4)
        RUNS.append(1)
        return nn.Linear(64, 10)

    assert any("suggest" in finding for finding in check_space(drifting, TASK, samples=3))


@pytest.mark.slow
@pytest.mark.parametrize("script", ["before.py", "after.py"])
def test_the_scripts_that_show_how_to_move_over_run(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(COMING / script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 1


def test_the_diff_that_is_shown_is_that_of_the_scripts() -> None:
    before, after = ((COMING / name).read_text().splitlines() for name in ("before.py", "after.py"))
    real = list(difflib.unified_diff(before, after, "before.py", "after.py", lineterm="", n=1))
    (shown,) = re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "coming_from_optuna.md").read_text(), re.DOTALL)
    assert shown.splitlines() == real
