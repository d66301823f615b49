"""What students take over of a teacher: its weights, its architecture, and the pieces of text that it reads."""

from __future__ import annotations

from typing import Any

from torch import nn

from autokd.errors import InputError
from autokd.first_weights import Origin
from autokd.study.teacher import SpaceSection, TrainedSection, read_teacher
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
    arch: dict[str, Any] = section.arch if isinstance(section, TrainedSection | SpaceSection) else {}
    return Origin(network.state_dict(), arch, tuple(getattr(seen, "pieces", ())))


def _network_of(teacher: Teacher) -> nn.Module | None:
    if isinstance(teacher, Through):
        return _network_of(teacher.teacher)
    return teacher.network if isinstance(teacher, NetworkTeacher) else None
