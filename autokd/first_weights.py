"""First weights of a student: the weights of a trained network, and the part of them that a student takes over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autokd.errors import InfeasibleError
from autokd.weights import read_tensors, save_tensors

_ARCH, _PIECES = "arch", "pieces"


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

    def write(self, path: Path) -> None:
        """Writes a file of safetensors with all of this.

        Raises:
            OSError: the file cannot be written.
        """
        save_tensors(self.tensors, path, {_ARCH: json.dumps(dict(self.arch)), _PIECES: json.dumps(self.pieces)})

    @classmethod
    def read(cls, path: Path) -> Origin:
        """What `write` wrote."""
        tensors, beside = read_tensors(path)
        return cls(tensors, json.loads(beside[_ARCH]), tuple(json.loads(beside[_PIECES])))

    def in_pieces(self, pieces: Sequence[str]) -> Origin:
        """The same network for other pieces of text: each tensor with a row for each piece has the rows of these.

        A piece that this network does not know gets the mean of all rows.
        """
        if not self.pieces or not pieces or tuple(pieces) == self.pieces:
            return self
        number = {piece: place for place, piece in enumerate(self.pieces)}
        places = torch.tensor([number.get(piece, -1) for piece in pieces])
        changed = {
            name: _rows(tensor, places)
            for name, tensor in self.tensors.items()
            if tensor.ndim and len(tensor) == len(self.pieces)
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
    """

    whole: tuple[str, ...]
    cut: tuple[str, ...]
    new: tuple[str, ...]
    digest: str

    def plain(self) -> dict[str, Any]:
        """The same as plain data."""
        return {"whole": [*self.whole], "cut": [*self.cut], "new": [*self.new], "digest": self.digest}


def put(student: nn.Module, given: Mapping[str, Tensor], *, cut: bool) -> Taken:
    """Copies given tensors into a student, by name. Tensors that the student does not have are left out.

    Args:
        student: is changed in place.
        given: tensors by the names of the student's state dict.
        cut: whether the leading part is taken of a tensor that is larger than the student's. If so, a tensor of which
            the student's is no leading part is an error. If not, only tensors of the student's own shape are taken.

    Raises:
        InfeasibleError: a tensor does not fit, or nothing was taken.
    """
    whole: list[str] = []
    parts: list[str] = []
    new: list[str] = []
    digest = hashlib.sha256()
    with torch.no_grad():
        for name, own in student.state_dict().items():
            there = given.get(name)
            if not isinstance(own, Tensor) or there is None or not (cut or there.shape == own.shape):
                new.append(name)
                continue
            if there.ndim != own.ndim or any(size < least for size, least in zip(there.shape, own.shape, strict=True)):
                raise InfeasibleError(
                    f"the first weights of '{name}' have shape {tuple(there.shape)}, of which the student's "
                    f"{tuple(own.shape)} is no leading part"
                )
            (whole if there.shape == own.shape else parts).append(name)
            own.copy_(there[tuple(slice(size) for size in own.shape)])
            digest.update(f"{name} {own.dtype} {tuple(own.shape)}".encode())
            digest.update(own.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    if not whole and not parts:
        names = ", ".join([*given][:3]) or "nothing"
        raise InfeasibleError(
            f"no first weights fit this student: they are of {names}, and the student has "
            f"{', '.join(new[:3])}, where name and shape must be equal"
        )
    return Taken(tuple(whole), tuple(parts), tuple(new), digest.hexdigest())


def _rows(tensor: Tensor, places: Tensor) -> Tensor:
    """The rows at these places, and the mean of all rows where a place is -1."""
    found = tensor[places.clamp(min=0)]
    if tensor.is_floating_point():
        found[places < 0] = tensor.mean(dim=0)
    return found
