"""Reads weights from files that cannot run code, and tells networks apart by digest."""

from __future__ import annotations

import hashlib
import inspect
import os
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.fx import GraphModule

from autokd.errors import InputError, said
from autokd.files import sync
from autokd.npy import npz_array
from autokd.teachers.files import existing_file
from autokd.weights import renamed, with_earlier_names

_SHOWN = 3
"""The number of names that a message lists before it counts the rest."""


def load_weights(network: nn.Module, path: Path) -> None:
    """Fills a network with the weights of a file, which must have all of them; only batch counters may be missing.

    Raises:
        InputError: the file cannot be read, or its names, shapes or kinds of number do not fit the network; the
            message names some of those.
    """
    given = renamed(network, read_weights(path))
    own = network.state_dict()
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in own]
    if missing or unexpected:
        raise InputError(
            f"{path} does not fit {type(network).__name__}: missing {_some(missing)}; "
            f"unexpected {_some(unexpected)}. Rename the tensors, or name the architecture to which they belong"
        )
    for key, tensor in given.items():
        if tensor.shape != own[key].shape:
            raise InputError(
                f"{path} does not fit {type(network).__name__}: '{key}' has shape {tuple(tensor.shape)}, "
                f"but the network's has {tuple(own[key].shape)}"
            )
        if tensor.is_complex() and not own[key].is_complex():
            raise InputError(
                f"{path} does not fit {type(network).__name__}: '{key}' holds complex numbers, and the network's "
                "holds real ones"
            )
    network.load_state_dict(given, strict=False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a `.safetensors`, `.pt`, `.pth` or `.npz` file; nothing in the file is executed.

    If a checkpoint has a key `state_dict`, the tensors under this key are read.

    Raises:
        InputError: there is no such file, the file is damaged, or it holds more than tensors.
    """
    path = existing_file(str(path), list(_READERS))
    try:
        weights = _READERS[path.suffix](path)
    except InputError:
        raise
    except (
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        MemoryError,
        zlib.error,
        NotImplementedError,
        KeyError,
        TypeError,
        zipfile.BadZipFile,
        SafetensorError,
    ) as error:
        raise InputError(f"weights {path} cannot be read ({said(error)}); get the file again") from error
    if not (isinstance(weights, dict) and all(isinstance(value, Tensor) for value in weights.values())):
        raise InputError(f"weights {path} hold more than tensors by name; save module.state_dict() instead")
    for name, tensor in weights.items():
        if kind := _without_numbers(tensor):
            raise InputError(
                f"weights {path}: '{name}' is a {kind} tensor; save plain tensors, with a number for each element"
            )
    return weights


def _without_numbers(tensor: Tensor) -> str:
    """The kind of a tensor that does not hold its numbers one after the other; "" for a tensor that does."""
    kinds = {"meta": tensor.is_meta, "quantised": tensor.is_quantized, "nested": tensor.is_nested}
    return next((kind for kind, so in kinds.items() if so), "" if tensor.layout is torch.strided else "sparse")


def save_weights(network: nn.Module, path: Path) -> None:
    """Writes all weights as safetensors, whole or not at all; a shared tensor is written once for each name."""
    tensors = {key: value.detach().clone().contiguous() for key, value in network.state_dict().items()}
    unfinished = path.with_name(path.name + ".tmp")
    save_file(tensors, unfinished)
    sync(unfinished)
    os.replace(unfinished, path)


def network_digest(network: nn.Module) -> str:
    """SHA-256, in hex, over weights, structure, plain settings, and source of classes that are not torch's.

    A program of TorchScript or of torch.fx is identified by its own code and by the constants in it.
    """
    network = with_earlier_names(network)  # so that the teachers of earlier runs keep their digests
    digest = hashlib.sha256(repr(network).encode())
    tensors = dict(network.named_parameters(remove_duplicate=False)) | dict(
        network.named_buffers(remove_duplicate=False)
    )
    for name, module in network.named_modules():
        settings = {key: value for key, value in sorted(vars(module).items()) if _plain(key, value)}
        code, constants = _code(module)
        digest.update(f"{name} {type(module).__qualname__} {settings} {code}".encode())
        tensors |= {f"{name} constant {key}": value for key, value in constants.items()}
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # As bytes, because numpy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(key: str, value: object) -> bool:
    return not key.startswith("_") and key != "training" and isinstance(value, str | int | float | bool)


def _code(module: nn.Module) -> tuple[str, dict[str, Tensor]]:
    """The code of a module, and the tensors that are constants in it."""
    if isinstance(module, torch.jit.ScriptModule):
        try:
            code, constants = module.code_with_constants
        except RuntimeError:  # it has no forward of its own
            return "", {}
        return code, {key: value for key, value in constants.const_mapping.items() if isinstance(value, Tensor)}
    if isinstance(module, GraphModule):
        return module.code, {}
    kind: Any = type(module)
    return _source(kind), {}


@lru_cache(maxsize=1024)  # the library finds a class by parsing its whole file, and a network has many modules of one
def _source(cls: type[object]) -> str:
    if cls.__module__.startswith("torch."):
        return ""
    try:
        return inspect.getsource(cls)
    except (
        OSError,
        TypeError,
    ):  # a class made in a notebook or at run time has no source; its weights and settings identify it
        return ""


def _some(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    rest = len(names) - _SHOWN
    return (shown or "nothing") + (f" and {rest} more" if rest > 0 else "")


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns of pickle protocols; one line of ours is enough
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"weights {path} were refused and not executed: the file holds more than tensors, or is damaged. "
            "Save module.state_dict(), preferably as .safetensors"
        ) from None
    return loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded


def _read_npz(path: Path) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        return {name: torch.from_numpy(npz_array(archive, name)) for name in names}


_READERS: dict[str, Callable[[Path], Any]] = {
    ".safetensors": load_file,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".npz": _read_npz,
}
