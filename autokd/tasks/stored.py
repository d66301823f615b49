"""What tasks that are kept in files have in common: targets, splits, and what the outputs mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from autokd.heads import Classes, Heads, apart, blind_scores, hard_losses, known_rows, scores, width
from autokd.types import Head


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredTask(ABC):
    """A `Task` that `save_task` can write into a folder, so that other processes open it from there.

    What its rows are, and how they become inputs, is the matter of its kinds, such as `ArrayTask`.

    Args:
        name: the name of the task in tables and reports.
        y: the targets of all rows: the class of each row, int64, shape (num_rows,), with the requested label noise, or
            what another kind of head takes; by head if there are several. Rows without a target are in the transfer
            set only, and have -1 for a class.
        class_names: the names of the classes by number; empty if the task has other heads than one of classes.
        splits: the row numbers of each split, see `Task`.
        class_weights: the weight of each class in the hard loss, or None. With weights the score is balanced accuracy.
        label_noise: the fraction of the labels outside validation and test that was changed.
        digest: a digest of the task, see `Task`.
        own_heads: the heads by name; empty if there is one head of classes, which `class_names` and `class_weights`
            describe. One such head under the name "" becomes these two.
    """

    name: str
    y: Tensor | Mapping[str, Tensor] = field(repr=False)
    class_names: tuple[str, ...] = ()
    splits: Mapping[str, Tensor] = field(repr=False)
    class_weights: tuple[float, ...] | None = None
    label_noise: float = 0.0
    digest: str
    own_heads: Mapping[str, Head] = field(default_factory=dict)

    def __post_init__(self) -> None:
        alone = self.own_heads.get("") if len(self.own_heads) == 1 else None
        if isinstance(alone, Classes):
            plain: dict[str, Any] = {"class_names": alone.names, "class_weights": alone.weights, "own_heads": {}}
            for name, value in plain.items():
                object.__setattr__(self, name, value)

    @property
    @abstractmethod
    def num_rows(self) -> int:
        """The number of rows over all splits. Rows are in the order of the source."""

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample without the batch."""

    @property
    @abstractmethod
    def views(self) -> int:
        """The number of versions of each row, >= 1; view 0 is unaugmented."""

    @property
    @abstractmethod
    def rows_in_words(self) -> str:
        """What the rows are, for the log: "1,797 rows of 1x8x8 uint8"."""

    @abstractmethod
    def inputs(self, rows: Tensor, view: int = 0) -> Tensor:
        """What networks take of these rows."""

    @cached_property
    def heads(self) -> Heads:
        """What the outputs mean, by head; the only head of a task is called ""."""
        return self.own_heads or {"": Classes(self.class_names, self.class_weights)}

    @property
    def num_outputs(self) -> int:
        """The number of classes, or the number of columns in which all heads answer together."""
        return width(self.heads)

    @cached_property
    def chance(self) -> float:
        """The score on validation of the best answer that does not look at the input, such as the most frequent class.

        With several heads, it is the mean of their chances.
        """
        targets = self.targets(self.splits["validation"])
        if isinstance(targets, Tensor) and isinstance(self._only, Classes):
            counts = targets.bincount()
            if self.class_weights is not None:
                return 1.0 / int((counts > 0).sum())
            return int(counts.max()) / int(counts.sum())
        return fmean(blind_scores(targets, self.heads).values())

    def targets(self, rows: Tensor) -> Any:
        """The targets of these rows, such as class numbers, int64, shape (len(rows),); by head if there are several."""
        if isinstance(self.y, Tensor):
            return self.y.index_select(0, rows)
        return {name: targets.index_select(0, rows) for name, targets in self.y.items()}

    def hard_loss(self, outputs: Tensor, targets: Any) -> Tensor:
        """The loss of the head as a mean over the batch, such as the cross-entropy in nats, shape ().

        With several heads, it is the mean of their losses.
        """
        if self._only is not None:
            return self._only.hard_loss(apart(outputs, self.heads)[""], targets)
        losses = hard_losses(outputs, targets, self.heads)
        return torch.stack([*losses.values()]).mean()

    def score(self, outputs: Tensor, targets: Any) -> float:
        """The score of the head, such as the accuracy, 0 .. 1; with several heads the mean of their scores."""
        if self._only is not None:
            return self._only.score(apart(outputs, self.heads)[""], targets)
        return fmean(scores(outputs, targets, self.heads).values())

    def summary(self) -> str:
        """One line for the log: name, shape, what is answered, rows by split, labels used."""
        sizes = {name: len(rows) for name, rows in self.splits.items()}
        rows = ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
        unknown = int((~known_rows(self.y, self.heads)).sum())
        without = f" ({unknown:,} rows have no label)" if unknown else ""
        noise = f", {self.label_noise:.0%} of the training labels changed" if self.label_noise else ""
        views = f", {self.views} views" if self.views > 1 else ""
        answers = "; ".join(f"{name}: {head.summary}" if name else head.summary for name, head in self.heads.items())
        return (
            f"{self.name}: {self.rows_in_words}{views}, {answers}; {rows}{without}; "
            f"labels used: {sizes['train']:,} to train, {sizes['validation']:,} to validate{noise}"
        )

    @cached_property
    def _only(self) -> Head | None:
        """The only head; None if there are several."""
        return self.heads.get("") if len(self.heads) == 1 else None
