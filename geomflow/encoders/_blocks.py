"""Parts that encoders share: convolution blocks, waves, places as features, noise."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

WAVELENGTHS = (2.0, 1.0, 1 / 2, 1 / 4, 1 / 8)
"""Periods of the waves that places in [-1, 1]^3 are told with."""


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions around a skip connection, the second starting at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(8, width)
        self.second = nn.Conv3d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # pyright: ignore[reportArgumentType]
        self.activation = nn.SiLU()

    def forward(self, x: Float[Tensor, "batch width x y z"]) -> Float[Tensor, "batch width x y z"]:
        """Return `x` plus what the convolutions find."""
        return x + self.second(self.activation(self.first(self.activation(self.norm(x)))))


class Upsample(nn.Module):
    """Double every axis: one linear map gives each cell's eight children, neighbours blend in the blocks after it."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.expand = nn.ConvTranspose3d(width, out_width, 2, stride=2)

    def forward(self, x: Float[Tensor, "batch width x y z"]) -> Float[Tensor, "batch out_width x2 y2 z2"]:
        """Return features on the grid of twice the resolution."""
        return self.expand(x)


def downsample(width: int, out_width: int, factor: int = 2) -> nn.Module:
    """Return a layer that gathers `factor`^3 cells into one."""
    return nn.Conv3d(width, out_width, factor, stride=factor)


def blocks(width: int, count: int) -> nn.Sequential:
    """Return `count` residual blocks."""
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


def waves(positions: Float[Tensor, "batch n 3"], periods: Sequence[float]) -> Float[Tensor, "batch n waves"]:
    """Return sine and cosine of positions for every period, which is in the positions' unit."""
    phases = torch.cat([positions * (2 * torch.pi / period) for period in periods], dim=-1)
    return torch.cat([phases.sin(), phases.cos()], dim=-1)


class Place(nn.Module):
    """Where points lie, as features of tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3 + 6 * len(WAVELENGTHS), width)

    def forward(self, points: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n width"]:
        """Return features of places in [-1, 1]^3."""
        return self.linear(torch.cat([points, waves(points, WAVELENGTHS)], dim=-1))


def standard_normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return normal noise of the shape and on the device of `like`, drawn where the generator lives."""
    source = generator.device if generator else like.device
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=source).to(like.device)
