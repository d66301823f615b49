"""The work of a node: it trains one stretch after another in a process that keeps imports, data and outputs loaded."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from autokd.checkpoints import read_result
from autokd.errors import InputError
from autokd.files import write_json
from autokd.ray_tune.shipment import Shipment, unpack
from autokd.ray_tune.storage import Storage
from autokd.trial import Stretch, reason_of, run_stretch_in
from autokd.types import Recipe

_RESULT = "result.json"


@dataclass(frozen=True)
class Work:
    """What all stretches of a run have in common, as plain data.

    Args:
        shipment: the parts of the run folder that workers read.
        storage: where checkpoints go, as a URL or path for `Storage`; "" if all nodes see the run folder.
        minutes: a stretch that takes longer is stopped with an error.
    """

    shipment: Shipment
    storage: str
    minutes: float


def as_config(stretch: Stretch) -> dict[str, Any]:
    """A stretch as the configuration of a Tune trial. What may be nested is text, because Tune flattens nested keys."""
    nested = {"arch": json.dumps(stretch.arch), "reading": json.dumps(stretch.reading)}
    return {**asdict(with_absolute_paths(stretch)), **nested}


def with_absolute_paths(stretch: Stretch) -> Stretch:
    """The same stretch with absolute paths, for a process with another current folder."""
    source = os.path.abspath(stretch.source) if stretch.source else ""
    return replace(stretch, source=source, folder=os.path.abspath(stretch.folder))


def as_stretch(config: Mapping[str, Any]) -> Stretch:
    """The stretch that a configuration from `as_config` describes."""
    nested = {"arch": json.loads(config["arch"]), "reading": json.loads(config["reading"])}
    return Stretch(**{**config, **nested, "recipe": Recipe(**config["recipe"])})


def train(work: Work, stretch: Stretch) -> dict[str, Any]:
    """Trains a stretch in this process on one thread, and returns its outcome.

    If an earlier attempt finished the stretch and died afterwards, the outcome is the one that it wrote.

    Raises:
        OSError: the disk failed, and not the student.
    """
    torch.set_num_threads(1)
    if work.storage:
        return _train_apart(work, stretch, Storage(work.storage, work.shipment.run))
    earlier = read_result(Path(stretch.folder))
    if earlier is not None:
        return earlier
    return _train(work, stretch, lambda: None)


def _train_apart(work: Work, stretch: Stretch, storage: Storage) -> dict[str, Any]:
    """Does the same as `train` in a folder of this node; checkpoints are copied between it and the storage."""
    earlier = storage.result(stretch.folder)
    if earlier is not None:
        return earlier
    with tempfile.TemporaryDirectory(prefix="autokd-") as scratch:
        source, folder = Path(scratch) / "source", Path(scratch) / "folder"
        if stretch.source:
            storage.fetch(stretch.source, source)
        here = replace(stretch, source=str(source) if stretch.source else "", folder=str(folder))
        result = _train(work, here, lambda: storage.put(stretch.folder, folder))
        if folder.is_dir():
            storage.put(stretch.folder, folder)
        return result


def _train(work: Work, stretch: Stretch, keep: Callable[[], None]) -> dict[str, Any]:
    reason = f"timed out: a stretch took more than {work.minutes:g} minutes"
    with _ended_after(60 * work.minutes, Path(stretch.folder), reason, keep):
        try:
            run = unpack(work.shipment)
            if str(run) != work.shipment.run and not work.storage:
                raise InputError(
                    f"node {ray.util.get_node_ip_address()} does not see {work.shipment.run}; name a folder that all "
                    "nodes see, or a URL, with executor.storage"
                )
            return run_stretch_in(str(run), stretch)
        except OSError:
            raise
        except Exception as error:
            return {"error": reason_of(error)}


class StretchTrainable(tune.Trainable):
    """A Tune trial. Each of its steps is one stretch, and the next stretch comes as a new configuration."""

    def setup(self, config: dict[str, Any], *, work: Work) -> None:  # type: ignore[override]
        """Prepares for the first stretch."""
        self.work = work
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Prepares for another stretch, of this or another trial. Everything that is loaded stays."""
        self.stretch = as_stretch(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Trains the stretch. Its result is text, because Tune flattens nested keys."""
        return {"training_iteration": self.stretch.stop, "outcome": json.dumps(train(self.work, self.stretch))}


@contextmanager
def _ended_after(seconds: float, folder: Path, reason: str, keep: Callable[[], None]) -> Iterator[None]:
    """Ends this process if the block takes longer, and writes the reason into `folder` as the result."""

    def end() -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / _RESULT, {"error": reason})
            keep()
        finally:
            os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
