"""The files that trainings leave in a run folder, in `trials/<number>/attempt-<session>/epoch-<n>/`.

`result.json` is written last. It holds the result of a stretch, and digests of itself and of the files beside it, so
that damaged files are not taken for trained students. `deaths.txt` says how processes died at a stretch.
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

from autokd.files import append_line, read_bytes, write_json
from autokd.record import TrialRecord, canonical
from autokd.teachers.files import digest_of, file_digest
from autokd.weights import is_complete

WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
ANSWERS = "answers.safetensors"
"""The student's answers to the first rows of validation, when it was scored."""

MOST_DEATHS = 3
"""If so many processes died at one training, the training fails, whatever killed them."""

_RESULT = "result.json"
_DEATHS = "deaths.txt"


def trial_folder(run: Path, number: int) -> Path:
    """The folder of one trial."""
    return run / "trials" / f"{number:05d}"


def checkpoint(run: Path, trial: TrialRecord) -> Path | None:
    """The folder with a trial's weights at its last rung; None if there are none, or if they were deleted."""
    for attempt in reversed(_attempts(run, trial.number)):
        folder = attempt / f"epoch-{trial.epoch:04d}"
        if trial.epoch and (folder / WEIGHTS).is_file() and (folder / _RESULT).is_file():
            return folder
    return None


def whole_checkpoint(run: Path, trial: TrialRecord) -> Path | None:
    """`checkpoint`, if its weights, and the answers that identify the student, are what was written."""
    folder = checkpoint(run, trial)
    return folder if folder is not None and is_student(folder) else None


def is_student(folder: Path) -> bool:
    """Whether the student that a folder holds is the one that was written there."""
    return is_whole(folder, WEIGHTS, *([ANSWERS] if (folder / ANSWERS).exists() else []))


def is_whole(folder: Path, *names: str) -> bool:
    """Whether the result of a stretch and these files beside it are there and are what was written.

    An earlier version wrote no digests; of its files only the length is checked.
    """
    try:
        result = _parsed(read_bytes(folder / _RESULT))
        digests = {} if result is None else result.get("files", {})
        return result is not None and all(
            file_digest(folder / name) == digests[name] if name in digests else is_complete(folder / name)
            for name in names
        )
    except OSError:  # a file is gone, or the disk cannot read it
        return False


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Writes the result of a stretch, with digests of the files of tensors that lie in the folder by now."""
    files = {path.name: file_digest(path) for path in sorted(folder.glob("*.safetensors"))}
    sealed = {**result, "files": files}
    write_json(folder / _RESULT, {**sealed, "digest": digest_of(canonical(sealed))})


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result of a stretch, as it was given to `write_result`; None if there is none, or the file is damaged."""
    try:
        return parse_result(read_bytes(folder / _RESULT))
    except OSError:
        return None


def parse_result(content: bytes) -> dict[str, Any] | None:
    """The same as `read_result`, from the content of the file."""
    result = _parsed(content)
    return None if result is None else {key: result[key] for key in result if key not in ("files", "digest")}


def note_death(folder: Path, how: str) -> None:
    """Notes that a process died at the stretch of that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    append_line(folder / _DEATHS, how)


@contextmanager
def in_mortal_danger(folder: Path, how: str) -> Iterator[None]:
    """Notes a death before the block, which may end this process, and deletes the note if the block ends normally.

    A folder that was made for the note is deleted with it, if the folder holds nothing else by then.
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
    """How processes died when they proposed or trained the trial of that number; fresh seeds do not count."""
    trained = [folder for attempt in _attempts(run, number) for folder in sorted(attempt.glob("epoch-*"))]
    return deaths([trial_folder(run, number), *trained])


def too_many(died: Sequence[str]) -> str:
    """Why a training at which these processes died is not tried again; "" if it is."""
    if len(died) < MOST_DEATHS:
        return ""
    return f"its process died {len(died)} times, the last time {died[-1]}"


def unrecorded_result(run: Path, trial: TrialRecord) -> dict[str, Any] | None:
    """The result that a worker finished for a running trial, if no driver lived long enough to record it."""
    for attempt in reversed(_attempts(run, trial.number)):
        for path in sorted(attempt.glob(f"epoch-*/{_RESULT}")):
            name, result = path.parent.name.removeprefix("epoch-"), read_result(path.parent)
            epoch = int(name) if name.isdecimal() else 0
            # If a later attempt has passed this epoch, an earlier attempt's error there does not count any more.
            if epoch > trial.epoch and result is not None and result.get("epoch", epoch) == epoch:
                return result
    return None


def drop_unknown(run: Path, known: int) -> list[int]:
    """Deletes the files of trained trials from number `known` on, and returns the numbers of those trials.

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
    """A trial whose files in `trials/` exceed a disk budget.

    Args:
        trial: the trial's number.
        complete: whether the trial was trained to the end.
        gb: the size of the trial's files in gigabytes.
    """

    trial: int
    complete: bool
    gb: float


def clean(run: Path, trials: Sequence[TrialRecord], *, front: Collection[int], limit_gb: float) -> float:
    """Deletes what `excess` finds, and returns how many gigabytes this frees.

    The architecture and the scores of a deleted student stay in the record, and `autokd retrain` trains it again.
    """
    found = excess(run, trials, front=front, limit_gb=limit_gb)
    for each in found:
        drop(trial_folder(run, each.trial))
    return sum(each.gb for each in found)


def excess(run: Path, trials: Sequence[TrialRecord], *, front: Collection[int], limit_gb: float) -> list[Excess]:
    """The trials whose files must be deleted until `trials/` holds at most `limit_gb`; nothing is deleted here.

    Trials that were stopped come first, then complete ones off the front, the oldest first. Trials on the front stay.
    """
    budget = DiskBudget(run, limit_gb)
    for trial in trials:
        if trial.state != "running":
            budget.add(trial)
    return budget.excess(front)


class DiskBudget:
    """The sizes of ended trials in `trials/`, each measured once, and the trials that exceed a limit.

    Args:
        run: the run folder.
        limit_gb: the gigabytes that all trials together may take.
    """

    def __init__(self, run: Path, limit_gb: float) -> None:
        self.run, self.limit_gb = run, limit_gb
        self._used_gb = 0.0
        self._queue: list[tuple[bool, int, float]] = []  # a heap; the trial that is deleted first comes first

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
        """The trials to delete, in the order of `excess`, so that the limit is kept; from now on they do not count.

        Args:
            keep: the numbers of the trials that stay.
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
    """The size of all files below a folder, in units of 1e9 bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def drop(folder: Path, *names: str) -> None:
    """Deletes the named files of a folder, or the whole folder if no names are given; a missing file is no error."""
    if not names:
        shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _attempts(run: Path, number: int) -> list[Path]:
    """The attempts at a trial, the newest last; their names hold the driver's session, then the number of deaths."""
    found = list(trial_folder(run, number).glob("attempt-*"))
    numbers = {path: path.name.split("-")[1:] for path in found}
    ours = [path for path in found if all(part.isdecimal() for part in numbers[path])]
    return sorted(ours, key=lambda path: [int(part) for part in numbers[path]])


def _parsed(content: bytes) -> dict[str, Any] | None:
    """The result of a stretch in a file, with the digests; None if the file is damaged."""
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
