"""One member of a front, and what can be done with it."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autokd.errors import InputError
from autokd.types import Arch

if TYPE_CHECKING:
    from torch import nn


class Door(Protocol):
    """What can be done with the students of a run; whoever makes a front of a run gives it, from a floor above."""

    @property
    def run(self) -> Path:
        """The run folder."""

    def load(self, trial: int) -> nn.Module:
        """As `Student.load` says."""

    def retrain(self, trial: int, *, epochs: int | None, seeds: int, reserve: bool, workers: int) -> dict[str, Any]:
        """As `Student.retrain` says."""

    def export(self, trial: int, out: str | Path) -> str:
        """As `Student.export` says."""


@dataclass(frozen=True)
class Student:
    """One member of a front.

    Args:
        trial: its number in the record.
        arch: architecture.
        recipe: recipe as a dict.
        values: by objective; trained ones on validation, means over `seeds` fresh trainings where there are any.
        spread: standard deviation of the trained ones over those seeds, 0 over a single one; their standard error where
            there are none. Of timed ones, the spread between repeats where they were measured together.
        seeds: fresh trainings behind `values`; 0 where they are the search's own.
        test: trained objectives on the test split, means over the same seeds; empty where it was not read.
        within_noise: whether all that it has over another student of the front is within the spread.
        door: how it is loaded, retrained and exported; a front of a run gives it to its students.
    """

    trial: int
    arch: Arch
    recipe: dict[str, Any]
    values: dict[str, float]
    spread: dict[str, float] = field(default_factory=dict)
    seeds: int = 0
    test: dict[str, float] = field(default_factory=dict)
    within_noise: bool = False
    door: InitVar[Door | None] = None

    def __post_init__(self, door: Door | None) -> None:
        object.__setattr__(self, "_door", door)  # no field: it is no data, and two students are equal without it

    def load(self) -> nn.Module:
        """The network with its weights, in eval mode, on the CPU: the retrained ones if any, else those of the search.

        Raises:
            InputError: the student comes from a table or from no run, its space may not be imported or was edited, or
                its weights are gone.
        """
        return self._opened().load(self.trial)

    def retrain(
        self, *, epochs: int | None = None, seeds: int = 5, reserve: bool = False, workers: int = 2
    ) -> dict[str, Any]:
        """Trains it anew, as `autokd.retrain` does; from then on `load` and `export` take the best of these trainings.

        Args:
            epochs: full budget; as in the search if None.
            seeds: trainings, each with a fresh seed.
            reserve: also on the training rows that the search left out; the teacher answers them once.
            workers: trainings at once.

        Returns:
            `{"validation": {objective: (mean, spread)}, "test": ..., "epochs": ..., "weights": folder}`.

        Raises:
            InputError: as `load` says, or every training failed.
        """
        return self._opened().retrain(self.trial, epochs=epochs, seeds=seeds, reserve=reserve, workers=workers)

    def export(self, out: str | Path) -> str:
        """Writes it to a file and says in a line what was written: the retrained student if any, else the search's own.

        Args:
            out: ends in .safetensors, .pt2 or .onnx; a path or, as text, an fsspec URL.

        Raises:
            InputError: as `load` says, or the file cannot be written.
        """
        return self._opened().export(self.trial, out)

    def _opened(self) -> Door:
        door: Door | None = vars(self)["_door"]
        if door is None:
            raise InputError(
                f"trial {self.trial}: this student was made from data alone and knows no run folder, where its weights "
                "are; take it from the front that autokd.load_front(run) returns"
            )
        return door
