"""Networks that come as programs, in files or as objects: TorchScript and `torch.export`."""

from __future__ import annotations

import io
import json
import math
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from autokd.errors import InputError, said
from autokd.networks import call, contiguous
from autokd.teachers.answers import in_parts
from autokd.teachers.files import digest_of, existing_file
from autokd.teachers.weights import network_digest

PROGRAMS = (".pt2", ".pt", ".pth", ".ts", ".torchscript")
"""Endings of files that may hold a program."""


@dataclass(frozen=True)
class ProgramTeacher:
    """A program of `torch.export`, which answers on the device it was exported for.

    Args:
        name: for tables.
        digest: of its graph and its tensors.
        answer: what it answers to a batch of a size it takes.
        least: the smallest batch it takes; a smaller one is filled up.
        most: the largest one; a larger one is cut.
    """

    name: str
    digest: str
    answer: Callable[[Tensor], Any]
    least: int = 1
    most: int | None = None

    def outputs(self, inputs: Tensor) -> Tensor:
        """Shape (batch, num_outputs), whatever the batch size for which it was exported."""
        with torch.no_grad():
            return in_parts(lambda part: call(self.answer, contiguous(part)).cpu(), inputs, self.least, self.most)


def from_exported(name: str, program: ExportedProgram) -> ProgramTeacher:
    """A teacher of an exported program of one input.

    Raises:
        InputError: it has more inputs than one.
    """
    inputs = program.graph_signature.user_inputs
    if len(inputs) != 1:
        raise InputError(f"teacher '{name}' is a program of {len(inputs)} inputs; export it with one, the batch")
    module: Any = program.module()
    example = next(node.meta["val"] for node in program.graph.nodes if node.name == inputs[0])
    least, most = 1, None
    if isinstance(example, Tensor) and example.ndim:
        least, most = _batch_sizes(example.shape[0], program)
    digest = digest_of(network_digest(module), str((least, most)))
    return ProgramTeacher(name, digest, module, least, most)


def load_program(name: str) -> torch.jit.ScriptModule | ExportedProgram:
    """The program in a file: `torch.jit.save` or `torch.export.save` wrote it.

    Such a file is code, as a Python file is, and is run when the teacher is asked. What could run code even when it is
    only read, which is pickled objects and compiled libraries, is refused.

    Raises:
        InputError: there is no such file, or it holds no program, or more than one.
    """
    path = existing_file(name, PROGRAMS)
    try:
        names = zipfile.ZipFile(path).namelist()
        if any(entry.endswith("constants.pkl") and "/" in entry for entry in names):
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of torch.jit itself
                return torch.jit.load(path, map_location="cpu")
        if path.suffix == ".pt2":
            _refuse_pickled(path)
            with warnings.catch_warnings(action="ignore"):
                return torch.export.load(path)
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"teacher {path} cannot be read ({said(error)}); save it again") from error
    raise InputError(
        f"teacher {path} holds no program of TorchScript; where it holds weights, name the network, too: "
        f"{{network: 'module:attr', weights: {path}}}"
    )


def _batch_sizes(size: Any, program: ExportedProgram) -> tuple[int, int | None]:
    """The least and the largest batch of a program; None where no largest is known."""
    if isinstance(size, int):
        return size, size
    limits = program.range_constraints.get(size.node.expr)
    if limits is None:
        return 1, None
    least, most = (float(limit) for limit in (limits.lower, limits.upper))
    return max(1, int(least)), int(most) if math.isfinite(most) and most < 2**31 else None


def _refuse_pickled(path: Path) -> None:
    """Refuses an archive of `torch.export` of which a part would be unpickled, or loaded as a library."""
    unsafe = InputError(
        f"teacher {path} refused, and not executed: it holds pickled objects or compiled libraries, which run code "
        "when they are read; export the network as it is, without sample inputs or constants other than tensors"
    )
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            folder = name.partition("/")[2]
            if folder.startswith("data/aotinductor"):
                raise unsafe
            if folder.endswith("_config.json"):
                parts = json.loads(archive.read(name)).get("config", {}).values()
                if any(part.get("use_pickle") for part in parts):
                    raise unsafe
            if folder.endswith(".pt"):
                content = archive.read(name)
                try:
                    if content:
                        torch.load(io.BytesIO(content), weights_only=True)
                except Exception:  # what is not tensors would be unpickled without this limit
                    raise unsafe from None
