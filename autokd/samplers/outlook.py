"""Predictions for candidates: their costs where these are not known, and what they may add to the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution

from autokd.pareto import Floats, as_losses, hypervolume, undominated
from autokd.record import TrialRecord, finite, student_key
from autokd.samplers.chances import Chances, worth
from autokd.samplers.features import Encoding
from autokd.samplers.improvement import expected_improvement, free_boxes
from autokd.samplers.losses import LossModel, extrapolated
from autokd.samplers.selection import chosen
from autokd.types import Arch, Objective

if TYPE_CHECKING:
    from autokd.samplers.surrogate import Surrogate

_COSTS_FITTED_ON = 300
_ALL_LEARNT_FROM, _LEARNT_FROM, _CHANCES_OF = 500, 200, 300
_NEGLIGIBLE = 1e-3
_RECIPE = "recipe."

Asked = Mapping[str, Mapping[str, float]]
"""Exactly known costs, by canonical reading and architecture."""


@dataclass(frozen=True)
class Candidate:
    """A student that could be trained, is being trained, or was trained.

    Args:
        key: canonical reading, architecture and recipe.
        params: the suggested values.
        distributions: the distributions that these were suggested from.
        arch: architecture.
        record: what the record holds of its trial, if it has one.
        reading: what is searched of the way in which rows are read.
    """

    key: str
    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    arch: Arch
    record: TrialRecord | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def arch_key(self) -> str:
        """Canonical reading and architecture, on which the costs depend."""
        return student_key(self.reading, self.arch)

    @cached_property
    def values(self) -> Mapping[str, float]:
        """All numbers that the record holds of this student."""
        return {} if self.record is None else self.record.values

    @cached_property
    def trained(self) -> bool:
        """Whether its training gave values. A training that diverged gave none."""
        return self.record is not None and bool(self.record.rungs) and finite(self.values)

    @cached_property
    def counts(self) -> bool:
        """Whether its trial is complete or running, so that it is or may come to be on the front."""
        return self.record is not None and self.record.state in ("complete", "running")

    @cached_property
    def promises(self) -> bool:
        """Whether its training gave values, or still may."""
        return self.trained or self.counts

    @cached_property
    def to_the_end(self) -> bool | None:
        """Whether it was trained to the end; None while that is undecided."""
        return None if self.record is None else self.record.to_the_end


class Outlook:
    """A model of the search so far. Call `learn` first; `improvement` then gives the expected gain of candidates."""

    def __init__(self, objectives: Sequence[Objective], worst: Mapping[str, float], *, seed: int) -> None:
        self._objectives, self._seed = tuple(objectives), seed
        self._trained = [i for i, objective in enumerate(objectives) if objective.trained]
        self._costs = [i for i, objective in enumerate(objectives) if not objective.trained]
        self._worst = as_losses([worst], objectives)[0]
        self._by_ratio = [i for i in self._costs if objectives[i].by_ratio]
        self._limit = self._scaled(self._worst[None])[0]
        self._surrogates: dict[Any, Surrogate] = {}
        self._encoding, self._rows = Encoding(()), dict[str, Floats]()

    def front(self, members: Sequence[Candidate]) -> list[Candidate]:
        """The members that no other dominates; see `pareto.undominated`."""
        return undominated(members, self._objectives)

    def learn(
        self,
        history: Sequence[Candidate],
        candidates: Sequence[Candidate],
        asked: Asked,
        prior: Sequence[Candidate] = (),
        lost: Sequence[Candidate] = (),
    ) -> Floats:
        """Fits models of the costs, of the losses and of the chances to be trained to the end, and notes the front.

        Running students are on that front with their predicted losses. If there are more than 500 students, the models
        learn from 200 of them, which `selection.chosen` chooses, and from all that are running. The chances to be
        trained to the end are learnt from the latest 300. Students of an earlier search (`prior`) have a scale of their
        own, and a feature tells the two searches apart, so that the data decide how alike they are. Students that
        failed or diverged (`lost`) have no values; only the chances are learnt from them.

        Returns:
            the `improvement` by each candidate.
        """
        decided = [each for each in history if each.to_the_end is not None][-_CHANCES_OF:]
        everything, history, self._prior = history, self._learnt_from(history), self._learnt_from(prior)
        told = {each.key for each in history}
        others = [each for each in everything if each.counts and each.key not in told]
        lost = lost[-_CHANCES_OF:]
        everyone = [*history, *lost, *candidates]
        self._encode_as([*everyone, *decided, *self._prior])
        exact = self._asked_costs(everyone, asked)
        self._predict_costs = self._cost_models(everyone, exact)
        logs = self._log_costs(everyone, exact)
        self._centre, self._scale = logs.mean(axis=0), np.maximum(2 * logs.std(axis=0), 1e-9)
        losses = self._losses(history)
        features, losses[:, self._costs] = self._looked_at(history, asked)
        costs_there = {each.arch_key: each.record.costs for each in self._prior if each.record}
        earlier, _ = self._looked_at(self._prior, costs_there)
        earlier[:, -1:] += bool(self._prior)
        self._chances = self._learn_chances([*decided, *lost], asked)
        self._models = [self._learn(i, history, features, losses, earlier) for i in self._trained]
        self._front = np.concatenate([losses[[each.counts for each in history]], self._losses(self.front(others))])
        self._bold = False
        self._note_free()
        gain = self.improvement(candidates, asked)
        self._bold = bool(gain.max() < _NEGLIGIBLE * hypervolume(self._scaled(self._front), self._limit))
        return self.improvement(candidates, asked) if self._bold else gain

    def suppose(self, candidate: Candidate, asked: Asked) -> None:
        """Counts a candidate as running until the next `learn`."""
        features, costs = self._looked_at([candidate], asked)
        losses = np.empty((1, len(self._objectives)))
        losses[:, self._costs] = costs
        for i, model in zip(self._trained, self._models, strict=True):
            losses[:, i] = model.suppose(features)
        self._front = np.concatenate([self._front, losses])
        self._note_free()

    def _note_free(self) -> None:
        self._free = free_boxes(self._scaled(self._front), self._limit)

    def _scaled(self, losses: Floats) -> Floats:
        """The losses on the scale on which a gain is measured: logarithms of the costs that are compared by ratio."""
        scaled = losses.copy()
        scaled[:, self._by_ratio] = _logarithm(losses[:, self._by_ratio])
        return scaled

    def _learnt_from(self, students: Sequence[Candidate]) -> list[Candidate]:
        """The students that the models learn from."""
        if len(students) <= _ALL_LEARNT_FROM:
            return list(students)
        under_way = np.array([each.counts and not each.to_the_end for each in students])
        return [students[i] for i in chosen(self._losses(students), under_way, _LEARNT_FROM)]

    def _learn_chances(self, decided: Sequence[Candidate], asked: Asked) -> Chances:
        features, _ = self._looked_at(decided, asked)
        to_the_end = np.array([bool(each.to_the_end) for each in decided], dtype=bool)
        return Chances(self._surrogate("chances", 0), features, to_the_end)

    def _learn(
        self, i: int, history: Sequence[Candidate], features: Floats, losses: Floats, earlier: Floats
    ) -> LossModel:
        """The model of a trained objective. It fills its column of `losses` with known and predicted losses."""
        final, doubt = self._final(i, history)
        before, doubt_before = self._final(i, self._prior)
        known, old = np.isfinite(final), np.isfinite(before)
        model = LossModel(
            self._surrogate("trained", i),
            self._surrogate("failures", i),
            (features[known], final[known], doubt[known]),
            (earlier[old], before[old], doubt_before[old]),
            self._worst[i],
        )
        losses[known, i] = final[known]
        if not known.all():  # running students count with their predicted losses until they have values
            losses[~known, i] = model.suppose(features[~known])
        return model

    def _final(self, i: int, candidates: Sequence[Candidate]) -> tuple[Floats, Floats]:
        """The losses at full training and their deviations; NaN where a loss is not known."""
        values, doubt = extrapolated([each.record for each in candidates if each.record], self._objectives[i].name)
        return -values if self._objectives[i].direction == "maximize" else values, doubt

    def improvement(self, candidates: Sequence[Candidate], asked: Asked) -> Floats:
        """Expected gain in hypervolume by each candidate, shape (candidates,).

        The gain is discounted by the probability of failure and by the chance to be trained to the end. A candidate
        that costs more than the worst that counts gets -1.
        """
        if not candidates:
            return np.zeros(0)
        features, costs = self._looked_at(candidates, asked)
        columns: list[Floats] = [np.empty(0)] * len(self._objectives)
        for i, column in zip(self._costs, costs.T, strict=True):
            columns[i] = _logarithm(column) if i in self._by_ratio else column
        for i, model in zip(self._trained, self._models, strict=True):
            columns[i] = model.nodes(features, bold=self._bold)
        gain = expected_improvement(columns, self._free)
        for model in self._models:
            gain *= model.works(features)
        gain *= worth(self._chances(features))
        return np.where((costs > self._worst[self._costs]).any(axis=1), -1.0, gain)

    def _losses(self, candidates: Sequence[Candidate]) -> Floats:
        return as_losses([each.values for each in candidates], self._objectives)

    def _surrogate(self, what: str, i: int) -> Surrogate:
        groups, costs = list(self._encoding.groups), len(self._costs)
        end = groups[-1][1] if groups else 0
        groups += [(end + k, end + k + 1) for k in range(costs)]
        shared = len(groups)
        groups += [(end + costs, end + costs + 1)] if self._prior else []
        names = self._encoding.names
        recipe = [k for k, name in enumerate(names) if name.startswith(_RECIPE)]
        terms = [list(range(len(groups))), list(range(len(names), shared)), recipe]
        return self._kept((what, i), groups, [term for term in terms if term])

    def _kept(self, what: Any, groups: list[tuple[int, int]], terms: list[list[int]]) -> Surrogate:
        from autokd.samplers.surrogate import Surrogate  # slow to import, and the first proposals do not need it

        key = (*what, tuple(groups), tuple(self._encoding.names))
        if key not in self._surrogates:
            self._surrogates[key] = Surrogate(groups, terms, seed=self._seed)
        return self._surrogates[key]

    def _encode_as(self, known: Sequence[Candidate]) -> None:
        """Chooses the columns. If they are the same as before, rows that are already encoded are kept."""
        encoding = Encoding([(each.params, each.distributions) for each in known])
        same = encoding == self._encoding
        self._encoding = encoding
        self._rows = {each.key: self._rows[each.key] for each in known if each.key in self._rows} if same else {}

    def _encoded(self, candidates: Sequence[Candidate]) -> Floats:
        new = {each.key: each for each in candidates if each.key not in self._rows}
        if new:
            rows = self._encoding.encode([(each.params, each.distributions) for each in new.values()])
            self._rows.update(zip(new, rows, strict=True))
        return np.array([self._rows[each.key] for each in candidates]).reshape(len(candidates), self._encoding.columns)

    def _looked_at(self, candidates: Sequence[Candidate], asked: Asked) -> tuple[Floats, Floats]:
        """Features of candidates, and their costs as losses: exact where they are known, else predicted."""
        exact = self._asked_costs(candidates, asked)
        logs = self._log_costs(candidates, exact)
        searched_before = np.zeros((len(candidates), 1 if self._prior else 0))
        features = [self._encoded(candidates), (logs - self._centre) / self._scale, searched_before]
        signs = [-1.0 if self._objectives[i].direction == "maximize" else 1.0 for i in self._costs]
        losses = np.where(np.isnan(exact), np.exp(logs) - _TINY, exact) * np.array(signs)
        return np.concatenate(features, axis=1), losses

    def _cost_models(self, candidates: Sequence[Candidate], values: Floats) -> list[Any]:
        """For each cost a model that predicts its logarithm from an encoding; None where all are known, or none."""
        models: list[Any] = []
        for k, i in enumerate(self._costs):
            known = np.flatnonzero(np.isfinite(values[:, k]))
            if len(known) == len(candidates) or len(known) == 0:
                models.append(None)
                continue
            rows = known[:_COSTS_FITTED_ON]
            encoded = self._encoded([candidates[row] for row in rows])
            groups = list(self._encoding.groups)
            surrogate = self._kept(("cost", i), groups, [list(range(len(groups)))])
            models.append(surrogate.fit(encoded, _logarithm(values[rows, k]), np.zeros(len(rows))))
        return models

    def _asked_costs(self, candidates: Sequence[Candidate], asked: Asked) -> Floats:
        names = [self._objectives[i].name for i in self._costs]
        known = [asked.get(each.arch_key, {}) for each in candidates]
        return np.array([[row.get(name, np.nan) for name in names] for row in known]).reshape(
            len(candidates), len(names)
        )

    def _log_costs(self, candidates: Sequence[Candidate], exact: Floats) -> Floats:
        values = _logarithm(exact)
        for k, predict in enumerate(self._predict_costs):
            unknown = np.isnan(values[:, k])
            if unknown.any():
                rows = self._encoded([candidates[row] for row in np.flatnonzero(unknown).tolist()])
                values[unknown, k] = predict(rows)[0] if predict is not None else 0.0
        return values


_TINY = 1e-12


def _logarithm(costs: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(costs, 0.0) + _TINY))
