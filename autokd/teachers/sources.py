"""Loads the teacher that a study or a caller names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from autokd.errors import InputError
from autokd.heads import heads_of
from autokd.registry import resolve, source_digest
from autokd.study.teacher import (
    HeadsSection,
    HfSection,
    NetworkSection,
    OnnxSection,
    OutputsSection,
    SklearnSection,
    SpaceSection,
    TeacherSection,
    TimmSection,
    TorchvisionSection,
    TrainedSection,
    read_teacher,
)
from autokd.teachers.answers import RowTeacher
from autokd.teachers.answers_file import from_outputs
from autokd.teachers.by_head import ByHead, OneHead, refuse_heads
from autokd.teachers.columns import Columns, for_classes
from autokd.teachers.ensemble import Ensemble
from autokd.teachers.estimator_answers import reads_raw
from autokd.teachers.named import by_name
from autokd.teachers.networks import (
    NetworkTeacher,
    from_reference,
    from_space,
)
from autokd.teachers.onnx_file import from_onnx
from autokd.teachers.programs import PROGRAMS, from_exported, load_program
from autokd.teachers.through import Through, refuse_searched, seen_by
from autokd.teachers.trained import Train, from_training
from autokd.teachers.weights import load_weights, network_digest
from autokd.types import Task, Teacher


def load_teacher(source: object, task: Task, *, folder: Path, train: Train, seed: int) -> Teacher:
    """The teacher that a study or a caller names; its answers are checked against the task when it is first asked.

    Args:
        source: a study's `teacher:` section, parsed or not; a torch module or an exported program; a
            model of scikit-learn; an object that is a `Teacher`; a reference to one of these; the file of a
            program, of TorchScript or `torch.export`; or a list of any of these, whose probabilities are averaged
            (see `Ensemble`).
        task: the task whose rows the teacher must answer.
        folder: keeps a teacher that AutoKD trains; member i of a list has the folder `i` in it.
        train: trains a network in place, for sections that ask for training.
        seed: the seed of initial weights and of unfitted models; member i of a list has seed + i, so that members
            with equal settings still differ.

    Raises:
        InputError: `source` is not a teacher, or it cannot be loaded; the message says why.
    """
    return _loaded(read_teacher(source), task, folder, train, seed)


def placed(teacher: Teacher, device: torch.device) -> Teacher:
    """The same teacher, whose torch networks run on a device; any other teacher answers where it did before."""
    if isinstance(teacher, NetworkTeacher):
        return replace(teacher, device=device)
    if isinstance(teacher, Through | Columns):
        return replace(teacher, teacher=placed(teacher.teacher, device))
    if isinstance(teacher, Ensemble):
        return replace(teacher, members=tuple(placed(member, device) for member in teacher.members))
    if isinstance(teacher, ByHead):
        return replace(teacher, members={name: placed(member, device) for name, member in teacher.members.items()})
    return teacher


def _loaded(source: Any, task: Task, folder: Path, train: Train, seed: int) -> Teacher:
    """The teacher of a section, a tuple of members, a reference or an object."""
    if isinstance(source, HfSection):
        from autokd.teachers.hf import from_hf  # transformers is slow to import

        return from_hf(source, task, folder=folder, train=train, seed=seed)
    if isinstance(source, TeacherSection) and source.reading is not None:
        seen = seen_by(task, source.reading)
        return Through(_as_it_sees(source, seen, folder, train, seed), seen)
    return _as_it_sees(source, task, folder, train, seed)


def _as_it_sees(source: Any, task: Task, folder: Path, train: Train, seed: int) -> Teacher:
    """The same for a task as the teacher sees it."""
    if isinstance(source, tuple):
        members = tuple(_loaded(member, task, folder / str(i), train, seed + i) for i, member in enumerate(source))
        weights = tuple(member.weight if isinstance(member, TeacherSection) else 1.0 for member in source)
        return Ensemble(members, weights)
    if isinstance(source, HeadsSection):
        refuse_heads(source.heads, task)
        by_head = {
            name: _loaded(source.heads[name], one, folder / str(i), train, seed + i)
            for i, (name, one) in enumerate((name, OneHead(task, name)) for name in heads_of(task))
        }
        return ByHead(by_head)
    if isinstance(source, TeacherSection):
        return _from_section(source, task, folder, train, seed)
    if _is_program(source):
        refuse_searched(task)
        return _from_program(str(source))
    return _from_object(resolve("teachers", source), task, seed)


def _from_section(spec: TeacherSection, task: Task, folder: Path, train: Train, seed: int) -> Teacher:
    raw = isinstance(spec, SklearnSection) and reads_raw(task)
    if not raw and not isinstance(spec, OutputsSection | TimmSection | TorchvisionSection):
        refuse_searched(task)
    match spec:
        case TrainedSection():
            network = from_space(spec, task, seed=seed)
            begun = {"space source": source_digest(resolve("search_spaces", spec.space))}
            from_training(spec, network, task, begun=begun, folder=folder, train=train, seed=seed)
            return _network(spec.space, network, standardised=True)
        case SpaceSection():
            network = from_space(spec, task, seed=seed)
            load_weights(network, Path(spec.weights))
            return _network(spec.space, network, standardised=True)
        case NetworkSection() if _is_program(spec.network):
            if spec.args or spec.weights is not None:
                raise InputError(
                    f"teacher {spec.network} is a program, which holds its weights; leave out 'args' and 'weights'"
                )
            return _of_classes(_from_program(spec.network), spec, task)
        case NetworkSection():
            return _of_classes(_network(spec.network.rpartition(":")[2], from_reference(spec, seed=seed)), spec, task)
        case TimmSection() | TorchvisionSection():
            return by_name(spec, task, folder=folder, train=train, seed=seed)
        case OnnxSection():
            return _of_classes(from_onnx(spec, task), spec, task)
        case SklearnSection():
            from autokd.teachers.estimator import from_sklearn  # scikit-learn is slow to import

            return from_sklearn(spec, task, seed=seed)
        case OutputsSection():
            return from_outputs(spec, task)
    raise AssertionError(spec)


def _from_object(found: Any, task: Task, seed: int) -> Teacher:
    estimates = (hasattr(found, "predict_proba") or hasattr(found, "predict")) and not isinstance(found, type)
    if not isinstance(found, RowTeacher) and not (estimates and reads_raw(task)):
        refuse_searched(task)
    if all(hasattr(found, member) for member in ("name", "digest", "outputs")):
        return found
    if isinstance(found, nn.Module):
        return _network(type(found).__name__, found)
    if isinstance(found, ExportedProgram):
        return from_exported("ExportedProgram", found)
    if estimates:
        from autokd.teachers.estimator import from_estimator

        return from_estimator(found, task, seed=seed)
    raise InputError(
        f"a {type(found).__name__} is not a teacher; give a torch module, a model of scikit-learn, an object "
        "with name, digest and outputs(inputs), or a section such as {'outputs': 'file.npy'}"
    )


def _of_classes(teacher: Teacher, spec: NetworkSection | OnnxSection, task: Task) -> Teacher:
    """The teacher, or its columns that the section chooses; the names of its classes are not known."""
    return for_classes(teacher, task, names=(), chosen=spec.classes)


def _is_program(source: object) -> bool:
    return isinstance(source, str | Path) and Path(source).suffix in PROGRAMS


def _from_program(file: str) -> Teacher:
    name, program = Path(file).stem, load_program(file)
    return from_exported(name, program) if isinstance(program, ExportedProgram) else _network(name, program)


def _network(name: str, network: nn.Module, *, standardised: bool = False) -> NetworkTeacher:
    return NetworkTeacher(name, network_digest(network), network, standardised=standardised)
