"""What a student of `text` takes over of its teacher: embeddings of any network for texts, and layers of its own kind.

The embeddings are projected to the student's width by their principal components (Raunak, Gupta, Metze, 2019,
"Effective Dimensionality Reduction for Word Embeddings", https://aclanthology.org/W19-4328, section 3). Layers that
read them are projected in the same way. Every n-th block of a transformer is taken, the last one included, as in Sanh
et al. (2019), "DistilBERT", https://arxiv.org/abs/1910.01108, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]
Read = Callable[[str, str], dict[str, Tensor]]
"""Gives weight and bias of a teacher's layer that reads embeddings, for the student's embeddings, under a new name."""

TABLE = "embedding.table.weight"


def taken(
    arch: dict[str, Any], teacher_arch: Mapping[str, Any], weights: Weights, vocabulary: int
) -> dict[str, Tensor]:
    """Tensors by the student's names. Some may be smaller than the student's, and do not fit then.

    Args:
        arch: the student's architecture.
        teacher_arch: the teacher's architecture, if it is a network of `text`; else anything.
        weights: the teacher's tensors by name.
        vocabulary: the number of rows of the student's embeddings, which the teacher's have, too.
    """
    table = _table(weights, vocabulary)
    if table is None:
        return {}
    width = arch["embedding"]
    mean, directions = _components(table, min(width, table.shape[1]))
    narrow = table if width >= table.shape[1] else (table - mean) @ directions
    found = {TABLE: torch.cat([narrow, narrow.new_zeros(vocabulary, max(0, width - narrow.shape[1]))], dim=1)}
    if TABLE not in weights or teacher_arch.get("kind") != arch["kind"]:
        return found

    def read(was: str, now: str) -> dict[str, Tensor]:
        """The student's bag of several pools has its embeddings one after the other."""
        weight, bias = weights[f"{was}.weight"].float(), weights[f"{was}.bias"]
        if width >= table.shape[1]:
            return {f"{now}.weight": weight, f"{now}.bias": bias}
        per_pool = weight.unflatten(1, (-1, table.shape[1]))
        projected = torch.tensordot(per_pool, directions, dims=([2], [0]))  # the width of embeddings comes last
        also = torch.tensordot(per_pool, mean, dims=([2], [0])).flatten(1).sum(dim=1)
        return {f"{now}.weight": projected.movedim(-1, 2).flatten(1, 2), f"{now}.bias": bias + also}

    return found | _LAYERS[arch["kind"]](arch, teacher_arch, weights, read)


def _table(weights: Weights, vocabulary: int) -> Tensor | None:
    """The embeddings of tokens, which have a row for each; those of positions may be as many by chance."""
    names = [name for name, tensor in weights.items() if tensor.ndim == 2 and len(tensor) == vocabulary]
    names.sort(key=lambda name: ("position" in name, "embed" not in name, name))
    return weights[names[0]].float() if names else None


def _components(table: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The mean of the rows, and the directions in which they differ most, as columns. Signs are fixed."""
    mean = table.mean(dim=0)
    _, vectors = torch.linalg.eigh(torch.cov(table.T).double().reshape(table.shape[1], -1))
    directions = vectors.flip(1)[:, :width]
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    return mean, (directions * largest.sign()).to(table.dtype)


def _bag(arch: dict[str, Any], teacher: Mapping[str, Any], weights: Weights, read: Read) -> dict[str, Tensor]:
    """The first layers, and the head if it reads the same layer."""
    was, now = len(teacher["hidden"]), len(arch["hidden"])
    found: dict[str, Tensor] = {}
    if teacher["pooling"] == arch["pooling"] and (was > 0) == (now > 0):
        found |= read("layers.0", "layers.0") if now else read("head", "head")
    for place in range(1, min(was, now)):
        found |= _under(weights, f"layers.{place}.", f"layers.{place}.")
    return found | (_under(weights, "head.", "head.") if was == now > 0 else {})


def _cnn(arch: dict[str, Any], teacher: Mapping[str, Any], weights: Weights, read: Read) -> dict[str, Tensor]:
    """The first channels of the convolutions that both have, and the part of the head that reads them."""
    found: dict[str, Tensor] = {}
    for kernel in set(arch["kernels"]) & set(teacher["kernels"]):
        name = f"convolutions.over_{kernel}.convolve"
        found |= read(name, name)
    if set(arch["kernels"]) <= set(teacher["kernels"]):
        parts = weights["head.weight"].unflatten(1, (len(teacher["kernels"]), -1))
        chosen = parts[:, [teacher["kernels"].index(kernel) for kernel in arch["kernels"]], : arch["channels"]]
        found |= {"head.weight": chosen.flatten(1), "head.bias": weights["head.bias"]}
    return found


def _transformer(arch: dict[str, Any], teacher: Mapping[str, Any], weights: Weights, read: Read) -> dict[str, Tensor]:
    """Blocks that are evenly spread, of each the first heads, and all around them."""
    found = read("project", "project")
    for name in ("positions.", "normalise.", "head."):
        found |= _under(weights, name, name)
    was, now = len(teacher["hidden_ratios"]), len(arch["hidden_ratios"])
    for place in range(min(was, now)):
        source = (place + 1) * was // now - 1 if now <= was else place
        block = _under(weights, f"blocks.{source}.", f"blocks.{place}.")
        for name, tensor in block.items():
            if ".query_key_value." in name:
                heads = tensor.unflatten(0, (3, teacher["heads"], -1))
                block[name] = heads[:, : arch["heads"], : arch["head_width"]].flatten(0, 2)
            elif name.endswith(".attention.project.weight"):
                heads = tensor.unflatten(1, (teacher["heads"], -1))
                block[name] = heads[:, : arch["heads"], : arch["head_width"]].flatten(1)
        found |= block
    return found


def _under(weights: Weights, was: str, now: str) -> dict[str, Tensor]:
    return {now + name.removeprefix(was): tensor for name, tensor in weights.items() if name.startswith(was)}


_LAYERS: dict[str, Callable[[dict[str, Any], Mapping[str, Any], Weights, Read], dict[str, Tensor]]] = {
    "bag": _bag,
    "cnn": _cnn,
    "transformer": _transformer,
}
