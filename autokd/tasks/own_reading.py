"""Tasks whose rows are read by code of a user. The code is asked once about each row, and its arrays are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from autokd.errors import InputError
from autokd.files import read_json
from autokd.frames import pandas_for_tables
from autokd.npy import open_npy
from autokd.readings import Own
from autokd.readings.code import code_of, some
from autokd.readings.pixels import Pixels
from autokd.registry import resolve, source_digest
from autokd.study.reading import NormaliseSection, OwnReading
from autokd.study.task import TaskSection
from autokd.tasks.assembly import assemble, check_augment, task_digest
from autokd.tasks.images import Folders, folder_source
from autokd.tasks.normalisation import normalisation
from autokd.tasks.sources import Collect, Part, Source, collect, in_memory, with_layout
from autokd.tasks.splits import SPLITS
from autokd.tasks.table import storable
from autokd.tasks.table_answers import TableSource, numbered_rows, splits_of, targets_of
from autokd.tasks.table_columns import parts_of, uses_of
from autokd.tasks.targets import heads_from, noisy
from autokd.tasks.task import ArrayTask, Augmentation

if TYPE_CHECKING:
    from pandas import DataFrame

Rows = Any
"""Raw rows: a list of the names of files, a DataFrame, or an array."""

_PEAK = 255.0
"""The largest value of whole numbers of 8 bits."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnTask(ArrayTask):
    """An `ArrayTask` whose array was made of raw rows by code of a user.

    Args:
        own: how raw rows become inputs.
        rows: the raw rows, or the file that holds them.
        normalise: how arrays are normalised: the value of the key in the `task:` section.
        groups: the number of the group of each row, int64, shape (num_rows,), where rows belong together; None if not.
    """

    own: Own
    rows: Rows | Path = field(repr=False)
    normalise: str | NormaliseSection = "standard"
    groups: Tensor | None = field(default=None, repr=False)

    @property
    def reading(self) -> Own:
        """How raw rows become inputs."""
        return self.own

    def raw(self, rows: Tensor) -> Rows:
        """The raw rows, as the code takes them."""
        return some(self.raw_rows, rows.numpy())

    @cached_property
    def raw_rows(self) -> Rows:
        """All raw rows."""
        return _opened(self.rows) if isinstance(self.rows, Path) else self.rows

    def seen_through(self, reading: Mapping[str, Any]) -> OwnTask:
        """The same task, whose raw rows are read by other code.

        Raises:
            InputError: there is no such code, or it cannot read the rows.
        """
        if not reading:
            return self
        if other := [key for key in reading if key not in ("reading", "args")]:
            raise InputError(f"{other[0]}: the rows of {self.name} are read by code; write reading: file.py:attr")
        try:
            how = OwnReading.model_validate(dict(reading))
            return _read(self, self.raw_rows, how, self.normalise, self.groups, in_memory)
        except InputError as error:
            raise InputError(f"reading: {error}") from None


def assemble_own(
    found: Source | TableSource | Folders, spec: TaskSection, how: OwnReading, *, seed: int, into: Collect
) -> OwnTask:
    """The task of data whose rows are read by code of a user.

    Targets and splits are those that the data have without such a reading. The code is fitted on the rows of train and
    transfer, if it fits anything.

    Args:
        found: the data: arrays, a table, or files in folders by class.
        spec: the settings.
        how: names the code.
        seed: the seed of the draws.
        into: decides where the arrays are kept.

    Raises:
        InputError: the data, the settings or what the code gives are not valid.
    """
    _refuse_keys(spec, () if isinstance(found, Source) else ("layout",))
    plain = spec.model_copy(update={"augment": None, "normalise": "none", "layout": None, "max_gb": np.inf})
    groups = None
    if isinstance(found, TableSource):
        base, rows, groups = _of_table(found, plain, seed)
    elif isinstance(found, Folders):
        files = folder_source(found, found.files, (1,), np.dtype(np.uint8), lambda file: np.zeros(1, np.uint8))
        base = assemble(files, plain, seed=seed, into=in_memory)
        rows = [str(file.absolute()) for file in found.all_files]
    else:
        rows, _ = collect(with_layout(found, spec.layout), in_memory, max_gb=spec.max_gb)
        base = assemble(_without_inputs(found), plain, seed=seed, into=in_memory)
    if spec.augment is not None and spec.augment.views > 1:
        if any(head.kind == "positions" for head in base.heads.values()):
            raise InputError("task.augment: the targets at positions would not move with the rows; leave it out")
        base = replace(base, augmentation=Augmentation(**spec.augment.model_dump(), seed=seed))
    try:
        task = _read(base, rows, how, spec.normalised, groups, into, max_gb=spec.max_gb)
    except InputError as error:
        raise InputError(f"task.reading: {error}") from None
    check_augment(spec, task.input_shape)
    return task


def write_rows(task: OwnTask, folder: Path) -> dict[str, Any]:
    """Writes the raw rows of a task into a folder, and gives what task.json says of how they are read."""
    rows = task.raw_rows
    kind = "json" if isinstance(rows, list) else "parquet" if hasattr(rows, "iloc") else "npy"
    file = folder / f"rows.{kind}"
    if kind == "json":
        file.write_text(json.dumps(rows), encoding="utf-8")
    elif kind == "parquet":
        rows.to_parquet(file)
    else:
        np.save(file, rows)
    if task.groups is not None:
        np.save(folder / "groups.npy", task.groups.numpy())
    normalise = task.normalise if isinstance(task.normalise, str) else task.normalise.model_dump(mode="json")
    return {"own": {"reading": task.own.plain(), "rows": file.name, "normalise": normalise}}


def own_part(folder: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `OwnTask` alone, from what task.json says of how rows are read."""
    given, name = described["normalise"], Path(described["rows"]).name
    return {
        "own": Own.of_plain(described["reading"]),
        "rows": folder / name,
        "normalise": given if isinstance(given, str) else NormaliseSection.model_validate(given),
    }


def _opened(file: Path) -> Rows:
    if file.suffix == ".parquet":
        return pandas_for_tables().read_parquet(file)
    return read_json(file) if file.suffix == ".json" else open_npy(file)


def _read(
    base: ArrayTask,
    rows: Rows,
    how: OwnReading,
    normalise: str | NormaliseSection,
    groups: Tensor | None,
    into: Collect,
    *,
    max_gb: float = np.inf,
) -> OwnTask:
    """The task with the targets and splits of another one, whose rows are read by this code."""
    found = resolve("readings", how.reading)
    code = code_of(found, how.args, reference=how.reading)
    splits = base.splits
    state = code.fitted_on(some(rows, torch.cat([splits["train"], splits["transfer"]]).sort().values.numpy()))
    code.refuse_unsteady(rows, state)
    arrays = code.arrays(rows, state)
    first = next(arrays)
    if (gigabytes := first.nbytes / len(first) * len(rows) / 1e9) > max_gb:
        raise InputError(f"the arrays would take {gigabytes:.3g} GB, more than {max_gb:g}; raise task.max_gb")
    x = into((len(rows), *first.shape[1:]), first.dtype, chain([first], arrays))
    seen = torch.cat([splits[name] for name in ("train", "transfer", "reserve")]).sort().values.numpy()
    shift, divisor = normalisation(x, seen, normalise, _PEAK)
    pixels = Pixels(shift, divisor, x.dtype.name, x.shape[1:])
    targets = [base.y] if isinstance(base.y, Tensor) else [*base.y.values()]
    heads = {name: head.plain() for name, head in base.heads.items()}
    kept = {each.name: getattr(base, each.name) for each in fields(ArrayTask)}
    return OwnTask(
        **{
            **kept,
            "x": x,
            "shift": shift,
            "divisor": divisor,
            "digest": task_digest(
                x,
                [each.numpy() for each in [*targets, *splits.values()]],
                ["own", heads, shift, divisor, vars(base.augmentation)],
            ),
        },
        own=Own(how.reading, how.args, state, source_digest(found), pixels, code),
        rows=rows,
        normalise=normalise,
        groups=groups,
    )


def _refuse_keys(spec: TaskSection, also: tuple[str, ...]) -> None:
    for key in ("categories", "numbers", "text", *also):
        if getattr(spec, key) != TaskSection.model_fields[key].default:
            raise InputError(f"task.{key}: the code that task.reading names decides how rows are read; leave it out")


def _without_inputs(source: Source) -> Source:
    """The source with its targets alone: its inputs are zeros."""

    def emptied(part: Part) -> Part:
        def chunks() -> Any:
            return ((np.zeros((len(x), 1), np.uint8), y) for x, y in part.chunks())

        return Part((part.shape[0], 1), np.dtype(np.uint8), chunks)

    return replace(source, parts={name: emptied(part) for name, part in source.parts.items()}, photos=None)


def _of_table(found: TableSource, spec: TaskSection, seed: int) -> tuple[ArrayTask, DataFrame, Tensor | None]:
    """Targets and splits of a table, its rows with the columns that may be read, and the group of each row."""
    frame = numbered_rows(found)
    uses = uses_of(found.name, list(frame.columns), spec)
    parts = parts_of(found.name, frame, spec)
    targets, _ = targets_of(found.name, frame, spec, uses, parts)
    splits, groups = splits_of(found.name, frame, spec, targets, parts, seed)
    y = {name: noisy(target, splits, spec, seed=seed) for name, target in targets.items()}
    heads, tensors = heads_from(found.name, y, splits, spec.class_weights)
    base = ArrayTask(
        name=found.name,
        x=np.zeros((len(frame), 1), np.uint8),
        y=next(iter(tensors.values())) if len(tensors) == 1 else tensors,
        own_heads=heads,
        splits={name: torch.from_numpy(splits[name]) for name in SPLITS},
        shift=(0.0,),
        divisor=(1.0,),
        augmentation=Augmentation(),
        label_noise=spec.label_noise,
        digest="",
    )
    return base, storable(frame[list(uses.inputs)]), None if groups is None else torch.from_numpy(groups)
