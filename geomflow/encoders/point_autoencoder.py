"""Point autoencoder: points on a surface with their normals to the small latent grid of `grid_autoencoder`, and back.

Encoder: two set abstractions (PointNet++, Qi et al., arXiv 1706.02413) turn the points into tokens, neighbourhoods of
two sizes that know their place. A third gathers the tokens around the middle of each latent cell into its query, which
then attends to all tokens and to the other queries for a few rounds (as in Perceiver, Jaegle et al., arXiv 2103.03206)
and ends in the mean and log-variance of the cell's numbers. Points are put in lexicographic order first: the latent
depends on their set alone, bit for bit. The latent, the decoder and the field are those of the grid autoencoder, so
whatever works on its latents works on these.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geomflow.encoders._attention import QueryBlock
from geomflow.encoders._blocks import Place
from geomflow.encoders._grid_decoder import CELL, GridDecoder, check_grid
from geomflow.encoders._posterior import Posterior, posterior_of
from geomflow.set_abstraction import SetAbstraction, by_place, spread_centers

FIRST_LOG_VARIANCE = -3.0
"""Where log-variances start: with little noise, the decoder sees what the encoder says from the first step on."""


class PointEncoder(nn.Module):
    """Surface points to two numbers per latent number, mean and log-variance.

    Args:
        centers: Centres of the two set abstractions.
        neighbours: Points per neighbourhood.
        set_widths: Features per centre of each set abstraction.
        width: Features per query and token.
        heads: Heads of every attention.
        rounds: Times that queries attend to tokens and to each other.
        cells: Latent cells per axis.
        latent_channels: Numbers per latent cell.
    """

    cell_centers: Tensor

    def __init__(
        self,
        centers: Sequence[int],
        neighbours: int,
        set_widths: Sequence[int],
        width: int,
        heads: int,
        rounds: int,
        cells: int,
        latent_channels: int,
    ) -> None:
        super().__init__()
        self.cells, self.centers = cells, tuple(centers)
        fine, coarse = set_widths
        reach_fine, reach_coarse = (1 / math.sqrt(count) for count in centers)  # how the spacing on a surface shrinks
        self.fine = SetAbstraction(3, fine, neighbours, reach_fine)
        self.coarse = SetAbstraction(fine, coarse, neighbours, reach_coarse)
        self.around = SetAbstraction(fine, width, 2 * neighbours, 1 / cells)
        self.tokens = nn.ModuleList(nn.Linear(features, width) for features in set_widths)
        self.place = Place(width)
        self.queries = nn.Parameter(0.02 * torch.randn(1, cells**3, width))
        self.register_buffer("cell_centers", _cell_centers(cells), persistent=False)
        self.rounds = nn.ModuleList(QueryBlock(width, heads) for _ in range(rounds))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 2 * latent_channels)
        self.out.bias.data[latent_channels:] = FIRST_LOG_VARIANCE

    def forward(self, surface: Float[Tensor, "batch n 6"]) -> Float[Tensor, "batch c2 x y z"]:
        """Return mean and log-variance, one after the other, per latent cell.

        Args:
            surface: Points on the surface with unit normals.
        """
        present = surface.isfinite().all(-1, keepdim=True)
        points, normals = by_place(torch.where(present, surface, torch.nan)).split(3, dim=2)
        x, tokens = self._read(points, normals.nan_to_num(0))
        for block in self.rounds:
            x = block(x, tokens)
        return self.out(self.norm(x)).transpose(1, 2).unflatten(2, (self.cells,) * 3)

    def _read(self, points: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (batch, cells^3, width) and tokens, neighbourhoods of both sizes (batch, tokens, width)."""
        at_fine = spread_centers(points, self.centers[0])
        at_coarse = spread_centers(at_fine, self.centers[1])
        at_cells = self.cell_centers.expand(len(points), -1, -1)
        fine = self.fine(points, normals, at_fine)
        coarse = self.coarse(at_fine, fine, at_coarse)
        tokens = [self.tokens[0](fine) + self.place(at_fine), self.tokens[1](coarse) + self.place(at_coarse)]
        return self.queries + self.place(at_cells) + self.around(at_fine, fine, at_cells), torch.cat(tokens, dim=1)


class PointAutoencoder(GridDecoder):
    """Autoencoder of shapes given as points with normals in [-1, 1]^3, to the latents of a grid autoencoder.

    Args:
        points: Points that it is trained with, and that a mesh or record is read with; any other number works too.
        centers: Centres of the two set abstractions.
        neighbours: Points per neighbourhood.
        set_widths: Features per centre of each set abstraction.
        width: Features per query and token, a multiple of `heads`.
        heads: Heads of every attention.
        rounds: Times that queries attend to tokens and to each other.
        resolution: 16 times the latent cells per axis, and the samples of the grid that distances are as fine as.
        band: Unit in which distances are predicted, and where they are cut off.
        widths: Channels of the decoder at 1/4, 1/8 and 1/16 of the resolution, multiples of 16.
        latent_channels: Numbers per latent cell.
        depth: Residual blocks per level of the decoder.
    """

    reads = "surface"

    def __init__(
        self,
        points: int,
        centers: Sequence[int],
        neighbours: int,
        set_widths: Sequence[int],
        width: int,
        heads: int,
        rounds: int,
        resolution: int,
        band: float,
        widths: Sequence[int],
        latent_channels: int,
        depth: int,
    ) -> None:
        check_grid(resolution, widths)
        _check_sets(points, centers, neighbours, set_widths, width, heads)
        cells = resolution // CELL
        encoder = PointEncoder(centers, neighbours, set_widths, width, heads, rounds, cells, latent_channels)
        super().__init__(encoder, resolution, band, widths, latent_channels, depth)
        self.points = points

    def encode(self, surface: Float[Tensor, "batch n columns"]) -> Posterior:
        """Return the Gaussian over latents of points and unit normals, whatever their order.

        Args:
            surface: Points and normals of each shape; rows that are not finite count as absent, so that shapes with
                fewer points can be filled up with NaN.

        Raises:
            ValueError: The rows do not have six columns.
        """
        if surface.ndim != 3 or surface.shape[2] != 6:
            raise ValueError(f"surface must have shape (batch, points, 6), given {tuple(surface.shape)}")
        return posterior_of(self.encoder(surface))


def _cell_centers(cells: int) -> Float[Tensor, "1 n 3"]:
    """Middles of the cells that [-1, 1]^3 is cut into, in the order of a flattened latent grid."""
    axis = (2 * torch.arange(cells) + 1) / cells - 1
    return torch.cartesian_prod(axis, axis, axis)[None]


def _check_sets(
    points: int, centers: Sequence[int], neighbours: int, set_widths: Sequence[int], width: int, heads: int
) -> None:
    """Refuse sizes that no set abstraction or attention can have.

    Raises:
        ValueError: One of them does not fit; the message names it.
    """
    if len(centers) != 2 or not points >= centers[0] >= centers[1] >= 1:
        raise ValueError(f"centers must be two numbers falling from points, {points}, given {list(centers)}")
    if len(set_widths) != 2:
        raise ValueError(f"set_widths must be two numbers, given {list(set_widths)}")
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, given {neighbours}")
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, {heads}, given {width}")


def make(
    points: int = 2048,
    centers: Sequence[int] = (512, 128),
    neighbours: int = 16,
    set_widths: Sequence[int] = (64, 128),
    width: int = 192,
    heads: int = 4,
    rounds: int = 3,
    resolution: int = 64,
    band: float = 0.1,
    widths: Sequence[int] = (64, 128, 160),
    latent_channels: int = 32,
    depth: int = 1,
) -> PointAutoencoder:
    """Return an untrained point autoencoder; see `PointAutoencoder` for the options."""
    return PointAutoencoder(
        points,
        centers,
        neighbours,
        set_widths,
        width,
        heads,
        rounds,
        resolution,
        band,
        widths,
        latent_channels,
        depth,
    )
