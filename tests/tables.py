"""A table that is small enough for tests: 24 architectures, two objectives, and accuracies at two earlier rungs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

PARAMETERS: dict[str, list[Any]] = {
    "depth": [1, 2, 3],
    "act": ["relu", "gelu"],
    "bn": [False, True],
    "drop": [0.0, 0.5],
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "accuracy": {"direction": "maximize", "trained": True},
    "latency_ms": {"direction": "minimize", "trained": False},
}
DESCRIPTION = {"source": "written by a test", "parameters": PARAMETERS, "objectives": OBJECTIVES}
COLUMNS = [*PARAMETERS, "accuracy", "latency_ms", "accuracy@3", "accuracy@9", "note"]


def rows() -> list[list[Any]]:
    """Cells by `COLUMNS`: each row is slower and more accurate than the one before, every fourth much more accurate."""
    return [
        [*choices, 60 + i + 7 * (i % 4 == 3), 0.5 + i / 10, 40 + i / 2, 50 + i, "x"]
        for i, choices in enumerate(product(*PARAMETERS.values()))
    ]


def write_table(
    folder: Path,
    *,
    columns: Sequence[str] = COLUMNS,
    cells: Sequence[Sequence[Any]] | None = None,
    description: Mapping[str, Any] = DESCRIPTION,
) -> Path:
    """`table.csv.gz` in a folder, with its JSON, of the columns and rows above unless told otherwise."""
    lines = [",".join(map(str, row)) for row in [columns, *(rows() if cells is None else cells)]]
    path = folder / "table.csv.gz"
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    path.with_name("table.json").write_text(json.dumps(description))
    return path
