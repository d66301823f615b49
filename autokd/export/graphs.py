"""Writes a student as a graph that runs without its code (torch.export or ONNX), and compares it with the student."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from autokd.errors import InputError
from autokd.export.card import Card, reason
from autokd.networks import contiguous

LARGEST_RELATIVE_DIFFERENCE = 1e-4
"""The outputs of an exported network may differ from the student's by this share of the student's largest output."""


def pt2(student: nn.Module, inputs: Tensor, path: Path, card: Card) -> str:
    """Writes a `torch.export` archive for any batch size, with the card as the extra file `autokd.json`."""
    with _quiet(), _refusing("torch.export"):
        batch = torch.export.Dim("batch")
        program = torch.export.export(student, (inputs,), dynamic_shapes=({0: batch},))
        torch.export.save(program, path, extra_files={"autokd.json": card.model_dump_json()})
        exported = torch.export.load(path).module()
    return f"{path.stat().st_size:,} bytes, {_compared(student, exported, inputs)}"


def onnx(student: nn.Module, inputs: Tensor, path: Path, card: Card) -> str:
    """Writes an ONNX file for any batch size, checked with ONNX Runtime, with the card as metadata `autokd`."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as error:
        raise InputError(f"exporting to ONNX needs {error.name}; run: pip install 'autokd[onnx]'") from None
    with _quiet(), _refusing("torch.onnx"):
        program = torch.onnx.export(
            student,
            (inputs,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["input"],
            output_names=["output"],
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props["autokd"] = card.model_dump_json()
        program.save(path, external_data=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def exported(rows: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["output"], {"input": rows.numpy()})[0])

    return f"{path.stat().st_size:,} bytes, {_compared(student, exported, inputs)}"


def _compared(student: nn.Module, exported: Callable[[Tensor], Tensor], inputs: Tensor) -> str:
    """A phrase on the largest difference between the outputs of both networks.

    The inputs are contiguous, as those of a user will be, whatever memory format the student was traced with.

    Raises:
        InputError: the difference is too large.
    """
    inputs = contiguous(inputs)
    expected = student(inputs)
    differences = torch.cat([exported(inputs) - expected, exported(inputs[:1]) - student(inputs[:1])])
    absolute = differences.abs().max().item()
    relative = absolute / max(expected.abs().max().item(), torch.finfo(expected.dtype).tiny)
    said = f"largest difference from torch {absolute:.1e} ({relative:.1e} of the largest output)"
    if not relative <= LARGEST_RELATIVE_DIFFERENCE:  # NaN is refused, too
        raise InputError(
            f"refused, because the exported network answers differently: {said} on {len(inputs)} inputs; "
            f"{LARGEST_RELATIVE_DIFFERENCE:.0e} is allowed. Export to .safetensors instead"
        )
    return f"{said} on {len(inputs)} inputs"


@contextlib.contextmanager
def _refusing(exporter: str) -> Iterator[None]:
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        raise InputError(
            f"{exporter} cannot export this student: {reason(error)}. Export to .safetensors instead"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides torch's warnings about its own deprecations and about optional packages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
