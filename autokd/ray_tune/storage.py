"""A place for checkpoints between two stretches when nodes share no disk: a path or URL that all nodes can reach."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autokd.checkpoints import parse_result
from autokd.errors import InputError, named
from autokd.urls import files_at

_RESULT = "result.json"


class Storage:
    """The checkpoints of a run at an fsspec URL or a path. Each one is addressed by its path in the run folder.

    Args:
        url: a URL or path like `s3://bucket/prefix` or `/nfs/folder`.
        run: the absolute path of the run folder.

    Raises:
        InputError: no installed package understands the URL.
    """

    def __init__(self, url: str, run: str) -> None:
        self.run = run
        self.files, self.root = files_at(url, what="executor.storage:")
        if any(sign in self.root for sign in "*?["):  # fsspec reads these as patterns, even when it deletes
            raise InputError(f"executor.storage: '{url}' given; name a place without *, ? or [ in its path")

    def make(self) -> None:
        """Creates the folder, so that a place that cannot be written to is refused before any training.

        Raises:
            InputError: the folder cannot be created.
        """
        try:
            self.files.makedirs(self.root, exist_ok=True)
        except Exception as error:  # each file system has errors of its own
            raise InputError(
                f"executor.storage: '{self.root}' cannot be written ({named(error)}); name a "
                "folder that all nodes see and may write to, or a URL like s3://bucket/prefix"
            ) from error

    def put(self, path: str | Path, folder: Path) -> None:
        """Copies a folder to the storage. Its `result.json` comes last, because it marks the folder as complete."""
        self.files.makedirs(self._at(path), exist_ok=True)
        for file in sorted(folder.iterdir(), key=lambda file: file.name == _RESULT):
            self.files.put_file(str(file), f"{self._at(path)}/{file.name}")

    def fetch(self, path: str | Path, folder: Path) -> None:
        """Copies a folder from the storage. Its `result.json` comes last."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [str(file).rpartition("/")[2] for file in self.files.ls(self._at(path), detail=False)]
        for name in sorted(names, key=lambda name: name == _RESULT):
            self.files.get_file(f"{self._at(path)}/{name}", str(folder / name))

    def result(self, path: str | Path) -> dict[str, Any] | None:
        """The content of a folder's `result.json`; None if it is missing or damaged."""
        file = f"{self._at(path)}/{_RESULT}"
        return parse_result(self.files.cat_file(file)) if self.files.exists(file) else None

    def finished(self, trial: Path) -> list[Path]:
        """The folders of a trial's finished stretches."""
        found = self.files.glob(f"{self._at(trial)}/*/*/{_RESULT}")
        return [trial / "/".join(str(file).split("/")[-3:-1]) for file in found]

    def drop(self, path: str | Path) -> None:
        """Deletes a folder, if it exists."""
        if self.files.exists(self._at(path)):
            self.files.rm(self._at(path), recursive=True)

    def _at(self, path: str | Path) -> str:
        return f"{self.root.rstrip('/')}/{os.path.relpath(path, self.run)}"
