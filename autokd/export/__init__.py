"""Writes a student to files that run elsewhere. Each format is a plug-in with the name of its suffix."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import safetensors
import torch
from torch import Tensor, nn

from autokd import registry
from autokd.errors import InfeasibleError, InputError, nearest, without_secrets
from autokd.export.card import Card, reason, task_shape
from autokd.export.folder import load_student, read_config
from autokd.export.predictor import Predictor, load_predictor
from autokd.files import given_path
from autokd.networks import laid_for
from autokd.urls import files_at, is_url

__all__ = ["Exporter", "Predictor", "export_student", "load_predictor", "load_student", "task_shape"]


class Exporter(Protocol):
    """Writes one format. A plug-in is an entry point in `autokd.exporters`, named like the suffix without its dot.

    An exporter with a keyword parameter `rows` gets the raw rows of which the inputs were made, or None if the task has
    no raw rows. `card.reading` makes inputs of them.
    """

    def __call__(self, student: nn.Module, inputs: Tensor, path: Path, card: Card) -> str:
        """Writes `path`, and the files that belong to it into the same, empty folder; returns a line on what it did.

        The student is in eval mode. Inputs are real ones, shape (batch, *input_shape), batch >= 2. Raise `InputError`
        to refuse the student; then no file of the folder is kept.
        """


def export_student(
    student: nn.Module, inputs: Tensor, out: str | Path, *, card: Mapping[str, Any], rows: Any = None
) -> str:
    """Writes a student in the format that the suffix of `out` names, and returns a line on what was written.

    An existing file is replaced only once the new one is complete. The student is left in eval mode.

    Args:
        student: a network on the CPU.
        inputs: real inputs, normalised as in training, shape (batch, *input_shape), batch >= 2.
        out: a name that ends in `.safetensors`, `.pt2`, `.onnx` or the suffix of a plug-in: a path or, as text, an
            fsspec URL like `s3://bucket/student/student.onnx`. Missing folders are created.
        card: the fields of `Card`.
        rows: the raw rows of which `card.reading` makes the inputs; None if there are none.

    Raises:
        InputError: no exporter has that suffix, the student cannot be exported, the file's answers would differ from
            the student's, the file cannot be written, or files that are not from an export would be replaced.
    """
    assert len(inputs) >= 2
    known = registry.installed("exporters")
    out = out if is_url(out) else given_path("out", out)
    suffix = Path(out).suffix.removeprefix(".")
    if suffix not in known:
        names = ", ".join(f".{name}" for name in known)
        raise InputError(
            f"cannot export to '{out}': no exporter for '{Path(out).suffix}' (known: {names}){nearest(suffix, known)}"
        )
    exporter: Exporter = registry.resolve("exporters", suffix)
    url = str(out) if is_url(out) else ""
    home = None if url else next(folder for folder in Path(out).absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=".export-") as folder, torch.no_grad():
            written = Path(folder, Path(out).name)
            inputs = laid_for(student.eval(), inputs)(inputs)
            settings = {"rows": rows} if "rows" in inspect.signature(exporter).parameters else {}
            done = exporter(student, inputs, written, Card.model_validate(card), **settings)
            if url:
                _upload(written, url)
            else:
                _move(written, Path(out))
    except InfeasibleError as error:
        raise InputError(f"cannot export to '{out}': {error}") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"cannot write '{out}': {reason(error)}; name a file in a folder you can write") from error
    return f"wrote {without_secrets(str(out))}: {done}"


def _move(written: Path, out: Path) -> None:
    """Moves the written files to their place. Files beside `out` replace only those of an earlier export."""
    companions = _companions(written)
    taken = [name for name in _of_others(companions, out.stem) if (out.parent / name).exists()]
    if taken:
        _refuse_others(out.parent, taken, str(out))
    for name in [out.name, *companions]:
        (out.parent / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(written.parent / name, out.parent / name)


def _upload(written: Path, url: str) -> None:
    """Does the same as `_move` at a URL."""
    files, path = files_at(url, what="cannot export:")
    at, companions = path.rpartition("/")[0], _companions(written)
    taken = [name for name in _of_others(companions, written.stem) if files.exists(f"{at}/{name}")]
    if taken:
        with tempfile.TemporaryDirectory(prefix="autokd-") as copied:
            for name in taken:
                Path(copied, name).parent.mkdir(parents=True, exist_ok=True)
                files.get_file(f"{at}/{name}", f"{copied}/{name}")
            _refuse_others(Path(copied), taken, url)
    try:
        for name in [written.name, *companions]:
            files.makedirs(f"{at}/{name}".rpartition("/")[0], exist_ok=True)
            files.put_file(str(written.parent / name), f"{at}/{name}")
    except Exception as error:  # each file system raises errors of its own
        raise OSError(reason(error)) from error


def _companions(written: Path) -> list[str]:
    """The other files, with the names of the folders in which they are, such as `student.transformers/config.json`."""
    files = [path for path in sorted(written.parent.rglob("*")) if path.is_file() and path != written]
    return [path.relative_to(written.parent).as_posix() for path in files]


def _of_others(companions: list[str], stem: str) -> list[str]:
    """The files that may belong to something else than an earlier export of the same name."""
    return [name for name in companions if not name.startswith(f"{stem}.")]


def _refuse_others(folder: Path, taken: list[str], out: str) -> None:
    """Refuses to replace files that are not from an earlier export; `folder` has these files or copies of them."""
    try:
        read_config(folder)
    except InputError:
        home, _, name = out.rpartition("/")
        raise InputError(
            f"'{home or '.'}' has a {taken[0]} that is not from an export; name another folder for the student, like "
            f"'{out.removesuffix(Path(out).suffix)}/{name}'"
        ) from None
