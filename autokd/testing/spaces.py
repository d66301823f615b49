"""Finds what is wrong with a search space, and how large it is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import optuna
import torch

from autokd.choices import suggest_arch
from autokd.errors import FOREIGN, InfeasibleError, InputError
from autokd.networks import example_of, materialised
from autokd.objectives.costs import parameters
from autokd.record import without_log
from autokd.registry import resolve
from autokd.study import builder_of, members_in
from autokd.testing.space_checks import first_finding, shown
from autokd.testing.start_checks import start_findings
from autokd.testing.tiny_task import TinyTask
from autokd.types import Arch, SearchSpace, Task


@dataclass(frozen=True)
class SpaceSummary:
    """The size of a search space, from a sample of it.

    Args:
        choices: the number of different parameter names in the sample, conditional parameters included.
        parameters_min: the trainable weights of the smallest network in the sample.
        parameters_median: the trainable weights of the middle one.
        parameters_max: the trainable weights of the largest one.
    """

    choices: int
    parameters_min: int
    parameters_median: int
    parameters_max: int


def check_space(space: object, task: Task, *, samples: int = 20, seed: int = 0) -> list[str]:
    """The problems of a space on a task. Each is a sentence that says how to mend it and names an arch that shows it.

    Each architecture is checked up to its first problem, so mending one problem can reveal the next. Architectures that
    the space refuses with `InfeasibleError` are left out, unless all are refused. Of a sound space the functions
    `inherit` and `pretrained` are checked, too, if there are any: what they give must fit, and a student of its
    teacher's own architecture must answer as the teacher does, bit for bit.

    Args:
        space: the space, or a reference to it.
        task: the task whose first training rows are used.
        samples: how many architectures are drawn at random.
        seed: the seed of the draw and of the weights; the caller's random state does not change.

    Returns:
        one sentence for each problem; empty if the space is sound.
    """
    try:
        found: SearchSpace = resolve("search_spaces", space)
    except InputError as error:
        return [str(error)]
    findings: dict[str, str] = {}
    infeasible = []
    sound: list[tuple[Arch, Task]] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for trial in _ask(samples, seed):
            try:
                finding = first_finding(found, task, trial, sound=sound)
            except InfeasibleError as error:
                infeasible.append(str(error))
                continue
            if finding is not None:
                findings.setdefault(*finding)
        if sound and not findings:
            seen = sound[0][1]  # students that read rows in different ways have different inputs
            archs = [builder_of(found, arch) for arch, own in sound if own.digest == seen.digest]
            for named, member in members_in(found):
                for problem in start_findings(member, seen, [arch for _, own, arch in archs if own is named]):
                    findings.setdefault(problem, problem)
    if len(infeasible) == samples:
        return [f"none of {samples} architectures can be built for this task; the first: {infeasible[0]}."]
    return list(findings.values())


def describe_space(space: object, task: Task, *, samples: int = 64, seed: int = 0) -> SpaceSummary:
    """The number of choices in a space and the range of parameters of its networks on a task.

    Args:
        space: the space, or a reference to it.
        task: the task that gives the shapes of inputs and outputs.
        samples: how many architectures are drawn at random. Those that cannot be built are left out.
        seed: the seed of the draw; the caller's random state does not change.

    Raises:
        InputError: `space` is not a search space, or no drawn architecture can be built for the task.
    """
    found: SearchSpace = resolve("search_spaces", space)
    inputs = example_of(task)
    names: set[str] = set()
    sizes, reason = [], ""
    with torch.random.fork_rng(devices=[]):
        for trial in _ask(samples, seed):
            try:
                network = materialised(found.build(suggest_arch(found, trial, task), task), inputs)
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
    """Tests a search space: its architectures are plain data, its networks answer and train, and first weights fit.

    Attributes:
        space: the space, or a reference to it.
        tasks: the tasks on which it must work; by default 10 classes of 8x8 images.
    """

    space: object
    tasks: Sequence[Task] = (TinyTask(),)

    def test_nothing_is_wrong_with_it(self) -> None:
        """Each finding of `check_space` is a sentence that says what to mend."""
        space = inspect.getattr_static(self, "space")  # else a function would become a method
        findings = [f"{task.input_shape}: {each}" for task in self.tasks for each in check_space(space, task)]
        assert not findings, "\n".join(findings)


def _ask(samples: int, seed: int) -> Iterator[optuna.Trial]:
    """New trials with random choices."""
    with without_log():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(samples):
        yield study.ask()
