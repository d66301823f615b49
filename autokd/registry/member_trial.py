"""A trial as one of several search spaces sees it."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial


class MemberTrial(FixedTrial):
    """A trial whose picks are those of another trial, under names with the name of a space before them.

    Args:
        trial: the other trial.
        space: the name of the space.
    """

    def __init__(self, trial: Any, space: str) -> None:
        super().__init__({}, number=trial.number)
        self._trial, self._space = trial, space
        self.imagined = getattr(trial, "imagined", False)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:  # every suggest_* of Optuna calls this
        picked = self._trial._suggest(f"{self._space}.{name}", distribution)
        self._suggested_params[name], self._distributions[name] = picked, distribution
        return picked
