"""A run while it is driven: its record is open, its driver decides what is next, and its state can be told."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from optuna.trial import FrozenTrial

from autokd.checkpoints import DiskBudget
from autokd.driver.core import Driver
from autokd.driver.events import PROGRESS, Account, Tell, described
from autokd.driver.prior import prior_note, prior_trials
from autokd.driver.run import Run
from autokd.driver.stored_front import final_front
from autokd.errors import gone
from autokd.front import Front
from autokd.pareto import scaled_hypervolume, undominated
from autokd.record import Record, TrialRecord
from autokd.registry import resolve
from autokd.samplers import sampler_for

_LOG = logging.getLogger("autokd")


class Session:
    """A run while it is driven, to be entered as a context.

    Args:
        run: the prepared run.
        tell: is told each event, and about twice a second how the search stands.
    """

    def __init__(self, run: Run, tell: Tell) -> None:
        self.run, self.tell = run, tell
        self._place = _place(run.folder)
        study = run.context.study
        known = prior_trials(run.folder)
        if known:
            note = prior_note(run.folder, study, run.setup)
            _LOG.info("%s.", note[:1].upper() + note[1:])
        sampler = sampler_for(run.context, run.worst, study.seed, known)
        self.record = Record(run.folder, run.context.objectives, sampler, named=study.record)
        try:
            self._begin(run, known)
        except BaseException:  # the next search of this process must not be kept out
            self.record.close()
            raise

    def _begin(self, run: Run, known: Sequence[FrozenTrial]) -> None:
        study = run.context.study
        if self.record.trials:  # a seeded sampler would repeat what it suggested before
            seed = (study.seed + len(self.record.trials)) % 2**32
            self.record.study.sampler = sampler_for(run.context, run.worst, seed, known)
        self.answered = _answered(run.folder, self.record)
        scheduler = resolve("schedulers", study.scheduler)(run.context.objectives, study.budget.rungs)
        self.driver = Driver(
            run.context,
            self.record,
            scheduler,
            folder=run.folder,
            latencies=run.latencies,
        )
        self.started = time.monotonic()
        self._account = Account(self.tell, self.record.objectives, self.record.trials)
        self._before = sum(1 for trial in self.record.trials if trial.state != "running")
        self._disk = DiskBudget(run.folder, study.budget.disk_gb)
        self._front: list[TrialRecord] = []
        self._open: list[TrialRecord] = []
        self._seen, self._judged, self._hypervolume = 0, 0, 0.0

    def __enter__(self) -> Session:
        """Tells that the search begins."""
        study = self.run.context.study
        self.tell(
            {
                "event": "search_began",
                "objectives": described(self.record.objectives),
                "budget": study.budget.model_dump(mode="json"),
                "teacher": dict(self.run.setup.teacher),
                "trials": dict(self.record.tally),
            }
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Lets another driver in."""
        self.record.close()

    def refuse_moved(self) -> None:
        """Refuses to go on if the run folder was moved, deleted or replaced, because its record would go elsewhere."""
        if _place(self.run.folder) != self._place:
            raise gone(self.run.folder)

    def take_stock(self) -> None:
        """Tells what has happened since, and removes the weights of students that exceed the disk budget.

        Weights are kept of the front so far, of the front that was answered last, and of trials that go on.
        """
        trials = [*self._open, *self.record.trials[self._seen :]]
        self._seen = len(self.record.trials)
        self._open = [trial for trial in trials if trial.state == "running"]
        for trial in trials:
            self._account.tell_of(trial)
            if trial.state != "running":
                self._disk.add(trial)
        new = self.record.completed[self._judged :]
        if new:
            rivals = sorted([*self._front, *new], key=lambda trial: trial.number)
            before, self._front = self._front, undominated(rivals, self.record.objectives)
            values = [trial.values for trial in self._front]
            self._hypervolume = hypervolume_of(values, self.run)
            self._judged += len(new)
            if self._front != before:
                self.tell({"event": "front", "hypervolume": self._hypervolume, "front": self._students()})
        self._disk.trim({trial.number for trial in self._front} | {student.trial for student in self.answered or ()})

    def searching(self, message: str) -> None:
        """Does the same as `notify`, after taking stock of trials that have begun or ended."""
        self.take_stock()
        self.notify(message)

    def notify(self, message: str) -> None:
        """Tells how the search stands now, and what is being done.

        Raises:
            InputError: the run folder was renamed or deleted.
        """
        self.refuse_moved()
        study = self.run.context.study
        tally = dict(self.record.tally)
        seconds = time.monotonic() - self.started
        done = tally["complete"] + tally["pruned"] + tally["failed"]
        left = max(0, study.budget.trials - done)
        newly = max(1, len(self.record.trials) - tally["running"] - self._before)
        self.tell(
            {
                "event": PROGRESS,
                "trials": tally,
                "budget": {"trials": study.budget.trials, "epochs": study.budget.epochs},
                "epochs_spent": self.record.epochs_spent,
                "seconds": seconds,
                "eta_seconds": seconds / newly * left if done and left else None,
                "hypervolume": self._hypervolume,
                "front": self._students(),
                "objectives": described(self.record.objectives),
                "message": message,
            }
        )

    def _students(self) -> list[dict[str, object]]:
        return [{"trial": t.number, "values": t.values, **t.picked} for t in self._front]


def hypervolume_of(values: Sequence[Mapping[str, float]], run: Run) -> float:
    """The hypervolume that students of these values dominate, as the run counts it."""
    return scaled_hypervolume(values, run.context.objectives, ideal=run.ideal, worst=run.worst)


def _answered(folder: Path, record: Record) -> Front | None:
    """The front that was answered last; if it has trials that the record has lost, it is deleted, and this is None."""
    front = final_front(folder)
    if front is not None and sum(front.trials.values()) - front.trials.get("running", 0) > len(record.trials):
        (folder / "front.json").unlink()
        return None
    return front


def _place(folder: Path) -> tuple[int, int] | None:
    """What identifies a folder, whatever its name is; None if there is no folder."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
