"""Networks for texts: bags of embeddings, convolutions over words, small transformers, or as `text(kind="cnn")` says.

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
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces import text_inherit
from search_spaces.picks import is_searched, need_counts, need_some_of, pick, refuse_strange

if TYPE_CHECKING:
    import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Picks a kind of network, the width of its embeddings, and the sizes of this kind."""
    return Space().suggest(trial)


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
    network: nn.Module = _BUILD[arch["kind"]](arch, task)
    return network


def inherit(
    arch: dict[str, Any], teacher_arch: dict[str, Any], teacher_weights: dict[str, Tensor], task: Any
) -> dict[str, Tensor]:
    """What a student takes over of its teacher: the embeddings of tokens, and the layers of a network of its kind.

    The teacher may be any network with embeddings for the same tokens. If the student's are narrower, they are the
    principal components of the teacher's, and if they are wider, they are filled up with zeros.
    """
    found = text_inherit.taken(arch, teacher_arch, teacher_weights, task.vocabulary)
    own = build(arch, task).state_dict()
    return {
        name: tensor
        for name, tensor in found.items()
        if name in own and all(size >= least for size, least in zip(tensor.shape, own[name].shape, strict=True))
    }


@dataclass(frozen=True, kw_only=True)
class Space:
    """The space with settings, each a list of choices, a range (low, high) or a fixed value.

    Args:
        kind: `bag`, `cnn` or `transformer`.
        embedding: the width of the embeddings of tokens; a range is searched on a logarithmic scale, as those of all
            other widths.
        dropout: the share of the numbers of embeddings, and of what the last layer of a `cnn` or a `transformer` reads,
            that is set to 0 in training.
        pooling: `mean`, `max` or `mean_and_max`, how a bag joins its tokens.
        layers: the number of layers of a bag after the embeddings.
        hidden: the width of each of these layers but the last.
        kernels: the number of convolutions side by side.
        narrowest_kernel: the number of tokens that the narrowest convolution sees; each other one sees one more.
        channels: the channels of each convolution.
        blocks: the number of blocks of a transformer.
        positions: `learned` or `rotary`, how a transformer knows positions.
        heads: the heads of attention in each block.
        head_width: the width of a head, an even number; heads times this is the width of the transformer.
        hidden_ratio: the width of the hidden layer of a block, in multiples of the width of the transformer.

    Raises:
        ValueError: a setting has other values.
    """

    kind: Any = field(default_factory=lambda: list(_BUILD))
    embedding: Any = (1, 128)
    dropout: Any = field(default_factory=lambda: [0.0, 0.2, 0.5])
    pooling: Any = field(default_factory=lambda: list(_POOLING))
    layers: Any = (1, 3)
    hidden: Any = (4, 512)
    kernels: Any = (1, 3)
    narrowest_kernel: Any = (1, 3)
    channels: Any = (4, 256)
    blocks: Any = (1, 4)
    positions: Any = field(default_factory=lambda: ["learned", "rotary"])
    heads: Any = field(default_factory=lambda: [1, 2, 4, 8])
    head_width: Any = field(default_factory=lambda: [4, 8, 16, 32, 64])
    hidden_ratio: Any = (1, 4)

    build = staticmethod(build)
    inherit = staticmethod(inherit)

    def __post_init__(self) -> None:
        refuse_strange(vars(self))
        need_some_of(list(_BUILD), kind=self.kind)
        need_some_of(list(_POOLING), pooling=self.pooling)
        need_some_of(["learned", "rotary"], positions=self.positions)
        named = ("kind", "pooling", "positions", "dropout")
        need_counts(**{name: setting for name, setting in vars(self).items() if name not in named})
        if isinstance(self.head_width, tuple) or any(width % 2 for width in _choices(self.head_width)):
            raise ValueError(
                f"head_width={self.head_width!r} is not allowed; write an even number, or a list of such numbers"
            )
        if not all(isinstance(share, int | float) and 0 <= share < 1 for share in _choices(self.dropout)):
            raise ValueError(
                f"dropout={self.dropout!r} is not allowed; write a number from 0 to below 1, a list of such "
                "numbers, or a range (low, high)"
            )

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Picks a kind of network, the width of its embeddings, and the sizes of this kind."""
        kind = pick(trial, "kind", self.kind)
        return {
            "kind": kind,
            "embedding": pick(trial, "embedding", self.embedding, log=True),
            "dropout": pick(trial, "dropout", self.dropout),
            **{"bag": self._bag, "cnn": self._cnn, "transformer": self._transformer}[kind](trial),
        }

    def _bag(self, trial: optuna.Trial) -> dict[str, Any]:
        hidden = pick(trial, "layers", self.layers) - 1
        return {
            "pooling": pick(trial, "pooling", self.pooling),
            "hidden": [pick(trial, f"hidden_{i}", self.hidden, log=True) for i in range(hidden)],
        }

    def _cnn(self, trial: optuna.Trial) -> dict[str, Any]:
        narrowest, count = pick(trial, "narrowest_kernel", self.narrowest_kernel), pick(trial, "kernels", self.kernels)
        return {
            "kernels": list(range(narrowest, narrowest + count)),
            "channels": pick(trial, "channels", self.channels, log=True),
        }

    def _transformer(self, trial: optuna.Trial) -> dict[str, Any]:
        blocks = pick(trial, "blocks", self.blocks)
        return {
            "positions": pick(trial, "positions", self.positions),
            "heads": pick(trial, "heads", self.heads),
            "head_width": pick(trial, "head_width", self.head_width),
            "hidden_ratios": [pick(trial, f"hidden_ratio_{i}", self.hidden_ratio) for i in range(blocks)],
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


def _choices(setting: Any) -> Any:
    return setting if is_searched(setting) else [setting]


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
_BUILD: dict[str, Callable[[dict[str, Any], Any], nn.Module]] = {"bag": _Bag, "cnn": _CNN, "transformer": _Transformer}
