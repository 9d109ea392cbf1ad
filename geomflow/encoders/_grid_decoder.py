"""What autoencoders with a grid of latents share: the way from it back to a distance field.

Decoder: from the latent grid by transposed convolutions with residual blocks between up to a grid of features of half
the resolution; a point's features are interpolated trilinearly, joined by periodic waves of its place in the cell, and
a small network turns them into a signed distance. The convolutions run once per shape, and only that last network once
per point, so resolution is a choice of whoever extracts the surface.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.encoders._blocks import ResidualBlock, Upsample, blocks, waves

LOCAL_PERIODS = (1.0, 2.0)
"""Periods, in feature cells, of the waves that tell the head where in its cell a point lies."""

CELL = 16
"""Samples of the full resolution, per axis, that one latent cell stands for."""


def check_grid(resolution: int, widths: Sequence[int]) -> None:
    """Refuse a resolution or widths that the decoder's levels cannot have.

    Raises:
        ValueError: The resolution is no multiple of 16, or the widths are not three multiples of 16.
    """
    if resolution % CELL:
        raise ValueError(f"resolution must be a multiple of 16, not {resolution}")
    if len(widths) != 3 or any(width % 16 for width in widths):
        raise ValueError(f"widths must be three multiples of 16, not {list(widths)}")


class GridDecoder(nn.Module):
    """Autoencoder without its encoder: latent grid to a signed distance field over [-1, 1]^3.

    Args:
        encoder: Whatever the subclass encodes with; its weights come first.
        resolution: Samples per axis that the finest features stand for in pairs, a multiple of 16.
        band: Unit in which distances are predicted.
        widths: Channels at 1/4, 1/8 and 1/16 of the resolution, multiples of 16.
        latent_channels: Numbers per latent cell.
        depth: Residual blocks per level.
    """

    def __init__(
        self, encoder: nn.Module, resolution: int, band: float, widths: Sequence[int], latent_channels: int, depth: int
    ) -> None:
        super().__init__()
        self.resolution, self.band, self.latent_channels = resolution, band, latent_channels
        fine, middle, coarse = widths
        self.encoder = encoder
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
        cells = self.resolution // CELL
        return (self.latent_channels, cells, cells, cells)

    def hidden_weights(self) -> list[nn.Parameter]:
        """Return the kernels of the residual blocks' convolutions."""
        inner = [block for block in self.modules() if isinstance(block, ResidualBlock)]
        return [layer.weight for block in inner for layer in (block.first, block.second)]  # pyright: ignore

    def decode(self, latent: Float[Tensor, "batch c x y z"]) -> Float[Tensor, "batch f x2 y2 z2"]:
        """Return the grid of features that `sdf` interpolates."""
        return self.decoder(latent).float()

    def sdf(
        self, features: Float[Tensor, "batch f x y z"], points: Float[Tensor, "batch n 3"]
    ) -> Float[Tensor, "batch n"]:
        """Return signed distances, cut off near the model's band, at points of [-1, 1]^3.

        Node i of the full grid lies at -1 + 2 i / (resolution - 1), and features are centred between pairs of nodes;
        scaling by (resolution - 1) / resolution brings both to the convention of `grid_sample`.
        """
        place = points * ((self.resolution - 1) / self.resolution)
        sampled = F.grid_sample(features, place.flip(-1)[:, :, None, None], padding_mode="border", align_corners=False)
        in_cells = waves(place * features.shape[-1] / 2, LOCAL_PERIODS)
        inputs = torch.cat([sampled.flatten(2).transpose(1, 2), in_cells], dim=-1)
        return self.band * self.head(inputs).squeeze(-1).float()
