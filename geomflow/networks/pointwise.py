"""Pointwise: a two-time network on clouds whose points do not see each other, for the points of one shape.

All points of a cloud share their two times, so what depends on the times alone - embedding, gains, shifts - is computed
once per cloud and not once per point: in sampling that is once per jump, however many points are drawn.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from geomflow.networks._layers import TimeEmbedding, zero_linear


class Pointwise(nn.Module):
    """Residual perceptron on every point of a cloud, conditioned on current and target time.

    A point enters by its coordinates and by sines and cosines of them, with a gain for each that depends on the times:
    fine waves count where there is little noise.

    Args:
        channels: Numbers per point: coordinates and, behind them, attributes.
        width: Features per layer.
        depth: Number of residual blocks of two layers.
        octaves: Waves per channel, of angular frequencies 1, 2, 4, ...
    """

    frequencies: Tensor

    def __init__(self, channels: int, width: int, depth: int, octaves: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.arange(octaves))
        features = channels * (1 + 2 * octaves)
        self.time = TimeEmbedding(width)
        self.gain = zero_linear(width, features)
        self.embed = nn.Linear(features, width)
        self.blocks = nn.ModuleList(PointwiseBlock(width) for _ in range(depth))
        self.norm = nn.RMSNorm(width)
        self.out = zero_linear(width, channels)

    def forward(
        self,
        x: Float[Tensor, "batch points channels"],
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
        condition: Tensor | None = None,
    ) -> Float[Tensor, "batch points channels"]:
        """Return an output of the shape of `x`; each point's depends on that point and the cloud's times.

        Raises:
            ValueError: A condition is given to an unconditional network.
        """
        if condition is not None:
            raise ValueError("condition must be None: pointwise is unconditional")
        embedding = F.silu(self.time(t, r))[:, None]
        angles = (x[..., None] * self.frequencies.to(x)).flatten(-2)
        features = torch.cat([x, angles.sin(), angles.cos()], dim=-1)
        hidden = self.embed(features * (1 + self.gain(embedding)))
        for block in self.blocks:
            hidden = block(hidden, embedding)
        return self.out(self.norm(hidden))

    def hidden_weights(self) -> list[nn.Parameter]:
        """Return the matrices of the hidden layers."""
        return [layer.weight for block in self.blocks for layer in (block.first, block.second)]  # pyright: ignore


class PointwiseBlock(nn.Module):
    """Two layers on normalised features, which are scaled and shifted by the embedding, added to what came in.

    Args:
        width: Features per point.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, elementwise_affine=False)
        self.modulation = zero_linear(width, 2 * width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.normal_(self.second.weight, std=0.5 / math.sqrt(width))

    def forward(
        self, x: Float[Tensor, "batch points width"], embedding: Float[Tensor, "batch 1 width"]
    ) -> Float[Tensor, "batch points width"]:
        """Return the features after the block.

        Args:
            x: Features of each point.
            embedding: What is known of the times.
        """
        scale, shift = self.modulation(embedding).chunk(2, dim=-1)
        return x + self.second(F.silu(self.first(self.norm(x) * (1 + scale) + shift)))


def make(channels: int, width: int = 128, depth: int = 5, octaves: int = 5) -> Pointwise:
    """Return an untrained pointwise network; see `Pointwise` for the options."""
    return Pointwise(channels, width, depth, octaves)
