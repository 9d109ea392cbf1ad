"""Grid autoencoder: a truncated SDF grid to a small latent grid, and back to a field that can be asked anywhere.

Encoder: 64^3 samples -> 16^3 -> 8^3 -> 4^3 cells by strided convolutions with residual blocks between, ending in the
mean and log-variance of a Gaussian per latent number (Kingma and Welling, arXiv 1312.6114). The decoder, in
`_grid_decoder.py`, is the mirror image up to a 32^3 grid of features, interpolated at whatever points are asked.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from geomflow.encoders._blocks import blocks, downsample
from geomflow.encoders._grid_decoder import GridDecoder, check_grid
from geomflow.encoders._posterior import Posterior, posterior_of


class GridAutoencoder(GridDecoder):
    """Autoencoder of shapes given as truncated SDF grids over [-1, 1]^3.

    Args:
        resolution: Samples per axis of the input grid, a multiple of 16.
        band: Distance at which the input is cut off, and the unit in which distances are predicted.
        widths: Channels at 1/4, 1/8 and 1/16 of the input's resolution, multiples of 16.
        latent_channels: Numbers per latent cell.
        depth: Residual blocks per level.
    """

    reads = "grid"

    def __init__(self, resolution: int, band: float, widths: Sequence[int], latent_channels: int, depth: int) -> None:
        check_grid(resolution, widths)
        fine, middle, coarse = widths
        encoder = nn.Sequential(
            downsample(1, fine, 4),
            blocks(fine, 1),
            downsample(fine, middle),
            blocks(middle, depth),
            downsample(middle, coarse),
            blocks(coarse, depth),
            nn.Conv3d(coarse, 2 * latent_channels, 1),
        )
        super().__init__(encoder, resolution, band, widths, latent_channels, depth)

    def encode(self, grid: Float[Tensor, "batch x y z"]) -> Posterior:
        """Return the Gaussian over latents of signed distances at the nodes of a grid over [-1, 1]^3.

        Args:
            grid: Signed distances at the nodes.

        Raises:
            ValueError: The grid has another resolution than the model.
        """
        if grid.shape[1:] != (self.resolution,) * 3:
            raise ValueError(f"grid must have {self.resolution} samples per axis, given {tuple(grid.shape[1:])}")
        scaled = grid.clamp(-self.band, self.band)[:, None] / self.band
        return posterior_of(self.encoder(scaled))


def make(
    resolution: int = 64,
    band: float = 0.1,
    widths: Sequence[int] = (64, 128, 160),
    latent_channels: int = 32,
    depth: int = 1,
) -> GridAutoencoder:
    """Return an untrained grid autoencoder; see `GridAutoencoder` for the options."""
    return GridAutoencoder(resolution, band, widths, latent_channels, depth)
