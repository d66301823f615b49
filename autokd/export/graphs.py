"""Writes a student as a graph that runs without its code (torch.export or ONNX), and compares it with the student."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from autokd.errors import InputError
from autokd.export.card import Card, reason
from autokd.heads import Heads, apart, heads_of
from autokd.networks import call, contiguous
from autokd.types import Task

LARGEST_RELATIVE_DIFFERENCE = 1e-4
"""The outputs of an exported network may differ from the student's by this share of the student's largest output."""


@dataclass(frozen=True)
class Graph:
    """What is written as a graph.

    Args:
        network: the student; with its reading before it, if the reading can be part of a graph.
        given: a batch of what `network` takes, contiguous, as a user's batches are, whatever the student trained with.
        card: the card, which says whether `network` takes raw rows.
    """

    network: Answering
    given: Tensor
    card: Card

    def said(self, path: Path, difference: str) -> str:
        """The line on a written file."""
        kind, shape = str(self.given.dtype).removeprefix("torch."), ", ".join(map(str, self.given.shape[1:]))
        return f"{path.stat().st_size:,} bytes, takes {self.card.takes} ({kind}, shape (batch, {shape})), {difference}"


def pt2(student: nn.Module, inputs: Tensor, path: Path, card: Card, *, rows: Any = None) -> str:
    """Writes a `torch.export` archive for any batch size, with the card as the extra file `autokd.json`."""
    graph = graph_of(student, inputs, card, rows)
    with quiet(), refusing("torch.export"):
        batch = torch.export.Dim("batch")
        program = torch.export.export(graph.network, (graph.given,), dynamic_shapes=({0: batch},))
        torch.export.save(program, path, extra_files={"autokd.json": graph.card.model_dump_json()})
        exported = torch.export.load(path).module()
    return graph.said(path, compared(student, inputs, graph.network.heads, exported, graph.given))


def onnx(student: nn.Module, inputs: Tensor, path: Path, card: Card, *, rows: Any = None) -> str:
    """Writes an ONNX file for any batch size, checked with ONNX Runtime, with the card as metadata `autokd`."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as error:
        raise InputError(f"exporting to ONNX needs {error.name}; run: pip install 'autokd[onnx]'") from None
    graph = graph_of(student, inputs, card, rows)
    with quiet(), refusing("torch.onnx"):
        program = torch.onnx.export(
            graph.network,
            (graph.given,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["input"],
            output_names=["output"],
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props["autokd"] = graph.card.model_dump_json()
        program.save(path, external_data=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def exported(given: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["output"], {"input": given.numpy()})[0])

    return graph.said(path, compared(student, inputs, graph.network.heads, exported, graph.given))


def graph_of(student: nn.Module, inputs: Tensor, card: Card, rows: Any) -> Graph:
    """The graph of a student. It takes raw rows, or inputs if there are no rows or the reading has no graph."""
    heads = heads_of(cast(Task, card.task))
    reading = None if rows is None or card.reading is None else card.reading.graph()
    if reading is None:
        return Graph(Answering(nn.Identity(), student, heads), contiguous(inputs), card)
    raw = torch.from_numpy(np.ascontiguousarray(rows))
    return Graph(Answering(reading, student, heads), raw, card.model_copy(update={"takes": "raw rows"}))


class Answering(nn.Module):
    """A student with its reading before it. It answers one float32 tensor, with values in the user's unit.

    The shape is (batch, *head.shape) for one head, and otherwise (batch, columns) with the heads side by side.
    """

    def __init__(self, reading: nn.Module, student: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.reading, self.student, self.heads = reading, student, heads
        self.eval()
        for head in heads.values():
            head.in_units(torch.zeros(1, *head.shape))  # makes the constants that a head keeps, before a trace begins

    def forward(self, given: Tensor) -> Tensor:
        """The answer to a batch."""
        answers = list(self.by_head(given).values())
        return answers[0] if len(answers) == 1 else torch.cat([answer.flatten(1) for answer in answers], dim=1)

    def by_head(self, given: Tensor) -> dict[str, Tensor]:
        """The answer of each head to a batch."""
        parts = apart(call(self.student, self.reading(given)), self.heads)
        return {name: self.heads[name].in_units(part).float() for name, part in parts.items()}


def compared(student: nn.Module, inputs: Tensor, heads: Heads, exported: Callable[[Any], Tensor], given: Any) -> str:
    """A phrase on the largest difference between the outputs of both networks; values are compared standardised.

    Args:
        student: the student.
        inputs: what the student takes.
        heads: what the outputs mean.
        exported: the exported network.
        given: the same rows, as the exported network takes them. The first of them is given alone, too.

    Raises:
        InputError: the difference is too large.
    """
    expected, answers = _standardised(student, contiguous(inputs), heads, exported(given))
    first = _standardised(student, contiguous(inputs[:1]), heads, exported(given[:1]))
    absolute = max((answers - expected).abs().max().item(), (first[1] - first[0]).abs().max().item())
    relative = absolute / max(expected.abs().max().item(), torch.finfo(expected.dtype).tiny)
    said = f"largest difference from torch {absolute:.1e} ({relative:.1e} of the largest output)"
    if not relative <= LARGEST_RELATIVE_DIFFERENCE:  # NaN is refused, too
        raise InputError(
            f"refused, because the exported network answers differently: {said} on {len(inputs)} inputs; "
            f"{LARGEST_RELATIVE_DIFFERENCE:.0e} is allowed. Export to .safetensors instead"
        )
    return f"{said} on {len(inputs)} inputs"


def _standardised(student: nn.Module, inputs: Tensor, heads: Heads, answers: Tensor) -> tuple[Tensor, Tensor]:
    """The student's answers and those of the exported network, with values standardised, shape (rows, columns)."""
    expected = Answering(nn.Identity(), student, heads).by_head(inputs)
    columns = answers.flatten(1).split([part.flatten(1).shape[1] for part in expected.values()], dim=1)
    given = {name: part.view_as(expected[name]) for name, part in zip(expected, columns, strict=True)}
    both = (
        torch.cat([heads[name].from_units(part[name]).flatten(1) for name in heads], 1) for part in (expected, given)
    )
    return next(both), next(both)


@contextlib.contextmanager
def refusing(exporter: str) -> Iterator[None]:
    """Turns what an exporter raises into a refusal of one line."""
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        raise InputError(
            f"{exporter} cannot export this student: {reason(error)}. Export to .safetensors instead"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
