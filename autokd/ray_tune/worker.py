"""What runs on a node: one stretch after another, in a process that keeps imports, data and the teacher's outputs."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from autokd.checkpoints import write_json
from autokd.trial import Stretch, run_stretch_in
from autokd.types import Recipe


@dataclass(frozen=True)
class Work:
    """What every stretch of a run has in common, as plain data.

    Args:
        run: the run folder.
        minutes: a stretch that takes longer is ended with an error.
    """

    run: str
    minutes: float


def as_config(stretch: Stretch) -> dict[str, Any]:
    """A stretch as the configuration of a Tune trial; the architecture is text, for Tune takes nested keys apart."""
    return {**asdict(stretch), "arch": json.dumps(stretch.arch)}


def as_stretch(config: Mapping[str, Any]) -> Stretch:
    """The stretch that `as_config` turned into a configuration."""
    return Stretch(**{**config, "arch": json.loads(config["arch"]), "recipe": Recipe(**config["recipe"])})


def train(work: Work, stretch: Stretch) -> dict[str, Any]:
    """What a stretch gives, here and on one thread; if an earlier attempt finished it and died, what that wrote.

    Raises:
        OSError: the disk, not the student.
    """
    torch.set_num_threads(1)
    written = Path(stretch.folder) / "result.json"
    if written.is_file():
        earlier: dict[str, Any] = json.loads(written.read_text())
        return earlier
    with _ended_after(60 * work.minutes, stretch, f"timed out: a stretch took more than {work.minutes:g} minutes"):
        try:
            return run_stretch_in(work.run, stretch)
        except OSError:
            raise
        except Exception as error:
            return {"error": f"raised {type(error).__name__}: {error}"}


class StretchTrainable(tune.Trainable):
    """A Tune trial, of which each step is one stretch; the next one comes as a new configuration."""

    def setup(self, config: dict[str, Any], *, work: Work) -> None:  # type: ignore[override]
        """Takes up the first stretch."""
        self.work = work
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes up another stretch, of this or another trial; all that is loaded stays."""
        self.stretch = as_stretch(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Trains the stretch; its result is text, for Tune takes nested keys apart."""
        return {"training_iteration": self.stretch.stop, "outcome": json.dumps(train(self.work, self.stretch))}


@contextmanager
def _ended_after(seconds: float, stretch: Stretch, reason: str) -> Iterator[None]:
    """Ends this process where the block takes longer, and leaves the reason as the stretch's result."""

    def end() -> None:
        folder = Path(stretch.folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "result.json", {"error": reason})
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
