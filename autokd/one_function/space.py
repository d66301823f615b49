"""A function `student(trial, task) -> nn.Module` as a search space."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial

from autokd.choices import pick
from autokd.errors import FOREIGN, InfeasibleError
from autokd.one_function.branches import Asked, Branches

if TYPE_CHECKING:
    import optuna
    from torch import nn

    from autokd.types import Arch, Task


class FunctionSpace:
    """A search space of the networks that a function makes. An architecture holds the suggested values by name.

    A sampler tries hundreds of imagined trials (`trial.imagined`) for one proposal. Such a trial does not run the
    function once its branches are known from other runs. If a guess was wrong, building the network raises
    `InfeasibleError`, and the space learns from it. If guesses are often wrong, for example because ranges depend on
    other numbers, the function runs each time, with its weights on the meta device.

    Args:
        function: takes a trial and the task, picks values with `trial.suggest_*`, and returns the network.
    """

    def __init__(self, function: Callable[[Any, Task], nn.Module]) -> None:
        self.function = function
        self._branches: dict[tuple[Any, ...], Branches] = {}
        self._meta_fails = False

    def suggest(self, trial: optuna.Trial, task: Task) -> Arch:
        """The values that the function asks `trial` for."""
        branches, imagined = self._known_of(task), getattr(trial, "imagined", False)
        if imagined and branches.known:
            return branches.follow(trial)
        before = set(trial.distributions)
        self._run_imagined(trial, task) if imagined else self._run(trial, task)
        asked = [each for each in trial.distributions.items() if each[0] not in before]
        params = trial.params
        picks = {name: params[name] for name, _ in asked}
        branches.learn(picks, asked)
        return picks

    def build(self, arch: Arch, task: Task) -> nn.Module:
        """The network that the function makes from the values in `arch`.

        Raises:
            InfeasibleError: the function asks for a value that `arch` does not hold.
        """
        trial = _Replay(arch)
        try:
            network = self.function(trial, task)
        except InfeasibleError:
            if trial.lacking is not None:
                self._known_of(task).learn(arch, list(trial.distributions.items()), lacking=trial.lacking)
            raise
        self._known_of(task).learn(arch, list(trial.distributions.items()))
        return network

    def _known_of(self, task: Task) -> Branches:
        """The branches of the function for tasks of this shape and, for texts, of this vocabulary."""
        shape = (tuple(task.input_shape), task.num_outputs, getattr(task, "vocabulary", 0))
        return self._branches.setdefault(shape, Branches())

    def _run(self, trial: Any, task: Task) -> None:
        with torch.random.fork_rng(devices=[]):
            self.function(trial, task)

    def _run_imagined(self, trial: Any, task: Task) -> None:
        """Runs the function for an imagined trial, without weights if possible.

        A trial of a study cannot run this way, because its sampler may build networks while the trial suggests.
        """
        failed = False
        if not self._meta_fails:
            try:
                with _without_weights():
                    return self._run(trial, task)
            except FOREIGN:  # the function may look at numbers; suggestions made so far stay
                failed = True
        self._run(trial, task)
        self._meta_fails = self._meta_fails or failed


class _Replay(FixedTrial):
    """A trial that gives the values of an architecture only; `lacking` is another parameter that it was asked for."""

    def __init__(self, arch: Arch) -> None:
        super().__init__(dict(arch))
        self._arch = arch
        self.lacking: Asked | None = None

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return pick(super().suggest_categorical, name, choices)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:  # every suggest_* of Optuna calls this
        if name not in self._arch or not _may_be(distribution, self._arch[name]):
            self.lacking = (name, distribution)
            given = f"has {self._arch[name]!r}" if name in self._arch else "does not have it"
            raise InfeasibleError(f"the function asks for '{name}' ({distribution}), but the architecture {given}")
        return super()._suggest(name, distribution)


def _may_be(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (TypeError, ValueError):
        return False


@contextmanager
def _without_weights() -> Iterator[None]:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as the warning that weights loaded from a file have no effect
        yield
