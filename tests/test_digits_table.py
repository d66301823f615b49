"""The tables of digits are complete and describe themselves, and their script trains as a search does."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT))
from autokd.driver.preparation import Run, prepare
from autokd.objectives.costs import flops, parameters
from autokd.study import Study, load_study, resolve_space
from autokd.testing import SearchSpaceContract
from autokd.trial import Stretch, run_stretch, training_seed
from studies.claims import digits_table as script

TABLES = ROOT / "studies" / "tables"
NAMES = ("digits_labels", "digits_noise")
DIGITS: Any = SimpleNamespace(input_shape=(1, 8, 8), num_outputs=10)


class TestStudents(SearchSpaceContract):
    space = str(TABLES / "students.py")


def study_of(name: str) -> Study:
    return load_study(TABLES / f"{name}.yaml")


def about(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((TABLES / f"{name}.json").read_text())
    return found


def table(name: str) -> list[dict[str, str]]:
    with gzip.open(TABLES / f"{name}.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_one_row_for_every_combination_of_choices(name: str) -> None:
    columns = about(name)["parameters"]
    wanted = itertools.product(*([str(choice) for choice in choices] for choices in columns.values()))
    rows = [tuple(row[column] for column in columns) for row in table(name)]
    assert sorted(rows) == sorted(wanted)
    assert len(rows) >= 1500


@pytest.mark.parametrize("name", NAMES)
def test_a_table_says_what_its_study_chooses_from(name: str) -> None:
    study = study_of(name)
    assert about(name)["parameters"] == script.choices(study)
    assert about(name)["rungs"] == list(study.budget.rungs)
    assert list(about(name)["objectives"]) == list(study.objectives)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_there_and_accuracies_are_shares_of_the_rows(name: str) -> None:
    splits = about(name)["splits"]
    for row in table(name):
        for column in ("parameters", "flops", "latency_ms"):
            assert float(row[column]) > 0
        for suffix, prefix in itertools.product(("@3", "@9", ""), ("", "test_")):
            right = float(row[f"{prefix}accuracy{suffix}"]) * splits["test" if prefix else "validation"]
            assert right == pytest.approx(round(right), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_at_alpha_0_temperature_and_method_change_nothing(name: str) -> None:
    recipe = ("temperature", "alpha", "method")
    plain: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for row in table(name):
        if float(row["alpha"]) == 0:
            student = (row["family"], row["width"], row["depth"])
            plain.setdefault(student, set()).add(tuple(value for key, value in row.items() if key not in recipe))
    assert len(plain) == 30
    assert {len(different) for different in plain.values()} == {1}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_flops_are_those_of_the_networks(name: str) -> None:
    space, inputs, counted = resolve_space(study_of(name)), torch.zeros(1, 1, 8, 8), {}
    for row in table(name):
        arch = {"family": row["family"], "width": int(row["width"]), "depth": int(row["depth"])}
        text = json.dumps(arch)
        if text not in counted:
            student = space.build(arch, DIGITS)
            counted[text] = (parameters(student, inputs), flops(student, inputs))
        assert (float(row["parameters"]), float(row["flops"])) == counted[text]
    assert len(counted) == 30


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_seed_is_given_for_at_least_200_rows(name: str) -> None:
    seeded = [row for row in table(name) if row["accuracy_seed1"] and row["accuracy_seed2"]]
    assert len(seeded) >= 200
    assert about(name)["noise"]["trainings"] == script.RESEEDED
    assert 0 < about(name)["noise"]["standard_deviation"]["accuracy"] < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_latency_is_not_the_order_of_parameters(name: str) -> None:
    rows = table(name)
    by_parameters = max(rows, key=lambda row: float(row["parameters"]))
    by_latency = max(rows, key=lambda row: float(row["latency_ms"]))
    assert (by_parameters["family"], by_latency["family"]) == ("mlp", "tree")


def test_the_tables_take_less_than_5_megabytes() -> None:
    assert sum(file.stat().st_size for file in TABLES.iterdir()) < 5e6


@pytest.fixture(scope="module", params=NAMES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prepare(study_of(request.param), tmp_path_factory.mktemp(request.param) / "run")


@pytest.mark.slow
def test_a_training_of_the_script_is_that_of_a_search(run: Run, tmp_path: Path) -> None:
    cell = script.cells(run.context.study)[0]
    values = script.train(run.context, cell)
    seed = training_seed(cell.arch, cell.recipe, run.context.study.seed)
    source = ""
    for start, stop in itertools.pairwise((0, 3, 9, 27)):
        folder = tmp_path / str(stop)
        found = run_stretch(run.context, Stretch(0, cell.arch, cell.recipe, seed, start, stop, source, str(folder)))
        assert found["values"]["accuracy"] == values["accuracy" if stop == 27 else f"accuracy@{stop}"]
        source = str(folder)


@pytest.mark.slow
def test_a_row_trained_again_is_the_row(run: Run) -> None:
    """To the bit with the torch and the processor that trained the table, else about as near as another seed."""
    study = run.context.study
    cell = script.cells(study)[0]
    number = next(i for i, (_, other) in enumerate(script.rows(study)) if other == cell)
    row, values = table(study.name)[number], script.train(run.context, cell)
    known, here = about(study.name), script.machine()
    same = all(known["machine"][part] == here[part] for part in ("cpu", "torch"))
    for column, value in values.items():
        noise = 0.0 if same else 5 * known["noise"]["standard_deviation"][column]
        assert abs(value - float(row[column])) <= noise, column
