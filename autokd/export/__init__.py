"""A student as files that others run; each format is a plug-in named by its suffix."""

from __future__ import annotations

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
from autokd.export.card import Card, reason
from autokd.export.folder import load_student, read_config
from autokd.networks import laid_for
from autokd.urls import files_at, is_url

__all__ = ["Exporter", "export_student", "load_student"]


class Exporter(Protocol):
    """Writes one format; plug-ins are entry points in `autokd.exporters`, named as the suffix without its dot."""

    def __call__(self, student: nn.Module, inputs: Tensor, path: Path, card: Card) -> str:
        """Writes `path` and whatever belongs beside it into its folder, which is empty; says what was done.

        The student is in eval mode. Inputs are real ones, shape (batch, *input_shape), batch >= 2. An
        `InputError` refuses the student, and nothing of the folder is kept.
        """


def export_student(student: nn.Module, inputs: Tensor, out: str | Path, *, card: Mapping[str, Any]) -> str:
    """Writes a student in the format that the suffix of `out` names, and says in a line what was written.

    A file that exists is replaced only once the new one is whole. The student is left in eval mode.

    Args:
        student: on the CPU.
        inputs: real ones, normalised as in training, shape (batch, *input_shape), batch >= 2.
        out: `.safetensors`, `.pt2`, `.onnx` or the suffix of a plug-in; missing folders are made. A path or, as text,
            an fsspec URL, as `s3://bucket/student/student.onnx`.
        card: the fields of `Card`.

    Raises:
        InputError: no exporter has that suffix, the student cannot be exported or the file would answer otherwise
            than the student, the file cannot be written, or files of others would be replaced.
    """
    assert len(inputs) >= 2
    known = registry.installed("exporters")
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
            done = exporter(student, inputs, written, Card.model_validate(card))
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
    """Puts what an exporter wrote at its place; companions of `out` replace nothing but an earlier export's."""
    companions = _companions(written)
    taken = [name for name in companions if (out.parent / name).exists()]
    if taken:
        _refuse_others(out.parent, taken, str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    for name in [out.name, *companions]:
        os.replace(written.with_name(name), out.parent / name)


def _upload(written: Path, url: str) -> None:
    """`_move` to a URL."""
    files, path = files_at(url, what="cannot export:")
    at, companions = path.rpartition("/")[0], _companions(written)
    taken = [name for name in companions if files.exists(f"{at}/{name}")]
    if taken:
        with tempfile.TemporaryDirectory(prefix="autokd-") as copied:
            for name in taken:
                files.get_file(f"{at}/{name}", f"{copied}/{name}")
            _refuse_others(Path(copied), taken, url)
    try:
        files.makedirs(at, exist_ok=True)
        for name in [written.name, *companions]:
            files.put_file(str(written.with_name(name)), f"{at}/{name}")
    except Exception as error:  # each file system has errors of its own
        raise OSError(reason(error)) from error


def _companions(written: Path) -> list[str]:
    return [path.name for path in sorted(written.parent.iterdir()) if path.name != written.name]


def _refuse_others(folder: Path, taken: list[str], out: str) -> None:
    """Refuses files that are no earlier export's; `folder` has them, or copies of them."""
    try:
        read_config(folder)
    except InputError:
        home, _, name = out.rpartition("/")
        raise InputError(
            f"'{home or '.'}' has a {taken[0]} that is not from an export; name a folder of its own, "
            f"'{out.removesuffix(Path(out).suffix)}/{name}'"
        ) from None
