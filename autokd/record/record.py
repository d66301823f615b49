"""The record of a search: an Optuna study, which one driver writes to its database."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from autokd.record.reading import stored_trials
from autokd.record.storage import close_storage, take, without_log
from autokd.record.trials import TrialRecord, as_record, counts
from autokd.study import STUDY
from autokd.types import Arch, Objective


class Record:
    """The study of a run, open for the one driver that writes it; `trials` mirrors the study in memory, by number.

    Optuna asks and tells in `study`, which is in memory too. Before that, whatever must outlive the driver is written
    to the database in one transaction for each step: a proposal, a rung, a verdict. When Optuna worked on SQLite
    itself, a trial took some sixty transactions. A proposal that was not finished leaves nothing behind.

    These figures are updated at every step, so that a step takes as long in a long record as in a short one:
    `completed` holds the complete trials in the order in which Optuna was told of them, `tally` the number of trials in
    each state, `epochs_spent` the epochs that all of them trained, and `spent` the numbers of the trials that count as
    tried. A trial that was never trained, because it was a duplicate or its costs broke a bound, does not count.
    `session` is the number of drivers before this one.

    Args:
        folder: the run folder; the database that `whereabouts` names is made if there is none.
        objectives: the objectives in the order of the study's directions.
        sampler: an Optuna sampler.
        named: the `record` of the caller's own study.

    Raises:
        InputError: another driver holds the record, or the database cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        objectives: Sequence[Objective],
        sampler: optuna.samplers.BaseSampler,
        *,
        named: str = "sqlite",
    ) -> None:
        self._lock, self._disk, name = take(folder, named)
        self.objectives = tuple(objectives)
        try:
            self._read(sampler, name)
        except BaseException:  # as of a full disk: who holds an error must not keep the next driver out
            self.close()
            raise

    def _read(self, sampler: optuna.samplers.BaseSampler, name: str) -> None:
        directions = [objective.direction for objective in self.objectives]
        self._memory = optuna.storages.InMemoryStorage()
        with without_log():
            self._stored = optuna.create_study(
                study_name=name, storage=self._disk, directions=directions, load_if_exists=True
            )
            self.study = optuna.create_study(
                study_name=STUDY, storage=self._memory, sampler=sampler, directions=directions
            )
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            self._stored.set_metric_names([objective.name for objective in self.objectives])  # for optuna-dashboard
        self.session = int(self._stored.user_attrs.get("sessions", 0))
        self._stored.set_user_attr("sessions", self.session + 1)
        self._distributions: dict[str, BaseDistribution] = {}
        for trial in stored_trials(self._disk, name):
            self.study.add_trial(trial)
            self._share_distributions(trial.number)
        self.trials = [as_record(trial) for trial in self.study.get_trials(deepcopy=False)]
        self.completed = [trial for trial in self.trials if trial.state == "complete"]
        self.tally = counts(self.trials)
        self.epochs_spent = sum(trial.epoch for trial in self.trials)
        self.spent = {trial.number for trial in self.trials if trial.rungs or trial.state in ("pruned", "failed")}
        self._asked: optuna.Trial | None = None
        self._study_id = self._disk.get_study_id_from_name(name)
        find = self._disk.get_trial_id_from_study_id_trial_number
        self._ids = {t.number: find(self._study_id, t.number) for t in self.trials if t.state == "running"}

    def enqueue(self, params: Mapping[str, Any]) -> None:
        """Makes the next trial asked for one with these parameters."""
        self.study.enqueue_trial(dict(params))

    def close(self) -> None:
        """Lets another driver in."""
        close_storage(self._disk)
        self._lock.release()

    def ask(self) -> optuna.Trial:
        """A new trial from Optuna, or the last one if its proposal is not finished."""
        if self._asked is None:
            self._asked = self.study.ask()
            self.trials.append(TrialRecord(self._asked.number))
            self.tally["running"] += 1
        return self._asked

    def propose(
        self,
        trial: optuna.Trial,
        arch: Arch,
        recipe: Mapping[str, Any],
        costs: Mapping[str, float],
        *,
        predicted: Mapping[str, float],
        reading: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Records the student that `trial` stands for; from now on the trial can be trained, and taken up again."""
        entry = self.trials[trial.number]
        entry.reading = dict(reading)
        entry.arch, entry.recipe, entry.costs, entry.predicted = arch, dict(recipe), dict(costs), dict(predicted)
        trial.set_user_attr("proposal", _proposal(entry))
        self._store(trial.number)

    def measure(self, number: int, costs: Mapping[str, float], *, predicted: Mapping[str, float]) -> None:
        """Records the costs of a student that was proposed without costs, or with predicted ones."""
        entry = self.trials[number]
        entry.costs, entry.predicted = dict(costs), dict(predicted)
        self._note(number, "proposal", _proposal(entry))

    def reach(
        self,
        number: int,
        epoch: int,
        values: Mapping[str, float],
        *,
        spread: Mapping[str, float] | None = None,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        """Records the trained objectives at a rung, with the standard errors in `spread`.

        `start` says what the student took over of other weights, if its training began in this stretch.
        """
        entry = self.trials[number]
        if start:
            self._note(number, "start", dict(start))
            entry.start = dict(start)
        if spread:
            self._note(number, "spread", dict(spread))
            entry.spread = dict(spread)
        self._note(number, f"epoch {epoch}", dict(values))
        self.epochs_spent += epoch - entry.epoch
        self.spent.add(number)
        entry.rungs[epoch] = dict(values)

    def complete(self, number: int) -> None:
        """Tells Optuna the values as of the last rung."""
        entry = self.trials[number]
        values = [entry.values[objective.name] for objective in self.objectives]
        self._tell(number, TrialState.COMPLETE, values, state="complete")
        self.completed.append(entry)

    def prune(self, number: int, state: str, reason: str, *, constraints: Mapping[str, float] | None = None) -> None:
        """Tells Optuna PRUNED; `constraints` say how far each broken bound was missed (> 0). No value is invented."""
        for name, excess in (constraints or {}).items():
            optuna.Trial(self._stored, self._ids[number]).set_constraint(name, excess)
            optuna.Trial(self.study, self._live_id(number)).set_constraint(name, excess)
        self._end(number, state, reason, TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """Tells Optuna FAIL, which stands for an error and is no verdict on the student."""
        if number not in self._ids:  # its proposal was not finished
            self._store(number)
        self._end(number, "failed", reason, TrialState.FAIL)

    def _end(self, number: int, state: str, reason: str, told: TrialState) -> None:
        self._note(number, "outcome", {"state": state, "reason": reason})
        self._tell(number, told, None, state=state)
        self.trials[number].reason = reason
        if state in ("pruned", "failed"):
            self.spent.add(number)

    def _share_distributions(self, number: int) -> None:
        """Makes equal distributions of trials in memory one object, because they take half of a trial's memory."""
        trial = self._memory.get_trial(self._live_id(number))
        trial.distributions = {
            name: self._distributions.setdefault(repr(each), each) for name, each in trial.distributions.items()
        }

    def _live_id(self, number: int) -> int:
        """The identifier of the trial of that number in the study in memory."""
        study = self._memory.get_study_id_from_name(STUDY)
        return self._memory.get_trial_id_from_study_id_trial_number(study, number)

    def _store(self, number: int) -> None:
        """Writes the trial that was asked for last, with its parameters and attributes."""
        self._share_distributions(number)
        asked = self._memory.get_trial(self._live_id(number))
        self._ids[number] = self._disk.create_new_trial(self._study_id, asked)
        self._asked = None

    def _note(self, number: int, key: str, value: Mapping[str, Any]) -> None:
        self._disk.set_trial_user_attr(self._ids[number], key, value)
        self._memory.set_trial_user_attr(self._live_id(number), key, value)

    def _tell(self, number: int, told: TrialState, values: Sequence[float] | None, *, state: str) -> None:
        self._disk.set_trial_state_values(self._ids.pop(number), told, values)
        self.study.tell(number, values, told)
        self.trials[number].state = state
        self.tally["running"] -= 1
        self.tally[state] += 1


def _proposal(entry: TrialRecord) -> dict[str, Any]:
    return {**entry.picked, "costs": entry.costs, "predicted": entry.predicted}
