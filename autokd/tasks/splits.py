"""Draws the rows of each split (train, transfer, validation, test, reserve), stratified, each with its own seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from autokd.errors import InputError
from autokd.study.task import TaskSection

Rows = NDArray[np.int64]
Draw = Callable[..., tuple[Rows, Rows]]
"""A function that takes rows out of a pool, and gives the drawn rows and the remaining rows; see `Stratified`."""

SPLITS = ("train", "transfer", "validation", "test", "reserve")

# Each purpose has its own stream of random numbers, so that changing one draw does not change the others.
_TEST, _VALIDATION, _ROWS, _LABELS, _NOISE = range(5)


def split_rows(
    labels: NDArray[np.int64],
    parts: Mapping[str, Rows],
    spec: TaskSection,
    *,
    seed: int,
    class_names: Sequence[str],
    draw: Draw | None = None,
    held_out: Draw | None = None,
) -> dict[str, Rows]:
    """The row numbers of each split in `SPLITS`, ascending.

    The test split is the same for every seed, so that test scores of several studies can be compared. Validation
    depends on the seed but not on `labels`, `rows` or `label_noise`, unless `validation_from` is "labels".

    Args:
        labels: the class of every row, 0 .. len(class_names) - 1, before any label noise.
        parts: the row numbers of `train`, and of `validation` and `test` if the data have them.
        spec: the settings.
        seed: the seed of the draws, >= 0.
        class_names: the names of the classes, for messages.
        draw: takes rows out of a pool in place of a stratified draw.
        held_out: takes the rows for test and validation, if they are to be drawn in another way.

    Raises:
        InputError: a class has too few rows, or a count is larger than the number of rows.
    """
    draw = draw or Stratified(labels, class_names)
    held_out = held_out or draw
    pool = parts["train"]
    if "test" in parts:
        test = parts["test"]
    else:
        keep = 1 if "validation" in parts else 2  # one row for train and one for validation
        test, pool = held_out("test", pool, spec.test, seed=0, stream=_TEST, leave=keep)
    own_validation = parts.get("validation")
    validation = own_validation
    if own_validation is not None and spec.validation_from == "labels":
        raise InputError(
            "task.validation_from: 'labels', but the data come with validation rows of their own; leave it out"
        )
    if validation is None and spec.validation_from == "train":
        validation, pool = held_out("validation", pool, spec.validation, seed, _VALIDATION, leave=1)
    used, reserve = draw("rows", pool, spec.rows, seed, _ROWS, leave=0)
    train, transfer = draw("labels", used, spec.labels, seed, _LABELS, leave=0)
    if validation is None:
        validation, train = held_out("validation", train, spec.validation, seed, _VALIDATION, leave=1)
    found = {"train": train, "transfer": transfer, "validation": validation, "test": test, "reserve": reserve}
    for name in ("train", "validation", "test"):
        if len(found[name]) == 0:
            raise InputError(f"the {name} split has no rows; give the data more rows, or ask for fewer elsewhere")
    return {name: np.sort(found[name]) for name in SPLITS}


def stratified(labels: NDArray[np.int64], count: int, num_classes: int, *, leave: int) -> NDArray[np.int64]:
    """How many of `count` rows each class gives: one at least, and the rest in proportion, by largest remainder.

    Ties go to the lower class. Each class keeps `leave` rows.

    Args:
        labels: the class of every row, 0 .. num_classes - 1. Each class has more than `leave` rows.
        count: the number of rows, num_classes .. len(labels) - leave * num_classes.
        num_classes: the number of classes, >= 1.
        leave: how many rows every class keeps, >= 0.

    Returns:
        the number of rows for each class, shape (num_classes,). They sum to `count`.
    """
    room = np.bincount(labels, minlength=num_classes) - 1 - leave
    shared = count - num_classes
    given, remainder = np.divmod(shared * room, max(1, room.sum()))
    largest = np.argsort(-remainder, kind="stable")[: shared - given.sum()]
    given[largest] += 1
    return given + 1


def noisy_labels(
    labels: NDArray[np.int64], splits: Mapping[str, Rows], fraction: float, *, seed: int, num_classes: int
) -> NDArray[np.int64]:
    """The labels, of which a fraction in each of `train`, `transfer` and `reserve` is changed to a random other class.

    The seed fixes the order in which rows are changed, so more noise changes the same rows and further ones. Rows
    without a label (a class number below 0) stay without one.
    """
    random = generator(seed, _NOISE)
    order = random.permutation(len(labels))
    shift = random.integers(1, num_classes, size=len(labels))
    changed = labels.copy()
    for name in ("train", "transfer", "reserve"):
        belongs = np.zeros(len(labels), dtype=bool)
        belongs[splits[name]] = True
        inside = order[(belongs & (labels >= 0))[order]]
        flipped = inside[: round(fraction * len(inside))]
        changed[flipped] = (labels[flipped] + shift[flipped]) % num_classes
    return changed


class Stratified:
    """Takes stratified rows out of a pool. It holds the labels and the class names for all draws."""

    def __init__(self, labels: NDArray[np.int64], class_names: Sequence[str]) -> None:
        self._labels = labels
        self._class_names = class_names

    def __call__(
        self, what: str, pool: Rows, size: int | float | None, seed: int, stream: int, *, leave: int
    ) -> tuple[Rows, Rows]:
        """The drawn rows and the remaining rows; `size` is a count, a fraction of the pool, or None for all of it."""
        if size is None or (isinstance(size, float) and size == 1):
            return pool, pool[:0]
        count = size if isinstance(size, int) else round(size * len(pool))
        self._check(what, pool, size, count, leave)
        labels = self._labels[pool]
        quotas = stratified(labels, count, len(self._class_names), leave=leave)
        shuffled = generator(seed, stream).permutation(len(pool))
        by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
        having = np.bincount(labels, minlength=len(quotas))
        rank = np.arange(len(pool)) - np.repeat(np.cumsum(having) - having, having)
        taken = np.zeros(len(pool), dtype=bool)
        taken[by_class[rank < np.repeat(quotas, having)]] = True
        return pool[taken], pool[~taken]

    def _check(self, what: str, pool: Rows, size: int | float, count: int, leave: int) -> None:
        classes = len(self._class_names)
        having = np.bincount(self._labels[pool], minlength=classes)
        scarce = int(having.argmin())
        if having[scarce] <= leave and classes == 1:
            raise InputError(
                f"task.{what}: there are {len(pool)} row(s) left to draw from, fewer than the {leave + 1} that are "
                "needed; give more rows"
            )
        if having[scarce] <= leave:
            raise InputError(
                f"task.{what}: class '{self._class_names[scarce]}' has {having[scarce]} row(s) left to draw from, "
                f"fewer than the {leave + 1} that a stratified draw needs; give it more rows or drop the class"
            )
        most = len(pool) - leave * classes
        if not classes <= count <= most:
            asked = f"{size}" if isinstance(size, int) else f"{size} of {len(pool)} rows, which is {count},"
            of_classes, least = (f" of {classes} classes", ", at least one a class") if classes > 1 else ("", "")
            raise InputError(
                f"task.{what}: {asked} cannot be drawn from {len(pool)} rows{of_classes}; give a count of {classes} to "
                f"{most}{least}"
            )


def generator(seed: int, stream: int) -> np.random.Generator:
    """The random numbers of one purpose."""
    return np.random.default_rng(np.random.SeedSequence([seed, stream]))
