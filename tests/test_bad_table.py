"""Bad tables, and bad studies of tables, are refused in one line, and nothing is left behind."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from command_line import LEFT_OUT, refused_search
from tables import COLUMNS, DESCRIPTION, OBJECTIVES, PARAMETERS, rows, write_table

OF_A_TABLE = {"teacher": LEFT_OUT, "space": LEFT_OUT, "objectives": LEFT_OUT, "budget.rungs": [3, 27]}


def refused(folder: Path, path: Path, changes: dict[str, Any] | None = None) -> str:
    return refused_search(folder, {"task": {"table": str(path)}} | OF_A_TABLE | (changes or {}))


STUDIES: list[tuple[dict[str, Any], str]] = [
    (
        {"teacher": {"outputs": "x.npy"}},
        "teacher: a table holds the results of trainings, and nothing is trained; leave",
    ),
    ({"space": "mlp"}, "space: a table holds the results of trainings"),
    ({"recipe": {"alpha": 0}}, "recipe: a table holds the results of trainings"),
    ({"baselines": ["hard"]}, "baselines: a table holds the results of trainings"),
    ({"task": {"table": "t.csv.gz", "labels": 60}}, "write {table: path/to/file.csv.gz} and no other key"),
    ({"task": {"table": ""}}, "task: {'table': ''} given; write {table: path/to/file.csv.gz}"),
    ({"scheduler": None}, "scheduler: null given; write a plug-in's name"),
    ({"task": {"table": 3}}, "task: {'table': 3} given; write {table: path/to/file.csv.gz}"),
    ({"task": {"data": "digits"}}, "teacher: this key is missing; write {space: resnet"),
    ({"objectives": {"accuracy": {}}}, "objectives: accuracy given; name two or more"),
    (
        {"objectives": {"accuracy": {}, "latency": {}}},
        "latency is not in this table (known: accuracy, latency_ms)",
    ),
    ({"objectives": {"accuracy": {"k": 5}, "latency_ms": {}}}, "objectives.accuracy.k: there is no such setting"),
    (
        {"objectives": {"accuracy": {}, "latency_ms": {"bound": 0.1}}},
        "none of 24 different architectures tried is",
    ),
    (
        {"budget.rungs": [1, 3, 27]},
        "[1, 3, 27] given; this table has values after 3, 9 epochs and at the end: write budget.rungs=[3, 9, 27]",
    ),
    ({"budget.rungs": [1, 3, 5]}, "write budget.rungs=[3, 5]"),
    ({"scheduler": "halvin"}, "did you mean 'halving'?"),
    ({"sampler": "tpee"}, "sampler: no sampler is named 'tpee'"),
]


@pytest.mark.parametrize(("changes", "words"), STUDIES, ids=[words for _, words in STUDIES])
def test_a_study_of_a_table_that_cannot_be_searched_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    assert words in refused(tmp_path, write_table(tmp_path), changes)


def test_rungs_of_a_table_of_final_values_are_refused_with_what_would_do(tmp_path: Path) -> None:
    path = write_table(tmp_path, columns=COLUMNS[:6], cells=[row[:6] for row in rows()])
    assert "this table has values at the end only: write budget.rungs=[1]" in refused(tmp_path, path)


def with_cell(line: int, column: str, cell: Any) -> dict[str, Any]:
    cells = rows()
    cells[line - 2][COLUMNS.index(column)] = cell
    return {"cells": cells}


def described(**changes: Any) -> dict[str, Any]:
    return {"description": DESCRIPTION | changes}


LATENCY = OBJECTIVES["latency_ms"]
TABLES: list[tuple[dict[str, Any], str]] = [
    (with_cell(4, "accuracy", "high"), "table.csv.gz: line 4: accuracy is 'high'; write a number, or nothing"),
    (with_cell(4, "accuracy@3", "x"), "line 4: accuracy@3 is 'x'"),
    (with_cell(2, "depth", "1.5"), "line 2: depth is '1.5', not one of its choices: 1, 2, 3"),
    (with_cell(2, "bn", "0"), "line 2: bn is '0', not one of its choices: False, True"),
    ({"cells": [*rows(), rows()[0]]}, "line 26 has the same parameters as an earlier one"),
    ({"cells": [rows()[0][:4]]}, "line 2 has 4 cells, not 9"),
    ({"cells": []}, "no row has a number in column accuracy"),
    ({"columns": ["layers", *COLUMNS[1:]]}, "there is no column depth, which the JSON beside it names"),
    (described(parameters={"depth": [1, "1"]}), "depth has the choices [1, '1']; write a list of choices"),
    (described(parameters={"depth": []}), "parameters: depth has the choices []; write"),
    (described(parameters={"depth": [[1]]}), "table.json: parameters.depth.0: Input should be"),
    (described(parameters=None), "table.json: parameters: Input should be an object; it should have"),
    (described(objectives={"accuracy": {"direction": "up", "trained": True}, "latency_ms": LATENCY}), "'maximize' or"),
    (described(objectives={"latency_ms": LATENCY, "accuracy": {"direction": "maximize"}}), "accuracy.trained: Field"),
    (described(objectives={"latency_ms": LATENCY, "note": LATENCY}), "line 2: note is 'x'"),
    (described(objectives={"latency_ms": LATENCY, "accuracy": LATENCY}), "add an objective that needs it"),
]


@pytest.mark.parametrize(("changes", "words"), TABLES, ids=[words for _, words in TABLES])
def test_a_table_that_cannot_be_searched_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert words in refused(tmp_path, write_table(tmp_path, **changes))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    whole, beside = path.read_bytes(), path.with_name("table.json")
    assert "nothere.csv.gz cannot be read (No such file or directory)" in refused(tmp_path, Path("nothere.csv.gz"))
    assert "table.json given; write the path of NAME.csv.gz" in refused(tmp_path, beside)
    for damaged in (whole[:-20], b"PK" + whole, whole[:15] + bytes(9) + whole[24:]):
        path.write_bytes(damaged)
        assert "table.csv.gz cannot be read" in refused(tmp_path, path)
    path.write_bytes(gzip.compress("grün".encode("latin-1")))
    assert "table.csv.gz: 'utf-8' codec can't decode" in refused(tmp_path, path)
    path.write_bytes(whole)
    beside.write_text("{")
    assert "EOF while parsing an object at line 1 column 1; it should have 'parameters'" in refused(tmp_path, path)
    beside.unlink()
    assert "table.json cannot be read (No such file or directory)" in refused(tmp_path, path)


def test_the_parameters_of_the_tests_are_all_of_the_table() -> None:
    assert len(rows()) == 24 == len({tuple(row[: len(PARAMETERS)]) for row in rows()})


def test_a_table_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    path.write_bytes(gzip.compress(bytes(1_000_000), 1) * 201)
    assert "cannot be read (it unpacks to more than 200,000,000 bytes)" in refused(tmp_path, path)


def test_a_table_is_read_from_files_only(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "table.csv.gz cannot be read (not a regular file)" in refused(tmp_path, path)
