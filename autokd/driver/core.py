"""The core that every loop drives: it proposes a student, advances its trial after a stretch, and records results."""

from __future__ import annotations

import bisect
import functools
import itertools
import logging
import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import optuna

from autokd.checkpoints import (
    checkpoint,
    deaths_of_trial,
    drop,
    drop_unknown,
    too_many,
    trial_folder,
    unrecorded_result,
)
from autokd.driver.costs import Costs, random_study
from autokd.errors import FOREIGN, InputError, LateError, NoFrontError, UnlistedError
from autokd.latency.latencies import Latencies
from autokd.record import STOPPED_EARLY, Record, TrialRecord, student_key
from autokd.trial import Searched, Stretch, in_time, reason_of, training_seed
from autokd.types import Arch, Point, Recipe, Scheduler

_LOG = logging.getLogger("autokd")
_NOVEL_DRAWS = 1000
_UNTRAINED_IN_A_ROW = 500
_FAILED_AT_FIRST = 5


class Driver:
    """Decides for one run what is trained next; it does not know where students are trained.

    Args:
        context: what is searched.
        record: the open record.
        scheduler: is asked after every stretch whether the trial goes on.
        folder: the run folder; checkpoints go to `trials/` in it.
        latencies: the timed objectives by name.
    """

    def __init__(
        self,
        context: Searched,
        record: Record,
        scheduler: Scheduler,
        *,
        folder: Path,
        latencies: Mapping[str, Latencies],
    ) -> None:
        self.context, self.record, self.scheduler, self.folder = context, record, scheduler, folder
        self.costs = Costs(context, latencies)
        self.ended = ""
        self._measured = {
            student_key(t.reading, t.arch): t.costs for t in record.trials if t.arch and t.costs and not t.predicted
        }
        self._known: dict[str, int] = {}
        for trial in record.trials:
            if trial.arch is not None:
                self._known.setdefault(trial.key, trial.number)
        self._points: dict[int, list[Point]] = {}
        for trial in record.trials:
            for epoch in trial.rungs:
                self._add_point(trial, epoch)
        self._under_way: dict[int, int] = {}
        self._waiting: dict[int, list[TrialRecord]] = {}
        self._last_call = False
        self._before = len(record.trials)

    def resume(self) -> list[Stretch]:
        """Takes up the trials that an earlier driver left running, from their last rung, and returns their stretches.

        Results that the earlier driver did not record are recorded now. A trial at which too many processes died fails.
        If the record has lost its last entries, the log names the trials that were trained and are missing from it;
        other students are proposed in their place.
        """
        lost = drop_unknown(self.folder, len(self.record.trials))
        if lost:
            _LOG.warning(
                "The record has lost its last entries, as after a loss of power. These trials are not in it any more, "
                "and other students are proposed in their place: %s.",
                ", ".join(map(str, lost)),
            )
        stretches: list[Stretch] = []
        for trial in [trial for trial in self.record.trials if trial.state == "running" and trial.arch]:
            result = unrecorded_result(self.folder, trial)
            if result is not None:
                stretches += self.advance(trial.number, result)
            elif not self._died_too_often(trial):
                stretches += self._decide_all([trial]) if self._costs_known(trial) else []
        return stretches

    def propose(self) -> Stretch | None:
        """The first stretch of a new student that meets all bounds that are known without training.

        None if the search ends; `ended` then says why.

        Raises:
            NoFrontError: the first students all failed to train.
        """
        for _ in range(_UNTRAINED_IN_A_ROW):
            self.ended = self._budget_ended()
            if self.ended:
                return None
            trial = self.record.ask()
            stretch = self._propose(trial)
            if stretch is not None:
                return stretch
            if self.record.trials[trial.number].state == "duplicate" and not self._enqueue_novel():
                self.ended = "the space is exhausted: every student in it was tried"
                return None
        last = self.record.trials[-1]
        self.ended = (
            f"none of the last {_UNTRAINED_IN_A_ROW} proposals could be trained; the last was {last.state}: "
            f"{last.reason}; loosen the bounds of the objectives or widen the space"
        )
        return None

    def advance(self, number: int, result: Mapping[str, Any]) -> list[Stretch]:
        """Records the result of a stretch, and returns the stretches that may follow.

        These are stretches of this trial and of trials that waited for it.

        Args:
            number: the trial's number.
            result: the result, as `trial.run_stretch` returns it. `{"error": reason}` ends the trial as failed. After
                `{"lost": how}`, which stands for a death that was noted in the stretch's folder, the stretch is tried
                again.
        """
        self._under_way.pop(number, None)
        trial = self.record.trials[number]
        if "lost" in result:
            return [] if self._died_too_often(trial) else [self._next_stretch(trial)]
        if "damaged" in result:
            _LOG.warning("Trial %d was trained again, because %s was lost or damaged.", number, result["damaged"])
        if "error" in result:
            self.record.fail(number, result["error"])
            self._refuse_if_all_fail()
            return []
        earlier = checkpoint(self.folder, trial)
        self.record.reach(
            number, result["epoch"], result["values"], spread=result.get("spread"), start=result.get("start")
        )
        self._add_point(trial, result["epoch"])
        if earlier is not None:
            drop(earlier)
        return self._decide_all([*self._waiting.pop(trial.epoch, []), trial])

    def release(self) -> list[Stretch]:
        """The next stretches of the trials that wait for others; to be called when no others will come."""
        waiting = [trial for trials in self._waiting.values() for trial in trials]
        self._waiting, self._last_call = {}, True
        try:
            return self._decide_all(waiting)
        finally:
            self._last_call = False

    def give_up(self, stretch: Stretch, reason: str) -> None:
        """Ends the trial of a stretch that will not be run."""
        self._under_way.pop(stretch.trial, None)
        self.record.prune(stretch.trial, "pruned", reason)
        self._drop_optimizer(self.record.trials[stretch.trial])

    def _propose(self, trial: optuna.Trial) -> Stretch | None:
        number = trial.number
        entry = self.record.trials[number]
        if self._died_too_often(entry):  # in `suggest`, so that the record does not know the student
            return None
        try:
            reading, arch, recipe = self._suggested(trial, number)
        except InputError:
            self.record.fail(number, "the space's suggest cannot be used")
            raise
        except FOREIGN as error:
            self.record.fail(number, reason_of(error))
            self._refuse_if_all_fail()
            return None
        # This comes before the student is built, which may end this process: the next driver then knows the cause.
        self.record.propose(trial, arch, recipe, {}, predicted={}, reading=reading)
        return self._decide(entry) if self._costs_known(entry) else None

    def _suggested(self, trial: optuna.Trial, number: int) -> tuple[dict[str, Any], Arch, dict[str, Any]]:
        """The student that a space suggests, if it does so in time; a death in `suggest` counts for the trial."""
        with self._in_danger(number, "which called suggest in its own process"):
            suggest = functools.partial(self.context.suggest, trial)
            return in_time(self.context.study.budget.trial_minutes, suggest, what="suggest")

    def _costs_known(self, trial: TrialRecord) -> bool:
        """Whether a student's costs are known, for which they may be measured now; if not, its trial has ended."""
        assert trial.arch is not None
        first = self._known.setdefault(trial.key, trial.number)
        if trial.costs or trial.rungs or first != trial.number:
            return True
        try:
            with self._in_danger(trial.number, "which built it in its own process"):
                costs, predicted = self._estimate(trial.reading, trial.arch)
        except InputError as error:
            self.record.fail(trial.number, reason_of(error))
            raise
        except UnlistedError as error:
            self.record.prune(trial.number, "infeasible", reason_of(error))
            return False
        except FOREIGN as error:
            self.record.fail(trial.number, reason_of(error))
            self._refuse_if_all_fail()
            return False
        self.record.measure(trial.number, costs, predicted=predicted)
        return True

    def _in_danger(self, number: int, how: str) -> AbstractContextManager[None]:
        return self.context.in_danger(trial_folder(self.folder, number), f"with the search, {how}")

    def _decide_all(self, trials: Iterable[TrialRecord]) -> list[Stretch]:
        decided = [self._decide(trial) for trial in trials]
        return [stretch for stretch in decided if stretch is not None]

    def _decide(self, trial: TrialRecord) -> Stretch | None:
        """Decides on a trial at every rung from 0 on: ends it, lets it wait, or gives its next stretch."""
        rungs, number = self.context.study.budget.rungs, trial.number
        assert trial.arch is not None
        first = self._known.setdefault(trial.key, number)
        if first != number:
            same = "reading, architecture" if trial.reading else "architecture"
            self.record.prune(number, "duplicate", f"same {same} and recipe as trial {first}")
            return None
        done = trial.epoch == rungs[-1]
        if done and trial.predicted and not self._measured_now(trial):
            return None
        broken = self._broken_bounds(trial, done)
        if broken:
            words = ", ".join(f"{name} misses its bound by {excess:.4g}" for name, excess in broken.items())
            self.record.prune(number, "infeasible", words, constraints=broken)
        elif done:
            self.record.complete(number)
        elif (goes_on := self._goes_on(trial)) is False:
            self.record.prune(number, "pruned", f"{STOPPED_EARLY} {trial.epoch}")
        elif goes_on is None and not self._last_call:
            self._waiting.setdefault(trial.epoch, []).append(trial)
            return None
        else:
            if self._fits(trial):
                return self._next_stretch(trial)
            self.record.prune(number, "pruned", "the budget of epochs was used up")
        self._drop_optimizer(trial)
        return None

    def _goes_on(self, trial: TrialRecord) -> bool | None:
        """The scheduler's answer to all that is known of this trial, and of every other trial at the same epoch."""
        point = Point(trial.number, trial.epoch, trial.values)
        answer = self.scheduler(point, tuple(self._points[trial.epoch]) if trial.epoch else (point,))
        return None if answer is None else bool(answer)

    def _add_point(self, trial: TrialRecord, epoch: int) -> None:
        point = Point(trial.number, epoch, trial.costs | trial.rungs[epoch])
        bisect.insort(self._points.setdefault(epoch, []), point, key=lambda point: point.trial)

    def _broken_bounds(self, trial: TrialRecord, done: bool) -> dict[str, float]:
        """How far each bound is missed (> 0); the bounds of trained objectives count only after the full training.

        A predicted cost counts with the best value that it may have, two standard deviations from the prediction.
        """
        excess: dict[str, float] = {}
        for objective in self.record.objectives:
            if objective.bound is None or objective.name not in trial.values or (objective.trained and not done):
                continue
            sign = 1 if objective.direction == "minimize" else -1
            at_best = trial.values[objective.name] * math.exp(-2 * sign * trial.predicted.get(objective.name, 0.0))
            miss = sign * (at_best - objective.bound)
            if miss > 0:
                excess[objective.name] = miss
        return excess

    def _estimate(self, reading: Mapping[str, Any], arch: Arch) -> tuple[dict[str, float], dict[str, float]]:
        """The result of `Costs.estimate`; an architecture is measured only once for each reading."""
        key = student_key(reading, arch)
        if key in self._measured:
            return self._measured[key], {}
        costs, predicted = self.costs.estimate(reading, arch)
        if not predicted:
            self._measured[key] = costs
        return costs, predicted

    def _measured_now(self, trial: TrialRecord) -> bool:
        """Whether the predicted costs of a student that was trained in full could be replaced by measured ones."""
        assert trial.arch is not None
        try:
            costs = self.costs.measure(trial.reading, trial.arch)
        except InputError:
            raise
        except FOREIGN as error:
            self.record.fail(trial.number, reason_of(error))
            self._drop_optimizer(trial)
            return False
        self.record.measure(trial.number, costs, predicted={})
        for epoch in trial.rungs:
            self._points[epoch] = [point for point in self._points[epoch] if point.trial != trial.number]
            self._add_point(trial, epoch)
        return True

    def _next_stretch(self, trial: TrialRecord) -> Stretch:
        """The stretch that follows; it counts as under way from now on."""
        assert trial.arch is not None
        recipe, source, stop = Recipe(**trial.recipe), checkpoint(self.folder, trial), self._next_rung(trial)
        self._under_way[trial.number] = stop - trial.epoch
        # An attempt belongs to one driver and to one worker of it, so that an earlier worker cannot write into it.
        died = len(deaths_of_trial(self.folder, trial.number))
        name = f"attempt-{self.record.session}-{died}" if died else f"attempt-{self.record.session}"
        attempt = trial_folder(self.folder, trial.number) / name
        return Stretch(
            trial=trial.number,
            arch=trial.arch,
            recipe=recipe,
            seed=training_seed(trial.arch, recipe, self.context.study.seed, reading=trial.reading),
            start=trial.epoch,
            stop=stop,
            source=str(source or ""),
            folder=str(attempt / f"epoch-{stop:04d}"),
            reading=trial.reading,
        )

    def _drop_optimizer(self, trial: TrialRecord) -> None:
        folder = checkpoint(self.folder, trial)
        if folder is not None:
            drop(folder, "optimizer.safetensors")

    def _next_rung(self, trial: TrialRecord) -> int:
        return next(rung for rung in self.context.study.budget.rungs if rung > trial.epoch)

    def _fits(self, trial: TrialRecord) -> bool:
        """Whether the budget holds the next stretch; epochs that a lost checkpoint has trained again do not count."""
        cap = self.context.study.budget.epochs
        planned = self.record.epochs_spent + sum(self._under_way.values()) + self._next_rung(trial) - trial.epoch
        return cap is None or planned <= cap

    def _died_too_often(self, trial: TrialRecord) -> bool:
        """Fails the trial if too many processes died at it, and returns whether it did."""
        reason = too_many(deaths_of_trial(self.folder, trial.number))
        if reason:
            self.record.fail(trial.number, reason)
            self._drop_optimizer(trial)
            self._refuse_if_all_fail()
        return bool(reason)

    def _budget_ended(self) -> str:
        budget = self.context.study.budget
        spent = self.record.spent
        if len(spent) + sum(number not in spent for number in self._under_way) >= budget.trials:
            return f"{budget.trials} trials are done"
        planned = self.record.epochs_spent + sum(self._under_way.values())
        if budget.epochs is not None and planned + budget.rungs[0] > budget.epochs:
            return f"{budget.epochs} epochs are spent"
        return ""

    def _enqueue_novel(self) -> bool:
        """Enqueues a random student that was never proposed; False if a thousand draws find none."""
        drawn = random_study(self.context.study.seed + len(self.record.trials))
        for _ in range(_NOVEL_DRAWS):
            trial = drawn.ask()
            try:
                suggested = self._suggested(trial, len(self.record.trials))
            except LateError:
                return False
            except FOREIGN:  # a space may raise for some draws, which are then no students
                continue
            if student_key(*suggested) not in self._known:
                self.record.enqueue(trial.params)
                return True
        return False

    def _refuse_if_all_fail(self) -> None:
        """Refuses to go on if this driver's first students all failed, and no student of the run was ever scored."""
        proposed = itertools.islice(self.record.trials, self._before, None)
        students = (trial for trial in proposed if trial.state not in ("duplicate", "infeasible"))
        first = list(itertools.islice(students, _FAILED_AT_FIRST))
        if len(first) < _FAILED_AT_FIRST or any(trial.state != "failed" for trial in first):
            return
        if not any(trial.rungs and trial.state != "failed" for trial in self.record.trials):
            raise NoFrontError(
                f"the first {len(first)} students all failed, the last one with this reason: {first[-1].reason}; "
                "try `autokd check` on the space"
            )
