"""The study and the search space that `autokd init` writes for a user to begin with."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from autokd.errors import InputError, said

_FILES = {"study.yaml": "study.yaml", "space.py": "space.py.txt"}


def write_starter(folder: Path) -> list[Path]:
    """Writes a commented study and a search space that run as they are, and gives their paths.

    Raises:
        InputError: one of the files is there already, or the folder cannot be written; then nothing is changed.
    """
    paths = {folder / name: source for name, source in _FILES.items()}
    for path in paths:
        if path.exists():
            raise InputError(f"{path} already exists; name another folder, or move it away")
    texts = files("autokd") / "starter"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, source in paths.items():
            path.write_text((texts / source).read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {(error.strerror or said(error)).lower()}") from None
    return list(paths)
