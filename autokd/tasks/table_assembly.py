"""Makes a task from the rows of a table: finds targets, kinds and splits, fits the encoding, and digests it all."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from autokd.errors import InputError, listed
from autokd.readings.columns import fit_columns
from autokd.readings.table_rows import clean_frame
from autokd.study.reading import ReadingSection
from autokd.study.section import as_data
from autokd.study.task import HeadSection, TaskSection, read_task
from autokd.tasks.kinds import as_numbers, column_kinds, described
from autokd.tasks.splits import SPLITS
from autokd.tasks.table import TableTask, content_digest, storable
from autokd.tasks.table_answers import TableSource, numbered_rows, splits_of, targets_of, with_own_splits
from autokd.tasks.table_columns import (
    doubts_about,
    parts_of,
    uses_of,
)
from autokd.tasks.targets import heads_from, noisy
from autokd.tasks.task import Augmentation
from autokd.types import Head

if TYPE_CHECKING:
    from pandas import DataFrame

_DEFAULT = TaskSection(data="")
_FOR_ARRAYS = ("augment", "layout", "normalise")
_FOR_TABLES = ("text", "target", "drop", "categories", "numbers", "split", "group", "order")
_WARNINGS = 12
"""The most columns about which the log has a warning each."""
_LOG = logging.getLogger("autokd")


def from_frame(
    frame: DataFrame,
    *,
    target: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    heads: str | HeadSection | Mapping[str, Any] | None = _DEFAULT.heads,
    drop: Sequence[str] = _DEFAULT.drop,
    categories: Sequence[str] = _DEFAULT.categories,
    numbers: Sequence[str] = _DEFAULT.numbers,
    split: str | None = _DEFAULT.split,
    group: str | None = _DEFAULT.group,
    order: str | None = _DEFAULT.order,
    reading: ReadingSection | Mapping[str, Any] | None = _DEFAULT.reading,
    name: str = "table",
    seed: int = 0,
    labels: int | float | None = _DEFAULT.labels,
    rows: int | None = _DEFAULT.rows,
    validation: int | float = _DEFAULT.validation,
    validation_from: Literal["train", "labels"] = _DEFAULT.validation_from,
    test: float = _DEFAULT.test,
    label_noise: float = _DEFAULT.label_noise,
    unlabelled: int | str | Sequence[int | str] | None = _DEFAULT.unlabelled,
    class_weights: Literal["balanced"] | Sequence[float] | None = _DEFAULT.class_weights,
    max_gb: float = _DEFAULT.max_gb,
) -> TableTask:
    """A task in memory from a DataFrame of pandas. Rows are numbered in the order of the frame, from 0.

    All arguments but the frame, the name and the seed are the keys of the section `task` of a study file.

    Args:
        frame: numbers, texts, truth values and categories, and the targets.
        name: the name of the task in tables and reports.
        seed: the seed of validation, labels and noise, >= 0.

    Raises:
        InputError: the rows or the settings are not valid.
    """
    given = {
        "target": target,
        "heads": heads,
        "drop": drop,
        "categories": categories,
        "numbers": numbers,
        "split": split,
        "group": group,
        "order": order,
        "reading": reading,
        "labels": labels,
        "rows": rows,
        "validation": validation,
        "validation_from": validation_from,
        "test": test,
        "label_noise": label_noise,
        "unlabelled": unlabelled,
        "class_weights": class_weights,
        "max_gb": max_gb,
    }
    return assemble_table(TableSource(name, lambda: frame), read_task({"data": name, **given}), seed=seed)


def assemble_table(source: TableSource, spec: TaskSection, *, seed: int) -> TableTask:
    """The task that the rows of a table make with these settings. The log says what the columns are taken for.

    Raises:
        InputError: the rows or the settings are not valid.
    """
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; give a whole number >= 0")
    for key in _FOR_ARRAYS:
        if getattr(spec, key) != getattr(_DEFAULT, key):
            raise InputError(f"task.{key}: this is for arrays, and {source.name} is a table; leave it out")
    frame, spec = with_own_splits(numbered_rows(source), spec)
    uses = uses_of(source.name, list(frame.columns), spec)
    parts = parts_of(source.name, frame, spec)
    targets, guesses = targets_of(source.name, frame, spec, uses, parts)
    doubts = [
        sentence
        for name, target in targets.items()
        for sentence in doubts_about(target.names, uses.targets[name][0], spec.unlabelled)
    ]
    kinds, unsure = column_kinds(
        frame[list(uses.inputs)], source=source.name, categories=spec.categories, numbers=spec.numbers
    )
    answers = [name for columns in uses.targets.values() for name in columns]
    kept, said = as_numbers(storable(frame.drop(columns=answers)), spec.numbers)
    raw = clean_frame(kept, kinds)
    splits, groups = splits_of(source.name, frame, spec, targets, parts, seed)
    y = {name: noisy(target, splits, spec, seed=seed) for name, target in targets.items()}
    heads, tensors = heads_from(source.name, y, splits, spec.class_weights)
    seen = np.sort(np.concatenate([splits["train"], splits["transfer"]]))
    encoding = fit_columns(raw.iloc[seen], kinds)
    if not encoding.columns:
        raise InputError(f"{source.name}: no column holds values that several training rows share; give others")
    left_out = [
        f"Column '{name}' has no value that is frequent in training." for name in kinds if name not in encoding.names
    ]
    _refuse_large(source.name, len(raw), encoding.columns[-1].stop, spec.max_gb)
    for sentence in [*guesses, described(kinds, raw)]:
        _LOG.info("%s", sentence)
    warnings = [*doubts, *unsure, *said, *left_out]
    for sentence in warnings[:_WARNINGS]:
        _LOG.warning("%s", sentence)
    if len(warnings) > _WARNINGS:
        _LOG.warning("There are %d further columns of which the like could be said.", len(warnings) - _WARNINGS)
    x = encoding.batch(kept).numpy()
    one = len(tensors) == 1
    task = TableTask(
        name=source.name,
        x=x,
        y=next(iter(tensors.values())) if one else tensors,
        own_heads=heads,
        splits={name: torch.from_numpy(splits[name]) for name in SPLITS},
        shift=(0.0,) * x.shape[1],
        divisor=(1.0,) * x.shape[1],
        augmentation=Augmentation(),
        label_noise=spec.label_noise,
        digest=_digest(kept, encoding.plain(), heads, [*(each.numpy() for each in tensors.values()), *splits.values()]),
        encoding=encoding,
        table=kept,
        groups=None if groups is None else torch.from_numpy(groups),
    )
    return task if spec.reading is None else _of_some_columns(task, spec.reading)


def _of_some_columns(task: TableTask, reading: ReadingSection) -> TableTask:
    """The task of which students see the columns that the key `reading` names."""
    try:
        found = task.seen_through(as_data(reading))
    except InputError as error:
        raise InputError(f"task.reading.{error}") from None
    names = found.encoding.names
    _LOG.info("Students see %d of %d columns: %s.", len(names), len(task.encoding.names), listed(names))
    return found


def refuse_table_keys(spec: TaskSection) -> None:
    """Refuses keys that only a table can have, for data of another kind.

    Raises:
        InputError: such a key is given.
    """
    for key in _FOR_TABLES:
        if getattr(spec, key) != getattr(_DEFAULT, key):
            raise InputError(
                f"task.{key}: this is for tables (.csv, .csv.gz, .tsv, .parquet, .jsonl, or a DataFrame), and "
                f"{spec.data} is none; leave it out"
            )


def _refuse_large(name: str, rows: int, features: int, max_gb: float) -> None:
    if (gigabytes := rows * features * 4 / 1e9) > max_gb:
        raise InputError(
            f"task.max_gb: {name} would take {gigabytes:.3g} GB as {features} features, more than {max_gb:g}; raise it "
            "or give less data"
        )


def _digest(kept: DataFrame, encoding: object, heads: Mapping[str, Head], rows: Sequence[Any]) -> str:
    settings = [encoding, {name: head.plain() for name, head in heads.items()}]
    digest = hashlib.sha256(json.dumps(settings).encode())
    digest.update(content_digest(kept))
    for each in rows:
        digest.update(f"{each.shape}\0".encode())
        digest.update(np.ascontiguousarray(each).data)
    return digest.hexdigest()
