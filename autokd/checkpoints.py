"""Where a run folder keeps what trainings leave behind: `trials/<number>/attempt-<session>/epoch-<n>/`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
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
                result: dict[str, Any] = json.loads(path.read_text())
                return result
    return None


def clean(run: Path, trials: Sequence[TrialRecord], *, front: Collection[int], limit_gb: float) -> float:
    """Deletes weights until `trials/` holds at most `limit_gb`, and returns the gigabytes freed.

    Those of pruned trials go first, then of complete ones off the front, oldest first; the front's stay. What a deleted
    student was and scored stays in the record, and `autokd retrain` brings it back.
    """
    sizes = {trial.number: size_gb(trial_folder(run, trial.number)) for trial in trials if trial.state != "running"}
    excess, freed = sum(sizes.values()) - limit_gb, 0.0
    candidates = [trial for trial in trials if trial.number in sizes and trial.number not in front]
    for trial in sorted(candidates, key=lambda trial: (trial.state == "complete", trial.number)):
        if freed >= excess:
            break
        drop(trial_folder(run, trial.number))
        freed += sizes[trial.number]
    return freed


def size_gb(folder: Path) -> float:
    """Bytes of all files below a folder, in units of 1e9."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def drop(folder: Path, *names: str) -> None:
    """Deletes the named files of a folder, or with no names the whole folder; what is absent is no error."""
    if not names:
        shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        (folder / name).unlink(missing_ok=True)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes `data` so that a reader sees all of it or the file that was there before."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(data, indent=1))
    os.replace(part, path)


def _attempts(run: Path, number: int) -> list[Path]:
    return sorted(trial_folder(run, number).glob("attempt-*"), key=lambda path: int(path.name.split("-")[1]))
