"""The one record of a search: Optuna's study in `record.db`, written by one driver, and what is read back from it."""

from __future__ import annotations

import json
import math
import sqlite3
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from filelock import BaseFileLock, FileLock, Timeout
from optuna.trial import TrialState

from autokd.errors import InputError
from autokd.types import Arch, Objective

STATES = ("complete", "running", "pruned", "infeasible", "failed", "duplicate")
_STUDY = "autokd"


@dataclass
class TrialRecord:
    """What is remembered of one trial.

    Args:
        number: Optuna's trial number.
        arch: the architecture; None while the proposal is not finished.
        recipe: the recipe as a dict.
        costs: untrained objectives by name; may lack some where an earlier one already broke its bound.
        predicted: of those costs that were predicted, the standard deviation of log(predicted / measured).
        rungs: trained objectives by epoch.
        state: one of `STATES`.
        reason: why it is not complete, in words; "" where there is nothing to say.
    """

    number: int
    arch: Arch | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    predicted: dict[str, float] = field(default_factory=dict)
    rungs: dict[int, dict[str, float]] = field(default_factory=dict)
    state: str = "running"
    reason: str = ""

    @property
    def epoch(self) -> int:
        """Epochs trained and recorded."""
        return max(self.rungs, default=0)

    @property
    def values(self) -> dict[str, float]:
        """All numbers known: the costs, and the trained objectives as of the last rung."""
        return self.costs | self.rungs.get(self.epoch, {})


class Record:
    """The study of a run, open for the one driver that writes it; `trials` mirrors it in memory, by number.

    `session` is the number of drivers that held the record before this one.

    Args:
        folder: the run folder; `record.db` is made in it if absent.
        objectives: in the order of the study's directions.
        sampler: an Optuna sampler.

    Raises:
        InputError: another driver holds the record, or the file is not one.
    """

    def __init__(self, folder: Path, objectives: Sequence[Objective], sampler: optuna.samplers.BaseSampler) -> None:
        self._lock = hold(folder)
        self.objectives = tuple(objectives)
        self.storage = open_storage(folder)
        self.study = optuna.create_study(
            study_name=_STUDY,
            storage=self.storage,
            sampler=sampler,
            directions=[objective.direction for objective in objectives],
            load_if_exists=True,
        )
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            self.study.set_metric_names([objective.name for objective in objectives])  # for optuna-dashboard
        for _ in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.ask()  # one that was enqueued and never asked for becomes an unfinished proposal
        self.session = int(self.study.user_attrs.get("sessions", 0))
        self.study.set_user_attr("sessions", self.session + 1)
        self.trials = [_read(trial) for trial in self.study.get_trials(deepcopy=False)]

    def enqueue(self, params: Mapping[str, Any]) -> None:
        """Makes the next trial asked for one with these parameters."""
        self.study.enqueue_trial(dict(params))

    def close(self) -> None:
        """Lets another driver in."""
        self.storage.remove_session()
        self.storage.engine.dispose()
        self._lock.release()

    def ask(self) -> optuna.Trial:
        """A new trial from Optuna, or the one whose proposal an earlier driver did not finish."""
        for entry in self.trials:
            if entry.state == "running" and entry.arch is None:
                return self.running(entry.number)
        trial = self.study.ask()
        self.trials.append(TrialRecord(trial.number))
        return trial

    def running(self, number: int) -> optuna.Trial:
        """Optuna's object for a trial that an earlier driver asked for."""
        study_id = self.storage.get_study_id_from_name(_STUDY)
        return optuna.Trial(self.study, self.storage.get_trial_id_from_study_id_trial_number(study_id, number))

    def propose(
        self,
        trial: optuna.Trial,
        arch: Arch,
        recipe: Mapping[str, Any],
        costs: Mapping[str, float],
        *,
        predicted: Mapping[str, float],
    ) -> None:
        """Remembers what `trial` stands for; from here on it can be trained and taken up again."""
        entry = self.trials[trial.number]
        entry.arch, entry.recipe, entry.costs, entry.predicted = arch, dict(recipe), dict(costs), dict(predicted)
        proposal = {"arch": arch, "recipe": entry.recipe, "costs": entry.costs, "predicted": entry.predicted}
        trial.set_user_attr("proposal", proposal)

    def reach(self, number: int, epoch: int, values: Mapping[str, float]) -> None:
        """Remembers the trained objectives at a rung."""
        self.trials[number].rungs[epoch] = dict(values)
        self.running(number).set_user_attr(f"epoch {epoch}", dict(values))

    def complete(self, number: int) -> None:
        """Tells Optuna the values as of the last rung."""
        entry = self.trials[number]
        self.study.tell(number, [entry.values[objective.name] for objective in self.objectives])
        entry.state = "complete"

    def prune(self, number: int, state: str, reason: str, *, constraints: Mapping[str, float] | None = None) -> None:
        """Tells Optuna PRUNED, with how far each broken bound was missed (> 0) as constraints; no value is invented."""
        trial = self.running(number)
        for name, excess in (constraints or {}).items():
            trial.set_constraint(name, excess)
        self._end(trial, state, reason, TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """Tells Optuna FAIL: an error, not a verdict on the student."""
        self._end(self.running(number), "failed", reason, TrialState.FAIL)

    def _end(self, trial: optuna.Trial, state: str, reason: str, told: TrialState) -> None:
        trial.set_user_attr("outcome", {"state": state, "reason": reason})
        self.study.tell(trial.number, state=told)
        entry = self.trials[trial.number]
        entry.state, entry.reason = state, reason

    @property
    def epochs_spent(self) -> int:
        """Epochs trained over all trials, as recorded."""
        return sum(trial.epoch for trial in self.trials)


def hold(folder: Path) -> BaseFileLock:
    """The lock of a run, which one driver holds.

    Raises:
        InputError: another search holds it.
    """
    lock = FileLock(folder / "record.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder} is held by another search that is running; wait for it, or give another folder with --run"
        ) from None
    return lock


def open_storage(folder: Path) -> optuna.storages.RDBStorage:
    """Optuna's storage of a run, SQLite with a write-ahead log: a killed driver loses nothing it has told.

    Raises:
        InputError: `record.db` is not an SQLite file, or cannot be written.
    """
    path = folder / "record.db"
    try:
        return optuna.storages.RDBStorage(
            f"sqlite:///{path}", engine_kwargs={"connect_args": {"factory": _Connection, "timeout": 60}}
        )
    except Exception as error:
        message = str(error).splitlines()[0]
        broken = isinstance(error.__cause__, sqlite3.OperationalError)
        remedy = "free some disk, and the same command goes on" if broken else "start over with --fresh"
        raise InputError(f"{path} cannot be used as a record ({message}); {remedy}") from error


def read_trials(folder: Path) -> list[TrialRecord]:
    """All trials of a run, by number; the run may be under way in another process.

    Raises:
        InputError: there is no record in `folder`.
    """
    return [_read(trial) for trial in read_study(folder).get_trials(deepcopy=False)]


def read_study(folder: Path) -> optuna.Study:
    """Optuna's study of a run, for reading.

    Raises:
        InputError: there is no record in `folder`.
    """
    if not (folder / "record.db").is_file():
        raise InputError(f"{folder} is not a run: it has no record.db; give the folder that `autokd search` wrote")
    try:
        return optuna.load_study(study_name=_STUDY, storage=open_storage(folder))
    except KeyError:
        raise InputError(f"{folder / 'record.db'} holds no search; start over with --fresh") from None


def counts(trials: Iterable[TrialRecord]) -> dict[str, int]:
    """How many trials are in each of `STATES`."""
    states = [trial.state for trial in trials]
    return {state: states.count(state) for state in STATES}


def canonical(*parts: Mapping[str, Any]) -> str:
    """One text for equal plain data, whatever the order of keys."""
    return json.dumps(parts, sort_keys=True, separators=(",", ":"))


def finite(values: Mapping[str, float]) -> bool:
    """Whether Optuna may be told these: NaN would leave a trial running, +inf would become the front."""
    return all(math.isfinite(value) for value in values.values())


class _Connection(sqlite3.Connection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


def _read(trial: optuna.trial.FrozenTrial) -> TrialRecord:
    attrs = trial.user_attrs
    proposal = attrs.get("proposal", {"arch": None, "recipe": {}, "costs": {}})
    rungs = {int(key.split()[1]): values for key, values in attrs.items() if key.startswith("epoch ")}
    states = {TrialState.COMPLETE: "complete", TrialState.RUNNING: "running"}
    outcome = attrs.get("outcome", {}) if trial.state in (TrialState.PRUNED, TrialState.FAIL) else {}
    return TrialRecord(
        trial.number,
        rungs=rungs,
        state=outcome.get("state") or states.get(trial.state, "failed"),
        reason=outcome.get("reason", ""),
        **proposal,
    )
