"""The answers that a teacher must give: finite float32 logits or log-probabilities, one row for each sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from autokd.errors import FOREIGN, AutoKDError, InfeasibleError, InputError, named
from autokd.heads import Heads, apart, flat, heads_of, width
from autokd.losses import log_probabilities
from autokd.networks import columns, logits_in
from autokd.types import Task, Teacher

_SHOWN = 5
"""The number of rows that a message lists before it counts the rest."""


@runtime_checkable
class RowTeacher(Protocol):
    """A teacher that answers row numbers of the task: a file of answers, or an ensemble that holds one."""

    def answers(self, task: Task, rows: Tensor, view: int) -> Tensor:
        """What a student would answer, shape (len(rows), num_outputs); a row without an answer is NaN.

        These are logits, or standardised values, where a teacher's `outputs` are in the user's unit.
        """


def rows_at_once(teacher: Teacher) -> int:
    """The number of rows in one question to a teacher: its own `rows_at_once` if it has one, or else 256.

    The last bits of what a network answers may depend on this number.
    """
    return getattr(teacher, "rows_at_once", 256)


def ask(teacher: Teacher, task: Task, rows: Tensor, view: int) -> Tensor:
    """A teacher's answers on rows of a task, float32, shape (len(rows), task.num_outputs).

    A row of NaN means that a file of answers has no answer there. From a network, NaN is an error. What a teacher
    answers in the user's unit is standardised here, as a student's answers are.

    Raises:
        InputError: the teacher fails, its answers have the wrong shape (the message names both shapes), or some
            answers are not finite (the message names the rows).
    """
    if isinstance(teacher, RowTeacher):
        return _said(teacher, task, rows, lambda: teacher.answers(task, rows, view))
    inputs = task.inputs(rows, view)
    given = _said(teacher, task, rows, lambda: _outputs_in(teacher, inputs, heads_of(task)))
    expected = (len(rows), task.num_outputs)
    if tuple(given.shape) != expected:
        raise InputError(
            f"teacher '{teacher.name}' gives shape {tuple(given.shape)} for {len(rows)} inputs, but task "
            f"'{task.name}' needs {expected}{_classes(given, task)}"
        )
    refuse_rows(teacher.name, rows[~torch.isfinite(given).all(dim=1)], view)
    return given.float()


def _outputs_in(teacher: Teacher, inputs: Tensor, heads: Heads) -> Tensor:
    """What a student would answer, from what a teacher gave: one tensor, or a tensor for each head by its name."""
    given: Any = teacher.outputs(inputs)
    if isinstance(given, Mapping) and not heads.keys().isdisjoint(given):
        parts = {name: part.cpu() if isinstance(part, Tensor) else part for name, part in given.items()}
    else:
        answer = logits_in(given).cpu()
        if all(head.kind in ("", "classes") for head in heads.values()):
            return answer
        if len(heads) > 1:
            if answer.shape[1:] != (width(heads),):
                return answer
            parts = apart(answer, heads)
        else:
            parts = dict.fromkeys(heads, answer[:, None] if answer.ndim == 1 else answer)
    if not getattr(teacher, "standardised", False):
        parts = {name: heads[name].from_units(part) if name in heads else part for name, part in parts.items()}
    if len(heads) == 1:
        return columns(next(iter(parts.values())), heads)
    return flat(parts, heads)


def in_parts(answer: Callable[[Tensor], Tensor], inputs: Tensor, least: int, most: int | None) -> Tensor:
    """The answers to a batch of any size, from a function that accepts only batches of certain sizes.

    Args:
        answer: is called with `least` to `most` rows at once.
        inputs: the batch; a part that is too small is filled up with its last row.
        least: the smallest number of rows in one call.
        most: the largest number of rows in one call; None if there is no limit.
    """
    given = []
    for part in inputs.split(most or max(len(inputs), 1)):
        missing = max(0, least - len(part))
        filled = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
        given.append(answer(filled)[: len(part)])
    return torch.cat(given)


def refuse_rows(name: str, rows: Tensor, view: int) -> None:
    """Raises InputError that names the rows whose answers are not finite, if there are any."""
    if len(rows):
        shown = ", ".join(str(row) for row in rows[:_SHOWN].tolist()) + (", ..." if len(rows) > _SHOWN else "")
        raise InputError(
            f"teacher '{name}' gives NaN or infinity on {len(rows)} rows ({shown}; view {view}); "
            "check the teacher's weights and the task's inputs on these rows"
        )


def logits(given: Tensor) -> Tensor:
    """The given logits, as float32."""
    return given.float()


def logits_of_probabilities(given: Tensor) -> Tensor:
    """log(max(p, 1e-7)) of probabilities, float32; NaN stays NaN.

    Args:
        given: probabilities, shape (rows, num_outputs).

    Raises:
        InputError: a number lies outside 0 .. 1, or a row does not sum to 1; a difference of up to .01 is tolerated.
    """
    known = given[~torch.isnan(given).any(dim=1)].double()
    off = (known.sum(dim=1) - 1).abs() > 0.01
    if bool(off.any()) or bool((known < -0.01).any()):
        row = known[off | (known < -0.01).any(dim=1)][0]
        raise InputError(
            f"the answers should be probabilities, but a row sums to {row.sum():.4g} and its smallest number is "
            f"{row.min():.4g}; write 'gives: logits' if they are logits, or give softmax outputs"
        )
    return log_probabilities(given.double()).float()


AS_LOGITS: dict[str, Callable[[Tensor], Tensor]] = {"logits": logits, "probabilities": logits_of_probabilities}
"""The functions that turn a teacher's answers into logits, by what the teacher `gives`."""


def as_outputs(given: Tensor, gives: str, heads: Heads) -> Tensor:
    """What a student would answer, float32, from the numbers of all heads in a file.

    Args:
        given: the numbers, shape (rows, num_outputs); values are in the user's unit.
        gives: what the numbers of classes are, `logits` or `probabilities`.
        heads: the heads.

    Raises:
        InputError: the numbers should be probabilities, and are none.
    """
    if len(heads) == 1 and next(iter(heads.values())).kind in ("", "classes"):
        return AS_LOGITS[gives](given)
    if gives != "logits":
        raise InputError(
            f"gives: {gives} is for a task of one head of classes; give logits (of labels: log(p / (1 - p))), and "
            "values in their own unit"
        )
    return flat({name: heads[name].from_units(part) for name, part in apart(given.float(), heads).items()}, heads)


def _said(teacher: Teacher, task: Task, rows: Tensor, question: Callable[[], Tensor]) -> Tensor:
    """The answer to a question; an error from code outside AutoKD becomes an InputError that names the teacher."""
    try:
        return question()
    except InfeasibleError as error:
        raise InputError(f"teacher '{teacher.name}' {error}") from error
    except AutoKDError:
        raise
    except FOREIGN as error:  # a network that the user named may raise anything
        raise InputError(
            f"teacher '{teacher.name}' fails on inputs of shape {(len(rows), *task.input_shape)} of task "
            f"'{task.name}': {named(error)}"
        ) from error


def _classes(given: Tensor, task: Task) -> str:
    if given.ndim != 2:
        return "; reduce the answers to one row for each sample"
    heads = heads_of(task)
    if len(heads) > 1 or next(iter(heads.values())).kind not in ("", "classes"):
        answered = "; ".join(f"{name}: {head.summary}" if name else head.summary for name, head in heads.items())
        return f": the teacher gives {given.shape[1]} numbers for each row, and the task has {answered}"
    return (
        f": the teacher has {given.shape[1]} classes, and the task has {task.num_outputs}; give a teacher of the "
        "task's classes, or write which of its columns these are under the key classes of a network or an ONNX file"
    )
