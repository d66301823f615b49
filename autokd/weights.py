"""The weights of a network in one safetensors file; other content of its state dict is JSON beside the tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from autokd.errors import InfeasibleError
from autokd.files import open_file, sync

_EXTRA = "extra_state"
_COMPLEX = "complex"
_TENSOR = "autokd.tensor"


def save_weights(network: nn.Module, path: Path, *, shared_once: bool = False) -> None:
    """Writes the state dict of a network.

    The extra state that a module gives by `get_extra_state` is kept if it is made of numbers, texts, lists, dicts and
    tensors.

    Args:
        network: may be on any device.
        path: the path of the file.
        shared_once: whether a tensor that has several names is written only under the first of them.

    Raises:
        InfeasibleError: the state dict holds something else.
        OSError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    extra: dict[str, Any] = {}
    written = set()
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            extra[name] = _packed(value, name, tensors)
        elif not (shared_once and _place(value) in written):
            tensors[name] = value
            written.add(_place(value))
    save_tensors(tensors, path, {_EXTRA: json.dumps(extra)} if extra else {})


def load_weights(network: nn.Module, path: Path) -> None:
    """Loads what `save_weights` wrote, strictly.

    Raises:
        RuntimeError: the names or shapes do not fit the network.
    """
    state, metadata = read_tensors(path)
    state = renamed(network, state)
    extra = json.loads(metadata.get(_EXTRA, "{}"))
    unpacked = {name: _unpacked(value, state) for name, value in extra.items()}
    own = network.state_dict()
    given = {_place(value): name for name, value in own.items() if isinstance(value, Tensor) and name in state}
    for name, value in own.items():
        if isinstance(value, Tensor) and name not in state and _place(value) in given:
            state[name] = state[given[_place(value)]]
    network.load_state_dict(state | unpacked)


def with_earlier_names(network: nn.Module) -> nn.Module:
    """A copy of a network whose layers have the names that an earlier version of its space gave them.

    A network that has such names gives the copy by a method of this name. Any other network is itself the answer.
    """
    earlier = getattr(network, "with_earlier_names", None)
    return earlier() if callable(earlier) else network


def renamed(network: nn.Module, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given by name, under the names of a network if an earlier version of its space gave all the names."""
    own = network.state_dict()
    earlier = with_earlier_names(network)
    if earlier is network or given.keys() <= own.keys():
        return dict(given)
    names = dict(zip(earlier.state_dict(), own, strict=True))
    return {names[name]: each for name, each in given.items()} if given.keys() <= names.keys() else dict(given)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] = MappingProxyType({})) -> None:
    """Writes copies of tensors by name, and texts by name beside them; raises OSError if they cannot be written."""
    twofold = [name for name, value in tensors.items() if value.dtype == torch.complex128]  # safetensors has none
    plain = {name: torch.view_as_real(value) if name in twofold else value for name, value in tensors.items()}
    copies = {name: value.detach().clone().cpu().contiguous() for name, value in plain.items()}
    beside = {**metadata, **({_COMPLEX: json.dumps(twofold)} if twofold else {})}
    try:
        save_file(copies, path, beside or None)
    except SafetensorError as error:  # how safetensors says that the disk is full
        raise OSError(str(error)) from error
    sync(path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors by name that `save_tensors` wrote, on the CPU."""
    return read_tensors(path)[0]


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The tensors that `save_tensors` wrote, on the CPU, and the texts beside them, both by name."""
    with open_file(path), safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in json.loads(metadata.get(_COMPLEX, "[]")):
        tensors[name] = torch.view_as_complex(tensors[name])
    return tensors, metadata


def is_complete(path: Path) -> bool:
    """Whether a file of tensors exists and is as long as its own header says."""
    try:
        with open_file(path), safe_open(path, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False


def _place(tensor: Tensor) -> tuple[Any, ...]:
    """A key that is equal for tensors which are one and the same in memory."""
    return (tensor.data_ptr() or id(tensor), tensor.shape, tensor.stride(), tensor.dtype)


def _packed(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The same value, in which a name stands for each tensor; the tensors are put into `tensors` under these names."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return {_TENSOR: name}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _packed(each, f"{name}.{key}", tensors) for key, each in value.items()}
    if isinstance(value, list):
        return [_packed(each, f"{name}.{place}", tensors) for place, each in enumerate(value)]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise InfeasibleError(
        f"the state dict holds a {type(value).__name__} in '{name}', which a file of tensors cannot hold; let "
        "get_extra_state give numbers, texts, lists, dicts with texts as keys, and tensors"
    )


def _unpacked(value: Any, state: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_TENSOR}:
            return state.pop(value[_TENSOR])
        return {key: _unpacked(each, state) for key, each in value.items()}
    return [_unpacked(each, state) for each in value] if isinstance(value, list) else value
