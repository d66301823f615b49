"""Proposals as numbers: a group of columns for each parameter, and one for how often each choice was made."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from autokd.pareto import Floats

Proposal = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]
"""Parameters by name, and the distribution that each was suggested from."""

_COUNTED = 1.5


class Encoding:
    """Columns for every parameter that occurs in these proposals. Two proposals differ by at most 1 in a parameter.

    Each choice has a column. A number becomes its place in its range. If a proposal lacks a numeric parameter, its
    value is the middle of the range and a further column marks this. Where several parameters have the same choices,
    like the operations of a cell, further columns hold how often each choice was made.

    `groups` holds the half-open column ranges of the parameters, in the order of `names`, and then the range of the
    counts, if there are any.
    """

    def __init__(self, proposals: Sequence[Proposal]) -> None:
        met: dict[str, dict[Any, BaseDistribution]] = {}
        for _, distributions in proposals:
            for name, distribution in distributions.items():  # Optuna's == takes twenty times as long
                met.setdefault(name, {}).setdefault((type(distribution), *vars(distribution).values()), distribution)
        found = {name: list(different.values()) for name, different in met.items()}
        self.names = sorted(found)
        self._choices: dict[str, list[Any]] = {}
        self._ranges: dict[str, tuple[float, float, bool]] = {}
        for name in self.names:
            if all(isinstance(each, CategoricalDistribution) for each in found[name]):
                choices = [choice for each in found[name] for choice in each.choices]  # type: ignore[attr-defined]
                self._choices[name] = sorted(set(choices), key=lambda choice: (str(type(choice)), str(choice)))
            else:
                numeric: list[Any] = [each for each in found[name] if not isinstance(each, CategoricalDistribution)]
                low, high = min(each.low for each in numeric), max(each.high for each in numeric)
                self._ranges[name] = (float(low), float(high), all(each.log for each in numeric))
        alike: dict[tuple[str, ...], list[str]] = {}
        for name, choices in self._choices.items():
            alike.setdefault(tuple(map(repr, choices)), []).append(name)
        self._alike = [names for choices, names in alike.items() if len(names) > 1 and len(choices) > 1]
        widths = [len(self._choices[name]) if name in self._choices else 2 for name in self.names]
        counted = sum(len(self._choices[names[0]]) for names in self._alike)
        edges = np.cumsum([0, *widths, *([counted] if counted else [])])
        self.groups = [(int(a), int(b)) for a, b in itertools.pairwise(edges)]
        self.columns = int(edges[-1])

    def __eq__(self, other: object) -> bool:
        """Whether both give the same columns for any proposal."""
        return isinstance(other, Encoding) and vars(self) == vars(other)

    def encode(self, proposals: Sequence[Proposal]) -> Floats:
        """The columns of each proposal, shape (len(proposals), columns)."""
        columns = [self._columns(name, [params.get(name, _ABSENT) for params, _ in proposals]) for name in self.names]
        for names in self._alike:
            places = [self.names.index(name) for name in names]
            columns.append(sum(columns[place] for place in places) * np.sqrt(2) * _COUNTED / len(names))
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(proposals), 0))

    def _columns(self, name: str, values: Sequence[Any]) -> Floats:
        if name in self._choices:
            choices = {(type(choice), choice): place for place, choice in enumerate(self._choices[name])}
            columns = np.zeros((len(values), len(choices)))
            for row, value in enumerate(values):
                if value is not _ABSENT:
                    place = choices.get((type(value), value))  # None: a choice that no proposal before had
                    if place is not None:
                        columns[row, place] = np.sqrt(0.5)
            return columns
        low, high, log = self._ranges[name]
        absent = np.array([value is _ABSENT for value in values])
        numbers = np.array([(low + high) / 2 if value is _ABSENT else float(value) for value in values])
        if log:
            numbers, low, high = np.log(numbers), float(np.log(low)), float(np.log(high))
        scaled = (numbers - low) / ((high - low) or 1.0)
        return np.column_stack([np.where(absent, 0.5, scaled), absent / 2])


_ABSENT = object()
