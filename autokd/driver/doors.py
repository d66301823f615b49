"""What the students of a front can do with their run. torch is imported only when a student does something."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from autokd.study import Study


@dataclass(frozen=True)
class RunDoor:
    """Loads, retrains and exports the students of a run, by the numbers of their trials.

    Args:
        run: the run folder.
        study: the caller's own study of the run; code that it names may be imported.
        space: the caller's own search space of the run, which may be imported, too.
        task: the caller's own task of the run, if no file in the run folder holds it.
    """

    run: Path
    study: Study | None = None
    space: object = None
    task: object = None

    def __reduce__(self) -> tuple[type[RunDoor], tuple[Path]]:
        return RunDoor, (self.run,)  # a copy in another process knows only the folder; objects stay here

    def load(self, trial: int) -> nn.Module:
        """As `Student.load` says."""
        from autokd.driver.after import load_trial

        return load_trial(self.run, trial, study=self.study, space=self.space, task=self.task)

    def retrain(self, trial: int, *, epochs: int | None, seeds: int, reserve: bool, workers: int) -> dict[str, Any]:
        """As `Student.retrain` says."""
        from autokd.driver.after import retrain

        return retrain(
            self.run,
            trial,
            epochs=epochs,
            seeds=seeds,
            reserve=reserve,
            workers=workers,
            study=self.study,
            space=self.space,
            task=self.task,
        )

    def export(self, trial: int, out: str | Path) -> str:
        """As `Student.export` says."""
        from autokd.driver.after import export_trial

        return export_trial(self.run, trial, out, study=self.study, space=self.space, task=self.task)
