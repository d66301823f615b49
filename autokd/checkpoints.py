"""Where a run folder keeps what trainings leave behind: `trials/<number>/attempt-<session>/epoch-<n>/`.

`result.json` is written last. It says what came of a stretch, and holds a digest of itself and of the files beside it:
what a disk has damaged is not taken for what was trained. `deaths.txt` says how processes died at a stretch.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from autokd.files import write_json
from autokd.record import TrialRecord, canonical
from autokd.teachers.files import digest_of, file_digest
from autokd.weights import is_complete

WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
ANSWERS = "answers.safetensors"
"""What the student answered to the first rows of validation when it was scored."""

MOST_DEATHS = 3
"""So many processes may die at one training. It fails then, whoever is to blame."""

_RESULT = "result.json"
_DEATHS = "deaths.txt"


def trial_folder(run: Path, number: int) -> Path:
    """The folder of one trial."""
    return run / "trials" / f"{number:05d}"


def checkpoint(run: Path, trial: TrialRecord) -> Path | None:
    """The folder with a trial's weights as of its last rung; None where there are none, or they were dropped."""
    for attempt in reversed(_attempts(run, trial.number)):
        folder = attempt / f"epoch-{trial.epoch:04d}"
        if trial.epoch and (folder / WEIGHTS).is_file() and (folder / _RESULT).is_file():
            return folder
    return None


def whole_checkpoint(run: Path, trial: TrialRecord) -> Path | None:
    """`checkpoint`, if its weights, and the answers by which they are known again, are what was written."""
    folder = checkpoint(run, trial)
    return folder if folder is not None and is_student(folder) else None


def is_student(folder: Path) -> bool:
    """Whether the student that a folder holds is the one that was written there."""
    return is_whole(folder, WEIGHTS, *([ANSWERS] if (folder / ANSWERS).exists() else []))


def is_whole(folder: Path, *names: str) -> bool:
    """Whether the result of a stretch and these files beside it are there and are what was written.

    An earlier version wrote no digests; of its files the length is looked at.
    """
    try:
        result = _parsed((folder / _RESULT).read_bytes())
        digests = {} if result is None else result.get("files", {})
        return result is not None and all(
            file_digest(folder / name) == digests[name] if name in digests else is_complete(folder / name)
            for name in names
        )
    except OSError:  # one is gone, or the disk cannot read it
        return False


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Writes what came of a stretch, with digests of the files of tensors that lie beside it by now."""
    files = {path.name: file_digest(path) for path in sorted(folder.glob("*.safetensors"))}
    sealed = {**result, "files": files}
    write_json(folder / _RESULT, {**sealed, "digest": digest_of(canonical(sealed))})


def read_result(folder: Path) -> dict[str, Any] | None:
    """What came of a stretch, as it was given to `write_result`; None where nothing did, or the file is damaged."""
    try:
        return parse_result((folder / _RESULT).read_bytes())
    except OSError:
        return None


def parse_result(content: bytes) -> dict[str, Any] | None:
    """`read_result` of a file that was read."""
    result = _parsed(content)
    return None if result is None else {key: result[key] for key in result if key not in ("files", "digest")}


def note_death(folder: Path, how: str) -> None:
    """Notes that a process died at the stretch of that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _DEATHS).open("a", encoding="utf-8") as file:
        file.write(f"{how}\n")


@contextmanager
def in_mortal_danger(folder: Path, how: str) -> Iterator[None]:
    """Notes a death before the block, which may end this process, and takes it back after an end in order.

    A folder that is made for the note is deleted with it, if it holds nothing else by then.
    """
    path, is_new = folder / _DEATHS, not folder.exists()
    before = path.read_bytes() if path.exists() else b""
    note_death(folder, how)
    try:
        yield
    finally:
        if before:
            path.write_bytes(before)
        else:
            path.unlink(missing_ok=True)
        if is_new:
            with suppress(OSError):
                folder.rmdir()


def deaths(folders: Iterable[Path]) -> list[str]:
    """How processes died at the stretches of these folders."""
    paths = [folder / _DEATHS for folder in folders]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()]
    return [line for text in texts for line in text.splitlines()]


def deaths_of_trial(run: Path, number: int) -> list[str]:
    """How processes died at the trial of that number, proposed or trained; not at fresh seeds of its student."""
    trained = [folder for attempt in _attempts(run, number) for folder in sorted(attempt.glob("epoch-*"))]
    return deaths([trial_folder(run, number), *trained])


def too_many(died: Sequence[str]) -> str:
    """Why a training at which these processes died is not tried again; "" where it is."""
    if len(died) < MOST_DEATHS:
        return ""
    return f"its process died {len(died)} times, the last time {died[-1]}"


def unrecorded_result(run: Path, trial: TrialRecord) -> dict[str, Any] | None:
    """What a worker finished for a trial that is recorded as running, and no driver lived to record."""
    for attempt in reversed(_attempts(run, trial.number)):
        for path in sorted(attempt.glob(f"epoch-*/{_RESULT}")):
            epoch, result = int(path.parent.name.removeprefix("epoch-")), read_result(path.parent)
            # An earlier attempt's error at an epoch that a later one has passed says nothing any more.
            if epoch > trial.epoch and result is not None and result.get("epoch", epoch) == epoch:
                return result
    return None


def drop_unknown(run: Path, known: int) -> list[int]:
    """Deletes what trainings have left of trials from number `known` on, and returns the numbers of those trials.

    A record whose last entries were lost, as after a loss of power, gives their numbers to other students, to whom the
    results in those folders must not be ascribed. The note of a death stays if it is alone: that process died as it
    proposed a student, before the record knew the student.
    """
    trained = {path.parent for path in run.glob("trials/*/*/")} | {*run.glob("retrained/*")}
    lost = [folder for folder in trained if folder.name.isdecimal() and int(folder.name) >= known]
    for folder in lost:
        drop(folder)
    return sorted({int(folder.name) for folder in lost})


@dataclass(frozen=True)
class Excess:
    """What a trial has left in `trials/` that goes beyond a disk budget.

    Args:
        trial: its number.
        complete: whether it was trained to the end.
        gb: gigabytes of its files.
    """

    trial: int
    complete: bool
    gb: float


def clean(run: Path, trials: Sequence[TrialRecord], *, front: Collection[int], limit_gb: float) -> float:
    """Deletes what `excess` finds, and returns the gigabytes freed.

    What a deleted student was and scored stays in the record, and `autokd retrain` brings the student back.
    """
    found = excess(run, trials, front=front, limit_gb=limit_gb)
    for each in found:
        drop(trial_folder(run, each.trial))
    return sum(each.gb for each in found)


def excess(run: Path, trials: Sequence[TrialRecord], *, front: Collection[int], limit_gb: float) -> list[Excess]:
    """What must be deleted until `trials/` holds at most `limit_gb`; nothing is deleted here.

    Trials that were stopped go first, then complete ones off the front, the oldest first. Those of the front stay.
    """
    budget = DiskBudget(run, limit_gb)
    for trial in trials:
        if trial.state != "running":
            budget.add(trial)
    return budget.excess(front)


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

    def trim(self, keep: Collection[int]) -> None:
        """Deletes what `excess` finds."""
        for each in self.excess(keep):
            drop(trial_folder(self.run, each.trial))

    def excess(self, keep: Collection[int]) -> list[Excess]:
        """The trials that go, in the order of `excess`, so that the limit is kept; they no longer count from then on.

        Args:
            keep: numbers of trials that stay.
        """
        found, kept = [], []
        while self._queue and self._used_gb > self.limit_gb:
            first = heappop(self._queue)
            complete, number, size = first
            if number in keep:
                kept.append(first)
                continue
            found.append(Excess(number, complete, size))
            self._used_gb -= size
        for each in kept:
            heappush(self._queue, each)
        return found


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
    """The attempts at a trial, the newest last; their names hold the driver's session, then the number of deaths."""
    found = trial_folder(run, number).glob("attempt-*")
    return sorted(found, key=lambda path: [int(part) for part in path.name.split("-")[1:]])


def _parsed(content: bytes) -> dict[str, Any] | None:
    """What a file says that came of a stretch, with the digests; None where it is damaged."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("files", {}), dict):
        return None
    if "digest" in found and found["digest"] != digest_of(canonical({k: found[k] for k in found if k != "digest"})):
        return None
    if isinstance(found.get("error"), str):
        return found
    values = found.get("values")
    numbers = list(values.values()) if isinstance(values, dict) else [None]
    sound = all(isinstance(number, int | float) and -math.inf < number < math.inf for number in numbers)
    return found if sound and type(found.get("epoch")) is int else None
