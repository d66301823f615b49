from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import small_run, small_study

from autokd.driver import search_study
from autokd.front import Front
from autokd.record import TrialRecord, read_trials
from autokd.trial import Stretch, run_stretch, training_seed
from autokd.types import Recipe


def search(folder: Path, **overrides: Any) -> Front:
    return search_study(small_study(**overrides), run=folder)


def students(folder: Path) -> list[tuple[Any, ...]]:
    return [(t.arch, t.recipe, t.costs, t.rungs, t.state) for t in read_trials(folder)]


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Front]:
    """A search in this process, of which each trial trains to the end."""
    folder = tmp_path_factory.mktemp("inline") / "run"
    return folder, search(folder, sampler="random", scheduler="none")


def test_the_list_of_trials_and_every_number_are_the_same_in_worker_processes(
    inline: tuple[Path, Front], tmp_path: Path
) -> None:
    folder, front = inline
    options = {"sampler": "random", "scheduler": "none", "executor": "processes", "workers": 2}
    elsewhere = search(tmp_path / "run", **options)
    assert students(tmp_path / "run") == students(folder)
    assert list(elsewhere) == list(front)  # fresh seeds and the test split included


@pytest.mark.parametrize("sampler", ["autokd", "tpe", "random", "nsga2"])
def test_two_inline_searches_are_the_same(sampler: str, tmp_path: Path) -> None:
    fronts = []
    for caller in (1, 2):
        torch.manual_seed(caller)
        np.random.seed(caller)
        random.seed(caller)
        fronts.append(search(tmp_path / str(caller), sampler=sampler, **{"budget.trials": 12, "budget.reseeds": 0}))
    assert students(tmp_path / "1") == students(tmp_path / "2")
    assert fronts[0] == fronts[1]


def test_another_seed_gives_another_search(tmp_path: Path) -> None:
    for seed in (1, 2):
        search(tmp_path / str(seed), seed=seed, **{"budget.trials": 2})
    assert students(tmp_path / "1") != students(tmp_path / "2")


def test_the_numbers_of_a_trial_do_not_depend_on_those_before_it(inline: tuple[Path, Front], tmp_path: Path) -> None:
    run = small_run(tmp_path, sampler="random", scheduler="none")
    for trial in reversed(read_trials(inline[0])):
        assert alone(run.context, trial, tmp_path / str(trial.number)) == trial.rungs[4]


def alone(context: Any, trial: TrialRecord, folder: Path) -> dict[str, float]:
    """The values of a trial that is trained to its end at one go, and by itself."""
    assert trial.arch is not None
    recipe = Recipe(**trial.recipe)
    seed = training_seed(trial.arch, recipe, context.study.seed)
    stretch = Stretch(
        trial=0, arch=trial.arch, recipe=recipe, seed=seed, start=0, stop=4, source="", folder=str(folder)
    )
    values: dict[str, float] = run_stretch(context, stretch)["values"]
    return values


def test_a_search_leaves_the_callers_random_states_and_threads_alone(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    before = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]

    teacher = {"space": "mlp", "arch": {"widths": [32], "activation": "relu", "batch_norm": True}, "epochs": 8}
    search(tmp_path / "run", teacher=teacher, **{"budget.trials": 3})

    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]
    assert random.getstate() == before[2]
    assert torch.get_num_threads() == 2
    assert torch.is_grad_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_teacher_of_ours_does_not_depend_on_the_callers_threads_or_random_state(tmp_path: Path) -> None:
    teacher = {"space": "resnet", "arch": {"width": 8, "stages": [{"blocks": 1, "kernel": 3, "widen": 1}]}, "epochs": 3}
    digests = set()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(threads)
        run = small_run(tmp_path / str(threads), teacher=teacher)
        digests.add(run.setup.digests.teacher)
    assert len(digests) == 1
