"""What a search asks of that which it searches. `Context` trains its students, and `Tabulated` looks them up."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autokd.types import Arch, Objective, Recipe

if TYPE_CHECKING:
    import optuna

    from autokd.study import Setup, Study


@dataclass(frozen=True)
class Stretch:
    """A piece of one training, as plain data: epochs `start` .. `stop` - 1 of one reading, architecture and recipe.

    Args:
        trial: the trial's number in the record.
        arch: the architecture.
        recipe: the recipe; its `epochs` is the full budget.
        seed: the seed of weights, batches and dropout.
        start: the number of epochs in the record, after which the stretch goes on.
        stop: the number of epochs trained at the end of the stretch.
        source: the folder with the checkpoint of epoch `start`; "" if there is none, so that training begins anew.
        folder: the folder for weights, optimizer state and `result.json`; it belongs to this attempt alone.
        reading: what is searched of the way in which rows are read; empty if nothing is.
    """

    trial: int
    arch: Arch
    recipe: Recipe
    seed: int
    start: int
    stop: int
    source: str
    folder: str
    reading: dict[str, Any] = field(default_factory=dict)


class Searched(Protocol):
    """Suggests students, tells their costs and gives their results, for one study in one process."""

    @property
    def study(self) -> Study:
        """The study."""

    @property
    def reading(self) -> Mapping[str, Any]:
        """What was picked of the way in which rows are read; empty if nothing was."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives in the study's order."""

    @property
    def ideal(self) -> dict[str, float]:
        """The best value by objective, for a run that does not keep it."""

    @property
    def costs_are_free(self) -> bool:
        """Whether costs are known without building anything, so that they may be asked for any number of students."""

    @property
    def reseeds(self) -> int:
        """How many times each student near the front is trained again with a fresh seed."""

    @property
    def validation_rows(self) -> int:
        """The number of rows on which students are compared; 0 if none are known."""

    def suggest(self, trial: optuna.Trial) -> tuple[dict[str, Any], Arch, dict[str, Any]]:
        """A reading, an architecture and a recipe, as plain data, picked by `trial`.

        The reading is what is searched of the way in which rows are read; empty if nothing is.

        Raises:
            InputError: what was picked is not plain data.
        """

    def seen_through(self, reading: Mapping[str, Any]) -> Searched:
        """The same search with one reading, for which costs and lost students are asked; itself for an empty one."""

    def costs(self, arch: Arch) -> dict[str, float]:
        """The objectives of an architecture that need no training and no timing, by name.

        Raises:
            UnlistedError: there is no such student.
        """

    def run(self, stretch: Stretch) -> dict[str, Any]:
        """The result of a stretch: `{"epoch": stop, "values": {objective: number}, ...}`, or `{"error": reason}`."""

    def in_danger(self, folder: Path, how: str) -> AbstractContextManager[None]:
        """Notes in the folder how this process died, if code that runs in the block can end the process."""

    def why_lost(self, arch: Arch, folder: Path) -> str:
        """Why a student that is rebuilt from a checkpoint is not the one that was scored; "" if it is."""

    def edited(self, setup: Setup) -> Mapping[str, str]:
        """The parts whose code was edited since the run began, as `study.changed_since` gives them."""
