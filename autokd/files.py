"""Files that are written whole or not at all, and are on the disk before anything says that they are there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes `data` so that a reader sees all of it or the file that was there before, even after a loss of power."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(data, indent=1), encoding="utf-8")
    sync(part)
    os.replace(part, path)


def sync(path: Path) -> None:
    """Returns when all that was written to a file is on the disk.

    Without it a file that is renamed, or that another file vouches for, may be empty after a loss of power.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
