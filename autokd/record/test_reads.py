"""Notes each read of the test split in the run folder."""

from __future__ import annotations

import json
from pathlib import Path

from autokd.files import append_line


def note_test_read(run: Path, what: str) -> None:
    """Records that the test split is read now."""
    append_line(run / "test_reads.jsonl", json.dumps({"what": what}))


def count_test_reads(run: Path) -> int:
    """The number of times that the test split was read in this run."""
    path = run / "test_reads.jsonl"
    return len(path.read_bytes().splitlines()) if path.is_file() else 0
