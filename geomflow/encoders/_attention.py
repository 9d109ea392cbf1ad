"""Attention of queries to tokens: what an encoder reads a set with."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., arXiv 1706.03762) from normalised queries to normalised tokens.

    Args:
        width: Features per query and token.
        heads: Parts of the features that attend by themselves.
        causal: Whether query k sees only the tokens up to the k-th.
    """

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm_x, self.norm_tokens = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch queries width"], tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch queries width"]:
        """Return every query's mixture of the tokens' values."""
        key, value = self.key_value(self.norm_tokens(tokens)).chunk(2, dim=2)
        inputs = (self.query(self.norm_x(x)), key, value)
        by_head = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in inputs)
        return self.out(F.scaled_dot_product_attention(*by_head, is_causal=self.causal).transpose(1, 2).flatten(2))


class QueryBlock(nn.Module):
    """Queries look at the tokens, then at each other, then each thinks for itself; every part is a residual.

    The scheme of Perceiver (Jaegle et al., arXiv 2103.03206).

    Args:
        width: Features per query and token.
        heads: Heads of both attentions.
        causal: Whether a query sees only those before it, so that it does not depend on how many there are.
    """

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.across, self.within = Attention(width, heads), Attention(width, heads, causal)
        self.feed = feed_forward(width)

    def forward(
        self, x: Float[Tensor, "batch queries width"], tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch queries width"]:
        """Return the queries after one round."""
        x = x + self.across(x, tokens)
        x = x + self.within(x, x)
        return x + self.feed(x)


class SelfBlock(nn.Module):
    """Tokens look at each other, then each thinks for itself; both are residuals."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.within, self.feed = Attention(width, heads), feed_forward(width)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens after one round."""
        x = x + self.within(x, x)
        return x + self.feed(x)


def feed_forward(width: int) -> nn.Sequential:
    """Return what every query or token thinks for itself."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
