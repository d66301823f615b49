"""Draws whole groups of rows, or the last rows in time, so that validation and test tell what a user will see."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autokd.errors import InputError
from autokd.tasks.splits import Rows, generator

_MOST_FOLDS = 20


@dataclass(frozen=True)
class Grouped:
    """Takes whole groups out of a pool, with each class about in proportion, by scikit-learn's `StratifiedGroupKFold`.

    Args:
        labels: the class of each row, as `split_rows` gets it.
        groups: the number of the group of each row, 0 or more.
        column: the name of the column of the groups, for messages.
    """

    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    column: str

    def __call__(
        self, what: str, pool: Rows, size: int | float | None, seed: int, stream: int, *, leave: int
    ) -> tuple[Rows, Rows]:
        """The drawn rows and the remaining rows; see `Stratified`. Their numbers are near to what is asked for."""
        if size is None or (isinstance(size, float) and size == 1):
            return pool, pool[:0]
        share = size / max(len(pool), 1) if isinstance(size, int) else size
        groups = len(np.unique(self.groups[pool]))
        if not 0 < share < 1 or groups < 2:
            raise InputError(
                f"task.{what}: {size} cannot be drawn from {len(pool)} rows of {groups} group(s) of '{self.column}'; "
                "ask for fewer rows, or give more groups"
            )
        from sklearn.model_selection import StratifiedGroupKFold

        smaller = Fraction(min(share, 1 - share)).limit_denominator(min(_MOST_FOLDS, groups))
        folds = smaller.denominator if smaller else min(groups, round(1 / min(share, 1 - share)))
        number = int(generator(seed, stream).integers(2**31))
        cut = StratifiedGroupKFold(folds, shuffle=True, random_state=number)
        taken = np.zeros(len(pool), dtype=bool)
        try:
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # a class in fewer groups than folds
                for _, fold in list(cut.split(pool, self.labels[pool], self.groups[pool]))[: smaller.numerator or 1]:
                    taken[fold] = True
        except ValueError:
            raise InputError(
                f"task.{what}: no class has {folds} rows among {len(pool)} rows of {groups} groups of "
                f"'{self.column}', so {size} cannot be drawn; ask for a larger share"
            ) from None
        if share > 0.5:
            taken = ~taken
        return pool[taken], pool[~taken]


@dataclass(frozen=True)
class Latest:
    """Takes the last rows of a pool in time. Rows of the same time stay together.

    Args:
        times: the time of each row.
        column: the name of the column of the times, for messages.
    """

    times: NDArray[Any]
    column: str

    def __call__(
        self, what: str, pool: Rows, size: int | float, seed: int, stream: int, *, leave: int
    ) -> tuple[Rows, Rows]:
        """The last rows, as many as are asked for or a few more, and the rows before them."""
        count = size if isinstance(size, int) else round(size * len(pool))
        times = np.sort(self.times[pool])
        if not 0 < count < len(pool) or times[0] == times[-count]:
            raise InputError(
                f"task.{what}: the last {size} of {len(pool)} rows by '{self.column}' leave no earlier ones; ask for "
                "fewer rows"
            )
        late = self.times[pool] >= times[-count]
        return pool[late], pool[~late]


def refuse_straddling(
    groups: NDArray[np.int64], parts: Mapping[str, Rows], *, column: str, names: Sequence[str]
) -> None:
    """Refuses parts of the data of which two share a group.

    Args:
        groups: the number of the group of each row.
        parts: the row numbers of each part.
        column: the name of the column of the groups.
        names: the names of the groups by number.
    """
    found: dict[int, str] = {}
    for part, rows in parts.items():
        for group in np.unique(groups[rows]).tolist():
            if found.setdefault(group, part) != part:
                raise InputError(
                    f"task.group: rows of '{names[group]}' in column '{column}' are in {found[group]} and in {part}, "
                    "by task.split; assign all rows of a group to one split"
                )


def refuse_unseen(labels: NDArray[np.int64], splits: Mapping[str, Rows], names: Sequence[str], why: str) -> None:
    """Refuses splits of which training lacks a class, because drawing by groups or time is not stratified."""
    lacking = np.setdiff1d(np.arange(len(names)), labels[splits["train"]])
    if len(lacking):
        raise InputError(
            f"{why}: no row of class '{names[lacking[0]]}' is left in train; ask for fewer rows for test and "
            "validation, or drop the class"
        )
