"""A teacher that AutoKD trains, keeps in the run folder and uses again."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from autokd.errors import InputError, said
from autokd.files import write_json
from autokd.study.teacher import FineTunedSection, TrainedSection
from autokd.teachers.files import digest_of, file_digest
from autokd.teachers.weights import load_weights, save_weights
from autokd.types import Task


class Train(Protocol):
    """Trains a teacher."""

    def __call__(
        self,
        network: nn.Module,
        spec: TrainedSection | FineTunedSection,
        task: Task,
        folder: Path,
        *,
        new: Sequence[nn.Module] = (),
    ) -> None:
        """Trains a network in place on a task, as its specification says.

        Args:
            network: the network.
            spec: how it is trained.
            task: the task.
            folder: keeps what the training needs to go on after its process was killed.
            new: layers that give the network's answer and are trained alone first.
        """


_LOG = logging.getLogger("autokd")


def from_training(
    spec: TrainedSection | FineTunedSection,
    network: nn.Module,
    task: Task,
    *,
    begun: Mapping[str, str],
    folder: Path,
    train: Train,
    seed: int,
) -> nn.Module:
    """A network with the weights in `folder` if they were trained with these settings; else it is trained now.

    The weights are written to `teacher.safetensors`, and after that their origin to `teacher.json`, so an interrupted
    training leaves nothing that looks finished. The log says whether the network was trained now, and why.

    Args:
        spec: how the network is trained.
        network: the network as training begins with it; its weights are changed in place.
        task: the task on which the network is trained.
        begun: digests of all that decides what the network is before its training, by what they are digests of.
        folder: is made if it does not exist.
        train: trains the network in place; the folder that it gets is deleted when the training is done.
        seed: the seed with which the network was made.

    Raises:
        InputError: the folder cannot be written.
    """
    of = {
        "spec": spec.model_dump(mode="json", exclude={"weight", "reading"}),  # the task is seen through the reading
        "task": task.digest,
        **begun,
        "seed": seed,
    }
    weights, record = folder / "teacher.safetensors", folder / "teacher.json"
    reason = _why_not(weights, record, of)
    if not reason:
        _LOG.info("The teacher was trained before; its weights are in %s.", weights)
        load_weights(network, weights)
        return network
    _LOG.info("Training the teacher for %s (%s).", in_epochs(spec.epochs), reason)
    unfinished = folder / f"unfinished-{digest_of(json.dumps(of, sort_keys=True))[:16]}"  # of this training alone
    train(network, spec, task, unfinished)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(network, weights)
        write_json(record, of | {"weights": file_digest(weights)})
        for each in folder.glob("unfinished-*"):
            shutil.rmtree(each)
    except OSError as error:
        raise InputError(f"the trained teacher cannot be saved in {folder}: {error.strerror or said(error)}") from error
    return network


def in_epochs(count: int) -> str:
    """A number of epochs in words."""
    return "1 epoch" if count == 1 else f"{count} epochs"


def _why_not(weights: Path, record: Path, of: dict[str, Any]) -> str:
    """Why the folder's teacher cannot be used; "" if it can."""
    if not record.is_file() or not weights.is_file():
        return "there is no trained teacher yet"
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{record.name} cannot be read"
    changed = [key for key, value in of.items() if not isinstance(found, dict) or found.get(key) != value]
    if changed:
        return f"since it was last trained, these changed: {', '.join(changed)}"
    return "" if found.get("weights") == file_digest(weights) else f"{weights.name} was changed since it was written"
