"""Where a run folder keeps what trainings leave behind: `trials/<number>/attempt-<session>/epoch-<n>/`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from autokd.record import TrialRecord

WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"


def trial_folder(run: Path, number: int) -> Path:
    """The folder of one trial."""
    return run / "trials" / f"{number:05d}"


def checkpoint(run: Path, trial: TrialRecord) -> Path | None:
    """The folder with a trial's weights as of its last rung; None where there are none, or they were dropped."""
    for attempt in reversed(_attempts(run, trial.number)):
        folder = attempt / f"epoch-{trial.epoch:04d}"
        if trial.epoch and (folder / WEIGHTS).is_file() and (folder / "result.json").is_file():
            return folder
    return None


def unrecorded_result(run: Path, trial: TrialRecord) -> dict[str, Any] | None:
    """What a worker finished for a trial that is recorded as running, and no driver lived to record."""
    for attempt in reversed(_attempts(run, trial.number)):
        for path in sorted(attempt.glob("epoch-*/result.json")):
            # An earlier attempt's error at an epoch that a later one has passed says nothing any more.
            if int(path.parent.name.removeprefix("epoch-")) > trial.epoch:
                result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                return result
    return None


def clean(run: Path, trials: Sequence[TrialRecord], *, front: Collection[int], limit_gb: float) -> float:
    """Deletes weights until `trials/` holds at most `limit_gb`, and returns the gigabytes freed.

    Those of pruned trials go first, then of complete ones off the front, oldest first; the front's stay. What a deleted
    student was and scored stays in the record, and `autokd retrain` brings it back.
    """
    budget = DiskBudget(run, limit_gb)
    for trial in trials:
        if trial.state != "running":
            budget.add(trial)
    return budget.trim(front)


class DiskBudget:
    """What ended trials have left in `trials/`, each measured once, and what of it goes beyond a limit.

    Args:
        run: the run folder.
        limit_gb: what all of them may take.
    """

    def __init__(self, run: Path, limit_gb: float) -> None:
        self.run, self.limit_gb = run, limit_gb
        self._used_gb = 0.0
        self._queue: list[tuple[bool, int, float]] = []  # a heap: what goes first is first

    def add(self, trial: TrialRecord) -> None:
        """Measures a trial that has ended."""
        size = size_gb(trial_folder(self.run, trial.number))
        if size:
            heappush(self._queue, (trial.state == "complete", trial.number, size))
            self._used_gb += size

    def trim(self, keep: Collection[int]) -> float:
        """Deletes trials in the order of `clean`, but those to keep, down to the limit; returns gigabytes freed."""
        before, kept = self._used_gb, []
        while self._queue and self._used_gb > self.limit_gb:
            first = heappop(self._queue)
            _, number, size = first
            if number in keep:
                kept.append(first)
                continue
            drop(trial_folder(self.run, number))
            self._used_gb -= size
        for each in kept:
            heappush(self._queue, each)
        return before - self._used_gb


def size_gb(folder: Path) -> float:
    """Bytes of all files below a folder, in units of 1e9."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def drop(folder: Path, *names: str) -> None:
    """Deletes the named files of a folder, or with no names the whole folder; what is absent is no error."""
    if not names:
        shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _attempts(run: Path, number: int) -> list[Path]:
    return sorted(trial_folder(run, number).glob("attempt-*"), key=lambda path: int(path.name.split("-")[1]))
