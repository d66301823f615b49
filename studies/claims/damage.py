"""Damages one file of a run as a fault of a disk may. A generator draws the damage, so that it can be repeated."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Way = Callable[[bytes, random.Random], bytes | None]
"""A function that returns what is left of a file's content; None means that the file is gone."""

_PAGE = 4096


def cut(content: bytes, draws: random.Random) -> bytes:
    """The beginning of the file."""
    return content[: draws.randrange(max(len(content), 1))]


def torn(content: bytes, draws: random.Random) -> bytes:
    """The file without up to two pages at its end, as after a loss of power."""
    return content[: max(len(content) - draws.randint(1, 2 * _PAGE), 0)]


def zeroed(content: bytes, draws: random.Random) -> bytes:
    """The file with zeros in place of one page."""
    at = _PAGE * draws.randrange(1 + len(content) // _PAGE)
    length = len(content[at : at + _PAGE])
    return content[:at] + bytes(length) + content[at + length :]


def flipped(content: bytes, draws: random.Random) -> bytes:
    """The file with one bit changed."""
    changed = bytearray(content)
    if changed:
        changed[draws.randrange(len(changed))] ^= 1 << draws.randrange(8)
    return bytes(changed)


def gone(content: bytes, draws: random.Random) -> None:
    """The file is no longer there."""


ANY: tuple[Way, ...] = (cut, zeroed, flipped, gone)
KINDS: Mapping[str, tuple[str, tuple[Way, ...]]] = {
    "checkpoint": ("trials/*/attempt-*/epoch-*/*.safetensors", ANY),
    "result": ("trials/*/attempt-*/epoch-*/result.json", ANY),
    "fresh training": ("trials/*/seed-*/*", ANY),
    "teacher": ("teacher/*", ANY),
    "task": ("task/*", ANY),
    "study.json": ("study.json", ANY),
    "record.db-wal": ("record.db-wal", (torn, torn, zeroed, flipped)),
    "record.db": ("record.db", (zeroed, cut)),
}
"""Kinds of files, each with the ways in which it is damaged.

SQLite cannot tell a flipped bit in record.db, or a log that is gone, from data that were never written.
"""


@dataclass(frozen=True)
class Damage:
    """A damaged file of a run, with the folder that keeps a copy.

    Args:
        kind: the kind of the file.
        file: its path in the run folder.
        how: the way in which it was damaged.
        run: the run folder.
        kept: the folder of the copies.
    """

    kind: str
    file: str
    how: str
    run: Path
    kept: Path

    def mend(self) -> None:
        """Puts the file back. If the file belongs to the record, the other files of the record are put back, too."""
        for copy in self.kept.iterdir():
            shutil.copyfile(copy, (self.run / self.file).with_name(copy.name))


def damage(run: Path, draws: random.Random, *, kept: Path) -> Damage | None:
    """Damages one file of a run. Its kind is drawn among those that exist; one time in two it is the newest file.

    Args:
        run: the run folder, in which no process may be at work.
        draws: the generator of the damage.
        kept: a folder for copies, which is emptied first.

    Returns:
        the damage; None if there is no file yet.
    """
    there = {kind: paths for kind, (pattern, _) in KINDS.items() if (paths := _files(run, pattern))}
    if not there:
        return None
    kind = draws.choice(list(there))
    path = draws.choice([there[kind][-1], draws.choice(there[kind])])
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for each in run.glob("record.db*") if path.name.startswith("record.db") else [path]:
        shutil.copyfile(each, kept / each.name)
    way = draws.choice(KINDS[kind][1])
    left = way(path.read_bytes(), draws)
    if left is None:
        path.unlink()
    else:
        path.write_bytes(left)
    return Damage(kind, str(path.relative_to(run)), way.__name__, run, kept)


def _files(run: Path, pattern: str) -> list[Path]:
    """The files that match; the file that was written last comes at the end."""
    return sorted((path for path in run.glob(pattern) if path.is_file()), key=lambda path: (path.stat().st_mtime, path))
