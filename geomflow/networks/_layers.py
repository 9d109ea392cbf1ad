"""Layers shared by the networks: time embedding, attention and feed-forward blocks.

Attention is torch's own, fused where that is fast; derivatives in forward mode ask it for the kernel that has them (see
`geomflow.flow.derivative`).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class TimeEmbedding(nn.Module):
    """Two times to one vector: each has its own embedder and the results are averaged.

    With the embedder of `r` copied from that of `t`, as here at the start, the network at r = t is an ordinary one-time
    network, so a trained multi-step model can be warm-started (arXiv 2605.03623). Frequencies stay low, at most
    `max_frequency`, since derivatives in time multiply by them.

    Args:
        width: Length of the vector.
        features: Number of sines and cosines.
        max_frequency: Highest angular frequency.
    """

    frequencies: Tensor

    def __init__(self, width: int, features: int = 64, max_frequency: float = 10.0) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(-1, math.log10(max_frequency), features // 2))
        self.embed_t, self.embed_r = (
            nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(2)
        )
        self.embed_r.load_state_dict(self.embed_t.state_dict())

    def forward(self, t: Float[Tensor, " batch"], r: Float[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Return the embedding of current time `t` and target time `r`."""
        return (self.embed_t(self._features(t)) + self.embed_r(self._features(r))) / 2

    def _features(self, time: Tensor) -> Tensor:
        angle = time[:, None] * self.frequencies.to(time.dtype)
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class Attention(nn.Module):
    """Multi-head self-attention with normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.norm_q, self.norm_k = nn.RMSNorm(width // heads), nn.RMSNorm(width // heads)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Return every token's mixture of all tokens' values."""
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=2))
        mixed = F.scaled_dot_product_attention(self.norm_q(q), self.norm_k(k), v)
        return self.out(mixed.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Multi-head attention of tokens to a condition's tokens, with normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.RMSNorm(width)
        self.query, self.key_value = nn.Linear(width, width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.norm_q, self.norm_k = nn.RMSNorm(width // heads), nn.RMSNorm(width // heads)

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        seen: Float[Tensor, "batch seen width"],
        present: Bool[Tensor, "batch seen"],
    ) -> Float[Tensor, "batch tokens width"]:
        """Return every token's mixture of the values of what is seen, as far as it is present."""
        parts = (self.query(self.norm(x)), *self.key_value(seen).chunk(2, dim=2))
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        mask = present[:, None, None]
        mixed = F.scaled_dot_product_attention(self.norm_q(q), self.norm_k(k), v, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))


class ConditionedBlock(nn.Module):
    """Transformer block whose normalisations are shifted, scaled and gated by a vector, starting as the identity.

    The scheme is adaLN-Zero of Peebles and Xie, "Scalable Diffusion Models with Transformers" (arXiv 2212.09748).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_feed = (nn.RMSNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention = Attention(width, heads)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        self.modulation = zero_linear(width, 6 * width)

    def forward(
        self, x: Float[Tensor, "batch tokens width"], embedding: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens after attention and feed-forward."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self.modulation(embedding)[:, None].chunk(6, dim=2)
        x = x + gate_a * self.attention(self.norm_attention(x) * (1 + scale_a) + shift_a)
        return x + gate_f * self.feed(self.norm_feed(x) * (1 + scale_f) + shift_f)


def check_state(x: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse states that are not those of a network.

    Raises:
        ValueError: A state has another shape.
    """
    if tuple(x.shape[1:]) != shape:
        raise ValueError(f"x must have shape (batch, {', '.join(map(str, shape))}), given {tuple(x.shape)}")


def zero_linear(width: int, out_width: int) -> nn.Linear:
    """Return a linear layer that starts as zero."""
    layer = nn.Linear(width, out_width)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
