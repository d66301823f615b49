"""What students take over of a teacher: its weights, its architecture, and the pieces of text that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from autokd.errors import InputError
from autokd.first_weights import Origin
from autokd.study.teacher import (
    HeadsSection,
    OnnxSection,
    OutputsSection,
    SklearnSection,
    SpaceSection,
    TimmSection,
    TrainedSection,
    read_teacher,
)
from autokd.teachers.columns import Columns
from autokd.teachers.hf_network import HfNetwork
from autokd.teachers.networks import NetworkTeacher
from autokd.teachers.through import Through
from autokd.types import Task, Teacher


def origin_of(source: object, teacher: Teacher, task: Task) -> Origin:
    """The origin of students that begin from their teacher.

    Args:
        source: what a study names as its teacher.
        teacher: the same teacher, loaded.
        task: the task of the students.

    Raises:
        InputError: the teacher has no layers that a student could take over.
    """
    section = read_teacher(source)
    seen = teacher.seen if isinstance(teacher, Through) else task
    network = _network_of(teacher)
    if network is None:
        raise InputError(
            f"recipe.start: teacher '{teacher.name}' is no single torch network, so it has no layers that a student "
            "could take over; leave out the start 'teacher', or name a network as the teacher"
        )
    if isinstance(network, HfNetwork):
        tensors, arch = network.origin()
    else:
        tensors, arch = network.state_dict(), _arch_of(section)
    alone = teacher.teacher if isinstance(teacher, Through) else teacher
    if isinstance(alone, Columns):
        tensors = alone.of_classes(tensors)
    return Origin(tensors, arch, tuple(getattr(seen, "pieces", ())))


def refuse_no_layers(source: object) -> None:
    """Refuses, before it is loaded, what a study names as its teacher and students cannot begin from.

    Raises:
        InputError: the section says that the teacher is no single network.
    """
    section = read_teacher(source)
    kind = "a list of teachers" if isinstance(section, tuple) else _WITHOUT_LAYERS.get(type(section), "")
    if kind and getattr(section, "origin", None) is None:
        raise InputError(
            f"recipe.start: the teacher is {kind}, which has no layers that a student could take over; leave out the "
            "start 'teacher', or name a torch network as the teacher"
        )


_WITHOUT_LAYERS: Mapping[type, str] = {
    SklearnSection: "a model of scikit-learn",
    OutputsSection: "a file of answers",
    OnnxSection: "an ONNX file",
    HeadsSection: "a teacher for each head",
}


def _arch_of(section: object) -> dict[str, Any]:
    """The architecture of a network in the terms of a search space; empty if no search space builds it."""
    if isinstance(section, TimmSection):
        return {"model": section.timm}
    return section.arch if isinstance(section, TrainedSection | SpaceSection) else {}


def _network_of(teacher: Teacher) -> nn.Module | None:
    if isinstance(teacher, Through | Columns):
        return _network_of(teacher.teacher)
    return teacher.network if isinstance(teacher, NetworkTeacher) else None
