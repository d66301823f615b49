from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from autokd.errors import InputError
from autokd.latency import table as tables
from autokd.latency.table import LatencyTable, Measurement, conditions, device_name

KEY = {"device": "a processor", "threads": 1}


def measurement(width: int, median_ms: float = 1.0) -> Measurement:
    return Measurement({"width": width}, median_ms, cv=0.01, calibration_ms=0.5, seconds=2.0)


def test_a_line_has_the_keys_that_files_of_earlier_versions_have(tmp_path: Path) -> None:
    path = tmp_path / "latencies.jsonl"
    LatencyTable(path, KEY).add(measurement(4))
    line = json.loads(path.read_text())
    assert list(line) == ["key", "arch", "median_ms", "cv", "reference_ms", "seconds"]
    assert (line["key"], line["reference_ms"]) == (KEY, 0.5)


def test_what_one_run_measured_another_finds(tmp_path: Path) -> None:
    path = tmp_path / "new" / "latencies.jsonl"
    LatencyTable(path, KEY).add(measurement(4))
    table = LatencyTable(path, KEY)
    assert table.find({"width": 4}) == measurement(4)
    assert table.find({"width": 5}) is None


def test_measurements_under_another_key_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "latencies.jsonl"
    LatencyTable(path, KEY).add(measurement(4))
    other = LatencyTable(path, KEY | {"threads": 2})
    assert other.known == {}
    other.add(measurement(4, 7.0))
    assert LatencyTable(path, KEY).find({"width": 4}) == measurement(4)


def test_the_last_measurement_of_an_architecture_counts(tmp_path: Path) -> None:
    table = LatencyTable(tmp_path / "latencies.jsonl", KEY)
    for median_ms in (1.0, 3.0, 2.0):
        table.add(measurement(4, median_ms))
    assert table.find({"width": 4}) == LatencyTable(table.path, KEY).find({"width": 4}) == measurement(4, 2.0)


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_line_left_unfinished_costs_that_line_alone(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "latencies.jsonl"
    for width in (4, 5):
        LatencyTable(path, KEY).add(measurement(width))
    path.write_bytes(path.read_bytes()[: -cut - 1])
    table = LatencyTable(path, KEY)
    assert [each.arch["width"] for each in table.known.values()] == [4]
    table.add(measurement(6))
    assert [each.arch["width"] for each in LatencyTable(path, KEY).known.values()] == [4, 6]


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "latencies.jsonl"

    def write(first: int) -> None:
        table = LatencyTable(path, KEY)
        for width in range(first, first + 50):
            table.add(measurement(width))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, 200, 50)))
    assert len(LatencyTable(path, KEY).known) == 200


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("width,ms\n4,1.0\n5,2.0\n")
    with pytest.raises(InputError, match=r"data\.csv is no table of latencies"):
        LatencyTable(path, KEY)
    with pytest.raises(InputError, match="cannot be read: is a directory"):
        LatencyTable(tmp_path, KEY)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "0", "-1.0", '"fast"', "null"])
def test_a_number_that_is_no_latency_is_passed_over(tmp_path: Path, number: str) -> None:
    path = tmp_path / "latencies.jsonl"
    LatencyTable(path, KEY).add(measurement(4))
    path.write_text(path.read_text() + path.read_text().replace('"median_ms": 1.0', f'"median_ms": {number}'))
    assert LatencyTable(path, KEY).find({"width": 4}) == measurement(4)


def test_conditions_name_the_device_and_the_versions_of_what_runs_students() -> None:
    eager, onnx = (conditions(runtime=runtime, threads=1, batch=1) for runtime in ("eager", "onnx"))
    assert eager["device"] == device_name(torch.device("cpu")) != ""
    assert set(eager["versions"]) == {"torch"}
    assert "" not in {*eager["versions"].values(), *onnx["versions"].values()}
    assert set(onnx["versions"]) == {"torch", "onnxruntime"}


def test_on_a_gpu_the_key_names_it_and_on_the_cpu_it_is_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"runtime": "eager", "threads": 1, "batch": 1}
    assert conditions(**how, device="cpu") == conditions(**how)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a GPU, {device}")
    assert conditions(**how, device="cuda") == conditions(**how) | {"device": "a GPU, cuda"}


def test_conditions_can_be_told_of_a_runtime_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(tables, "version", version)
    assert conditions(runtime="onnx", threads=1, batch=1)["versions"] == {"torch": "", "onnxruntime": ""}
