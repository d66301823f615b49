"""The checks that an architecture of a search space must pass, one after another."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd.choices import suggest_arch
from autokd.distill import AdamW
from autokd.errors import FOREIGN, InfeasibleError, named, said
from autokd.heads import heads_of
from autokd.networks import columns, contiguous
from autokd.objectives.costs import flops
from autokd.study import suggest_reading
from autokd.types import Arch, SearchSpace, Task

LARGEST_CHANGE_BY_PADDING = 1e-5
"""Padding a text may change an answer by this much, or by this share of the largest answer if that is more."""


def first_finding(
    space: SearchSpace, task: Task, trial: optuna.Trial, *, sound: list[tuple[Arch, Task]]
) -> tuple[str, str] | None:
    """The name of the first check that an architecture fails, and a sentence on the problem; None if it passes all.

    Those that pass all are put into `sound`, each with the task as seen through its reading.

    Raises:
        InfeasibleError: the space refuses the architecture for this task.
    """
    reading = suggest_reading(space, trial, task)
    if reading:
        whole: Any = task
        task = whole.seen_through(reading)
    try:
        arch: Any = suggest_arch(space, trial, task)
    except FOREIGN as error:
        return "suggest", f"suggest raised {shown(error)}: let it only call trial.suggest_* and return a dict."
    rows = task.splits["train"][:4]
    case = _Case(space, task, trial, arch, contiguous(task.inputs(rows)), rows, reading)
    for doing, check in _CHECKS.items():
        try:
            problem = check(case)
        except InfeasibleError:
            raise
        except FOREIGN as error:
            problem = f"{doing} raised {shown(error)}"
        if problem is not None:
            return doing, f"{problem}. Seen with arch {arch!r}."
    sound.append((arch, task))
    return None


def shown(error: BaseException) -> str:
    """An error's type and message in one line."""
    return f"{named(error)}"


@dataclass(frozen=True)
class _Case:
    """One architecture and a few rows to try it on."""

    space: SearchSpace
    task: Task
    trial: optuna.Trial
    arch: Any
    inputs: Tensor
    rows: Tensor
    reading: Mapping[str, Any]

    def build(self) -> Any:
        return self.space.build(copy.deepcopy(self.arch), self.task)

    def build_trained(self) -> nn.Module:
        """The network in train mode after one step on two rows, with the gradients of that step."""
        network = self.build().train()
        optimizer = AdamW(network.parameters(), lr=1e-2)
        outputs = self.columns(network(self.inputs[:2].clone()))
        self.task.hard_loss(outputs, self.task.targets(self.rows[:2])).backward()
        optimizer.step()
        return network

    def columns(self, given: Any) -> Tensor:
        """The outputs of all heads in what a network gave; a tensor of another shape stays as it is."""
        try:
            return columns(given, heads_of(self.task))
        except InfeasibleError:
            return given


def _arch_is_plain_data(case: _Case) -> str | None:
    if not isinstance(case.arch, dict):
        return f"suggest returned a {type(case.arch).__name__}: return a dict"
    mend = "write lists for tuples, strings for keys, and plain int, float, str, bool or None"
    try:
        round_trip = json.loads(json.dumps(case.arch, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        return f"suggest returned what JSON cannot hold ({said(error)}): {mend}"
    return None if round_trip == case.arch else f"suggest returned what JSON gives back as {round_trip!r}: {mend}"


def _names_are_free(case: _Case) -> str | None:
    own = [name for name in case.trial.params if name.partition("reading.")[2] not in case.reading]
    for beginning, owner in (("recipe.", "recipe"), ("reading.", "reading")):
        taken = [name for name in own if name.startswith(beginning)]
        if taken:
            return f"suggest picks '{taken[0]}', but names with '{beginning}' are the {owner}'s: give it another name"
    return None


def _same_picks_give_the_same_arch(case: _Case) -> str | None:
    mend = "let each number come from trial.suggest_*, none from random numbers, a counter or the clock"
    try:
        fixed: Any = optuna.trial.FixedTrial(case.trial.params)
        again = suggest_arch(case.space, fixed, case.task)
    except ValueError as error:
        return f"suggest asked for other choices when the same were picked ({said(error)}): {mend}"
    return None if again == case.arch else f"suggest returned another arch for the same picks, {again!r}: {mend}"


def _build_makes_a_network(case: _Case) -> str | None:
    arch = copy.deepcopy(case.arch)
    network: Any = case.space.build(arch, case.task)
    if not isinstance(network, nn.Module):
        return f"build returned a {type(network).__name__}: return a torch.nn.Module"
    if arch != case.arch:
        return f"build changed the arch it was given into {arch!r}: copy what it must change"
    if not any(weight.requires_grad for weight in network.parameters()):
        return "build returned a network with nothing to train: keep layers as attributes or in nn.ModuleList"
    return None


def _trains_on_two_rows(case: _Case) -> str | None:
    return _output_problem(case, case.build().train(), case.inputs[:2], "train mode")


def _answers_one_row(case: _Case) -> str | None:
    return _output_problem(case, case.build().eval(), case.inputs[:1], "eval mode")


def _output_problem(case: _Case, network: nn.Module, inputs: Tensor, mode: str) -> str | None:
    given = inputs.clone()
    answer: Any = network(given)
    where = f"in {mode} with a batch of {len(inputs)} the network"
    if isinstance(answer, Mapping) and not heads_of(case.task).keys().isdisjoint(answer):
        try:
            answer = columns(answer, heads_of(case.task))
        except InfeasibleError as error:
            return f"{where} {error}"
    if not isinstance(answer, Tensor):
        return f"{where} returned a {type(answer).__name__}: return one tensor"
    outputs = case.columns(answer)
    if outputs.shape != (len(inputs), case.task.num_outputs):
        return (
            f"{where} returned shape {tuple(outputs.shape)}, not {(len(inputs), case.task.num_outputs)}: "
            "end it with task.num_outputs outputs a row"
        )
    if not outputs.is_floating_point():
        return f"{where} returned {outputs.dtype}: return logits as floating-point numbers"
    if not outputs.isfinite().all():
        return f"{where} returned NaN or infinity before any training: look for logarithms and divisions"
    if not torch.equal(given, inputs):
        return f"{where} changed its inputs, which others read too: avoid operations in place on them"
    return None


def _gradients_reach_all(case: _Case) -> str | None:
    weights = case.build_trained().named_parameters()
    unreached = [name for name, weight in weights if weight.requires_grad and weight.grad is None]
    if not unreached:
        return None
    return (
        f"no gradient reaches {', '.join(unreached)}: use it in forward, without detach or no_grad, "
        "or do not create it, or set requires_grad to False"
    )


def _rows_are_answered_apart(case: _Case) -> str | None:
    network = case.build_trained().eval()
    with torch.no_grad():
        together, again = (case.columns(network(case.inputs.clone())) for _ in range(2))
        apart = torch.cat([case.columns(network(row[None].clone())) for row in case.inputs])
    tolerance = 1e-4 * max(1.0, float(apart.abs().max()))
    if not torch.allclose(together, again, rtol=0, atol=tolerance):
        return "in eval mode the network answers the same rows differently each time: is dropout left on?"
    if not torch.allclose(together, apart, rtol=0, atol=tolerance):
        return (
            "in eval mode the answer to a row depends on the rows beside it: normalise within the row, or use "
            "nn.BatchNorm, which keeps running statistics, and do not mix along dimension 0"
        )
    return None


def _padding_changes_no_answer(case: _Case) -> str | None:
    """Compares each text alone with the same text that is padded to the largest length of the task."""
    if not getattr(case.task, "vocabulary", 0):
        return None
    network, (longest,) = case.build_trained().eval(), case.task.input_shape
    texts = [row[row != 0][: max(longest // 2, 1)] for row in case.inputs]
    with torch.no_grad():
        alone = torch.cat([case.columns(network(text[None])) for text in texts])
        padded = case.columns(network(torch.stack([functional.pad(text, (0, longest - len(text))) for text in texts])))
    difference = float((padded - alone).abs().max())
    if difference <= LARGEST_CHANGE_BY_PADDING * max(1.0, float(alone.abs().max())):
        return None
    return (
        f"the answer to a text changes by {difference:.1e} when the text is padded: leave out the padding, where ids "
        "are 0, with the mask `ids != 0` in attention, convolutions and pooling"
    )


def _flops_are_counted(case: _Case) -> str | None:
    try:
        flops(case.build(), case.inputs[:1])
    except InfeasibleError as error:
        return str(error)
    return None


def _can_be_rebuilt(case: _Case) -> str | None:
    trained, rebuilt = case.build_trained(), case.build()
    mend = "let build choose nothing, and keep each tensor it uses as a parameter or a registered buffer"
    try:
        rebuilt.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        return f"trained weights do not fit the network built again from the same arch ({shown(error)}): {mend}"
    with torch.no_grad():
        before, after = (case.columns(network.eval()(case.inputs.clone())) for network in (trained, rebuilt))
    if torch.allclose(before, after, rtol=0, atol=1e-4 * max(1.0, float(before.abs().max()))):
        return None
    return f"the network built again from the same arch, with the same weights, answers differently: {mend}"


_CHECKS: dict[str, Callable[[_Case], str | None]] = {
    "reading the arch": _arch_is_plain_data,
    "reading the names of choices": _names_are_free,
    "suggest, with the same picks again,": _same_picks_give_the_same_arch,
    "build": _build_makes_a_network,
    "the network in train mode with a batch of 2": _trains_on_two_rows,
    "the network in eval mode with a batch of 1": _answers_one_row,
    "a training step on a batch of 2": _gradients_reach_all,
    "the network in eval mode with a batch of 4": _rows_are_answered_apart,
    "the network on a text with padding": _padding_changes_no_answer,
    "counting flops": _flops_are_counted,
    "building again from the same arch": _can_be_rebuilt,
}
"""The checks in order, each under a phrase for what is being done, which begins the sentence if the check raises."""
