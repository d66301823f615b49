"""What `autokd check` and `autokd spaces` find out about search spaces, and the lines that they print."""

from __future__ import annotations

import inspect
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from autokd import registry
from autokd.choices import suggest_arch
from autokd.driver.costs import random_study
from autokd.errors import FOREIGN, AutoKDError, InputError
from autokd.heads import Classes, Heads, Labels, Positions, Values
from autokd.networks import call, columns, example_of, materialised
from autokd.readings import Column
from autokd.registry.lookup import find
from autokd.registry.spaces import SETTINGS
from autokd.tasks import open_task
from autokd.testing import SpaceSummary, TinyTask, check_space, describe_space
from autokd.types import Head, SearchSpace


@dataclass(frozen=True)
class Check:
    """What the checks found out about a search space on some data.

    Args:
        space: the search space, by the name that the user gave.
        task: the data, by the name that the user gave.
        findings: sentences on what must be mended; empty if the space is sound.
        summary: the size of a sound space.
        sound: whether there are no findings.
        starts: what students of a study take over of its teacher, in words; "" if they take over nothing.
    """

    space: str
    task: str
    findings: Sequence[str]
    summary: SpaceSummary | None
    sound: bool
    starts: str = ""


@dataclass(frozen=True)
class InstalledSpace:
    """An installed search space.

    Args:
        name: the name of the plug-in.
        about: the first line of its documentation.
        rows: the kinds of rows that it reads, of `images`, `features`, `tables` and `texts`.
        heads: the kinds of heads that it answers, of `classes`, `labels`, `values` and `positions`.
        sizes: the size of the space, by the kind of inputs; kinds that the space cannot read are left out.
        settings: the names of the settings that it takes in parentheses and can do without.
        takes_settings: whether it needs settings to make a space.
        problem: why it cannot be used; "" if it can.
    """

    name: str
    about: str = ""
    rows: Sequence[str] = ()
    heads: Sequence[str] = ()
    sizes: Mapping[str, SpaceSummary] = field(default_factory=dict)
    settings: Sequence[str] = ()
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
        starts = [f"{found.starts}."] if found.starts else []
        return [*starts, f"{found.space}: sound on {found.task}, {_words(found.summary)}"]
    count = len(found.findings)
    return [*found.findings, f"{found.space}: {count} thing{'s' if count > 1 else ''} to mend on {found.task}"]


def installed_spaces() -> list[InstalledSpace]:
    """Each installed search space, with its size on several kinds of rows, and the heads for which it builds networks.

    The kinds of rows are 8x8 grey images, 32x32 colour images, 16 features, a table, and texts of 16 tokens.
    """
    return [_installed_space(name) for name in registry.installed("search_spaces")]


def spaces_lines(spaces: Sequence[InstalledSpace]) -> list[str]:
    """A few lines for each of these spaces."""
    lines = []
    for space in spaces:
        lines.append(f"{space.name:12s} {f'cannot be used: {space.problem}' if space.problem else space.about}")
        below = [f"{size}: {_words(summary)}" for size, summary in space.sizes.items()]
        if space.rows:
            below.insert(0, f"reads {', '.join(space.rows)}; answers {', '.join(space.heads) or 'no kind of head'}")
        if space.settings:
            below.append(f"settings: {', '.join(space.settings)}")
        if space.takes_settings:
            below = [f"It takes settings first: `autokd check '{space.name}(...)' --task DATA` says what they give."]
        lines += [f"{'':12s} {line}" for line in below]
    return lines


def _installed_space(name: str) -> InstalledSpace:
    try:
        found = find("search_spaces", name)
        about = next(iter((found.__doc__ or "").strip().splitlines()), "")
        if callable(found):  # such a space builds networks of another library, whose import takes seconds
            return InstalledSpace(name, about, takes_settings=True)
        sizes, reasons = {}, []
        for kind, task in _SIZES.items():
            try:
                sizes[kind] = describe_space(found, task)
            except InputError as error:
                reasons.append(str(error))
        answered = {
            row: [name for name, head in _HEADS.items() if _answers(found, task, head(task.input_shape))]
            for row, task in _ROWS.items()
        }
        rows = [row for row, heads in answered.items() if heads]
        heads = [name for name in _HEADS if rows and all(name in answered[row] for row in rows)]
        settings = [*inspect.signature(found.Space).parameters] if hasattr(found, SETTINGS) else []
        return InstalledSpace(name, about, rows, heads, sizes, settings, problem="" if rows or sizes else reasons[0])
    except AutoKDError as error:
        return InstalledSpace(name, problem=str(error))


def _answers(space: SearchSpace, rows: TinyTask, head: Head) -> bool:
    """Whether one of the first random networks of the space reads these rows and answers as the head needs."""
    task: Any = _Headed(rows, {"": head}, math.prod(head.shape))
    study, inputs = random_study(0), example_of(task, 2)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for _ in range(_DRAWS):
            try:
                network = materialised(space.build(suggest_arch(space, study.ask(), task), task), inputs).eval()
                return columns(call(network, inputs), task.heads).shape == (2, task.num_outputs)
            except FOREIGN:
                continue
    return False


@dataclass(frozen=True)
class _Headed:
    """The rows of a tiny task, with other heads."""

    rows: TinyTask
    heads: Heads
    num_outputs: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rows, name)


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


_SIZES: Mapping[str, TinyTask] = {
    "8x8x1": TinyTask(input_shape=(1, 8, 8), num_outputs=10, seed=0),
    "32x32x3": TinyTask(input_shape=(3, 32, 32), num_outputs=10, seed=0),
    "table": _tiny_table(),
    "text": TinyTask(input_shape=(16,), num_outputs=2, vocabulary=1000),
}
_ROWS: Mapping[str, TinyTask] = {
    "images": _SIZES["8x8x1"],
    "features": TinyTask(input_shape=(16,)),
    "tables": _SIZES["table"],
    "texts": _SIZES["text"],
}
_HEADS: Mapping[str, Callable[[tuple[int, ...]], Head]] = {
    "classes": lambda shape: Classes(("a", "b", "c")),
    "labels": lambda shape: Labels(("a", "b")),
    "values": lambda shape: Values(("a",), (0.0,), (1.0,)),
    "positions": lambda shape: Positions(("a", "b"), shape[-2:]),
}
"""Makes a head of each kind for rows of a shape. The positions are the pixels of an image, the tokens of a text, or the
features of other rows."""

_DRAWS = 4
