"""The students that a seed proposes, and their costs, do not drift; `pytest --update-golden` rewrites them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from autokd import registry
from autokd.driver.costs import random_study
from autokd.objectives import flops, parameters
from autokd.study import RecipeSpace
from autokd.testing import TinyTask
from autokd.types import settings_of


@pytest.mark.parametrize("name", ["mlp", "resnet", "mobilenet", "vit"])
def test_a_seed_proposes_the_same_students_of_the_same_costs(name: str, golden: Path, update_golden: bool) -> None:
    space, task = registry.resolve("search_spaces", name), TinyTask(input_shape=(1, 28, 28), num_outputs=10, seed=0)
    drawn, found = random_study(0), []
    for _ in range(6):
        trial = drawn.ask()
        arch = space.suggest(trial)
        student, inputs = space.build(arch, task), torch.zeros(1, *task.input_shape)
        costs = {each.name: each.measure(student, inputs) for each in (parameters, flops)}
        recipe = settings_of(RecipeSpace().suggest(trial, epochs=27))
        found.append({"arch": arch, "recipe": recipe, "costs": costs})
    if update_golden:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(golden.read_text())
