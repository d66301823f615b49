"""Paths of files that a study names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any


def absolute(value: Any, folder: Path) -> Any:
    """The value with absolute paths of all existing files, because a run folder is used from any current folder."""
    if isinstance(value, list | tuple):
        return [absolute(each, folder) for each in value]
    if isinstance(value, dict):
        return {absolute(key, folder): absolute(each, folder) for key, each in value.items()}
    if isinstance(value, Path):
        there = next((start / value for start in (Path(), folder) if os.path.exists(start / value)), None)
        return str(value) if there is None else os.path.abspath(there)
    if not isinstance(value, str) or not re.search(r"[/.]", value):
        return value
    # If a name is too long for a file, os.path says that the file does not exist, whereas Path raises.
    # [adapter:]path/to/file.py[:attr][(settings)]
    python = re.fullmatch(r"(?P<before>\w+:)?(?P<file>[^:]+?\.py)(?P<after>[:(].*)?", value, re.DOTALL)
    before, file, after = python.group("before", "file", "after") if python else ("", value, "")
    for start in (Path(), folder):
        found = start / file
        if os.path.isfile(found) or ("/" in file and os.path.isdir(found)):
            return f"{before or ''}{os.path.abspath(found)}{after or ''}"
    return value
