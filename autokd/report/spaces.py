"""What `autokd check` and `autokd spaces` find out about search spaces, and the lines that they print."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from autokd import registry
from autokd.errors import AutoKDError, InputError
from autokd.readings import Column
from autokd.registry.lookup import find
from autokd.tasks import open_task
from autokd.testing import SpaceSummary, TinyTask, check_space, describe_space
from autokd.types import Task


@dataclass(frozen=True)
class Check:
    """What the checks found out about a search space on some data.

    Args:
        space: the search space, by the name that the user gave.
        task: the data, by the name that the user gave.
        findings: sentences on what must be mended; empty if the space is sound.
        summary: the size of a sound space.
        sound: whether there are no findings.
    """

    space: str
    task: str
    findings: Sequence[str]
    summary: SpaceSummary | None
    sound: bool


@dataclass(frozen=True)
class InstalledSpace:
    """An installed search space.

    Args:
        name: the name of the plug-in.
        about: the first line of its documentation.
        sizes: the size of the space, by the kind of inputs; kinds that the space cannot read are left out.
        takes_settings: whether it needs settings to make a space.
        problem: why it cannot be used; "" if it can.
    """

    name: str
    about: str = ""
    sizes: Mapping[str, SpaceSummary] = field(default_factory=dict)
    takes_settings: bool = False
    problem: str = ""


def check(space: str, data: str) -> Check:
    """Checks a search space on a task.

    Raises:
        InputError: the space or the data cannot be found.
    """
    found = registry.resolve("search_spaces", space)
    with tempfile.TemporaryDirectory(prefix="autokd-") as folder:
        task = open_task(data, seed=0, folder=Path(folder) / "task")
        findings = check_space(found, task)
        return Check(space, data, findings, None if findings else describe_space(found, task), not findings)


def check_lines(found: Check) -> list[str]:
    """The findings, one on each line, and the verdict."""
    if found.summary is not None:
        return [f"{found.space}: sound on {found.task}, {_words(found.summary)}"]
    count = len(found.findings)
    return [*found.findings, f"{found.space}: {count} thing{'s' if count > 1 else ''} to mend on {found.task}"]


def installed_spaces() -> list[InstalledSpace]:
    """Each installed search space, with its size on 8x8 grey images, on 32x32 colour images and on a table."""
    tasks: Mapping[str, Task] = {
        "8x8x1": TinyTask(input_shape=(1, 8, 8), num_outputs=10, seed=0),
        "32x32x3": TinyTask(input_shape=(3, 32, 32), num_outputs=10, seed=0),
        "table": _tiny_table(),
    }
    return [_installed_space(name, tasks) for name in registry.installed("search_spaces")]


def spaces_lines(spaces: Sequence[InstalledSpace]) -> list[str]:
    """A few lines for each of these spaces."""
    lines = []
    for space in spaces:
        lines.append(f"{space.name:12s} {f'cannot be used: {space.problem}' if space.problem else space.about}")
        below = [f"{size}: {_words(summary)}" for size, summary in space.sizes.items()]
        if space.takes_settings:
            below = [f"It takes settings first: `autokd check '{space.name}(...)' --task DATA` says what they give."]
        lines += [f"{'':12s} {line}" for line in below]
    return lines


def _installed_space(name: str, tasks: Mapping[str, Task]) -> InstalledSpace:
    try:
        found = find("search_spaces", name)
        about = next(iter((found.__doc__ or "").strip().splitlines()), "")
        if callable(found):  # such a space builds networks of another library, whose import takes seconds
            return InstalledSpace(name, about, takes_settings=True)
        sizes, reasons = {}, []
        for kind, task in tasks.items():
            try:
                sizes[kind] = describe_space(found, task)
            except InputError as error:
                reasons.append(str(error))
        return InstalledSpace(name, about, sizes, problem="" if sizes else reasons[0])
    except AutoKDError as error:
        return InstalledSpace(name, problem=str(error))


def _tiny_table() -> TinyTask:
    """A table of 6 numbers and 8 categories of 2 to 42 values each."""
    sizes = [1] * 6 + [9, 16, 7, 15, 6, 5, 2, 42]
    ends = accumulate(sizes)
    columns = (
        Column(f"column {i}", "number" if size == 1 else "category", end - size, end)
        for i, (size, end) in enumerate(zip(sizes, ends, strict=True))
    )
    return TinyTask(input_shape=(sum(sizes),), num_outputs=2, columns=tuple(columns))


def _words(summary: SpaceSummary) -> str:
    return (
        f"{summary.choices} choices, {summary.parameters_min:,} to {summary.parameters_max:,} parameters "
        f"(median {summary.parameters_median:,})"
    )
