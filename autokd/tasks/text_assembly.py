"""Makes a task of texts: finds texts, targets and splits, trains or reads the tokenizer, and digests it all."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from autokd.errors import InputError, listed
from autokd.frames import pandas_for_tables
from autokd.readings.table_rows import is_number_like
from autokd.readings.tokens import encodable
from autokd.study.reading import TRAINED, ReadingSection, TextReading
from autokd.study.task import HeadSection, TaskSection, read_task
from autokd.tasks.splits import SPLITS
from autokd.tasks.table_answers import TableSource, numbered_rows, splits_of, targets_of, with_own_splits
from autokd.tasks.table_columns import doubts_about, parts_of, uses_of
from autokd.tasks.targets import heads_from, noisy
from autokd.tasks.texts import RawTexts, TextTask, text_digest

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_DEFAULT = TaskSection(data="")
_FOR_OTHERS = ("augment", "layout", "normalise", "categories", "numbers", "drop")
_LONGEST = 1_000_000
"""The most characters of a text."""
_LOG = logging.getLogger("autokd")


def from_texts(
    texts_train: object,
    y_train: object,
    texts_test: object | None = None,
    y_test: object | None = None,
    *,
    reading: ReadingSection | Mapping[str, Any] | None = _DEFAULT.reading,
    group: object | None = None,
    name: str = "texts",
    seed: int = 0,
    heads: str | HeadSection | Mapping[str, Any] | None = _DEFAULT.heads,
    labels: int | float | None = _DEFAULT.labels,
    rows: int | None = _DEFAULT.rows,
    validation: int | float = _DEFAULT.validation,
    validation_from: Literal["train", "labels"] = _DEFAULT.validation_from,
    test: float = _DEFAULT.test,
    label_noise: float = _DEFAULT.label_noise,
    unlabelled: int | str | Sequence[int | str] | None = _DEFAULT.unlabelled,
    class_weights: Literal["balanced"] | Sequence[float] | None = _DEFAULT.class_weights,
    max_gb: float = _DEFAULT.max_gb,
) -> TextTask:
    """A task in memory from texts and what is to be learned of them.

    The arguments `reading` and those from `heads` on are the keys of the section `task` of a study file. Rows are
    numbered from the first training text to the last test text.

    Args:
        texts_train: the training texts, a list, an array or a column of a data frame.
        y_train: the class of each text: numbers or names of shape (rows,); None means that a text has no label, see
            `unlabelled`. Numbers with fractions are values to predict. Several columns are labels or values that are
            answered together. A mapping from names to such targets gives the students several heads.
        texts_test: the test texts. Without them, test rows are drawn from the training rows.
        y_test: the target of each test text, in the form of `y_train`.
        group: what texts belong together, such as those of one author: one value for each text, training texts first.
            Texts with the same value are always in the same split.
        name: the name of the task in tables and reports.
        seed: the seed of validation, labels and noise, >= 0.

    Raises:
        InputError: the texts, the targets or the settings are not valid.
    """
    if (texts_test is None) != (y_test is None):
        raise InputError("texts_test and y_test go together; give both or neither")
    given = [("train", texts_train, y_train)] + ([] if texts_test is None else [("test", texts_test, y_test)])
    frames = [_frame(part, texts, _targets(f"y_{part}", y)) for part, texts, y in given]
    if list(frames[0].columns) != list(frames[-1].columns):
        raise InputError("y_train and y_test are of different forms; give both in the same form")
    frame = pandas_for_tables().concat(frames, ignore_index=True).infer_objects()
    if texts_test is None:
        frame = frame.drop(columns="split")
    if group is not None:
        frame["group"] = _of_rows("group", len(frame), group)
    target = {head: list(columns) for head, columns in _targets("y_train", y_train).items()}
    spec = {
        "text": "text",
        "target": target,
        "split": "split" if len(given) > 1 else None,
        "group": None if group is None else "group",
        "reading": reading,
        "heads": heads,
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
    return assemble_texts(TableSource(name, lambda: frame), read_task({"data": name, **spec}), seed=seed)


def assemble_texts(source: TableSource, spec: TaskSection, *, seed: int) -> TextTask:
    """The task that the texts in a column of a table make with these settings.

    Raises:
        InputError: the rows or the settings are not valid.
    """
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; give a whole number >= 0")
    for key in _FOR_OTHERS:
        if getattr(spec, key) != getattr(_DEFAULT, key):
            raise InputError(f"task.{key}: this is not for texts, and task.text makes the rows of {source.name} texts")
    frame, spec = with_own_splits(numbered_rows(source), spec)
    assert spec.text is not None
    uses = uses_of(source.name, list(frame.columns), spec)
    texts = _texts(source.name, frame[spec.text])
    parts = parts_of(source.name, frame, spec)
    targets, guesses = targets_of(source.name, frame, spec, uses, parts)
    doubts = [
        sentence
        for name, target in targets.items()
        for sentence in doubts_about(target.names, uses.targets[name][0], spec.unlabelled)
    ]
    if uses.inputs:
        doubts.append(f"Students read '{spec.text}' only. Other columns are left out: {listed(uses.inputs)}.")
    if empty := sum(not text.strip() for text in texts):
        doubts.append(f"Texts that are empty: {empty:,}.")
    splits, groups = splits_of(source.name, frame, spec, targets, parts, seed)
    y = {name: noisy(target, splits, spec, seed=seed) for name, target in targets.items()}
    heads, tensors = heads_from(source.name, y, splits, spec.class_weights)
    for sentence in guesses:
        _LOG.info("%s", sentence)
    for sentence in doubts:
        _LOG.warning("%s", sentence)
    raw = RawTexts.of(texts)
    settings = settings_of(spec.reading)
    plain = json.dumps({name: head.plain() for name, head in heads.items()})
    digest = hashlib.sha256(f"{plain}\0{raw.digest}".encode())
    for each in [*(each.numpy() for each in tensors.values()), *splits.values()]:
        digest.update(f"{each.shape}\0".encode())
        digest.update(np.ascontiguousarray(each).data)
    fixed = {name: value for name, value in settings.items() if not isinstance(value, tuple)}
    task = TextTask(
        name=source.name,
        texts=raw,
        y=tensors if len(tensors) > 1 else next(iter(tensors.values())),
        own_heads=heads,
        splits={name: torch.from_numpy(splits[name]) for name in SPLITS},
        label_noise=spec.label_noise,
        settings=settings,
        trained_on=torch.from_numpy(np.sort(np.concatenate([splits["train"], splits["transfer"]]))),
        content=digest.hexdigest(),
        digest=text_digest(digest.hexdigest(), fixed),
        groups=None if groups is None else torch.from_numpy(groups),
    )
    try:
        task.make_all()
        return task if task.readings else task.seen_through({})
    except InputError as error:
        raise InputError(f"task.reading.{error}") from None


def settings_of(reading: ReadingSection | None) -> dict[str, Any]:
    """The settings of a reading; a tokenizer in a file has a `vocabulary` only if it is trimmed.

    Raises:
        InputError: the reading is of rows of another kind.
    """
    how = TextReading() if reading is None else reading
    if not isinstance(how, TextReading):
        raise InputError(f"task.reading: this is for {how.reads}, and these are texts; write length: [16, 32]")
    whole = how.tokenizer not in TRAINED and "vocabulary" not in how.model_fields_set
    names = ("tokenizer", "length") if whole else ("tokenizer", "length", "vocabulary")
    return {name: getattr(how, name) for name in names}


def _texts(source: str, column: Series) -> list[str]:
    """The texts of a column, as UTF-8 can hold them."""
    name = column.name
    if is_number_like(column) or column.dtype.kind in "bmMc":
        raise InputError(
            f"task.text: column '{name}' of {source} holds no texts but values of type {column.dtype}; name the column "
            "of texts, or leave task.text out if the rows are those of a table"
        )
    texts = column.astype(object).tolist()
    for row, text in enumerate(texts):
        if text is None or text != text:
            raise InputError(
                f"task.text: row {row} of '{name}' in {source} has no text; write '' where it is empty, or drop the row"
            )
        if not isinstance(text, str):
            raise InputError(
                f"task.text: row {row} of '{name}' in {source} is of type {type(text).__name__}; give a text in each "
                "row"
            )
        if len(text) > _LONGEST:
            raise InputError(
                f"task.text: row {row} of '{name}' in {source} has {len(text):,} characters, more than {_LONGEST:,}; "
                "students read only the first words of a text, so cut it or split it into several rows"
            )
    if pandas_for_tables().to_numeric(column, errors="coerce").notna().all():
        raise InputError(
            f"task.text: column '{name}' of {source} holds numbers, such as {texts[0]!r}; name the column of texts, or "
            "leave task.text out if the rows are those of a table"
        )
    return [encodable(text) for text in texts]


def _frame(part: str, texts: object, targets: Mapping[str, Mapping[str, Any]]) -> DataFrame:
    """The rows of a part as a table, of which the column `split` says in which part they are."""
    rows = _rows(f"texts_{part}", texts)
    columns: dict[str, Any] = {"text": rows, "split": [part] * len(rows)}
    for name, column in (item for each in targets.values() for item in each.items()):
        if name in (*columns, "group"):
            raise InputError(f"y_{part} has two columns called '{name}', or one that is called as AutoKD's; rename it")
        columns[name] = _of_rows(f"y_{part}", len(rows), column)
    return pandas_for_tables().DataFrame(columns, dtype=object)


def _targets(name: str, given: Any) -> dict[str, dict[str, Any]]:
    """The columns of targets by head; the only head is called target."""
    if isinstance(given, Mapping):
        return {str(head): _columns(f"{name}, {head}", str(head), each) for head, each in given.items()}
    return {"target": _columns(name, "target", given)}


def _columns(name: str, head: str, given: Any) -> dict[str, Any]:
    if hasattr(given, "columns"):
        return {str(column): given[column] for column in given.columns}
    rows = _rows(name, given)
    if not rows or not isinstance(rows[0], list | tuple):
        return {head: rows}
    if len({len(row) for row in rows}) > 1:
        raise InputError(f"{name}: rows differ in their numbers of targets; give each row the same")
    return {f"{head} {number}": column for number, column in enumerate(zip(*rows, strict=True))}


def _rows(name: str, given: Any) -> list[Any]:
    """Rows in memory as a list, whose texts UTF-8 can hold."""
    found = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(found, str | bytes) or not isinstance(found, Sequence):
        raise InputError(f"{name}: of type {type(given).__name__}; give a list, an array or a column of a data frame")
    return [encodable(each) if isinstance(each, str) else each for each in found]


def _of_rows(name: str, rows: int, given: Any) -> list[Any]:
    found = _rows(name, given)
    if len(found) != rows:
        raise InputError(f"{name} has {len(found)} values for {rows} texts; give one for each text")
    return found
