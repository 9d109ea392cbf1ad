"""Pointwise: a two-time network on clouds whose points do not see each other, for the points of one shape.

All points of a cloud share their two times, so what depends on the times alone - embedding, gains, shifts - is computed
once per cloud and not once per point: in sampling that is once per jump, however many points are drawn.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from geomflow.networks._layers import TimeEmbedding, zero_linear


class Pointwise(nn.Module):
    """Residual perceptron on every point of a cloud, conditioned on current and target time.

    Args:
        channels: Numbers per point: coordinates first, attributes behind them.
        width: Features per layer.
        depth: Number of residual blocks, each of two layers.
        frequencies: Sines and cosines per direction...
    """

    def __init__(
        self,
        channels: int,
        width: int,
        depth: int,
        octaves: int,
        base: float,
        act: str = "silu",
        first: int = 0,
        hidden: int = 1,
    ) -> None:
        super().__init__()
        self.act = {"silu": F.silu, "relu": F.relu}[act]
        self.register_buffer("bands", base * 2.0 ** torch.arange(octaves))
        feats = channels * (1 + 2 * octaves)
        self.time = TimeEmbedding(width, max_frequency=10.0)
        self.gain = nn.Linear(width, feats)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.gain.bias)
        self.embed = nn.Linear(feats, width)
        self.blocks = nn.ModuleList(Block(width, self.act, hidden) for _ in range(depth))
        self.norm = nn.RMSNorm(width)
        self.out = zero_linear(width, channels)

    def forward(self, x, t, r, condition=None):
        e = F.silu(self.time(t, r))[:, None]
        angle = (x[..., None] * self.bands).flatten(-2)
        f = torch.cat([x, angle.sin(), angle.cos()], -1)
        h = self.embed(f * (1 + self.gain(e)))
        for b in self.blocks:
            h = b(h, e)
        return self.out(self.norm(h))


class Block(nn.Module):
    def __init__(self, width, act, hidden):
        super().__init__()
        self.act = act
        self.norm = nn.RMSNorm(width, elementwise_affine=False)
        self.first = nn.Linear(width, hidden * width)
        self.second = nn.Linear(hidden * width, width)
        self.mod = zero_linear(width, 2 * width)
        nn.init.normal_(self.second.weight, std=0.5 / math.sqrt(hidden * width))

    def forward(self, h, e):
        scale, shift = self.mod(e).chunk(2, -1)
        return h + self.second(self.act(self.first(self.norm(h) * (1 + scale) + shift)))


def make(channels=3, width=256, depth=4, octaves=6, base=1.0, act="silu", hidden=1):
    return Pointwise(channels, width, depth, octaves, base, act, hidden=hidden)
