"""The places where a search trains its students: processes of this machine, or a cluster, which a reference names."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from autokd.driver.core import Driver
from autokd.driver.events import Notify
from autokd.driver.loop import Executors, Work, open_executor, run_trials, train_all
from autokd.driver.run import Run
from autokd.executors import InlineExecutor
from autokd.latency.meter import Meter
from autokd.study import RayExecutor, Study
from autokd.trial import Stretch, refuse_gone, run_stretch_in

_RAY = "autokd.ray_tune"
"""The module of Ray, which lies on a higher floor and therefore comes in by reference."""


class Place(Protocol):
    """Trains the students of any run, and times them."""

    @property
    def meter(self) -> Meter:
        """The meter that measures latencies."""

    def start(self) -> None:
        """Starts workers that have not started yet; they get ready while the caller goes on."""

    def run_trials(self, run: Run, driver: Driver, *, seconds: float | None, notify: Notify) -> str:
        """Trains trials until the driver proposes no more, and returns why it ended, as `loop.run_trials` does."""

    def train_all(self, run: Run, stretches: Sequence[Stretch], *, notify: Notify) -> dict[str, dict[str, Any]]:
        """Trains stretches, and returns their results by folder, as `loop.train_all` does."""


@dataclass(frozen=True)
class Here:
    """This machine, on which the loop over futures runs on an executor."""

    executor: Executors

    @property
    def meter(self) -> Meter:
        """A meter in this process, which waits until workers are ready."""
        return Meter(ready=self.executor.wait_until_ready)

    def start(self) -> None:
        """Starts the worker processes, which import for a second or two."""
        self.executor.start()

    def run_trials(self, run: Run, driver: Driver, *, seconds: float | None, notify: Notify) -> str:
        """The same as `loop.run_trials`."""
        minutes = run.context.study.budget.trial_minutes
        return run_trials(driver, self.executor, self._work(run), seconds=seconds, trial_minutes=minutes, notify=notify)

    def train_all(self, run: Run, stretches: Sequence[Stretch], *, notify: Notify) -> dict[str, dict[str, Any]]:
        """The same as `loop.train_all`."""
        minutes = run.context.study.budget.trial_minutes
        return train_all(self.executor, self._work(run), stretches, minutes=minutes, notify=notify)

    def _work(self, run: Run) -> Work:
        if not isinstance(self.executor, InlineExecutor):
            return functools.partial(run_stretch_in, str(run.folder))
        return functools.partial(_run_here, run)


def _run_here(run: Run, stretch: Stretch) -> dict[str, Any]:
    """Runs a stretch in this process. If a student ends this process and the search, the next search counts that."""
    refuse_gone(run.folder)
    with run.context.in_danger(Path(stretch.folder), "with the search, which trained it in its own process"):
        return run.context.run(stretch)


HERE = Here(InlineExecutor())
"""This process."""


@contextmanager
def open_place(study: Study) -> Iterator[Place]:
    """The place that a study names, which is left at the end whatever happens.

    Raises:
        InputError: the place cannot be reached.
    """
    if isinstance(study.executor, RayExecutor):
        cluster: AbstractContextManager[Place] = import_module(_RAY).open_cluster(study)
        with cluster as place:
            yield place
    else:
        with open_executor(study.executor, study.workers) as executor:
            yield Here(executor)
