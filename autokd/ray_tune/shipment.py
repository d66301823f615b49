"""What is sent to other nodes: the parts of a run folder that workers read, and the students that are timed there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from filelock import FileLock
from torch import nn

from autokd.driver.run import Run
from autokd.latency.meter import Candidates
from autokd.study import SETUP_FILE, Study, dump, resolve_space
from autokd.tasks.made import made_again
from autokd.tasks.stored import StoredTask
from autokd.trial import Context, files_of
from autokd.types import Arch, Task


@dataclass(frozen=True)
class Shipment:
    """The study, the data and the teacher's outputs of a run.

    Args:
        run: the run folder on the driver's machine.
        setup: the text of its `study.json`, by which a node recognises the folder.
        files: references into Ray's object store, by path within the run folder; empty if there is only one machine.
    """

    run: str
    setup: str
    files: Mapping[str, Any]


def ship(run: Run, *, elsewhere: bool) -> Shipment:
    """The shipment of a run. If there may be other machines, its files are put into the object store, once."""
    folder = run.folder.absolute()
    setup = (folder / SETUP_FILE).read_text(encoding="utf-8")
    named = files_of(folder, run.setup)
    paths = [path for each in named for path in (each.rglob("*") if each.is_dir() else [each]) if path.is_file()]
    files = {str(path.relative_to(folder)): ray.put(_bytes(path)) for path in paths} if elsewhere else {}
    return Shipment(str(folder), setup, files)


def unpack(shipment: Shipment) -> Path:
    """The run folder if this node sees it, or else a folder of this node with the shipped files.

    The first process of a node writes that folder, and the others wait for it.
    """
    run = Path(shipment.run)
    if (run / SETUP_FILE).is_file() and (run / SETUP_FILE).read_text(encoding="utf-8") == shipment.setup:
        return run
    digest = hashlib.sha256(f"{shipment.run}\n{shipment.setup}".encode(errors="surrogateescape")).hexdigest()[:16]
    home = Path(tempfile.gettempdir()) / f"autokd-{os.getuid()}" / digest
    home.parent.mkdir(exist_ok=True, mode=0o700)
    with FileLock(home.with_suffix(".lock")):
        if not (home / SETUP_FILE).is_file():
            for name, reference in shipment.files.items():
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                (home / name).write_bytes(ray.get(reference).data)
            part = home / f"{SETUP_FILE}.part"
            part.write_text(shipment.setup, encoding="utf-8")
            os.replace(part, home / SETUP_FILE)
    return home


@dataclass(frozen=True)
class SentCandidates:
    """The students of a search, which are built on another node to be timed there.

    Args:
        study: the study as plain data.
        digest: the digest of the task.
        sent: a reference to the task in Ray's object store; None if the other node makes the task again.
        reading: what was picked of the way in which the task reads its rows.
    """

    study: Mapping[str, Any]
    digest: str
    sent: Any
    reading: Mapping[str, Any]

    @property
    def task(self) -> Task:
        """The task for which students are built."""
        return self._context.task

    def build(self, arch: Arch) -> nn.Module:
        """The untrained student of an architecture."""
        return self._context.build(arch)

    @cached_property
    def _context(self) -> Context:
        study = Study.model_validate(self.study)
        again = self.sent is None
        task = made_again(study.task, digest=self.digest, reading=self.reading) if again else ray.get(self.sent)
        return Context(study, resolve_space(study), task, torch.empty(0), ())


def sender() -> Callable[[Candidates], Candidates]:
    """A function that gives candidates in a form that can be sent to another node; each task is sent once.

    A task that somebody wrote is not sent, because the other node may not know the file of its class. That node makes
    the task again from the study's reference.
    """
    tasks: dict[str, Any] = {}

    def send(candidates: Candidates) -> Candidates:
        task = candidates.task
        if task.digest not in tasks:
            # A copy is sent, because the original may also hold all inputs normalised.
            tasks[task.digest] = ray.put(replace(task)) if isinstance(task, StoredTask) else None
        return SentCandidates(dump(candidates.study), task.digest, tasks[task.digest], candidates.reading)

    return send


def _bytes(path: Path) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)
