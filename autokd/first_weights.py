"""First weights of a student: the weights of a trained network, and the part of them that a student takes over."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autokd.errors import InfeasibleError
from autokd.weights import read_tensors, renamed, save_tensors

_ORIGIN = "autokd.origin"
_KINDS = ("whole", "cut", "new")
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Origin:
    """A trained network from which students may begin.

    Args:
        tensors: its weights by name.
        arch: its architecture, in the terms of its own search space; empty if that is not known.
        pieces: the pieces of text by number, where each has a row in an embedding; empty if the network reads no texts.
    """

    tensors: Mapping[str, Tensor] = field(repr=False)
    arch: Mapping[str, Any] = field(default_factory=dict)
    pieces: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all of this. The digest of a file would not do, because texts in it have no fixed order."""
        digest = hashlib.sha256(json.dumps([self.arch, self.pieces], sort_keys=True).encode())
        for name, tensor in sorted(self.tensors.items()):
            _add(digest, name, tensor)
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Writes a file of safetensors with all of this.

        Raises:
            OSError: the file cannot be written.
        """
        beside = {"arch": dict(self.arch), "pieces": list(self.pieces)}
        save_tensors(self.tensors, path, {_ORIGIN: json.dumps(beside)})

    @classmethod
    def read(cls, path: Path) -> Origin:
        """What `write` wrote. Of any other file of safetensors, the architecture and the pieces are not known."""
        tensors, texts = read_tensors(path)
        beside = json.loads(texts.get(_ORIGIN, "{}"))
        return cls(tensors, beside.get("arch", {}), tuple(beside.get("pieces", ())))

    def in_pieces(self, pieces: Sequence[str]) -> Origin:
        """The same network for other pieces of text: each matrix with a row for each piece has the rows of these.

        A piece that this network does not know gets the mean of all rows.
        """
        if not self.pieces or not pieces or tuple(pieces) == self.pieces:
            return self
        number = {piece: place for place, piece in enumerate(self.pieces)}
        places = torch.tensor([number.get(piece, -1) for piece in pieces])
        changed = {
            name: _rows(tensor, places)
            for name, tensor in self.tensors.items()
            if tensor.ndim == 2 and tensor.is_floating_point() and len(tensor) == len(self.pieces)
        }
        return replace(self, tensors={**self.tensors, **changed}, pieces=tuple(pieces))


@dataclass(frozen=True)
class Taken:
    """What a student took over of other weights, by the names of its state dict.

    Args:
        whole: tensors that were taken as they are.
        cut: tensors of which the leading part was taken.
        new: tensors that are as the search space made them.
        digest: SHA-256 over all that was taken.
        sizes: how many numbers each of the student's parameters has; what is not in it, such as a count, is none.
    """

    whole: tuple[str, ...]
    cut: tuple[str, ...]
    new: tuple[str, ...]
    digest: str
    sizes: Mapping[str, int] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The same in short, as plain data: how many tensors and parameters are of each kind, and in which layers.

        A layer of which some parameters are taken and others are new is listed with both.
        """
        names = {kind: [name for name in getattr(self, kind) if name in self.sizes] for kind in _KINDS}
        return {
            "digest": self.digest,
            "tensors": {kind: len(names[kind]) for kind in _KINDS},
            "parameters": {kind: sum(self.sizes[name] for name in names[kind]) for kind in _KINDS},
            "layers": {kind: list(dict.fromkeys(map(_layer, names[kind]))) for kind in _KINDS},
        }


def put(student: nn.Module, given: Mapping[str, Tensor], *, cut: bool) -> Taken:
    """Copies given tensors into a student, by name. Tensors that the student does not have are left out.

    Args:
        student: is changed in place.
        given: tensors by the names of the student's state dict, or by those of an earlier version of its space.
        cut: whether the leading part is taken of a tensor that is larger than the student's. If so, a tensor of which
            the student's is no leading part is an error. If not, only tensors of the student's own shape are taken.

    Raises:
        InfeasibleError: a tensor does not fit or holds NaN or infinity, or no parameter was taken.
    """
    own = {name: tensor for name, tensor in student.state_dict().items() if isinstance(tensor, Tensor)}
    sizes = {name: tensor.numel() for name, tensor in student.named_parameters(remove_duplicate=False)}
    given = renamed(student, given)
    fitting = {name: given[name] for name in own if name in given and (cut or _is_like(given[name], own[name]))}
    digest = hashlib.sha256()
    with torch.no_grad():
        for name, there in fitting.items():
            own[name].copy_(_leading(name, there, own[name]))
            if not own[name].isfinite().all():
                raise InfeasibleError(f"the first weights of '{name}' hold NaN or infinity")
            _add(digest, name, own[name])
    if not fitting.keys() & sizes.keys():
        alike = "name" if cut else "name and the shape"
        raise InfeasibleError(
            f"none of the first weights ({_some(given)}) has the {alike} of one of the student's ({_some(own)})"
        )
    places = {own[name].data_ptr() for name in fitting if own[name].numel()}  # a tensor may have several names
    return Taken(
        tuple(name for name, there in fitting.items() if there.shape == own[name].shape),
        tuple(name for name, there in fitting.items() if there.shape != own[name].shape),
        tuple(name for name in own if name not in fitting and own[name].data_ptr() not in places),
        digest.hexdigest(),
        sizes,
    )


def _is_like(there: Tensor, own: Tensor) -> bool:
    return there.shape == own.shape and _kind(there) == _kind(own)


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    """Whether the numbers of a tensor are floating-point numbers, and whether they are complex."""
    return tensor.is_floating_point(), tensor.is_complex()


def _leading(name: str, there: Tensor, own: Tensor) -> Tensor:
    """The leading part of a tensor, of the shape of the student's own."""
    short = there.ndim != own.ndim or any(size < least for size, least in zip(there.shape, own.shape, strict=True))
    if short or _kind(there) != _kind(own):
        raise InfeasibleError(
            f"the first weights of '{name}' have {there.dtype} of shape {tuple(there.shape)}, of which the student's "
            f"{own.dtype} of shape {tuple(own.shape)} is no leading part"
        )
    return there[tuple(slice(size) for size in own.shape)]


def _layer(name: str) -> str:
    """The layer of a tensor: the name up to its first number, as in `encoder.layer.3`, or else the first part of it."""
    numbered = re.match(r"(?:[^.]+\.)*?\d+(?=\.)", name)
    return numbered[0] if numbered else name.partition(".")[0]


def _some(tensors: Mapping[str, Tensor]) -> str:
    shown = [f"'{name}' {tuple(tensor.shape)}" for name, tensor in list(tensors.items())[:_SHOWN]]
    rest = len(tensors) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "") if shown else "nothing"


def _add(digest: Any, name: str, tensor: Tensor) -> None:
    """Adds a tensor to a digest: as bytes, because numpy has no bfloat16."""
    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _rows(tensor: Tensor, places: Tensor) -> Tensor:
    """The rows at these places, and the mean of all rows where a place is -1."""
    found = tensor[places.clamp(min=0)]
    found[places < 0] = tensor.mean(dim=0)
    return found
