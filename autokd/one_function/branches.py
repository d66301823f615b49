"""What a function asks a trial for, learnt from its runs: which parameter follows which, given what was picked."""

from __future__ import annotations

import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Asked = tuple[str, BaseDistribution]
"""A parameter's name, and what it is suggested from."""

Picks = Mapping[str, Any]
"""Values by parameter name, in the order in which they were asked for."""

_RUNS, _RIGHT = 50, 45
_GIVEN_UP = 500
_KEPT = 300


class Branches:
    """A guess at what a function asks for next. `known` says whether it is good enough to do without the function."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[Picks, Asked | None]]] = defaultdict(list)
        self._rules: dict[str, Callable[[Picks], Asked | None]] = {}
        self._runs = 0
        self._guessed: deque[bool] = deque(maxlen=_RUNS)

    @property
    def known(self) -> bool:
        """Whether 45 of the last 50 runs asked for what was expected of them, to the last parameter."""
        return sum(self._guessed) >= _RIGHT

    def learn(self, picks: Picks, asked: Sequence[Asked], *, lacking: Asked | None = None) -> None:
        """Takes in a run.

        Args:
            picks: what it was given.
            asked: what it asked for, in order.
            lacking: what it asked for next and was not given; None where it ran to its end.
        """
        self._runs += 1
        if self._runs > _GIVEN_UP and not self.known:
            return  # learning costs more the more there is, and what was no use by now will be none
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
        """What `trial` picks where it is asked for what the function is expected to ask for."""
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
    """A decision tree that says what follows: a constant where nothing was ever followed by two different things."""
    outcomes = list(dict.fromkeys(following for _, following in seen))
    if len(outcomes) <= 1 or not seen[0][0]:  # nothing was picked before the first
        latest = seen[-1][1] if seen else None
        return lambda picks: latest

    from sklearn.tree import DecisionTreeClassifier  # slow to import, and most functions' branches need none

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
    """A number as it is, another choice as whether it was made; 0 for what was not asked for, as others tell why."""
    name, choice = column
    value = picks.get(name, _ABSENT)
    if choice is None and _is_number(value):
        return float(value)
    return float(value is not _ABSENT and not _is_number(value) and value == choice)


_ABSENT = object()
