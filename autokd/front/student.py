"""One student of a front, and what can be done with it."""

from __future__ import annotations

from dataclasses import InitVar, asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autokd.errors import InputError
from autokd.types import Arch

if TYPE_CHECKING:
    from torch import nn


class Door(Protocol):
    """Loads, retrains and exports the students of a run. The code that makes the front of a run passes it in."""

    @property
    def run(self) -> Path:
        """The run folder."""

    def load(self, trial: int) -> nn.Module:
        """Loads the student of a trial, see `Student.load`."""

    def retrain(self, trial: int, *, epochs: int | None, seeds: int, reserve: bool, workers: int) -> dict[str, Any]:
        """Retrains the student of a trial, see `Student.retrain`."""

    def export(self, trial: int, out: str | Path) -> str:
        """Exports the student of a trial, see `Student.export`."""


@dataclass(frozen=True)
class Student:
    """One student of a front.

    Args:
        trial: the number of its trial in the record.
        arch: the architecture.
        recipe: how it was trained, as a dict.
        values: the value of each objective. Trained objectives are on validation, as means over the fresh seeds if
            there are any.
        spread: the standard deviation of trained objectives over the fresh seeds (0 for a single one), or their
            standard error if there are none. For timed objectives, the spread between repeats if they were measured
            together.
        seeds: how many fresh trainings `values` are means of; 0 if they come from the search itself.
        test: trained objectives on the test split, as means over the same seeds; empty if the split was not read.
        within_noise: whether its advantages over another student of the front are all within the spread.
        reading: how rows are read for it, as far as the search varied that; empty if it did not.
        start: what it took over of other weights before its training, where `recipe` says from where: the `digest` of
            that, and by `whole`, `cut` and `new` how many `tensors` and `parameters` these are, and in which `layers`;
            empty if it began from scratch.
        door: loads, retrains and exports it; the front of a run gives it to its students.
    """

    trial: int
    arch: Arch
    recipe: dict[str, Any]
    values: dict[str, float]
    spread: dict[str, float] = field(default_factory=dict)
    seeds: int = 0
    test: dict[str, float] = field(default_factory=dict)
    within_noise: bool = False
    reading: dict[str, Any] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=dict)
    door: InitVar[Door | None] = None

    def __post_init__(self, door: Door | None) -> None:
        # Not a field, because a door is no data and does not affect whether two students are equal.
        object.__setattr__(self, "_door", door)

    def to_dict(self) -> dict[str, Any]:
        """The student as plain data; the keys `reading` and `start` are there only if they are not empty."""
        return {key: value for key, value in asdict(self).items() if value or key not in ("reading", "start")}

    def load(self) -> nn.Module:
        """The network with its weights, in eval mode, on the CPU.

        The weights are the retrained ones if the student was retrained, and otherwise those of the search.

        Raises:
            InputError: the student comes from a table or from no run, its space may not be imported or was edited, or
                its weights are gone.
        """
        return self._opened().load(self.trial)

    def retrain(
        self, *, epochs: int | None = None, seeds: int = 5, reserve: bool = False, workers: int = 2
    ) -> dict[str, Any]:
        """Trains the student anew, like `autokd.retrain`. Then `load` and `export` take the best of these trainings.

        Args:
            epochs: the epochs of each training; those of the search if None.
            seeds: the number of trainings, each with a fresh seed.
            reserve: whether to train on the rows that the search left out, too. The teacher answers them once.
            workers: how many trainings run at once.

        Returns:
            `{"validation": {objective: (mean, spread)}, "test": ..., "epochs": ..., "weights": folder}`.

        Raises:
            InputError: the student cannot be loaded (see `load`), or every training failed.
        """
        return self._opened().retrain(self.trial, epochs=epochs, seeds=seeds, reserve=reserve, workers=workers)

    def export(self, out: str | Path) -> str:
        """Writes the student to a file, and returns a line on what was written.

        The weights are the retrained ones if the student was retrained, and otherwise those of the search.

        Args:
            out: a name that ends in .safetensors, .pt2 or .onnx: a path or, as text, an fsspec URL.

        Raises:
            InputError: the student cannot be loaded (see `load`), or the file cannot be written.
        """
        return self._opened().export(self.trial, out)

    def _opened(self) -> Door:
        door: Door | None = vars(self)["_door"]
        if door is None:
            raise InputError(
                f"trial {self.trial}: this student was made from data alone, so AutoKD does not know the run folder "
                "with its weights; take the student from the front that autokd.load_front(run) returns"
            )
        return door
