"""What rewards measure a shape by: soft occupancy, surface elements and values between the nodes of a grid."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Grid = Float[Tensor, "batch n n n"]
Score = Float[Tensor, " batch"]

SOFTNESS = 0.2
"""Width of the soft surface in spacings of the grid: wide enough for a gradient, narrow beside a decoder's band."""


def spacing(sdf: Grid) -> float:
    """Return the distance of two nodes of a grid over [-1, 1]^3."""
    return 2 / (sdf.shape[-1] - 1)


def occupancy(sdf: Grid) -> Grid:
    """Return how much of each node is inside, sigmoid(-distance / width): 1 inside, 0 outside, 1/2 on the surface."""
    return torch.sigmoid(-sdf / (SOFTNESS * spacing(sdf)))


def integral(density: Grid) -> Score:
    """Return the integral of a density over the cube."""
    return density.sum((1, 2, 3)) * spacing(density) ** 3


def axis(sdf: Grid) -> Float[Tensor, " n"]:
    """Return the coordinates of the nodes along an axis."""
    return torch.linspace(-1, 1, sdf.shape[-1], dtype=sdf.dtype, device=sdf.device)


def along(values: Float[Tensor, " n"], dimension: int) -> Float[Tensor, "x y z"]:
    """Return values of one axis, 0 to 2, shaped to multiply grids."""
    return values.reshape([-1 if d == dimension else 1 for d in range(3)])


def center_of_mass(sdf: Grid) -> Float[Tensor, "batch 3"]:
    """Return the centre of mass of a homogeneous body."""
    inside, places = occupancy(sdf), axis(sdf)
    mass = inside.sum((1, 2, 3)).clamp(min=1e-6)
    return torch.stack([(inside * along(places, d)).sum((1, 2, 3)) / mass for d in range(3)], 1)


def floor(sdf: Grid) -> Score:
    """Return the height of the lowest point: where the largest occupancy of a height first passes 1/2."""
    filled = occupancy(sdf).amax((1, 3))
    first = (filled > 0.5).float().argmax(1)
    above = filled.gather(1, first[:, None])[:, 0]
    below = filled.gather(1, (first - 1).clamp(min=0)[:, None])[:, 0]
    back = torch.where(first > 0, (above - 0.5) / (above - below).clamp(min=1e-6), 0)
    return axis(sdf)[first] - spacing(sdf) * back


def surface(sdf: Grid) -> tuple[Grid, Float[Tensor, "3 batch n n n"]]:
    """Return the density of surface, whose integral is the area, and outward normals where there is any."""
    rise = torch.stack(torch.gradient(occupancy(sdf), spacing=spacing(sdf), dim=(1, 2, 3)))
    area = (rise.square().sum(0) + 1e-12).sqrt()
    return area, -rise / area


def at(sdf: Grid, points: Float[Tensor, "batch m 3"]) -> Float[Tensor, "batch m"]:
    """Return the distances at points, interpolated trilinearly, those of the border outside of the cube."""
    places = points.flip(-1)[:, :, None, None]
    sampled = F.grid_sample(sdf[:, None], places, padding_mode="border", align_corners=True)
    return sampled.flatten(1)


def inside_box(sdf: Grid, low: Float[Tensor, "3"], high: Float[Tensor, "3"]) -> Float[Tensor, "n n n"]:
    """Return which share of each node's cell lies in a box."""
    half, places = spacing(sdf) / 2, axis(sdf)
    shares = [_overlap(places, half, float(low[d]), float(high[d])) for d in range(3)]
    return along(shares[0], 0) * along(shares[1], 1) * along(shares[2], 2)


def _overlap(places: Float[Tensor, " n"], half: float, low: float, high: float) -> Float[Tensor, " n"]:
    """Share of [place - half, place + half] in [low, high]."""
    return ((places + half).clamp(max=high) - (places - half).clamp(min=low)).clamp(min=0) / (2 * half)
