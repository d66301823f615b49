from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from autokd.files import read_bytes, read_json, utf8_text, write_json


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


def test_only_files_are_read_and_none_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "zeros").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    for name, reason in {"zeros": "not a regular file", "pipe": "not a regular file", "large": "11 bytes"}.items():
        with pytest.raises(OSError, match=reason):
            read_bytes(tmp_path / name, most=10)


def test_text_is_read_without_its_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("\ufeffä\n".encode())
    assert utf8_text(tmp_path / "text") == "ä\n"


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 5000, "\x00"])
def test_damaged_json_is_a_value_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"."):
        read_json(tmp_path / "x.json")
