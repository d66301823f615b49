"""Rows of a table before they become a task: what is to be learned from them, and which split they are in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autokd.errors import InputError, listed
from autokd.readings.table_rows import as_frame
from autokd.study.task import HeadSection, TaskSection
from autokd.tasks.held_together import Grouped, Latest, refuse_straddling, refuse_unseen
from autokd.tasks.saved_datasets import SPLIT
from autokd.tasks.splits import Rows, split_rows
from autokd.tasks.table_columns import Uses, groups_of, guess_of, target_values, times_of
from autokd.tasks.targets import Target, asked_of, strata, target_of

if TYPE_CHECKING:
    from pandas import DataFrame

_LOG = logging.getLogger("autokd")
_DOUBT_FROM = 20
"""Whether there are too many classes is asked of so many rows or more."""


@dataclass(frozen=True)
class TableSource:
    """The rows of a table before any check.

    Args:
        name: the name of the data in tables and messages.
        read: gives the rows.
        fingerprint: a text that changes when the source does, and is cheap to compute.
    """

    name: str
    read: Callable[[], DataFrame]
    fingerprint: str = ""


def numbered_rows(source: TableSource) -> DataFrame:
    """The rows of a source, with an index that counts them from 0.

    Raises:
        InputError: there are none, or they are no table.
    """
    frame = as_frame(source.read())
    if len(frame) == 0:
        raise InputError(f"{source.name} has no rows; give a table with rows")
    return frame.reset_index(drop=True)


def with_own_splits(frame: DataFrame, spec: TaskSection) -> tuple[DataFrame, TaskSection]:
    """The rows and the settings, with the splits that the data have themselves if the settings name no others.

    A split for validation or test in which no row has a target is left out, and drawn from the training rows instead.
    """
    if SPLIT not in frame.columns:
        return frame, spec
    if spec.split is not None or spec.order is not None:
        return frame.drop(columns=SPLIT), spec
    named = spec.target.values() if isinstance(spec.target, Mapping) else [spec.target or ()]
    targets = [name for each in named for name in ([each] if isinstance(each, str) else each) if name in frame.columns]
    for part in ("validation", "test"):
        inside = frame[SPLIT] == part
        if inside.any() and targets and frame.loc[inside, targets].isna().all(axis=None):
            _LOG.warning("No row of the split '%s' has a target, so this split is left out.", part)
            frame = frame[~inside].reset_index(drop=True)
    return frame, spec.model_copy(update={"split": SPLIT})


def targets_of(
    source: str, frame: DataFrame, spec: TaskSection, uses: Uses, parts: Mapping[str, Rows]
) -> tuple[dict[str, Target], list[str]]:
    """The targets by head, and a sentence about each kind of head that was guessed.

    Raises:
        InputError: the targets are not valid.
    """
    asked = asked_of(spec.heads, list(uses.targets))
    found, guesses = {}, []
    for name, columns in uses.targets.items():
        given = target_values(source, frame, columns)
        head = asked[name] or guess_of(source, given, name)
        _refuse_many_classes(source, given, head, columns[0])
        if head.kind == "positions":
            raise InputError(
                f"task.heads: a table has no positions; write classes, labels or values for '{columns[0]}'"
            )
        if head.kind == "classes" and len(columns) > 1:
            raise InputError(
                f"task.heads: {len(columns)} columns cannot be one class; write a mapping {{head: column}} to target, "
                "or heads: labels"
            )
        if asked[name] is None:
            taken = listed(columns)
            guesses.append(f"The target {taken} is taken for {head.kind}. Where this is wrong, write `heads`.")
        found[name] = target_of(
            f"{source}, target {listed(columns)}",
            given,
            head,
            parts=parts,
            names=() if head.kind == "classes" else columns,
            unlabelled=spec.unlabelled,
            every_known=len(uses.targets) == 1,
        )
    return found, guesses


def splits_of(
    source: str,
    frame: DataFrame,
    spec: TaskSection,
    targets: Mapping[str, Target],
    parts: Mapping[str, Rows],
    seed: int,
) -> tuple[dict[str, Rows], Any]:
    """The rows of each split, and the group of each row or None.

    Raises:
        InputError: the rows cannot be split as the settings say.
    """
    known = np.any([target.known for target in targets.values()], axis=0)
    unlabelled = np.flatnonzero(~known)
    if others := [part for part, rows in parts.items() if part != "train" and not known[rows].all()]:
        raise InputError(f"{source}: some {others[0]} rows have no target; drop them, or put them into train")
    parts = {**parts, "train": np.setdiff1d(parts["train"], unlabelled)}
    labels, names = strata(targets, np.concatenate([*parts.values()]))
    grouped, times = groups_of(frame, spec), times_of(source, frame, spec)
    if times is not None and (grouped is not None or spec.split is not None):
        other = "group" if grouped is not None else "split"
        raise InputError(f"task.order: rows are split by time or by task.{other}, not by both; leave one out")
    if times is not None and spec.validation_from == "labels":
        raise InputError(
            "task.validation_from: with task.order, validation rows are the last ones of all rows; leave it out"
        )
    if times is not None:
        assert spec.order is not None
        splits = split_rows(labels, parts, spec, seed=seed, class_names=names, held_out=Latest(times, spec.order))
        start = times[np.concatenate([splits["validation"], splits["test"]])].min()
        unlabelled = unlabelled[times[unlabelled] < start]
        refuse_unseen(labels, splits, names, "task.order")
    elif grouped is not None:
        assert spec.group is not None
        groups, group_names = grouped
        refuse_straddling(groups, parts, column=spec.group, names=group_names)
        splits = split_rows(labels, parts, spec, seed=seed, class_names=names, draw=Grouped(labels, groups, spec.group))
        held = np.isin(groups, groups[np.concatenate([rows for name, rows in splits.items() if name != "transfer"])])
        unlabelled = unlabelled[~held[unlabelled]]
        refuse_unseen(labels, splits, names, "task.group")
    else:
        splits = split_rows(labels, parts, spec, seed=seed, class_names=names)
    splits["transfer"] = np.sort(np.concatenate([splits["transfer"], unlabelled]))
    return splits, None if grouped is None else grouped[0]


def _refuse_many_classes(source: str, given: Any, head: HeadSection, column: str) -> None:
    """Refuses texts or numbers of which most are the only ones of their kind, where classes are expected."""
    if head.kind != "classes" or given.ndim > 1:
        return
    known = [value for value in given.tolist() if value is not None and value == value]
    if len(known) >= _DOUBT_FROM and (classes := len(set(known))) > len(known) / 2:
        raise InputError(
            f"task.target: column '{column}' of {source} has {classes} classes in {len(known)} rows, which are too "
            "many; write heads: values if they are numbers, or name another column"
        )
