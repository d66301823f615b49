"""Files that a user names, and digests of files and texts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from autokd.errors import InputError
from autokd.files import open_file


def existing_file(name: str, endings: Sequence[str]) -> Path:
    """The path of a file, whose name is relative to the current folder.

    Raises:
        InputError: the file does not exist, or its name has none of these endings.
    """
    path = Path(name)
    if path.suffix in (".pkl", ".pickle", ".joblib"):
        raise InputError(
            f"{path} was refused and not opened, because loading a pickle can run code; give a file that ends in "
            f"{_or(endings)}"
        )
    if path.suffix not in endings:
        raise InputError(
            f"{path} cannot be read because its name does not end in {_or(endings)}; save it as such a file"
        )
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such file; names are relative to the current folder, {Path.cwd()}")
    return path


def file_digest(path: Path) -> str:
    """SHA-256, in hex, over a file's bytes."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(*parts: str) -> str:
    """SHA-256, in hex, over texts that hold no line break."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _or(endings: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(endings[:-1]), endings[-1]]))
