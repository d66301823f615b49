"""The blocks of transformers over the columns of a table, see `table`.

Their names and their code stay as they are, because both are in the digests of teachers of earlier versions.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class _Block(nn.Module):
    """Attention and a gated MLP, each normalised before and added to its input.

    The first block does not normalise before its attention. The last one gives the class token only.
    """

    def __init__(self, width: int, heads: int, hidden_ratio: int, *, first: bool, last: bool) -> None:
        super().__init__()
        self.asking = 1 if last else None
        self.normalise = nn.Identity() if first else nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * hidden_ratio * width),
            _GatedReLU(),
            nn.Linear(hidden_ratio * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.normalise(x)
        x = x[:, : self.asking] + self.attention(tokens[:, : self.asking], tokens)
        return x + self.mlp(x)


class _Attention(nn.Module):
    """Attention of some tokens (rows, asking, width) to all tokens (rows, tokens, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)

    def forward(self, asking: Tensor, tokens: Tensor) -> Tensor:
        query = self.query(asking).unflatten(2, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(tokens).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.project(mixed.transpose(1, 2).flatten(2))


class _GatedReLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        values, gates = x.chunk(2, dim=-1)
        return values * functional.relu(gates)
