"""Makes a task from a source and settings: numbers the classes, splits, normalises, weighs and digests."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from autokd.errors import InputError
from autokd.study.reading import NormaliseSection
from autokd.study.task import AugmentSection, HeadSection, TaskSection, read_task
from autokd.tasks.arrays import array_part
from autokd.tasks.datasets import dataset_source
from autokd.tasks.labels import UNLABELLED, numbered, one_a_row
from autokd.tasks.layout import Layout
from autokd.tasks.normalisation import normalisation
from autokd.tasks.sources import (
    Array,
    Collect,
    Source,
    collect,
    in_memory,
    rows_in_chunk,
    with_layout,
)
from autokd.tasks.splits import noisy_labels, split_rows
from autokd.tasks.targets import asked_of, class_weights_of, guessed, heads_from, noisy, strata, target_of
from autokd.tasks.task import ArrayTask, Augmentation

_DEFAULT = TaskSection(data="")
_LOG = logging.getLogger("autokd")


def from_arrays(
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    *,
    name: str = "arrays",
    class_names: Sequence[str] = (),
    seed: int = 0,
    heads: str | HeadSection | Mapping[str, Any] | None = _DEFAULT.heads,
    labels: int | float | None = _DEFAULT.labels,
    rows: int | None = _DEFAULT.rows,
    validation: int | float = _DEFAULT.validation,
    validation_from: Literal["train", "labels"] = _DEFAULT.validation_from,
    test: float = _DEFAULT.test,
    label_noise: float = _DEFAULT.label_noise,
    augment: AugmentSection | Mapping[str, Any] | None = _DEFAULT.augment,
    layout: Layout | None = _DEFAULT.layout,
    unlabelled: int | str | Sequence[int | str] | None = _DEFAULT.unlabelled,
    class_weights: Literal["balanced"] | Sequence[float] | None = _DEFAULT.class_weights,
    max_gb: float = _DEFAULT.max_gb,
    normalise: str | NormaliseSection | Mapping[str, Any] = _DEFAULT.normalise,
) -> ArrayTask:
    """A task in memory from arrays or tensors. Rows are numbered from the first training row to the last test row.

    The arguments from `heads` on are the keys of the section `task` of a study file.

    Args:
        x_train: training inputs of shape (rows, features), (rows, height, width), (rows, height, width, channels) with
            1, 3 or 4 channels, or (rows, channels, height, width). Arrays, tensors, data frames, lists and sparse
            matrices of numbers are accepted.
        y_train: the class of each row: numbers or texts of shape (rows,), also as a list or a pandas Series, or one-hot
            rows of shape (rows, classes). NaN or None means that a row has no label, see `unlabelled`. Numbers with
            fractions are values to predict. For other targets see `heads`; a mapping from names to targets gives the
            students several heads.
        x_test: test inputs. Without them, test rows are drawn from the training rows.
        y_test: the class of each test row. Every test row must have one.
        name: the name of the task in tables and reports.
        class_names: the names of the classes by class number. If labels are names, they set the order of the classes.
            Without them, the labels are the names, in ascending order. With one head of labels or values, their names.
        seed: the seed of validation, labels, noise and views, >= 0.

    Raises:
        InputError: the arrays or the settings are not valid.
    """
    spec = read_task(
        {
            "data": name,
            "heads": heads,
            "labels": labels,
            "rows": rows,
            "validation": validation,
            "validation_from": validation_from,
            "test": test,
            "label_noise": label_noise,
            "augment": augment,
            "layout": layout,
            "unlabelled": unlabelled,
            "class_weights": class_weights,
            "max_gb": max_gb,
            "normalise": normalise,
        }
    )
    if not len(class_names) and hasattr(y_train, "columns") and len(y_train.columns) > 1:  # pandas.get_dummies
        class_names = [str(column) for column in y_train.columns]
    parts = {"train": array_part("x_train and y_train", x_train, y_train, asked=spec.heads)}
    if (x_test is None) != (y_test is None):
        raise InputError("x_test and y_test go together; give both or neither")
    if x_test is not None and y_test is not None:
        parts["test"] = array_part("x_test and y_test", x_test, y_test, asked=spec.heads)
    return assemble(Source(name, parts, tuple(map(str, class_names))), spec, seed=seed, into=in_memory)


def from_dataset(
    dataset: object,
    test_dataset: object | None = None,
    *,
    name: str = "dataset",
    seed: int = 0,
    heads: str | HeadSection | Mapping[str, Any] | None = _DEFAULT.heads,
    labels: int | float | None = _DEFAULT.labels,
    rows: int | None = _DEFAULT.rows,
    validation: int | float = _DEFAULT.validation,
    validation_from: Literal["train", "labels"] = _DEFAULT.validation_from,
    test: float = _DEFAULT.test,
    label_noise: float = _DEFAULT.label_noise,
    augment: AugmentSection | Mapping[str, Any] | None = _DEFAULT.augment,
    layout: Layout | None = _DEFAULT.layout,
    unlabelled: int | str | Sequence[int | str] | None = _DEFAULT.unlabelled,
    class_weights: Literal["balanced"] | Sequence[float] | None = _DEFAULT.class_weights,
    max_gb: float = _DEFAULT.max_gb,
    normalise: str | NormaliseSection | Mapping[str, Any] = _DEFAULT.normalise,
) -> ArrayTask:
    """A task in memory from a map-style torch Dataset of (input, label). Its samples are read once, in order.

    The arguments from `heads` on are the keys of the section `task` of a study file.

    Args:
        dataset: the training rows. If it has an attribute `classes`, this names the classes.
        test_dataset: the test rows. Without it, test rows are drawn from the training rows.
        name: the name of the task in tables and reports.
        seed: the seed of validation, labels, noise and views, >= 0.

    Raises:
        InputError: the dataset or the settings are not valid.
    """
    given = {"train": dataset} if test_dataset is None else {"train": dataset, "test": test_dataset}
    spec = read_task(
        {
            "data": name,
            "heads": heads,
            "labels": labels,
            "rows": rows,
            "validation": validation,
            "validation_from": validation_from,
            "test": test,
            "label_noise": label_noise,
            "augment": augment,
            "layout": layout,
            "unlabelled": unlabelled,
            "class_weights": class_weights,
            "max_gb": max_gb,
            "normalise": normalise,
        }
    )
    return assemble(dataset_source(name, given, asked=spec.heads), spec, seed=seed, into=in_memory)


def assemble(source: Source, spec: TaskSection, *, seed: int, into: Collect) -> ArrayTask:
    """The task that a source makes with these settings. `into` decides where its inputs are kept.

    Raises:
        InputError: the data or the settings are not valid.
    """
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; give a whole number >= 0")
    source = with_layout(source, spec.layout)
    x, raw = collect(source, into, max_gb=spec.max_gb)
    ends = np.cumsum([part.shape[0] for part in source.parts.values()])
    parts = {
        name: np.arange(end - part.shape[0], end) for (name, part), end in zip(source.parts.items(), ends, strict=True)
    }
    check_augment(spec, x.shape[1:])
    asked = asked_of(spec.heads, [*raw])
    kinds = {name: asked[name] or _guess(source.name, name, given) for name, given in raw.items()}
    how = Augmentation() if spec.augment is None else Augmentation(**spec.augment.model_dump(), seed=seed)
    if how.views == 1:
        how = Augmentation()
    whole = _Whole(source, spec, seed, x, parts, how)
    if [*kinds] == [""] and kinds[""].kind == "classes":
        return _of_classes(whole, one_a_row(source.name, len(x), raw[""]))
    return _of_heads(whole, raw, kinds)


@dataclass(frozen=True)
class _Whole:
    """All rows of a source, before they are split.

    Args:
        source: the source.
        spec: the settings.
        seed: the seed of the draws.
        x: the inputs.
        parts: the row numbers of `train`, and of `validation` and `test` if the data have them.
        augmentation: how views differ.
    """

    source: Source
    spec: TaskSection
    seed: int
    x: Array
    parts: Mapping[str, NDArray[np.int64]]
    augmentation: Augmentation

    def task(
        self, splits: Mapping[str, NDArray[np.int64]], y: Any, made_of: Sequence[object], **heads: Any
    ) -> ArrayTask:
        """The task with these splits and targets; `made_of` is what its digest covers beside the arrays."""
        seen = np.sort(np.concatenate([splits[name] for name in ("train", "transfer", "reserve")]))
        shift, divisor = normalisation(self.x, seen, self.spec.normalised, self.source.peak)
        first, *others = made_of
        photos = self.source.photos
        settings = [first, shift, divisor, asdict(self.augmentation), *others]
        settings += [] if photos is None else [photos.plain()]
        arrays = [each.numpy() for each in (y.values() if isinstance(y, dict) else [y])]
        return ArrayTask(
            name=self.source.name,
            x=self.x,
            y=y,
            splits={name: torch.from_numpy(rows) for name, rows in splits.items()},
            shift=shift,
            divisor=divisor,
            augmentation=self.augmentation,
            label_noise=self.spec.label_noise,
            photos=photos,
            digest=task_digest(self.x, [*arrays, *splits.values()], settings),
            **heads,
        )


def _guess(source: str, name: str, given: Array) -> HeadSection:
    """The kind of targets, which the log tells unless they are one class a row."""
    found = guessed(given)
    if name or found.kind != "classes":
        what = f"The targets '{name}' of {source}" if name else f"The targets of {source}"
        _LOG.info("%s are taken for %s. Where this is wrong, write `heads`.", what, found.kind)
    return found


def _of_classes(whole: _Whole, raw_labels: Array) -> ArrayTask:
    """The task of one class a row."""
    source, spec, seed, parts = whole.source, whole.spec, whole.seed, dict(whole.parts)
    clean, class_names = numbered(source.name, raw_labels, parts, source.class_names, spec.unlabelled)
    unlabelled = np.flatnonzero(clean == UNLABELLED)
    parts["train"] = np.setdiff1d(parts["train"], unlabelled)
    splits = split_rows(clean, parts, spec, seed=seed, class_names=class_names)
    splits["transfer"] = np.sort(np.concatenate([splits["transfer"], unlabelled]))
    y = noisy_labels(clean, splits, spec.label_noise, seed=seed, num_classes=len(class_names))
    weights = class_weights_of(spec.class_weights, y[splits["train"]], len(class_names))
    made_of = [class_names, weights]
    return whole.task(splits, torch.from_numpy(y), made_of, class_names=class_names, class_weights=weights)


def _of_heads(whole: _Whole, raw: Mapping[str, Array], kinds: Mapping[str, HeadSection]) -> ArrayTask:
    """The task of other heads than one of classes."""
    source, spec, parts = whole.source, whole.spec, dict(whole.parts)
    if source.class_names and len(raw) > 1:
        raise InputError(
            f"{source.name}: names of classes are given, and the data have the heads {', '.join(raw)}; leave the names "
            "out, and give the classes of each head as texts"
        )
    if whole.augmentation.flip or whole.augmentation.crop:
        for head in kinds.values():
            if head.kind == "positions":
                raise InputError(
                    "task.augment: flip and crop move pixels, and the targets at positions would not move with them; "
                    "leave them out"
                )
    targets = {
        name: target_of(
            f"{source.name}, {name}" if name else source.name,
            given,
            kinds[name],
            parts=parts,
            names=source.class_names if len(raw) == 1 else (),
            unlabelled=spec.unlabelled,
            every_known=len(raw) == 1,
        )
        for name, given in raw.items()
    }
    known = np.any([target.known for target in targets.values()], axis=0)
    for part, rows in parts.items():
        if part != "train" and not known[rows].all():
            raise InputError(
                f"{source.name}: {int((~known[rows]).sum())} {part} rows have no target; drop them, or put them among "
                "the training rows"
            )
    unlabelled = np.flatnonzero(~known)
    parts["train"] = np.setdiff1d(parts["train"], unlabelled)
    labels, names = strata(targets, np.concatenate([*parts.values()]))
    splits = split_rows(labels, parts, spec, seed=whole.seed, class_names=names)
    splits["transfer"] = np.sort(np.concatenate([splits["transfer"], unlabelled]))
    changed = {name: noisy(target, splits, spec, seed=whole.seed) for name, target in targets.items()}
    heads, tensors = heads_from(source.name, changed, splits, spec.class_weights)
    y = tensors if len(tensors) > 1 else next(iter(tensors.values()))
    return whole.task(splits, y, [{name: head.plain() for name, head in heads.items()}], own_heads=heads)


def check_augment(spec: TaskSection, sample: tuple[int, ...]) -> None:
    """Refuses augmentations of inputs of this shape that are no images, or of which nothing would be left.

    Raises:
        InputError: names the key.
    """
    augment = spec.augment
    if augment is None:
        return
    if len(sample) != 3:
        raise InputError(
            f"task.augment: flip, crop and cutout need images, and these are {sample[0]} features; leave it out"
        )
    side = min(sample[1:])
    sizes = spec.reading.searched.get("size", ()) if spec.reading is not None else ()
    for key, given in (("crop", augment.crop), ("cutout", augment.cutout)):
        if sizes and given and isinstance(given, int):
            raise InputError(
                f"task.augment.{key}: {given} pixels are not the same part of images of several sizes "
                f"({', '.join(map(str, sizes))}); write a fraction of the sides, such as {key}: {given / side:.2g}"
            )
        if given >= side:
            raise InputError(
                f"task.augment.{key}: {given} pixels of images {sample[1]}x{sample[2]} leave nothing; give at most "
                f"{side - 1}"
            )


def task_digest(x: Array, rows: Sequence[Array], settings: object) -> str:
    """SHA-256 over inputs, or what they are made from, other arrays of rows, and settings as plain data."""
    digest = hashlib.sha256(json.dumps([list(x.shape), x.dtype.str, settings]).encode())
    step = rows_in_chunk(x.shape, x.dtype)
    for start in range(0, len(x), step):
        digest.update(np.ascontiguousarray(x[start : start + step]).data)
    for each in rows:
        digest.update(f"{len(each)}\0".encode())
        digest.update(np.ascontiguousarray(each).data)
    return digest.hexdigest()
