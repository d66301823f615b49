from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from autokd.files import write_json


def test_json_that_cannot_be_put_in_place_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}


def test_json_leaves_no_other_file(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
