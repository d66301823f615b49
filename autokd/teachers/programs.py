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
    """A program of `torch.export`, which answers on the device for which it was exported.

    Args:
        name: what tables call the teacher.
        digest: the digest of the program's graph and tensors.
        answer: the program as a function of a batch of a size that it accepts.
        least: the smallest batch that the program accepts; a smaller one is filled up.
        most: the largest batch that the program accepts; a larger one is cut. None if there is no limit.
    """

    name: str
    digest: str
    answer: Callable[[Tensor], Any]
    least: int = 1
    most: int | None = None

    def outputs(self, inputs: Tensor) -> Tensor:
        """The answers, shape (batch, num_outputs), for a batch of any size."""
        with torch.no_grad():
            return in_parts(lambda part: call(self.answer, contiguous(part)).cpu(), inputs, self.least, self.most)


def from_exported(name: str, program: ExportedProgram) -> ProgramTeacher:
    """The teacher of an exported program that has one input.

    Raises:
        InputError: the program does not have exactly one input.
    """
    inputs = program.graph_signature.user_inputs
    if len(inputs) != 1:
        raise InputError(f"teacher '{name}' is a program of {len(inputs)} inputs; export it with one input, the batch")
    module: Any = program.module()
    example = next(node.meta["val"] for node in program.graph.nodes if node.name == inputs[0])
    least, most = 1, None
    if isinstance(example, Tensor) and example.ndim:
        least, most = _batch_sizes(example.shape[0], program)
    digest = digest_of(network_digest(module), str((least, most)))
    return ProgramTeacher(name, digest, module, least, most)


def load_program(name: str) -> torch.jit.ScriptModule | ExportedProgram:
    """The program in a file that `torch.jit.save` or `torch.export.save` wrote.

    Such a file is code, as a Python file is, and it runs when the teacher is asked. Pickled objects and compiled
    libraries are refused, because they could run code even when they are only read.

    Raises:
        InputError: there is no such file, or it holds no program, or more than one.
    """
    path = existing_file(name, PROGRAMS)
    try:
        names = zipfile.ZipFile(path).namelist()
        if any(entry.endswith("constants.pkl") and "/" in entry for entry in names):
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # torch.jit itself gives it
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
        f"teacher {path} holds no program of TorchScript; if it holds weights, name their network, too: "
        f"{{network: 'module:attr', weights: {path}}}"
    )


def _batch_sizes(size: Any, program: ExportedProgram) -> tuple[int, int | None]:
    """The smallest and the largest batch of a program; None if no largest one is known."""
    if isinstance(size, int):
        return size, size
    limits = program.range_constraints.get(size.node.expr)
    if limits is None:
        return 1, None
    least, most = (float(limit) for limit in (limits.lower, limits.upper))
    return max(1, int(least)), int(most) if math.isfinite(most) and most < 2**31 else None


def _refuse_pickled(path: Path) -> None:
    """Refuses an archive of `torch.export` if a part of it would be unpickled, or loaded as a library."""
    unsafe = InputError(
        f"teacher {path} was refused and not executed: it holds pickled objects or compiled libraries, which run code "
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
                except Exception:  # without this limit, anything but tensors would be unpickled
                    raise unsafe from None
