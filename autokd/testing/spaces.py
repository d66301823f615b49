"""What is wrong with a search space, in words; and how large what it holds is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import optuna
import torch

from autokd.errors import FOREIGN, InfeasibleError, InputError
from autokd.networks import materialised
from autokd.objectives.costs import parameters
from autokd.record import without_log
from autokd.registry import resolve
from autokd.study import suggest_arch
from autokd.testing.space_checks import first_finding, shown
from autokd.testing.tiny_task import TinyTask
from autokd.types import SearchSpace, Task


@dataclass(frozen=True)
class SpaceSummary:
    """How large a space is, from a sample of it.

    Args:
        choices: distinct parameter names met; conditional ones count where they were met.
        parameters_min: trainable weights of the smallest network met.
        parameters_median: of the middle one.
        parameters_max: of the largest one.
    """

    choices: int
    parameters_min: int
    parameters_median: int
    parameters_max: int


def check_space(space: object, task: Task, *, samples: int = 20, seed: int = 0) -> list[str]:
    """What is wrong with a space on a task: one sentence each with the mending and the first arch that shows it.

    Each architecture is followed up to the first thing wrong with it, so mending one finding can show the next.
    Architectures refused with `InfeasibleError` are left out, unless all are.

    Args:
        space: the space, or a reference to it.
        task: its first training rows are used.
        samples: architectures drawn at random.
        seed: of the draw and of weights; the caller's random state is left as it was.
    """
    try:
        found: SearchSpace = resolve("search_spaces", space)
    except InputError as error:
        return [str(error)]
    findings: dict[str, str] = {}
    infeasible = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for trial in _ask(samples, seed):
            try:
                finding = first_finding(found, task, trial)
            except InfeasibleError as error:
                infeasible.append(str(error))
                continue
            if finding is not None:
                findings.setdefault(*finding)
    if len(infeasible) == samples:
        return [f"none of {samples} architectures can be built for this task; the first: {infeasible[0]}."]
    return list(findings.values())


def describe_space(space: object, task: Task, *, samples: int = 64, seed: int = 0) -> SpaceSummary:
    """The number of choices in a space and the range of parameters of its networks on a task.

    Args:
        space: the space, or a reference to it.
        task: gives shapes.
        samples: architectures drawn at random; those that cannot be built are left out, unless all are.
        seed: of the draw; the caller's random state is left as it was.

    Raises:
        InputError: `space` is none, or no sampled architecture can be built for the task.
    """
    found: SearchSpace = resolve("search_spaces", space)
    inputs = torch.zeros(1, *task.input_shape)
    names: set[str] = set()
    sizes, reason = [], ""
    with torch.random.fork_rng(devices=[]):
        for trial in _ask(samples, seed):
            try:
                network = materialised(found.build(suggest_arch(found, trial, task), task), task.input_shape)
                sizes.append(int(parameters(network, inputs)))
            except FOREIGN as error:
                reason = shown(error)
            names |= trial.params.keys()
    if not sizes:
        raise InputError(
            f"no network of this space can be built for task '{task.name}' with inputs of shape "
            f"{task.input_shape}: {reason}; `autokd check` says more"
        )
    return SpaceSummary(len(names), min(sizes), int(median(sizes)), max(sizes))


class SearchSpaceContract:
    """A search space: what it suggests is plain data, what it builds answers and trains.

    Attributes:
        space: the space, or a reference to it.
        tasks: it must work on each; by default 10 classes of 8x8 images.
    """

    space: object
    tasks: Sequence[Task] = (TinyTask(),)

    def test_nothing_is_wrong_with_it(self) -> None:
        """Each finding of `check_space` is a sentence that says what to mend."""
        space = inspect.getattr_static(self, "space")  # or a function would be taken for a method
        findings = [f"{task.input_shape}: {each}" for task in self.tasks for each in check_space(space, task)]
        assert not findings, "\n".join(findings)


def _ask(samples: int, seed: int) -> Iterator[optuna.Trial]:
    """Fresh trials whose choices are random."""
    with without_log():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(samples):
        yield study.ask()
