"""An exported student that answers raw rows in the user's terms."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from autokd import registry
from autokd.errors import InputError
from autokd.export.folder import load_exported
from autokd.heads import Heads, apart, heads_of, width
from autokd.networks import columns, laid_for
from autokd.readings import Own
from autokd.readings.code import code_of
from autokd.types import Reading, Task

_LOG = logging.getLogger("autokd")

_STEP = 512
"""The number of rows that are answered at once, as in a search."""


@dataclass(frozen=True)
class Predictor:
    """A student with its reading: raw rows in, answers in the user's terms out.

    Rows are an array for a task on arrays, a DataFrame for a table, and a list for texts. Each method returns one
    answer if the student has one head, and otherwise a dict with the answer of each head by its name.

    Args:
        network: the student, in eval mode, on the CPU.
        reading: how raw rows become inputs; None if they are inputs already.
        heads: what the student's outputs mean, by the name of each head.
        input_shape: the shape of one input, without the batch.
    """

    network: nn.Module
    reading: Reading | None
    heads: Heads
    input_shape: tuple[int, ...]

    def predict(self, rows: Any) -> Any:
        """What the student answers, as numpy arrays or lists with one answer for each row.

        Classes give the name of a class, labels the names of those that hold (more likely than not), values the numbers
        in the unit of the targets (shape (rows,) if there is one value), and classes at positions a name at each
        position.

        Raises:
            InputError: the rows are not those that the student reads, or the task does not say what its outputs mean.
        """
        return _only({name: self.heads[name].predicted(part) for name, part in self._answered(rows).items()})

    def predict_proba(self, rows: Any) -> Any:
        """The probabilities of the classes or labels, as numpy arrays of shape (rows, *head.shape).

        Heads of values have none, and are left out.

        Raises:
            InputError: as for `predict`, or no head has probabilities.
        """
        found = {name: self.heads[name].probabilities(part) for name, part in self._answered(rows).items()}
        there = {name: given for name, given in found.items() if given is not None}
        if not there:
            raise InputError("this student answers values, which have no probabilities; call predict(rows)")
        return _only(there) if len(self.heads) == 1 else there

    def outputs(self, rows: Any) -> Any:
        """The outputs that objectives read, float, shape (rows, *head.shape): logits, or values in the user's unit.

        Raises:
            InputError: the rows are not those that the student reads.
        """
        return _only({name: self.heads[name].in_units(part) for name, part in self._answered(rows).items()})

    def _answered(self, rows: Any) -> dict[str, Tensor]:
        """The network's outputs of each head, shape (rows, *head.shape)."""
        inputs = self._inputs(rows)
        answers = [torch.empty(0, width(self.heads))]
        if len(inputs):
            laid = laid_for(self.network, inputs[:2])
            with torch.inference_mode():
                answers = [columns(self.network(laid(part)), self.heads).float() for part in inputs.split(_STEP)]
        return apart(torch.cat(answers).clone(), self.heads)

    def _inputs(self, rows: Any) -> Tensor:
        inputs = torch.as_tensor(rows).float() if self.reading is None else self.reading.batch(rows)
        shape = tuple(inputs.shape[1:])
        texts = not inputs.is_floating_point() and len(shape) == 1  # a batch of texts is as long as its longest
        if shape != self.input_shape and not (texts and shape <= self.input_shape):
            wanted = ", ".join(map(str, self.input_shape))
            raise InputError(f"rows of shape {tuple(inputs.shape)}; give inputs of shape (rows, {wanted})")
        return inputs


def load_predictor(folder: str | Path, *, space: object = None, reading: object = None) -> Predictor:
    """The student that was exported to a folder as safetensors, with the reading that makes inputs of raw rows.

    It runs on the CPU. No code is imported that only the folder names, as with `load_student`.

    Args:
        folder: the folder with the weights and `config.json`: a path or, as text, an fsspec URL.
        space: the search space or a reference to it, if it is not an installed plug-in; None takes the installed one.
        reading: the code that reads raw rows or a reference to it, if the student has a reading of somebody's own that
            is not an installed plug-in; None takes the installed one.

    Raises:
        InputError: the folder is not an exported student, its space or its reading is not installed, or the weights do
            not fit.
    """
    network, config = load_exported(folder, space=space)
    return Predictor(
        network, _with_code(config.reading, reading), heads_of(cast(Task, config.task)), config.task.input_shape
    )


def _with_code(reading: Reading | None, given: object) -> Reading | None:
    """The reading of a student with its code, if it is somebody's own. The log warns if the code has changed."""
    if not isinstance(reading, Own):
        if given is not None:
            raise InputError("this student reads rows without code of anybody's own; leave `reading` out")
        return reading
    if given is None and not registry.is_installed("readings", reading.reference):
        raise InputError(
            f"this student reads rows by '{reading.reference}', which is no installed plug-in, and AutoKD imports no "
            f"code that only a folder names; pass it yourself: load_predictor(folder, reading='{reading.reference}')"
        )
    found = registry.resolve("readings", reading.reference if given is None else given)
    digest = registry.source_digest(found)
    if reading.source and digest and digest != reading.source:
        _LOG.warning("The source of reading '%s' has changed since this student was exported.", reading.reference)
    return reading.with_code(code_of(found, reading.args, reference=reading.reference))


def _only(answers: dict[str, Any]) -> Any:
    return next(iter(answers.values())) if len(answers) == 1 else answers
