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
from autokd.errors import InputError, nearest
from autokd.export.card import Card, reason
from autokd.export.folder import load_student, read_config

__all__ = ["Exporter", "export_student", "load_student"]


class Exporter(Protocol):
    """Writes one format; plug-ins are entry points in `autokd.exporters`, named as the suffix without its dot."""

    def __call__(self, student: nn.Module, inputs: Tensor, path: Path, card: Card) -> str:
        """Writes `path` and whatever belongs beside it into its folder, which is empty; says what was done.

        The student is in eval mode. Inputs are real ones, shape (batch, *input_shape), batch >= 2. An
        `InputError` refuses the student, and nothing of the folder is kept.
        """


def export_student(student: nn.Module, inputs: Tensor, out: Path, *, card: Mapping[str, Any]) -> str:
    """Writes a student in the format that the suffix of `out` names, and says in a line what was written.

    A file that exists is replaced only once the new one is whole. The student is left in eval mode.

    Args:
        student: on the CPU.
        inputs: real ones, normalised as in training, shape (batch, *input_shape), batch >= 2.
        out: `.safetensors`, `.pt2`, `.onnx` or the suffix of a plug-in; missing folders are made.
        card: the fields of `Card`.

    Raises:
        InputError: no exporter has that suffix, the student cannot be exported or the file would answer
        otherwise
            than the student, the file cannot be written, or files of others would be replaced.
    """
    assert len(inputs) >= 2
    known = registry.installed("exporters")
    suffix = out.suffix.removeprefix(".")
    if suffix not in known:
        names = ", ".join(f".{name}" for name in known)
        raise InputError(
            f"cannot export to '{out}': no exporter for '{out.suffix}' (known: {names}){nearest(suffix, known)}"
        )
    exporter: Exporter = registry.resolve("exporters", suffix)
    home = next(folder for folder in out.absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=".export-") as folder, torch.no_grad():
            done = exporter(student.eval(), inputs, Path(folder, out.name), Card.model_validate(card))
            _move(Path(folder), out)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"cannot write '{out}': {reason(error)}; name a file in a folder you can write") from error
    return f"wrote {out}: {done}"


def _move(folder: Path, out: Path) -> None:
    """Puts what an exporter wrote at its place; companions of `out` replace nothing but an earlier export's."""
    companions = [path.name for path in sorted(folder.iterdir()) if path.name != out.name]
    taken = [name for name in companions if (out.parent / name).exists()]
    if taken:
        try:
            read_config(out.parent)
        except InputError:
            raise InputError(
                f"'{out.parent}' has a {taken[0]} that is not from an export; name a folder of its own, "
                f"'{out.with_suffix('') / out.name}'"
            ) from None
    out.parent.mkdir(parents=True, exist_ok=True)
    for name in [out.name, *companions]:
        os.replace(folder / name, out.parent / name)
