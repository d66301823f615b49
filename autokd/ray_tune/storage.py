"""Where checkpoints lie between two stretches when nodes share no disk: a path or URL that all of them reach."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autokd.checkpoints import parse_result
from autokd.errors import InputError, named
from autokd.urls import files_at

_RESULT = "result.json"


class Storage:
    """Checkpoints of a run at an fsspec URL or at a path; each is called by the path it has in the run folder.

    Args:
        url: as `s3://bucket/prefix` or `/nfs/folder`.
        run: the run folder, absolute.

    Raises:
        InputError: nothing that is installed understands the URL.
    """

    def __init__(self, url: str, run: str) -> None:
        self.run = run
        self.files, self.root = files_at(url, what="executor.storage:")
        if any(sign in self.root for sign in "*?["):  # fsspec takes these for patterns, also where it deletes
            raise InputError(f"executor.storage: '{url}' given; name a place without *, ? and [ in its path")

    def make(self) -> None:
        """Makes its folder, so that a place where nothing can be written is refused before anything is trained.

        Raises:
            InputError: it cannot be made.
        """
        try:
            self.files.makedirs(self.root, exist_ok=True)
        except Exception as error:  # each file system has errors of its own
            raise InputError(
                f"executor.storage: '{self.root}' cannot be written ({named(error)}); name a "
                "folder that all nodes see and may write to, or a URL, as s3://bucket/prefix"
            ) from error

    def put(self, path: str | Path, folder: Path) -> None:
        """Copies a folder there; its `result.json`, which says that all is there, last."""
        self.files.makedirs(self._at(path), exist_ok=True)
        for file in sorted(folder.iterdir(), key=lambda file: file.name == _RESULT):
            self.files.put_file(str(file), f"{self._at(path)}/{file.name}")

    def fetch(self, path: str | Path, folder: Path) -> None:
        """Copies a folder from there; its `result.json` last."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [str(file).rpartition("/")[2] for file in self.files.ls(self._at(path), detail=False)]
        for name in sorted(names, key=lambda name: name == _RESULT):
            self.files.get_file(f"{self._at(path)}/{name}", str(folder / name))

    def result(self, path: str | Path) -> dict[str, Any] | None:
        """What a folder's `result.json` says, if it has one that is not damaged."""
        file = f"{self._at(path)}/{_RESULT}"
        return parse_result(self.files.cat_file(file)) if self.files.exists(file) else None

    def finished(self, trial: Path) -> list[Path]:
        """The stretches of a trial that were finished, by the folders of their checkpoints."""
        found = self.files.glob(f"{self._at(trial)}/*/*/{_RESULT}")
        return [trial / "/".join(str(file).split("/")[-3:-1]) for file in found]

    def drop(self, path: str | Path) -> None:
        """Deletes a folder; one that is not there is no error."""
        if self.files.exists(self._at(path)):
            self.files.rm(self._at(path), recursive=True)

    def _at(self, path: str | Path) -> str:
        return f"{self.root.rstrip('/')}/{os.path.relpath(path, self.run)}"
