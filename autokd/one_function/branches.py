"""Learns from runs of a function what it asks a trial for: which parameter comes next, given the earlier picks."""

from __future__ import annotations

import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Asked = tuple[str, BaseDistribution]
"""A parameter's name, and the distribution that it is suggested from."""

Picks = Mapping[str, Any]
"""Values by parameter name, in the order in which the function asked for them."""

_RUNS, _RIGHT = 50, 45
_GIVEN_UP = 500
_KEPT = 300


class Branches:
    """Guesses what a function asks for next. `known` says whether the guesses can replace runs of the function."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[Picks, Asked | None]]] = defaultdict(list)
        self._rules: dict[str, Callable[[Picks], Asked | None]] = {}
        self._runs = 0
        self._guessed: deque[bool] = deque(maxlen=_RUNS)

    @property
    def known(self) -> bool:
        """Whether the guesses for 45 of the last 50 runs were right, to the last parameter."""
        return sum(self._guessed) >= _RIGHT

    def learn(self, picks: Picks, asked: Sequence[Asked], *, lacking: Asked | None = None) -> None:
        """Learns from a run of the function.

        Args:
            picks: the values that the run got.
            asked: the parameters that it asked for, in order.
            lacking: the parameter that it asked for next and did not get; None if it ran to its end.
        """
        self._runs += 1
        if self._runs > _GIVEN_UP and not self.known:
            return  # learning gets slower with each run, and guesses that are bad by now will stay bad
        before: dict[str, Any] = {}
        right = True
        for last, following in zip(["", *(name for name, _ in asked)], [*asked, lacking], strict=True):
            if last:
                before = {**before, last: picks[last]}
            seen = self._seen[last]
            expected = bool(seen) and self._following(last, before) == following
            right = right and expected
            if not expected:
                self._rules.pop(last, None)
            if not expected or len(seen) < _KEPT:
                seen.append((before, following))
        self._guessed.append(right)

    def follow(self, trial: Any) -> dict[str, Any]:
        """The picks of `trial` when it is asked for the parameters that the function is expected to ask for."""
        picks: dict[str, Any] = {}
        asked = self._following("", picks)
        while asked is not None and asked[0] not in picks:
            name, distribution = asked
            picks[name] = _pick(trial, name, distribution)
            asked = self._following(name, picks)
        return picks

    def _following(self, last: str, picks: Picks) -> Asked | None:
        if last not in self._rules:
            self._rules[last] = _rule(self._seen[last])
        return self._rules[last](picks)


def _pick(trial: Any, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    suggest = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    return suggest(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def _rule(seen: Sequence[tuple[Picks, Asked | None]]) -> Callable[[Picks], Asked | None]:
    """A decision tree that predicts what follows, or a constant if always the same parameter followed."""
    outcomes = list(dict.fromkeys(following for _, following in seen))
    if len(outcomes) <= 1 or not seen[0][0]:  # the first parameter depends on no picks
        latest = seen[-1][1] if seen else None
        return lambda picks: latest

    from sklearn.tree import DecisionTreeClassifier  # slow to import, and most functions need no tree

    pairs = dict.fromkeys(chain.from_iterable(picks.items() for picks, _ in seen))
    columns = list(dict.fromkeys((name, None if _is_number(value) else value) for name, value in pairs))
    rows = [[_feature(picks, column) for column in columns] for picks, _ in seen]
    labels = [outcomes.index(following) for _, following in seen]
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # many outcomes, few runs
        tree = DecisionTreeClassifier(random_state=0).fit(rows, labels).tree_
    features, thresholds = tree.feature.tolist(), tree.threshold.tolist()
    lefts, rights = tree.children_left.tolist(), tree.children_right.tolist()
    ends = [outcomes[int(counts.argmax())] for counts in tree.value[:, 0]]

    def follow(picks: Picks) -> Asked | None:
        node = 0
        while lefts[node] >= 0:
            left = _feature(picks, columns[features[node]]) <= thresholds[node]
            node = lefts[node] if left else rights[node]
        return ends[node]

    return follow


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _feature(picks: Picks, column: tuple[str, Any]) -> float:
    """A number as it is, and any other choice as whether it was made; 0 if the parameter was not asked for.

    That case needs no feature of its own, because it follows from other features.
    """
    name, choice = column
    value = picks.get(name, _ABSENT)
    if choice is None and _is_number(value):
        return float(value)
    return float(value is not _ABSENT and not _is_number(value) and value == choice)


_ABSENT = object()
