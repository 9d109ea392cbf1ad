"""Grid autoencoder: a truncated SDF grid to a small latent grid, and back to a field that can be asked anywhere.

Encoder: 64^3 samples -> 16^3 -> 8^3 -> 4^3 cells by strided convolutions with residual blocks between, ending in the
mean and log-variance of a Gaussian per latent number (Kingma and Welling, arXiv 1312.6114). Decoder: the mirror image
up to a 32^3 grid of features; a point's features are interpolated trilinearly, joined by periodic waves of its place in
the cell, and a small network turns them into a signed distance. The convolutions run once per shape, and only that last
network once per point, so resolution is a choice of whoever extracts the surface.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.encoders._blocks import Upsample, blocks, downsample, standard_normal

LOCAL_PERIODS = (1.0, 2.0)
"""Periods, in feature cells, of the waves that tell the head where in its cell a point lies."""


class Posterior(NamedTuple):
    """Gaussian over a shape's latent grid: mean and log-variance (batch, channels, cells, cells, cells)."""

    mean: Float[Tensor, "batch c x y z"]
    log_variance: Float[Tensor, "batch c x y z"]

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "batch c x y z"]:
        """Return one draw per shape."""
        return self.mean + standard_normal(self.mean, generator) * (0.5 * self.log_variance).exp()

    def divergence(self) -> Float[Tensor, ""]:
        """Return the Kullback-Leibler divergence from the standard normal, in nats per latent number."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance).mean()


class GridAutoencoder(nn.Module):
    """Autoencoder of shapes given as truncated SDF grids over [-1, 1]^3.

    Args:
        resolution: Samples per axis of the input grid, a multiple of 16.
        band: Distance at which the input is cut off, and the unit in which distances are predicted.
        widths: Channels at 1/4, 1/8 and 1/16 of the input's resolution, multiples of 16.
        latent_channels: Numbers per latent cell.
        depth: Residual blocks per level.
    """

    def __init__(self, resolution: int, band: float, widths: Sequence[int], latent_channels: int, depth: int) -> None:
        super().__init__()
        if resolution % 16:
            raise ValueError(f"resolution must be a multiple of 16, not {resolution}")
        if len(widths) != 3 or any(width % 16 for width in widths):
            raise ValueError(f"widths must be three multiples of 16, not {list(widths)}")
        self.resolution, self.band, self.latent_channels = resolution, band, latent_channels
        fine, middle, coarse = widths
        self.encoder = nn.Sequential(
            downsample(1, fine, 4),
            blocks(fine, 1),
            downsample(fine, middle),
            blocks(middle, depth),
            downsample(middle, coarse),
            blocks(coarse, depth),
            nn.Conv3d(coarse, 2 * latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv3d(latent_channels, coarse, 1),
            blocks(coarse, depth),
            Upsample(coarse, middle),
            blocks(middle, depth),
            Upsample(middle, fine),
            blocks(fine, depth),
            Upsample(fine, fine // 2),
            blocks(fine // 2, 1),
        )
        inputs = fine // 2 + 6 * len(LOCAL_PERIODS)
        self.head = nn.Sequential(nn.Linear(inputs, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Shape (channels, cells, cells, cells) of one latent."""
        cells = self.resolution // 16
        return (self.latent_channels, cells, cells, cells)

    def encode(self, grid: Float[Tensor, "batch x y z"]) -> Posterior:
        """Return the Gaussian over latents of signed distances at the nodes of a grid over [-1, 1]^3.

        Raises:
            ValueError: The grid has another resolution than the model.
        """
        if grid.shape[1:] != (self.resolution,) * 3:
            raise ValueError(f"grid must have {self.resolution} samples per axis, given {tuple(grid.shape[1:])}")
        scaled = grid.clamp(-self.band, self.band)[:, None] / self.band
        mean, log_variance = self.encoder(scaled).float().chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(-12, 4))

    def decode(self, latent: Float[Tensor, "batch c x y z"]) -> Float[Tensor, "batch f x2 y2 z2"]:
        """Return the grid of features that `sdf` interpolates."""
        return self.decoder(latent).float()

    def sdf(
        self, features: Float[Tensor, "batch f x y z"], points: Float[Tensor, "batch n 3"]
    ) -> Float[Tensor, "batch n"]:
        """Return signed distances, cut off near the model's band, at points of [-1, 1]^3.

        Node i of the input grid lies at -1 + 2 i / (resolution - 1), and features are centred between pairs of nodes;
        scaling by (resolution - 1) / resolution brings both to the convention of `grid_sample`.
        """
        place = points * ((self.resolution - 1) / self.resolution)
        sampled = F.grid_sample(features, place.flip(-1)[:, :, None, None], padding_mode="border", align_corners=False)
        inputs = torch.cat([sampled.flatten(2).transpose(1, 2), _waves(place * features.shape[-1] / 2)], dim=-1)
        return self.band * self.head(inputs).squeeze(-1).float()


def _waves(cells: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n waves"]:
    """Sine and cosine of positions measured in feature cells, for every period."""
    phases = torch.cat([cells * (2 * torch.pi / period) for period in LOCAL_PERIODS], dim=-1)
    return torch.cat([phases.sin(), phases.cos()], dim=-1)


def make(
    resolution: int = 64,
    band: float = 0.1,
    widths: Sequence[int] = (64, 128, 160),
    latent_channels: int = 32,
    depth: int = 1,
) -> GridAutoencoder:
    """Return an untrained grid autoencoder; see `GridAutoencoder` for the options."""
    return GridAutoencoder(resolution, band, widths, latent_channels, depth)
