"""What `autokd check` and `autokd spaces` print."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from autokd import registry
from autokd.errors import AutoKDError
from autokd.registry.lookup import find
from autokd.tasks import open_task
from autokd.testing import TinyTask, check_space, describe_space
from autokd.types import Task


def check_lines(space: str, data: str) -> tuple[list[str], bool]:
    """What a search space does wrong on a task, a finding a line, and whether it is sound.

    Raises:
        InputError: the space or the data cannot be found.
    """
    found = registry.resolve("search_spaces", space)
    with tempfile.TemporaryDirectory(prefix="autokd-") as folder:
        task = open_task(data, seed=0, folder=Path(folder) / "task")
        findings = check_space(found, task)
        if findings:
            return [*findings, f"{space}: {len(findings)} finding{'s' if len(findings) > 1 else ''} on {data}"], False
        return [f"{space}: sound on {data}, {_summary(found, task)}"], True


def spaces_lines() -> list[str]:
    """A line for each installed search space, with what it holds on 8x8 grey and 32x32 colour images.

    One that makes spaces of settings is only named.
    """
    tasks: Mapping[str, Task] = {
        "8x8x1": TinyTask(input_shape=(1, 8, 8), num_outputs=10, seed=0),
        "32x32x3": TinyTask(input_shape=(3, 32, 32), num_outputs=10, seed=0),
    }
    lines = []
    for name in sorted(registry.installed("search_spaces")):
        try:
            found = find("search_spaces", name)
            if callable(found):  # networks of another library, whose import takes seconds
                below = [f"makes a space of the settings given: `autokd check '{name}(...)'` says what it holds"]
            else:
                below = [f"{size}: {_summary(found, task)}" for size, task in tasks.items()]
            first = (found.__doc__ or "").strip().splitlines()
            lines += [f"{name:12s} {first[0] if first else ''}", *(f"{'':12s} {line}" for line in below)]
        except AutoKDError as error:
            lines.append(f"{name:12s} cannot be used: {error}")
    return lines


def _summary(space: object, task: Task) -> str:
    described = describe_space(space, task)
    return (
        f"{described.choices} choices, {described.parameters_min:,} to {described.parameters_max:,} parameters "
        f"(median {described.parameters_median:,})"
    )
