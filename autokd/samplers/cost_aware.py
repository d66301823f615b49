"""The default sampler: it proposes the student that is expected to add most hypervolume at its known cost.

It is an Optuna sampler and does not enqueue trials, so the driver and the record need to know nothing about it: they
ask for a trial and let it suggest, as with any other sampler. Unlike Optuna's samplers this one looks ahead. It runs
the study's `suggest` on trials of its own, conditional parameters included, hundreds at a time.

What we tried on NAS-Bench-201 and NAS-Bench-Macro and left out. Each figure is the share of the true front's
hypervolume after 50 trainings on the first of these tables.

- In a sketch that reached .977: plain errors as targets instead of square roots (.956), logarithms of errors (.954), a
  saturating transform (.963), costs by rank (.950), a model without costs (.930).
- In this code, which reaches .980 (8 seeds): hypervolume up to the worst student seen instead of the run's worst
  (.956), one round of changes to the best candidates instead of five (.970).

Choices that the figures support:

- The best 400 candidates are kept from one proposal to the next. With them, 890 draws for each proposal find what
  1,600 draws without them find, and what a look at all 15,625 students of a table finds.
- If no student is expected to add a thousandth of the front's volume, the luck of a single training counts as well.
  With a hundredth of that threshold, two noisy tables of digits end lower (.979 / .974 after 1,080 epochs, 6 seeds,
  against .981 / .975), and the other tables do not change. Counting luck always was worse on those (.980 / .988 after
  50 trainings).
- In that case, twice the model's deviation counts where it is larger than the luck. Without this, 5 of 20 searches of
  the first NAS table stayed at .976 or below after 100 trainings, because the first student that they saw of the best
  kind was bad. Always counting one and a half deviations was worse on the second table (.991 instead of .994 after 50
  trainings, 12 seeds). Counting two deviations at every other look left 2 of 12 searches below .98.
- The search starts with five students instead of eight. Early stopping spares few of the first students, since most of
  them are on the front of those begun. Five bring more in a short search: .950 and .937 of the volume of the two tables
  of digits after 189 epochs, where eight reach .915 and .877 (20 seeds). In a long search both do the same: to the
  level of `studies/claims/early_stopping.py`, five need fewer epochs on 12 seeds (804 and 770 instead of 957 and 864)
  and more on 20 others (906 and 894 instead of 867 and 777).

- The first five students have recommended recipes (`samplers/recipes.py`), and sizes are compared by their ratio
  (`Objective.by_ratio`). On digits with 100 labels, the hypervolume over accuracy and the logarithm of the parameters
  is .953 after 375 epochs, and .926 without both (3 seeds). Ratios alone account for much of that: with other
  recommended recipes and without ratios, it was .938 and .944 (3 seeds), with ratios .955 and .961 (2 seeds).
- Latencies are not compared by their ratio. On a NAS table where some students take a thousandth of the time of
  others, .970 of the volume was then reached after 50 trainings instead of .993 (3 seeds), although ratios counted only
  above the cheapest tenth of the students.
- Half of the new candidates with the recipe of a student of the front brought nothing on digits (2 seeds).

Proposing four students from one look instead of one costs .002 of the volume on the first NAS table and on
NAS-Bench-Macro after 50 trainings (8 seeds), and nothing measurable on the tables of digits. On the tables of digits,
two further ideas brought nothing: encoding numeric choices by their rank in addition to one column each, and counting
luck already below a two-hundredth of the front's volume.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial
from threadpoolctl import threadpool_limits

from autokd.errors import FOREIGN
from autokd.pareto import Floats, as_losses
from autokd.record import as_record, student_key
from autokd.samplers.draw import Draw, Wish, draw_from, holds, nearby
from autokd.samplers.outlook import Candidate, Outlook
from autokd.samplers.recipes import has_recipe, recommended
from autokd.trial import breaks
from autokd.types import Arch, Objective

Suggest = Callable[[Any], tuple[dict[str, Any], Arch, dict[str, Any]]]
Costs = Callable[[Mapping[str, Any], Arch], Mapping[str, float]]

_FIRST, _POOL = (2, 4, 0, 3, 1), 32
_TRIED, _FRESH = 4, 2
_KEPT, _DRAWN, _NEAR, _BEST, _NEAR_BEST, _ROUNDS = 400, 150, 100, 20, 8, 4


class CostAwareSampler(BaseSampler):
    """Chooses by exact expected hypervolume improvement at known cost; running trials count as if they had ended.

    The first five proposals are spread over the costs and have recommended recipes. No student is proposed twice as
    long as a random draw or a change to a student of the front still gives a new one. After that, suggestions are
    random and may repeat. They are also random once a call of `suggest` for a draw has not returned.

    Args:
        suggest: gives the reading, the architecture and the recipe of a trial, as the study does.
        costs: gives the exact costs of a reading and an architecture before training, by objective name. It may raise.
        objectives: the study's objectives.
        worst: the worst value of each objective that still counts, as for the hypervolume of the run.
        exact: for how many of the most promising candidates `costs` is called at each proposal. A model of the known
            costs predicts the others. math.inf where calling `costs` is free.
        seed: 0 .. 2**32 - 1.
        hurried: whether workers train in the meantime and must not wait. If so, all proposals that are asked for within
            twice the time that a proposal took reuse its fitted models, and proposals made since count as running.
        prior: trials of an earlier run of the same space, maybe with other data or another teacher. They take the
            place of the first five proposals. A student that was trained there may be proposed again.

    Source: expected improvement over a Pareto front, Emmerich et al. (2011), https://doi.org/10.1109/CEC.2011.5949880.
    """

    def __init__(
        self,
        suggest: Suggest,
        costs: Costs,
        objectives: Sequence[Objective],
        *,
        worst: Mapping[str, float],
        exact: float,
        seed: int,
        hurried: bool = False,
        prior: Sequence[FrozenTrial] = (),
    ) -> None:
        self._suggest, self._costs, self.objectives, self._exact = suggest, costs, tuple(objectives), exact
        self._random, self._hurried = Random(seed), hurried
        self._outlook = Outlook(objectives, worst, seed=seed)
        self._asked: dict[str, Mapping[str, float]] = {}
        self._broken: set[str] = set()
        self._pool: list[Candidate] = []
        self._kept: list[Candidate] = []
        self._chosen: Candidate | None = None
        self._fresh_until = 0.0
        self._plans: dict[int, Mapping[str, Any]] = {}
        self._planning = False
        self._prior = [each for each in map(_candidate, prior) if each is not None and each.trained]
        self._ended: dict[int, Candidate] = {}
        self._settled: list[Candidate] = []
        self._first_open = 0

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Empty, since the parameters of a trial are only known from running the study's own `suggest`."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Empty."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The planned value. The student is chosen when its trial asks for the first parameter."""
        if trial.number not in self._plans:
            # If `suggest` hung for a draw, the earlier caller has given up waiting. Then nothing is drawn any more.
            hung, self._planning = self._planning, True
            with threadpool_limits(1):  # workers are busy on the other cores
                self._plans = {trial.number: {} if hung else self._plan(study, trial.number)}
            self._planning = hung
        plan = self._plans[trial.number]
        planned = param_name in plan and holds(param_distribution, plan[param_name])
        return plan[param_name] if planned else draw_from(param_distribution, self._random)

    def _plan(self, study: optuna.Study, number: int) -> Mapping[str, Any]:
        tried = self._tried(study.get_trials(deepcopy=False), number)
        seen = {each.key for each in tried}
        history = [each for each in tried if each.promises]
        lost = [each for each in tried if each.to_the_end is False and not each.promises]
        if not self._prior and (len(history) < len(_FIRST) or not any(each.trained for each in history)):
            return self._first(len(history), seen)
        began = time.monotonic()
        if began < self._fresh_until:
            another = self._another(history, seen)
            if another is not None:
                return another.params
        self._chosen = self._most_promising(history, lost, seen)
        if self._hurried:
            now = time.monotonic()
            self._fresh_until = now + _FRESH * (now - began)
        return self._chosen.params if self._chosen else {}

    def _tried(self, trials: Sequence[FrozenTrial], asked: int) -> list[Candidate]:
        """All trials that have an architecture, except the one asked for. Their costs are remembered.

        A trial that has ended does not change any more and is read once. The leading trials that have all ended are
        not even looked at again.
        """
        while self._first_open < len(trials) and trials[self._first_open].state.is_finished():
            self._settled += self._candidates_of([trials[self._first_open]])
            self._first_open += 1
        return self._settled + self._candidates_of(
            trial for trial in trials[self._first_open :] if trial.number != asked
        )

    def _candidates_of(self, trials: Iterable[FrozenTrial]) -> list[Candidate]:
        found = []
        for trial in trials:
            candidate = self._ended.get(trial.number) or _candidate(trial)
            if candidate is not None:
                found.append(candidate)
                if trial.state.is_finished():
                    self._ended[trial.number] = candidate
                if candidate.record is not None and candidate.record.costs:
                    known = self._asked.get(candidate.arch_key, {})
                    self._asked[candidate.arch_key] = {**known, **candidate.record.costs}
        return found

    def _first(self, place: int, seen: set[str]) -> Mapping[str, Any]:
        """One student of a random pool: the next of five that are spread evenly over the costs, the middle first.

        If a recipe is searched, a recommended one takes the place of the random one.
        """
        for _ in range(_TRIED):
            if sum(each.key not in seen for each in self._pool) >= max(len(_FIRST) - place, 1):
                break
            drawn = self._drawn([{}] * _POOL, seen | {each.key for each in self._pool})
            self._pool += [each for each in drawn if self._within(each)]
        costs = as_losses([self._cost(each) for each in self._pool], self.objectives)
        known = costs[:, ~np.isnan(costs).any(axis=0)]
        places = np.argsort(np.argsort(known, axis=0, kind="stable"), axis=0).sum(axis=1)
        ranked = [self._pool[i] for i in np.argsort(places, kind="stable")]
        wanted = ranked[int((_FIRST[place % len(_FIRST)] + 0.5) / len(_FIRST) * len(ranked))] if ranked else None
        left = [each for each in (wanted, *ranked) if each is not None and each.key not in seen]
        if left and has_recipe(left[0].params):
            asked: Any = left[0].distributions.get("recipe.start")
            wished = recommended(len(seen), () if asked is None else asked.choices)
            left = self._drawn([{**left[0].params, **wished}], seen) or left
        return left[0].params if left else {}

    def _another(self, history: Sequence[Candidate], seen: set[str]) -> Candidate | None:
        """The most promising candidate that was kept from the last fit, or None if none promises anything."""
        if self._chosen is not None and any(each.key == self._chosen.key and each.counts for each in history):
            self._outlook.suppose(self._chosen, self._asked)
        left = [each for each in self._kept if each.key not in seen]
        gain = self._outlook.improvement(left, self._asked)
        self._chosen = self._best(left, gain) if gain.max(initial=0.0) > 0 else None
        return self._chosen

    def _most_promising(
        self, history: Sequence[Candidate], lost: Sequence[Candidate], seen: set[str]
    ) -> Candidate | None:
        members = [each for each in history if each.counts]
        best_so_far = self._outlook.front(members) or self._outlook.front(self._prior)
        candidates = [each for each in self._kept if each.key not in seen]
        known = seen | {each.key for each in candidates}
        anywhere: list[dict[str, Any]] = [{}] * _DRAWN
        candidates += self._drawn(anywhere + self._changed(best_so_far, _NEAR), known)
        if not candidates:
            return None
        if self._exact >= len(candidates):
            candidates = [each for each in candidates if self._within(each)] or candidates
        score = self._outlook.learn(history, candidates, self._asked, self._prior, lost)
        for _ in range(_ROUNDS):
            known |= {each.key for each in candidates}
            best = [candidates[i] for i in np.argsort(-score, kind="stable")[:_BEST]]
            more = self._drawn(self._changed(best, _BEST * _NEAR_BEST), known)
            if self._exact >= len(more):
                more = [each for each in more if self._within(each)]
            candidates = candidates + more
            score = np.concatenate([score, self._outlook.improvement(more, self._asked)])
        return self._best(candidates, score)

    def _best(self, candidates: Sequence[Candidate], score: Floats) -> Candidate:
        """The best candidate by score, with exact costs for the finalists. The best others are kept for next time."""
        ranked = [candidates[i] for i in np.argsort(-score, kind="stable")]
        self._kept = ranked[:_KEPT]
        number = int(min(self._exact, len(ranked)))
        asked = (each for each in ranked[_TRIED * number :] if each.arch_key in self._asked)
        within = (each for each in (*ranked[: _TRIED * number], *asked) if self._within(each))
        finalists = list(itertools.islice(within, number)) or ranked[:1]
        return finalists[int(np.argmax(self._outlook.improvement(finalists, self._asked)))]

    def _drawn(self, wishes: Iterable[Mapping[str, Wish]], seen: set[str]) -> list[Candidate]:
        """The new students, each once, that `suggest` makes when it gets these wishes."""
        found: dict[str, Candidate] = {}
        for wished in wishes:
            draw = Draw(self._random, wished)
            try:
                reading, arch, recipe = self._suggest(draw)
            except FOREIGN:  # a space may raise for some draws, which then give no student
                continue
            key = student_key(reading, arch, recipe)
            if key not in seen:
                found.setdefault(key, Candidate(key, draw.params, draw.distributions, arch, reading=reading))
        return list(found.values())

    def _changed(self, students: Sequence[Candidate], number: int) -> list[dict[str, Any]]:
        """Wishes for neighbours of students: mostly one parameter differs, sometimes two or three."""
        return [
            nearby(each.params, each.distributions, max(1, self._random.randint(-1, 3)), self._random)
            for each in (students[i % len(students)] for i in range(number if students else 0))
        ]

    def _cost(self, candidate: Candidate) -> Mapping[str, float]:
        """The costs of a candidate, computed once; empty if it cannot be built."""
        key = candidate.arch_key
        if key not in self._asked:
            try:
                self._asked[key] = self._costs(candidate.reading, candidate.arch)
            except FOREIGN:  # if it is ever proposed, the driver records the reason
                self._asked[key] = {}
                self._broken.add(key)
        return self._asked[key]

    def _within(self, candidate: Candidate) -> bool:
        costs = self._cost(candidate)
        broken = candidate.arch_key in self._broken
        return not broken and not any(breaks(objective, costs) for objective in self.objectives)


def _candidate(trial: FrozenTrial) -> Candidate | None:
    record = as_record(trial)
    if record.arch is None:
        return None
    return Candidate(record.key, trial.params, trial.distributions, record.arch, record, record.reading)
