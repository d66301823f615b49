"""Torch networks as teachers: from a search space, and by reference."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autokd.errors import FOREIGN, InputError, named
from autokd.networks import example_of, in_eval_mode, laid_for, logits_in, materialised
from autokd.registry import resolve
from autokd.study.teacher import NetworkSection, SpaceSection, TrainedSection
from autokd.teachers.weights import load_weights
from autokd.types import Task


@dataclass(frozen=True)
class NetworkTeacher:
    """A torch network that answers in eval mode, and is left as the caller gave it.

    Args:
        name: what tables call the teacher.
        digest: the digest of the network as it is now.
        network: is asked without gradients; if it lies on another device, a copy of it is asked.
        device: the device on which the network answers.
        standardised: whether values are answered as a student answers them, and not in the user's unit; so are those
            of a network that a search space builds.
    """

    name: str
    digest: str
    network: nn.Module
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    standardised: bool = False

    def outputs(self, inputs: Tensor) -> Any:
        """The answer in what the network gives, as `networks.logits_in` finds it, detached, on the CPU.

        If the network gives several tensors by name, these are the answers of several heads.
        """
        network, inputs = self._there, inputs.to(self.device)
        with torch.no_grad(), in_eval_mode(network):
            laid = laid_for(network, inputs)
            given = network(laid(inputs))
            if isinstance(given, dict) and "logits" not in given and len(given) > 1:
                return {name: part.detach().cpu() for name, part in given.items() if isinstance(part, Tensor)}
            return logits_in(given).detach().cpu()

    @cached_property
    def _there(self) -> nn.Module:
        """The network on the device: itself, or a copy."""
        tensors = [*self.network.parameters(), *self.network.buffers()]
        if all(_on(tensor, self.device) for tensor in tensors):
            return self.network
        return copy.deepcopy(self.network).to(self.device)


def from_space(spec: TrainedSection | SpaceSection, task: Task, *, seed: int) -> nn.Module:
    """The network a search space builds for `spec.arch`, initialised from the seed.

    Raises:
        InputError: there is no such space, or it cannot build this architecture.
    """
    space = resolve("search_spaces", spec.space)

    def build() -> Any:
        network = space.build(spec.arch, task)
        return materialised(network, example_of(task)) if isinstance(network, nn.Module) else network

    return made(f"space '{spec.space}' with arch {spec.arch}", build, seed)


def from_reference(spec: NetworkSection, *, seed: int) -> nn.Module:
    """The network that `spec.network` names or makes, with `spec.weights` in it.

    Raises:
        InputError: the reference, its arguments or the weights cannot be used.
    """
    found = resolve("teachers", spec.network)
    if isinstance(found, nn.Module):
        network = found
    elif callable(found):
        network = made(f"network '{spec.network}' with args {spec.args}", lambda: found(**spec.args), seed)
    else:
        raise InputError(
            f"network '{spec.network}' is a {type(found).__name__}; name a torch module, or a function that makes one"
        )
    if spec.weights is not None:
        load_weights(network, Path(spec.weights))
    return network


def made(shown: str, make: Callable[[], Any], seed: int) -> nn.Module:
    """The network that `make` gives, with initial weights from the seed; the caller's random state stays as it was.

    Raises:
        InputError: `make` fails, or gives no network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = make()
        except FOREIGN as error:
            raise InputError(f"teacher: {shown} cannot be built: {named(error)}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"teacher: {shown} gives a {type(network).__name__}, not a torch.nn.Module")
    return network


def _on(tensor: Tensor, device: torch.device) -> bool:
    return tensor.device.type == device.type and device.index in (None, tensor.device.index)


def extra(package: str) -> Any:
    """A package that is not always installed.

    Raises:
        InputError: it cannot be imported.
    """
    try:
        return __import__(package)
    except (ImportError, RuntimeError) as error:  # a torchvision built for another torch raises RuntimeError
        raise InputError(
            f"this teacher needs {package}, which cannot be imported ({error}); pip install 'autokd[{package}]'"
        ) from None
