"""Networks for texts: bags of embeddings, convolutions over words, and small transformers.

A text is a row of token numbers, int64, shape (batch, length). The number 0 is padding and nothing else. Each network
computes the mask `ids != 0` and leaves the padding out, so an answer does not depend on how far a text is padded. A
batch may be as long as its longest text, up to `task.input_shape[0]`. `task.vocabulary` is the number of ids, padding
included.

Most weights of a small network for texts are its embeddings. `embedding` is therefore a choice of its own, and a
transformer projects small embeddings to its width (Lan et al., 2019, "ALBERT", https://arxiv.org/abs/1909.11942,
section 3.1).

Sources: Iyyer et al. (2015), "Deep Unordered Composition Rivals Syntactic Methods for Text Classification",
https://aclanthology.org/P15-1162, section 3; Kim (2014), "Convolutional Neural Networks for Sentence Classification",
https://arxiv.org/abs/1408.5882, section 2; Vaswani et al. (2017), "Attention Is All You Need",
https://arxiv.org/abs/1706.03762, section 3, with normalisation before each layer; Su et al. (2021), "RoFormer",
https://arxiv.org/abs/2104.09864, section 3.2.2, for rotary positions.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks a kind of network, the width of its embeddings, and the sizes of this kind."""
    kind = trial.suggest_categorical("kind", list(_KINDS))
    return {
        "kind": kind,
        "embedding": trial.suggest_int("embedding", 1, 128, log=True),
        "dropout": trial.suggest_categorical("dropout", [0.0, 0.2, 0.5]),
        **_KINDS[kind][0](trial),
    }


def build(arch: dict[str, Any], task: Any) -> nn.Module:
    """Makes the network for a task of texts.

    Raises:
        ValueError: the task's inputs are not texts.
    """
    vocabulary = getattr(task, "vocabulary", 0)
    if not vocabulary:
        raise ValueError(
            f"text reads the tokens of texts, and inputs of shape {tuple(task.input_shape)} come without a vocabulary; "
            "use mlp for any numbers, table for tables, or resnet, mobilenet or vit for images"
        )
    network: nn.Module = _KINDS[arch["kind"]][1](arch, task)
    return network


def _suggest_bag(trial: optuna.Trial) -> dict[str, Any]:
    depth = trial.suggest_int("hidden_layers", 0, 2)
    return {
        "pooling": trial.suggest_categorical("pooling", list(_POOLING)),
        "hidden": [trial.suggest_int(f"hidden_{i}", 4, 512, log=True) for i in range(depth)],
    }


def _suggest_cnn(trial: optuna.Trial) -> dict[str, Any]:
    narrowest = trial.suggest_int("narrowest_kernel", 1, 3)
    return {
        "kernels": [narrowest + i for i in range(trial.suggest_int("kernels", 1, 3))],
        "channels": trial.suggest_int("channels", 4, 256, log=True),
    }


def _suggest_transformer(trial: optuna.Trial) -> dict[str, Any]:
    blocks = trial.suggest_int("blocks", 1, 4)
    return {
        "positions": trial.suggest_categorical("positions", ["learned", "rotary"]),
        "heads": trial.suggest_categorical("heads", [1, 2, 4, 8]),
        "head_width": trial.suggest_categorical("head_width", [4, 8, 16, 32, 64]),
        "hidden_ratios": [trial.suggest_int(f"hidden_ratio_{i}", 1, 4) for i in range(blocks)],
    }


class _Embedding(nn.Module):
    """From ids (batch, length) to their embeddings (batch, length, width), which are zero at padding."""

    def __init__(self, vocabulary: int, arch: dict[str, Any]) -> None:
        super().__init__()
        self.width = arch["embedding"]
        self.table = nn.Embedding(vocabulary, self.width)
        nn.init.normal_(self.table.weight, std=self.width**-0.5)
        self.dropout = nn.Dropout(arch["dropout"])

    def forward(self, ids: Tensor) -> Tensor:
        embedded: Tensor = self.dropout(self.table(ids))
        return embedded * _mask(ids).to(embedded.dtype)


class _Bag(nn.Module):
    """The embeddings of a text, pooled without their order, and an MLP."""

    def __init__(self, arch: dict[str, Any], task: Any) -> None:
        super().__init__()
        self.embedding = _Embedding(task.vocabulary, arch)
        self.pools = _POOLING[arch["pooling"]]
        widths = [self.embedding.width * len(self.pools), *arch["hidden"]]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.head = nn.Linear(widths[-1], task.num_outputs)

    def forward(self, ids: Tensor) -> Tensor:
        embedded, mask = self.embedding(ids), _mask(ids)
        x = torch.cat([pool(embedded, mask) for pool in self.pools], dim=1)
        for layer in self.layers:
            x = functional.silu(layer(x))
        answer: Tensor = self.head(x)
        return answer


class _CNN(nn.Module):
    """Convolutions of several widths over the embeddings of a text, and the largest activation of each channel."""

    def __init__(self, arch: dict[str, Any], task: Any) -> None:
        super().__init__()
        channels, kernels = arch["channels"], arch["kernels"]
        self.embedding = _Embedding(task.vocabulary, arch)
        self.convolutions = nn.ModuleDict(
            {f"over_{kernel}": _Convolution(self.embedding.width, channels, kernel) for kernel in kernels}
        )
        self.dropout = nn.Dropout(arch["dropout"])
        self.head = nn.Linear(channels * len(kernels), task.num_outputs)

    def forward(self, ids: Tensor) -> Tensor:
        embedded, mask = self.embedding(ids), _mask(ids)
        found = torch.cat([convolve(embedded, mask) for convolve in self.convolutions.values()], dim=1)
        answer: Tensor = self.head(self.dropout(found))
        return answer


class _Convolution(nn.Module):
    """From embeddings (batch, length, width) to the largest activations (batch, channels), which are 0 or more.

    There is a window around each token of a text. It sees zeros beyond the ends of the text.
    """

    def __init__(self, width: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.around = ((kernel - 1) // 2, kernel // 2)
        self.convolve = nn.Conv1d(width, channels, kernel)

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        x = functional.relu(self.convolve(functional.pad(embedded.transpose(1, 2), self.around)))
        return (x * mask.transpose(1, 2).to(x.dtype)).amax(dim=2)


class _Transformer(nn.Module):
    """Embeddings projected to the width of the blocks, the blocks, and the mean over the tokens of the text."""

    def __init__(self, arch: dict[str, Any], task: Any) -> None:
        super().__init__()
        (length,), head_width = task.input_shape, arch["head_width"]
        width = arch["heads"] * head_width
        self.embedding = _Embedding(task.vocabulary, arch)
        self.project = nn.Linear(self.embedding.width, width)
        self.positions = _Learned(length, width) if arch["positions"] == "learned" else None
        turn = _Rotary(length, head_width) if arch["positions"] == "rotary" else None
        self.blocks = nn.ModuleList(_Block(width, arch["heads"], ratio, turn) for ratio in arch["hidden_ratios"])
        self.normalise = nn.LayerNorm(width)
        self.dropout = nn.Dropout(arch["dropout"])
        self.head = nn.Linear(width, task.num_outputs)

    def forward(self, ids: Tensor) -> Tensor:
        mask = _mask(ids)
        x = self.project(self.embedding(ids))
        if self.positions is not None:
            x = self.positions(x)
        # A row of padding only would have no token to attend to, and its answer would be NaN.
        seen = (mask | ~mask.any(dim=1, keepdim=True)).transpose(1, 2).unsqueeze(1)
        for block in self.blocks:
            x = block(x, seen)
        answer: Tensor = self.head(self.dropout(_mean(self.normalise(x), mask)))
        return answer


class _Block(nn.Module):
    """Attention and an MLP, each normalised before and added to its input."""

    def __init__(self, width: int, heads: int, hidden_ratio: int, turn: _Rotary | None) -> None:
        super().__init__()
        self.normalise = nn.LayerNorm(width)
        self.attention = _Attention(width, heads, turn)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width * hidden_ratio),
            nn.GELU(),
            nn.Linear(width * hidden_ratio, width),
        )

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        x = x + self.attention(self.normalise(x), seen)
        return x + self.mlp(x)


class _Attention(nn.Module):
    """Attention of each token (batch, length, width) to those that are seen, bool, shape (batch, 1, 1, length)."""

    def __init__(self, width: int, heads: int, turn: _Rotary | None) -> None:
        super().__init__()
        self.heads, self.turn = heads, turn
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        parts = self.query_key_value(x).unflatten(2, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind()
        if self.turn is not None:
            query, key = self.turn(query), self.turn(key)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        attended: Tensor = self.project(mixed.transpose(1, 2).flatten(2))
        return attended


class _Learned(nn.Module):
    """Adds a learned vector for each position (batch, length, width)."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight[: x.shape[1]]


class _Rotary(nn.Module):
    """Turns pairs of the numbers of a query or a key (batch, heads, length, head width) by angles of its position."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, length: int, head_width: int) -> None:
        super().__init__()
        frequencies = 10_000 ** (-torch.arange(0, head_width, 2) / head_width)
        angles = torch.arange(length)[:, None] * frequencies
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        cosine, sine = self.cosine[: x.shape[2]], self.sine[: x.shape[2]]
        first, second = x.chunk(2, dim=3)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=3)


def _mask(ids: Tensor) -> Tensor:
    """Where ids (batch, length) are tokens, bool, shape (batch, length, 1)."""
    return (ids != 0).unsqueeze(2)


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean over the tokens of each text, and 0 if it has none."""
    count = mask.sum(dim=1).clamp(min=1)
    return (x * mask.to(x.dtype)).sum(dim=1) / count.to(x.dtype)


def _max(x: Tensor, mask: Tensor) -> Tensor:
    """The largest of each number over the tokens of each text, and 0 if it has none."""
    return x.masked_fill(~mask, -torch.inf).amax(dim=1).masked_fill(~mask.any(dim=1), 0)


_POOLING: dict[str, list[Callable[[Tensor, Tensor], Tensor]]] = {
    "mean": [_mean],
    "max": [_max],
    "mean_and_max": [_mean, _max],
}
_KINDS: dict[str, tuple[Any, Any]] = {
    "bag": (_suggest_bag, _Bag),
    "cnn": (_suggest_cnn, _CNN),
    "transformer": (_suggest_transformer, _Transformer),
}
