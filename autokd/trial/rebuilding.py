"""Builds students, keeps them with a sample of the answers that were scored, and rebuilds them from what was kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from autokd.checkpoints import ANSWERS
from autokd.distill import Training, load_weights, predict
from autokd.errors import FOREIGN, InfeasibleError, named
from autokd.heads import heads_of
from autokd.networks import columns, example_of
from autokd.trial.process import restored
from autokd.types import Arch
from autokd.weights import load_tensors, save_tensors

if TYPE_CHECKING:
    from autokd.trial.training import Context

LARGEST_RELATIVE_DIFFERENCE = 1e-3
"""The largest difference that a rebuilt student's answers may have, as a share of the largest answer.

On another device, the same student gives slightly different answers.
"""

_ROWS = 64
_NOT_SEEN = {*vars(nn.Module()), "_non_persistent_buffers_set"}


def build_student(context: Context, arch: Arch, *, seed: int) -> nn.Module:
    """The untrained student; the caller's random state is left as it was.

    Raises:
        InfeasibleError: the space cannot build the student for this task, or gives no module with the task's outputs.
    """
    task = context.task
    with restored(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # The space may change what it is given, and this must not change the record.
        student = context.space.build(json.loads(json.dumps(arch)), task)
        if not isinstance(student, nn.Module):
            raise InfeasibleError(f"build gave a {type(student).__name__}, not a torch.nn.Module")
        student.eval()
        with torch.no_grad():
            given = student(example_of(task))
    try:
        shape = tuple(columns(given, heads_of(task)).shape)
    except InfeasibleError as error:
        raise InfeasibleError(f"the network that build gave {error}") from None
    if shape != (1, task.num_outputs):
        raise InfeasibleError(f"build gave outputs of shape {shape}; the task has (1, {task.num_outputs})")
    return student.train()


def keep(context: Context, arch: Arch, training: Training, folder: Path) -> str:
    """Writes the checkpoint of a training, and returns why the student does not come back from it; "" if it does.

    Raises:
        OSError: the checkpoint cannot be written.
    """
    try:
        training.save(folder)
    except InfeasibleError as error:
        return f"does not come back from its saved weights: {error}"
    save_tensors({"answers": _answers(context, training.student)}, folder / ANSWERS)
    return why_lost(context, arch, folder, training.student)


def why_lost(context: Context, arch: Arch, folder: Path, trained: nn.Module | None = None) -> str:
    """Why a student that is built anew, with the weights of a checkpoint, is not the one that was scored; "" if it is.

    A checkpoint of an earlier version has no sample of answers, and is accepted without a comparison.

    Args:
        context: what the trials share.
        arch: the architecture.
        folder: the folder of the checkpoint.
        trained: the trained student, if it is still in memory; it makes the reason plainer.
    """
    if not (folder / ANSWERS).is_file():
        return ""
    scored = load_tensors(folder / ANSWERS)["answers"]
    try:
        rebuilt = context.build(arch)
        load_weights(rebuilt, folder)
        answered = _answers(context, rebuilt.to(context.compute.device))
    except FOREIGN as error:
        return f"does not come back from its saved weights: built anew, it raises {named(error)}"
    finite = scored[scored.isfinite()]
    allowed = LARGEST_RELATIVE_DIFFERENCE * (float(finite.abs().max()) if len(finite) else 0.0)
    if torch.allclose(answered, scored, rtol=0, atol=allowed, equal_nan=True):
        return ""
    other = trained if trained is not None else build_student(context, arch, seed=context.study.seed + 1)
    return f"does not come back from its saved weights: {_cause(other, rebuilt)}"


def _answers(context: Context, student: nn.Module) -> Tensor:
    """The answers of a student to the first rows of validation; a random network draws the same each time."""
    with torch.random.fork_rng(devices=[context.compute.device] if context.compute.device.type == "cuda" else []):
        torch.manual_seed(0)
        return predict(student, context.data, context.task.splits["validation"][:_ROWS])


def _cause(one: nn.Module, other: nn.Module) -> str:
    """What differs between two networks of one architecture outside of their state dicts, in words."""
    here, there = dict(_unsaved(one)), dict(_unsaved(other))
    changed = [name for name in here if name not in there or not _equal(here[name], there[name])]
    for name in changed:
        if isinstance(here[name], Tensor):
            return (
                f"a tensor outside the state dict, '{name}', is another one in a network that is built anew; keep it "
                "as a parameter, or with register_buffer as a persistent buffer"
            )
    for name in changed:
        return (
            f"build makes another network each time: '{name}' was {here[name]!r} and is {there.get(name)!r}; let "
            "suggest pick what is drawn at random, and keep what training changes in a buffer"
        )
    outside = [name for name, value in here.items() if isinstance(value, Tensor)]
    if outside:
        return (
            "its answers differ when it is built anew; look at what is outside the state dict: "
            f"{', '.join(map(repr, outside[:3]))}"
        )
    return (
        "its answers differ when it is built anew; look in build and forward for random numbers, global variables "
        "and whatever is kept outside of parameters and buffers"
    )


def _unsaved(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Tensors, numbers and texts that modules hold and their state dict does not, by dotted name."""
    for prefix, module in network.named_modules():
        held = {name: value for name, value in vars(module).items() if name not in _NOT_SEEN}
        held |= {name: module._buffers[name] for name in module._non_persistent_buffers_set}
        yield from _leaves(held, prefix)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{name}.{key}".removeprefix("."))
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            yield from _leaves(each, f"{name}.{place}")
    elif isinstance(value, nn.Module):  # a module that no attribute registered
        yield from _leaves(dict(value.state_dict()), name)
    elif isinstance(value, Tensor | bool | int | float | str):
        yield name, value.detach().cpu() if isinstance(value, Tensor) else value


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    return bool(type(one) is type(other) and one == other)
