"""ONNX files as teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autokd.errors import InputError, said
from autokd.study.teacher import OnnxSection
from autokd.teachers.answers import AS_LOGITS, in_parts
from autokd.teachers.files import digest_of, existing_file, file_digest
from autokd.types import Task


@dataclass(frozen=True)
class OnnxTeacher:
    """An ONNX Runtime session with one input and one output, on one CPU thread.

    Args:
        name: what tables call the teacher.
        digest: the digest of the file, of the files in which it keeps tensors, and of `gives`.
        session: an `onnxruntime.InferenceSession`.
        gives: what the output is, `logits` or `probabilities`.
    """

    name: str
    digest: str
    session: Any
    gives: str

    def outputs(self, inputs: Tensor) -> Tensor:
        """The answers, shape (batch, num_outputs).

        A file of fixed batch size gets batches of that size, and the last one is filled up.
        """
        source = self.session.get_inputs()[0]
        size = source.shape[0] if source.shape and isinstance(source.shape[0], int) else None

        def answer(part: Tensor) -> Tensor:
            return torch.from_numpy(self.session.run(None, {source.name: part.contiguous().numpy()})[0])

        return AS_LOGITS[self.gives](in_parts(answer, inputs, size or 1, size))


def from_onnx(spec: OnnxSection, task: Task) -> OnnxTeacher:
    """The teacher in an ONNX file.

    Raises:
        InputError: onnxruntime is not installed, or the file cannot be read, has several inputs or outputs, or takes
            inputs of another shape than those of the task.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"an ONNX teacher needs onnx and onnxruntime ({said(error)}); pip install 'autokd[onnx]'"
        ) from None
    path = existing_file(spec.onnx, [".onnx"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        graph = onnx.load(path, load_external_data=False).graph
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # both raise classes of their own that share no ancestor but Exception
        raise InputError(f"teacher {path} is not an ONNX file that can be run ({said(error)})") from error
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise InputError(
            f"teacher {path} has {len(session.get_inputs())} inputs and {len(session.get_outputs())} outputs; "
            "export it with one input and one output, which must be its logits or probabilities"
        )
    taken = session.get_inputs()[0].shape[1:]
    fixed = [(size, wanted) for size, wanted in zip(taken, task.input_shape, strict=False) if isinstance(size, int)]
    if len(taken) != len(task.input_shape) or any(size != wanted for size, wanted in fixed):
        sees = (
            ", so write what the teacher sees under its key reading"
            if callable(getattr(task, "seen_through", None))
            else ""
        )
        raise InputError(
            f"teacher {path} takes inputs of shape {_shown(taken)}, and those of task '{task.name}' have "
            f"{_shown(task.input_shape)}{sees}"
        )
    # Large tensors lie in files beside the ONNX file, and the graph names those files.
    beside = {entry.value for each in graph.initializer for entry in each.external_data if entry.key == "location"}
    digests = [file_digest(path.parent / name) for name in [path.name, *sorted(beside)]]
    return OnnxTeacher(path.stem, digest_of(*digests, spec.gives), session, spec.gives)


def _shown(shape: Sequence[object]) -> str:
    """A shape without the batch, in which a size of any number is a name."""
    return f"(batch, {', '.join(map(str, shape))})"
