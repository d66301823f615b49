"""Ray Tune's searcher and trial scheduler as two doors to one driver, which makes all decisions."""

from __future__ import annotations

import json
import time
from collections import deque
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.util.metrics import Gauge

from autokd.checkpoints import trial_folder, unrecorded_result
from autokd.driver.core import Driver
from autokd.driver.events import SEARCHING, Notify
from autokd.ray_tune.storage import Storage
from autokd.ray_tune.worker import as_config
from autokd.trial import Stretch

_TICK_SECONDS = 0.5


class Search:
    """The state that both doors share: which stretches are ready, and which are running.

    Each trial of Tune is a trial of the record. It pauses after each stretch until the driver has its next one.

    Args:
        driver: proposes, advances and records.
        workers: how many stretches run at once.
        storage: where workers leave checkpoints, if not in the run folder. They are copied from there.
        seconds: no stretch begins after this many seconds; None sets no limit.
        notify: called about twice a second with what the search is doing.
    """

    def __init__(
        self, driver: Driver, *, workers: int, storage: Storage | None, seconds: float | None, notify: Notify
    ) -> None:
        self.driver, self.workers, self.storage, self.notify = driver, workers, storage, notify
        self.ended = ""
        self.fault: Exception | None = None
        self.ready: deque[Stretch] = deque(self._resume())
        self.under_way: dict[int, Stretch] = {}
        self.paused: dict[int, Trial] = {}
        self._proposing = True
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._noted = 0.0

    def next_stretch(self, *, paused: bool) -> Stretch | None:
        """The next stretch to begin now, or None: of a trial that Tune has paused, or of one that is new to Tune."""
        if self._late or len(self.under_way) >= self.workers:
            return None
        if not self.ready:
            self._propose()
        if not self.ready or (self.ready[0].trial in self.paused) != paused:
            return None
        stretch = self.ready.popleft()
        self.under_way[stretch.trial] = stretch
        return stretch

    def finish_stretch(self, number: int, outcome: dict[str, Any]) -> bool:
        """Hands the outcome of a stretch to the driver, and returns whether its trial may go on."""
        stretch = self.under_way.pop(number)
        try:
            if self.storage is not None and self.storage.result(stretch.folder) is not None:
                self.storage.fetch(stretch.folder, Path(stretch.folder))
            self.ready.extendleft(self.driver.advance(number, outcome))
            if self.storage is not None and stretch.source and "error" not in outcome:
                self.storage.drop(stretch.source)
        except Exception as error:  # Tune would wrap the error here, so `tick` raises it
            self.fault = error
        return self.driver.record.trials[number].state == "running"

    def begin_again(self, number: int) -> None:
        """Puts back a stretch whose worker died before it began."""
        self.ready.appendleft(self.under_way.pop(number))

    def written(self, number: int) -> dict[str, Any] | None:
        """The result of the running stretch, if its worker wrote one before it died."""
        folder = Path(self.under_way[number].folder)
        if self.storage is not None:
            return self.storage.result(folder)
        return unrecorded_result(self.driver.folder, self.driver.record.trials[number])

    def tick(self) -> None:
        """Does what is due between two events: proposes in advance, notifies, and ends the search."""
        if self.fault is not None:
            raise self.fault
        if not self._late and self._proposing and len(self.ready) < self.workers <= len(self.under_way):
            self._propose()  # in advance, so that the next free worker need not wait
        if time.monotonic() - self._noted > _TICK_SECONDS:
            self.notify(SEARCHING)
            self._noted = time.monotonic()
        if self.under_way or self.ended:
            return
        if self._late:
            for stretch in [*self.ready, *self.driver.release()]:
                self.driver.give_up(stretch, "the time limit was reached")
            self.ready.clear()
            self.ended = "the time limit was reached"
        elif not self.ready and not self._proposing:
            self.ready.extend(self.driver.release())
            if not self.ready:
                self.ended = self.driver.ended

    def __getstate__(self) -> dict[str, Any]:
        """Empty, because Tune saves this to restore it, and a search goes on from the record instead."""
        return {}

    @property
    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _resume(self) -> list[Stretch]:
        """The stretches that an earlier driver left unfinished.

        Checkpoints that only the run folder or only the storage has are copied to the other.
        """
        storage, folder = self.storage, self.driver.folder
        if storage is None:
            return self.driver.resume()
        for trial in [trial for trial in self.driver.record.trials if trial.state == "running"]:
            for path in storage.finished(trial_folder(folder, trial.number)):
                if not (path / "result.json").is_file():
                    storage.fetch(path, path)
        stretches = self.driver.resume()
        for stretch in stretches:
            if stretch.source and storage.result(stretch.source) is None:
                storage.put(stretch.source, Path(stretch.source))
        return stretches

    def _propose(self) -> None:
        if self._proposing:
            stretch = self.driver.propose()
            self._proposing = stretch is not None
            if stretch is not None:
                self.ready.append(stretch)


class ProposeSearcher(Searcher):
    """The searcher that Tune asks for new trials: the driver's proposals, and trials that an earlier driver left."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search = search
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The first stretch of a trial that is new to Tune; None if no trial is to begin now."""
        stretch = self.search.next_stretch(paused=False)
        if stretch is not None:
            self._numbers[trial_id] = stretch.trial
            return as_config(stretch)
        self.search.tick()
        return Searcher.FINISHED if self.search.ended else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ends a trial that failed once too often. The driver already knows about all others."""
        number = self._numbers[trial_id]
        if error and number in self.search.under_way:  # else the scheduler has put the stretch back
            self.search.finish_stretch(number, self.search.written(number) or {"error": "the worker process died"})

    def save(self, checkpoint_path: str) -> None:
        """Does nothing, because a new driver goes on from the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Does nothing, likewise."""


class AdvanceScheduler(TrialScheduler):
    """The scheduler to which Tune reports results and which it asks for the next trial. The driver decides."""

    def __init__(self, search: Search) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.search = search
        self._added: list[Trial] = []

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Advances a trial, which then stops, or pauses until its next stretch is due."""
        number = trial.config["trial"]
        if not self.search.finish_stretch(number, json.loads(result["outcome"])):
            return TrialScheduler.STOP
        # Tune needs no checkpoint: the configuration of the next stretch says where it begins.
        tune_controller.pause_trial(trial, should_checkpoint=False)
        self.search.paused[number] = trial
        return TrialScheduler.NOOP

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The paused trial whose next stretch is due, with that stretch, or a new trial. Ended trials are stopped.

        By default Tune would give a free worker to the trial whose own worker is still starting, and end the starting
        one. If stretches are shorter than a start, no further worker would ever be ready.
        """
        search = self.search
        search.tick()
        for number in [n for n in search.paused if search.driver.record.trials[n].state != "running"]:
            tune_controller.stop_trial(search.paused.pop(number))
        stretch = search.next_stretch(paused=True)
        if stretch is None:
            self._added = [trial for trial in self._added if trial.status == Trial.PENDING]
            return self._added.pop(0) if self._added else None
        trial = search.paused.pop(stretch.trial)
        trial.set_config(as_config(stretch))
        return trial

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Notes a trial that is to begin, or to repeat its stretch after its worker died."""
        self._added.append(trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Does nothing while Tune retries. Once it gives up, an error of the disk is raised.

        If an idle worker has died, Tune notices when it hands the worker the next stretch. It then requeues the trial
        and, by the same failure, gives it up while it is still waiting. Its stretch begins again as a new trial.
        """
        if trial.status == Trial.PENDING:
            self.search.begin_again(trial.config["trial"])
            return
        error = trial.get_pickled_error()
        cause = error.as_instanceof_cause() if isinstance(error, RayTaskError) else error
        if isinstance(cause, OSError) and not trial.should_recover():
            self.search.fault = OSError(str(cause))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Does nothing, because the driver already knows."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Does nothing, because the driver already knows."""

    def debug_string(self) -> str:
        """A text for Tune's own progress output."""
        return "AutoKD's driver decides"


class ShowValues(tune.Callback):
    """Adds the numbers of the record to Tune's results, for its `ResultGrid`, and to the metrics of the cluster.

    The metric is the gauge `ray_autokd_objective`. Ray's dashboard draws it if Prometheus collects the metrics.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self._gauge = Gauge(
            "autokd_objective",
            description="An objective of a trial, as its latest rung has it.",
            tag_keys=("study", "trial", "objective"),
        )

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Replaces the outcome, which is text, by its numbers."""
        outcome = json.loads(result.pop("outcome"))
        number, driver = trial.config["trial"], self.search.driver
        values = driver.record.trials[number].values
        result.update(values)
        for name, value in values.items():
            tags = {"study": driver.context.study.name, "trial": str(number), "objective": name}
            self._gauge.set(float(value), tags)
        result.update({key: outcome[key] for key in ("error", "seconds") if key in outcome})
