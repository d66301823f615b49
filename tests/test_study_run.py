from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from autokd.errors import InputError
from autokd.study import Digests, Setup, read_setup, write_setup

SETUP = Setup(
    study={"name": "small", "record": "sqlite"},
    digests=Digests(task="t", teacher="", space="s"),
    task="task",
    outputs="teacher/outputs.npy",
    teacher={"name": "forest", "values": {"accuracy": 0.9}, "note": ""},
    calibration_ms=0.0,
    reference_point={"accuracy": 0.0, "parameters": 20_000},
    environment={"python": "3.11"},
)


def written(folder: Path, **changes: Any) -> None:
    """Writes `SETUP` with these keys changed, or without those that are None."""
    write_setup(folder, SETUP)
    data = json.loads((folder / "study.json").read_text()) | changes
    data = {key: value for key, value in data.items() if value is not None}
    (folder / "study.json").write_text(json.dumps(data))


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_setup(tmp_path, SETUP)
    assert read_setup(tmp_path) == SETUP
    assert isinstance(read_setup(tmp_path).reference_point["parameters"], int)


def test_what_a_run_is_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SETUP.task = "other"  # type: ignore[misc]


def test_a_run_of_before_there_were_formats_is_read(tmp_path: Path) -> None:
    written(tmp_path, format=None, records=None, reserve=None)
    assert read_setup(tmp_path) == SETUP.model_copy(update={"format": 0})
    write_setup(tmp_path, read_setup(tmp_path))
    assert read_setup(tmp_path) == SETUP


def test_the_time_of_the_calibration_network_keeps_its_key_in_the_file(tmp_path: Path) -> None:
    write_setup(tmp_path, SETUP.model_copy(update={"calibration_ms": 0.25}))
    written = json.loads((tmp_path / "study.json").read_text())
    assert written["reference_ms"] == 0.25
    assert "calibration_ms" not in written
    assert read_setup(tmp_path).calibration_ms == 0.25


def test_a_run_of_a_later_format_is_refused_by_its_version(tmp_path: Path) -> None:
    written(tmp_path, format=7, task=None)
    with pytest.raises(InputError, match=r"study\.json is of format 7, and AutoKD .* reads formats up to 1; use the"):
        read_setup(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"study": None}, "no study"),
        ({"digests": {"task": "t"}}, "no digests"),
        ({"reference_ms": "fast"}, "reference_ms: Input should be a valid number"),
        ({"records": [1]}, "records.0: Input should be a valid string"),
        ({"format": "new"}, "format: Input should be a valid integer"),
        ({"made_up": 1}, "made_up: Extra inputs are not permitted"),
    ],
)
def test_what_is_damaged_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    written(tmp_path, **changes)
    with pytest.raises(InputError, match=f"study.json is damaged .{words}.*; start over in a new folder"):
        read_setup(tmp_path)
