"""Plain grid: no autoencoder at all; the latent is a coarse grid of truncated signed distances itself.

The simplest way from a flow map to shapes, to compare the others with: nothing is learned here, nothing is lost but
what is finer than the grid, and the field between nodes is trilinear.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.encoders._posterior import Posterior

CERTAIN = -12.0
"""Log-variance of what is not random."""


class PlainGrid(nn.Module):
    """Signed distances at the nodes of a grid over [-1, 1]^3, cut off and in units of the band.

    Args:
        cells: Nodes per axis of the latent.
        resolution: Nodes per axis of the grids that are read.
        band: Distance at which values are cut off; a little above the spacing of the latent's nodes.
    """

    reads = "grid"

    def __init__(self, cells: int, resolution: int, band: float) -> None:
        super().__init__()
        if not 2 <= cells <= resolution:
            raise ValueError(f"cells must lie between 2 and the resolution, {resolution}, given {cells}")
        self.cells, self.resolution, self.band = cells, resolution, band

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Shape (1, nodes, nodes, nodes) of one latent."""
        return (1, self.cells, self.cells, self.cells)

    def encode(self, grid: Float[Tensor, "batch x y z"]) -> Posterior:
        """Return the grid's values at the latent's nodes.

        Args:
            grid: Signed distances at the nodes of the finer grid that the data set holds.

        Raises:
            ValueError: The grid has another resolution than the model.
        """
        if grid.shape[1:] != (self.resolution,) * 3:
            raise ValueError(f"grid must have {self.resolution} samples per axis, given {tuple(grid.shape[1:])}")
        coarse = F.interpolate(grid[:, None], size=(self.cells,) * 3, mode="trilinear", align_corners=True)
        mean = (coarse / self.band).clamp(-1, 1)
        return Posterior(mean, torch.full_like(mean, CERTAIN))

    def decode(self, latent: Float[Tensor, "batch 1 x y z"]) -> Float[Tensor, "batch 1 x y z"]:
        """Return the latent."""
        return latent.float()

    def sdf(
        self, features: Float[Tensor, "batch 1 x y z"], points: Float[Tensor, "batch n 3"]
    ) -> Float[Tensor, "batch n"]:
        """Return the trilinear interpolation of the grid at points of [-1, 1]^3, in the unit of the shapes."""
        places = points.flip(-1)[:, :, None, None]
        sampled = F.grid_sample(features, places, padding_mode="border", align_corners=True)
        return self.band * sampled.flatten(1)


def make(cells: int = 32, resolution: int = 64, band: float = 0.2) -> PlainGrid:
    """Return a plain grid; see `PlainGrid` for the options."""
    return PlainGrid(cells, resolution, band)
