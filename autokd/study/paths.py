"""Files that a study names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any


def absolute(value: Any, folder: Path) -> Any:
    """The value with each name of an existing file made absolute: a run folder is used from anywhere."""
    if isinstance(value, list | tuple):
        return [absolute(each, folder) for each in value]
    if isinstance(value, dict):
        return {absolute(key, folder): absolute(each, folder) for key, each in value.items()}
    if isinstance(value, Path):
        there = next((start / value for start in (Path(), folder) if (start / value).exists()), None)
        return str(value) if there is None else os.path.abspath(there)
    if not isinstance(value, str) or not re.search(r"[/.]", value):
        return value
    # [adapter:]path/to/file.py[:attr][(settings)]
    python = re.fullmatch(r"(?P<before>\w+:)?(?P<file>[^:]+?\.py)(?P<after>[:(].*)?", value, re.DOTALL)
    before, file, after = python.group("before", "file", "after") if python else ("", value, "")
    for start in (Path(), folder):
        found = start / file
        if found.is_file() or ("/" in file and found.is_dir()):
            return f"{before or ''}{os.path.abspath(found)}{after or ''}"
    return value
