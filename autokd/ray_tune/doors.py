"""Two doors of Ray Tune onto one driver: its searcher proposes, its trial scheduler advances; they decide nothing."""

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
from autokd.driver.progress import SEARCHING, Notify
from autokd.ray_tune.storage import Storage
from autokd.ray_tune.worker import as_config
from autokd.trial import Stretch

_TICK_SECONDS = 0.5


class Search:
    """One search between the two doors: which stretches are ready, and which Tune has in hand.

    A trial of Tune's is a trial of the record's. After each stretch it pauses, until the driver has its next one.

    Args:
        driver: proposes, advances and records.
        workers: stretches under way at once.
        storage: where workers leave checkpoints, if not in the run folder; they are copied from there.
        seconds: no stretch begins after so long; None sets no limit.
        notify: told what is being done, about twice a second.
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
        """The next stretch to begin now: of a trial that Tune has paused, or of one that it does not know yet."""
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
        """Hands what a stretch gave to the driver; whether its trial may go on."""
        stretch = self.under_way.pop(number)
        try:
            if self.storage is not None and self.storage.result(stretch.folder) is not None:
                self.storage.fetch(stretch.folder, Path(stretch.folder))
            self.ready.extendleft(self.driver.advance(number, outcome))
            if self.storage is not None and stretch.source and "error" not in outcome:
                self.storage.drop(stretch.source)
        except Exception as error:  # Tune would wrap it; it is raised where Tune lets it through
            self.fault = error
        return self.driver.record.trials[number].state == "running"

    def begin_again(self, number: int) -> None:
        """Puts back a stretch whose worker died before it began."""
        self.ready.appendleft(self.under_way.pop(number))

    def written(self, number: int) -> dict[str, Any] | None:
        """What a worker wrote of the stretch under way, if it finished it before it died."""
        folder = Path(self.under_way[number].folder)
        if self.storage is not None:
            return self.storage.result(folder)
        return unrecorded_result(self.driver.folder, self.driver.record.trials[number])

    def tick(self) -> None:
        """What is due between two events: a proposal ahead, a word on how it stands, the end."""
        if self.fault is not None:
            raise self.fault
        if not self._late and self._proposing and len(self.ready) < self.workers <= len(self.under_way):
            self._propose()  # ahead: a worker that ends need not wait for it
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
        """Nothing: Tune writes down what it would restore, and goes on from our record instead."""
        return {}

    @property
    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _resume(self) -> list[Stretch]:
        """What an earlier driver left under way; checkpoints that are on one side alone are copied to the other."""
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
    """Tune asks it for new trials: the driver's proposals, and what an earlier driver left under way."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search = search
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The first stretch of a trial that Tune does not know; None where nothing is to begin now."""
        stretch = self.search.next_stretch(paused=False)
        if stretch is not None:
            self._numbers[trial_id] = stretch.trial
            return as_config(stretch)
        self.search.tick()
        return Searcher.FINISHED if self.search.ended else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ends a trial that failed once too often; of all others the driver knows."""
        number = self._numbers[trial_id]
        if error and number in self.search.under_way:  # else the scheduler has put it back
            self.search.finish_stretch(number, self.search.written(number) or {"error": "the worker process died"})

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the record is what a new driver goes on from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""


class AdvanceScheduler(TrialScheduler):
    """Tune tells it what stretches gave, and asks which paused trial goes on: the driver's answers."""

    def __init__(self, search: Search) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.search = search
        self._added: list[Trial] = []

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Advances a trial; it stops, or pauses until its next stretch is due."""
        number = trial.config["trial"]
        if not self.search.finish_stretch(number, json.loads(result["outcome"])):
            return TrialScheduler.STOP
        # Without a checkpoint of Tune's: where the next stretch begins stands in its configuration.
        tune_controller.pause_trial(trial, should_checkpoint=False)
        self.search.paused[number] = trial
        return TrialScheduler.NOOP

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The paused trial whose next stretch is due, given that stretch, or one just added; ended ones are stopped.

        Left to itself Tune would give a worker that becomes free to the trial whose own worker is still starting, and
        end that one: where stretches are shorter than a start, it would never get there.
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
        """Notes a trial that is to begin, or to begin its stretch again after its worker died."""
        self._added.append(trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing while Tune tries again; the disk's errors beyond that are raised.

        Where an idle worker has died, Tune finds out when it hands it the next stretch, requeues the trial for it and
        gives it up by the same failure: it still waits then, and its stretch begins again as another trial of Tune's.
        """
        if trial.status == Trial.PENDING:
            self.search.begin_again(trial.config["trial"])
            return
        error = trial.get_pickled_error()
        cause = error.as_instanceof_cause() if isinstance(error, RayTaskError) else error
        if isinstance(cause, OSError) and not trial.should_recover():
            self.search.fault = OSError(str(cause))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Nothing: the driver knows."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing: the driver knows."""

    def debug_string(self) -> str:
        """What Tune's own progress would show."""
        return "AutoKD's driver decides"


class ShowValues(tune.Callback):
    """Puts the numbers of the record into Tune's results, for its `ResultGrid`, and among the metrics of the cluster.

    There they are the gauge `ray_autokd_objective`, which Ray's dashboard draws where Prometheus collects for it.
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
        """Replaces the text of the outcome."""
        outcome = json.loads(result.pop("outcome"))
        number, driver = trial.config["trial"], self.search.driver
        values = driver.record.trials[number].values
        result.update(values)
        for name, value in values.items():
            tags = {"study": driver.context.study.name, "trial": str(number), "objective": name}
            self._gauge.set(float(value), tags)
        result.update({key: outcome[key] for key in ("error", "seconds") if key in outcome})
