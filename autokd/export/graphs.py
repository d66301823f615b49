"""Writes a student as a graph that runs without its code (torch.export or ONNX), and compares it with the student."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from autokd.errors import InputError
from autokd.export.card import Card, reason
from autokd.heads import Heads, apart, heads_of
from autokd.networks import columns, contiguous, quiet_tracing
from autokd.readings import Texts
from autokd.types import Task

if TYPE_CHECKING:
    from onnx import ModelProto

LARGEST_RELATIVE_DIFFERENCE = 1e-4
"""The outputs of an exported network may differ from the student's by this share of the student's largest output."""


Part = slice | tuple[slice, slice]
"""An index of some rows, or of some rows up to a number of tokens."""


def pt2(student: nn.Module, inputs: Tensor, path: Path, card: Card, *, rows: Any = None) -> str:
    """Writes a `torch.export` archive for any batch size, with the card as the extra file `autokd.json`.

    An archive for texts takes ids of any length up to the largest of the task. The tokenizer that makes them of texts
    is written beside it, in a file that the libraries tokenizers and transformers load.
    """
    network, given, card = _traced(student, inputs, card, rows)
    with quiet_tracing(), _refusing("torch.export"):
        program = torch.export.export(network, (given,), dynamic_shapes=(_free(given, card),))
        torch.export.save(program, path, extra_files={"autokd.json": card.model_dump_json()})
        exported = torch.export.load(path).module()
    difference = _compared(student, inputs, card, lambda part: exported(given[part]))
    return _said(path, card, _form(given, card), difference) + _write_tokenizer(path, card)


def onnx(student: nn.Module, inputs: Tensor, path: Path, card: Card, *, rows: Any = None) -> str:
    """Writes an ONNX file for any batch size, checked with ONNX Runtime, with the card as metadata `autokd`.

    It takes raw rows: one tensor, or the columns of a table, each as an input of its own. It takes inputs if the rows
    have no form in ONNX. A file for texts takes ids, and has the tokenizer beside it, as for `pt2`.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as error:
        raise InputError(f"exporting to ONNX needs {error.name}; run: pip install 'autokd[onnx]'") from None
    network, given, card = _traced(student, inputs, card, rows)
    taken: dict[str, NDArray[Any]] = {"input": given.numpy()}
    with quiet_tracing(), _refusing("torch.onnx"):
        program = torch.onnx.export(
            network,
            (given,),
            dynamo=True,
            dynamic_shapes=(_free(given, card),),
            input_names=["input"],
            output_names=["output"],
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
        (opset,) = (each.version for each in model.opset_import if not each.domain)
        before = None if rows is None or card.reading is None else card.reading.onnx(rows, opset=opset)
        if before is not None:
            model, taken = _after(before[0], model), before[1]
            card = card.model_copy(update={"takes": "raw rows"})
        onnx.helper.set_model_props(model, {"autokd": card.model_dump_json()})
        onnx.save(model, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def exported(part: Part) -> Tensor:
        (answers,) = session.run(["output"], {name: values[part] for name, values in taken.items()})
        return torch.from_numpy(answers)

    form = _form(given, card) if before is None else f"each of {len(taken)} columns, shape (batch, 1)"
    return _said(path, card, form, _compared(student, inputs, card, exported)) + _write_tokenizer(path, card)


def _traced(student: nn.Module, inputs: Tensor, card: Card, rows: Any) -> tuple[_Answering, Tensor, Card]:
    """The network that is traced, a batch of what it takes, and the card that says so.

    The network takes raw rows, or inputs if there are no rows or the reading has no graph. The batch is contiguous, as
    those of a user are, whatever memory format the student was trained in. Texts are padded to the largest length.
    """
    heads = heads_of(cast(Task, card.task))
    reading = None if rows is None or card.reading is None else card.reading.graph()
    if card.task.vocabulary:
        inputs = inputs if rows is None or card.reading is None else card.reading.batch(rows)
        longest = functional.pad(inputs, (0, card.task.input_shape[0] - inputs.shape[1]))
        return _Answering(nn.Identity(), student, heads), longest, card
    if reading is None:
        return _Answering(nn.Identity(), student, heads), contiguous(inputs), card
    raw = torch.from_numpy(np.ascontiguousarray(rows))
    return _Answering(reading, student, heads), raw, card.model_copy(update={"takes": "raw rows"})


def _after(reading: ModelProto, student: ModelProto) -> ModelProto:
    """One model that gives the output of the first to the second. Only the names of the second change."""
    from onnx import compose

    reading.ir_version = student.ir_version
    student = compose.add_prefix(student, "student/", rename_outputs=False)
    return compose.merge_models(reading, student, [(reading.graph.output[0].name, student.graph.input[0].name)])


def _said(path: Path, card: Card, form: str, difference: str) -> str:
    """The line on a written file."""
    takes = card.takes if card.takes == "raw rows" else f"{card.takes} that are normalised or encoded already"
    if card.task.vocabulary:
        takes = "the ids of tokens"
    return f"{path.stat().st_size:,} bytes, takes {takes} ({form}), {difference}"


def _write_tokenizer(path: Path, card: Card) -> str:
    """Writes the tokenizer of texts beside a graph, and gives the words on it; "" if rows are no texts."""
    if not isinstance(card.reading, Texts):
        return ""
    file = path.with_name(f"{path.stem}.tokenizer.json")
    file.write_text(card.reading.tokens.json, encoding="utf-8")
    return f"; {file.name} makes them of texts"


def _form(given: Tensor, card: Card) -> str:
    tokens = f"up to {given.shape[1]} tokens" if card.task.vocabulary else ", ".join(map(str, given.shape[1:]))
    return f"{str(given.dtype).removeprefix('torch.')}, shape (batch, {tokens})"


def _free(given: Tensor, card: Card) -> dict[int, torch.export.Dim]:
    """The dimensions of a batch that may have any size: the rows and, for texts, the tokens."""
    free = {0: torch.export.Dim("batch")}
    if card.task.vocabulary and given.shape[1] > 1:
        free[1] = torch.export.Dim("tokens", max=given.shape[1])
    return free


class _Answering(nn.Module):
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
        parts = apart(columns(self.student(self.reading(given)), self.heads), self.heads)
        return {name: self.heads[name].in_units(part).float() for name, part in parts.items()}


def _compared(student: nn.Module, inputs: Tensor, card: Card, exported: Callable[[Part], Tensor]) -> str:
    """A phrase on the largest difference between the outputs of both networks; values are compared standardised.

    Args:
        student: the student.
        inputs: what the student takes.
        card: says what inputs and outputs mean.
        exported: gives the answers of the exported network to a part of the same rows.

    Raises:
        InputError: the difference is too large.
    """
    heads, differences, largest = heads_of(cast(Task, card.task)), [], 0.0
    parts: list[Part] = [slice(None), slice(1)]
    if card.task.vocabulary:
        parts.append((slice(1), slice(max(int(inputs[0].count_nonzero()) // 2, 1))))
    for part in parts:
        expected, answers = _standardised(student, contiguous(inputs[part]), heads, exported(part))
        differences.append((answers - expected).flatten())
        largest = max(largest, expected.abs().max().item())
    absolute = torch.cat(differences).abs().max().item()
    relative = absolute / max(largest, torch.finfo(torch.float32).tiny)
    said = f"largest difference from torch {absolute:.1e} ({relative:.1e} of the largest output)"
    if not relative <= LARGEST_RELATIVE_DIFFERENCE:  # NaN is refused, too
        raise InputError(
            f"refused, because the exported network answers differently: {said} on {len(inputs)} inputs; "
            f"{LARGEST_RELATIVE_DIFFERENCE:.0e} is allowed. Export to .safetensors instead"
        )
    return f"{said} on {len(inputs)} inputs"


def _standardised(student: nn.Module, inputs: Tensor, heads: Heads, answers: Tensor) -> tuple[Tensor, Tensor]:
    """The student's answers and those of the exported network, with values standardised, shape (rows, columns)."""
    expected = _Answering(nn.Identity(), student, heads).by_head(inputs)
    found = answers.flatten(1).split([part.flatten(1).shape[1] for part in expected.values()], dim=1)
    given = {name: part.view_as(expected[name]) for name, part in zip(expected, found, strict=True)}
    both = (
        torch.cat([heads[name].from_units(part[name]).flatten(1) for name in heads], 1) for part in (expected, given)
    )
    return next(both), next(both)


@contextlib.contextmanager
def _refusing(exporter: str) -> Iterator[None]:
    """Turns what an exporter raises into a refusal of one line."""
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        raise InputError(
            f"{exporter} cannot export this student: {reason(error)}. Export to .safetensors instead"
        ) from error
