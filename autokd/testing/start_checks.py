"""The checks of what a search space gives for first weights: its functions `inherit` and `pretrained`."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autokd.errors import FOREIGN, InfeasibleError, named
from autokd.first_weights import put
from autokd.networks import contiguous
from autokd.types import Arch, SearchSpace, Task

_FETCHED = 3
"""Weights from elsewhere are asked for so many architectures only, because they may be fetched from the network."""


def start_findings(space: SearchSpace, task: Task, archs: Sequence[Arch]) -> list[str]:
    """What is wrong with the optional functions of a space, a sentence for each problem.

    Args:
        space: the space.
        task: the task whose first training rows are used.
        archs: architectures that the space builds for the task.
    """
    findings: list[str] = []
    if archs and callable(getattr(space, "inherit", None)):
        findings += _inheriting(space, task, archs)
    if callable(getattr(space, "pretrained", None)):
        findings += _pretrained(space, task, archs[:_FETCHED])
    return findings


def inherited(
    space: Any, arch: Arch, teacher_arch: Mapping[str, Any], weights: Mapping[str, Tensor], task: Task
) -> Mapping[str, Tensor]:
    """What the space's `inherit` gives; it gets the task if it has a parameter `task`."""
    also = {"task": task} if "task" in inspect.signature(space.inherit).parameters else {}
    given = space.inherit(copy.deepcopy(arch), copy.deepcopy(dict(teacher_arch)), dict(weights), **also)
    return _tensors(given, "inherit")


def _inheriting(space: Any, task: Task, archs: Sequence[Arch]) -> list[str]:
    networks = [space.build(copy.deepcopy(arch), task) for arch in archs]
    largest = max(range(len(archs)), key=lambda place: sum(weight.numel() for weight in networks[place].parameters()))
    teacher, teacher_arch = _unlike_new(networks[largest]), archs[largest]
    weights = {name: value for name, value in teacher.state_dict().items() if isinstance(value, Tensor)}
    seen = f"Seen with a teacher of arch {teacher_arch!r}"
    for arch in archs:
        student = space.build(copy.deepcopy(arch), task)
        try:
            given = inherited(space, arch, teacher_arch, weights, task)
            taken = put(student, given, cut=True) if given else None
        except InfeasibleError as error:
            return [f"inherit gives what does not fit: {error}. {seen} and a student of arch {arch!r}."]
        except FOREIGN as error:
            return [f"inherit raised {named(error)}. {seen} and a student of arch {arch!r}."]
        if arch == teacher_arch and not _answers_alike(student, teacher, task):
            new = ", ".join(taken.new[:3]) if taken is not None else "everything"
            return [
                "a student of the teacher's own architecture does not answer as the teacher does after inherit"
                f"{f'; {new} is new' if new else ''}: let inherit give all tensors of the teacher then. {seen}."
            ]
    return []


def _pretrained(space: Any, task: Task, archs: Sequence[Arch]) -> list[str]:
    for arch in archs:
        try:
            given = _tensors(space.pretrained(copy.deepcopy(arch), task), "pretrained")
            put(space.build(copy.deepcopy(arch), task), given, cut=True)
        except InfeasibleError as error:
            return [f"pretrained gives what does not fit: {error}. Seen with arch {arch!r}."]
        except (ValueError, OSError, ImportError):  # how it says that there are no such weights here
            continue
        except FOREIGN as error:
            return [
                f"pretrained raised {named(error)}: raise ValueError where there are no such weights. Seen with arch "
                f"{arch!r}."
            ]
    return []


def _tensors(given: Any, function: str) -> Mapping[str, Tensor]:
    if not isinstance(given, Mapping) or not all(isinstance(each, Tensor) for each in given.values()):
        raise InfeasibleError(f"`{function}` gave a {type(given).__name__}; let it give tensors by name")
    return given


def _unlike_new(network: nn.Module) -> nn.Module:
    """The network with other numbers than `build` gives, so that what a student did not take over is seen."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return network.eval()


def _answers_alike(student: nn.Module, teacher: nn.Module, task: Task) -> bool:
    inputs = contiguous(task.inputs(task.splits["train"][:4]))
    with torch.no_grad():
        one, other = (_flat(network.eval()(inputs.clone())) for network in (student, teacher))
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _flat(given: Any) -> list[Tensor]:
    """The tensors in what a network gave."""
    if isinstance(given, Tensor):
        return [given]
    parts = given.values() if isinstance(given, Mapping) else given
    return [part for part in parts if isinstance(part, Tensor)]
