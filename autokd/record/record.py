"""The one record of a search: Optuna's study, written to its database by one driver."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
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
    """The study of a run, open for the one driver that writes it; `trials` mirrors it in memory, by number.

    Optuna asks and tells in `study`, which is in memory too; what must outlive the driver is written to its database
    before that, in one transaction a step: a proposal, a rung, a verdict. With Optuna working on SQLite itself a trial
    took some sixty transactions. A proposal that was not finished leaves nothing behind.

    What a driver asks at every step is kept up, so that a step takes as long in a long record as in a short one:
    `completed` are the complete trials in the order in which they were told, `tally` says how many trials are in each
    state, `epochs_spent` is what all of them trained, and `spent` holds the numbers of those that count as tried: what
    was never trained, a duplicate or a bound broken by its costs, does not. `session` is the number of drivers before
    this one.

    Args:
        folder: the run folder; its database, `whereabouts`, is made if absent.
        objectives: in the order of the study's directions.
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
        directions = [objective.direction for objective in objectives]
        self._memory = optuna.storages.InMemoryStorage()
        with without_log():
            self._stored = optuna.create_study(
                study_name=name, storage=self._disk, directions=directions, load_if_exists=True
            )
            self.study = optuna.create_study(
                study_name=STUDY, storage=self._memory, sampler=sampler, directions=directions
            )
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            self._stored.set_metric_names([objective.name for objective in objectives])  # for optuna-dashboard
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
    ) -> None:
        """Remembers what `trial` stands for; from here on it can be trained and taken up again."""
        entry = self.trials[trial.number]
        entry.arch, entry.recipe, entry.costs, entry.predicted = arch, dict(recipe), dict(costs), dict(predicted)
        trial.set_user_attr("proposal", _proposal(entry))
        self._store(trial.number)

    def measure(self, number: int, costs: Mapping[str, float], *, predicted: Mapping[str, float]) -> None:
        """Remembers what a student costs that was proposed without, or with costs that were predicted."""
        entry = self.trials[number]
        entry.costs, entry.predicted = dict(costs), dict(predicted)
        self._note(number, "proposal", _proposal(entry))

    def reach(
        self, number: int, epoch: int, values: Mapping[str, float], *, spread: Mapping[str, float] | None = None
    ) -> None:
        """Remembers the trained objectives at a rung, and the standard errors of those that were given with them."""
        entry = self.trials[number]
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
        """Tells Optuna PRUNED, with how far each broken bound was missed (> 0) as constraints; no value is invented."""
        for name, excess in (constraints or {}).items():
            optuna.Trial(self._stored, self._ids[number]).set_constraint(name, excess)
            optuna.Trial(self.study, self._live_id(number)).set_constraint(name, excess)
        self._end(number, state, reason, TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """Tells Optuna FAIL: an error, not a verdict on the student."""
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
        """Makes equal distributions of trials in memory one object: they are half of what a trial takes."""
        trial = self._memory.get_trial(self._live_id(number))
        trial.distributions = {
            name: self._distributions.setdefault(repr(each), each) for name, each in trial.distributions.items()
        }

    def _live_id(self, number: int) -> int:
        """What the study in memory calls the trial of that number."""
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
    return {"arch": entry.arch, "recipe": entry.recipe, "costs": entry.costs, "predicted": entry.predicted}
