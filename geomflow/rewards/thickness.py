"""Walls thick enough to be printed: the share of the surface that has enough material under it."""

import math

import torch

from geomflow.errors import ConfigError
from geomflow.rewards._grid import SOFTNESS, Grid, Score, at, axis, spacing, surface
from geomflow.steer.reward import Reward

DEPTHS = (1 / 3, 2 / 3, 1.0)
"""Parts of the wanted thickness at which there must be material."""

SEEN = 0.02
"""Share of the densest surface element under which a node has no surface."""


def make(least: float = 0.1) -> Reward:
    """Return the share of the surface, 0 to 1, with at least so much material straight under it.

    It is the thickness that `geomflow.geometry.wall_thickness` measures by a ray. Walls thinner than the spacing of the
    grid (0.065 at 32 samples) may not be there at all and count as little surface.

    Args:
        least: Wanted thickness in the unit of [-1, 1]^3.

    Raises:
        ConfigError: It is not positive and finite.
    """
    if not 0 < least < math.inf:
        raise ConfigError(f"least must be positive and finite, given {least}")

    def thickness(sdf: Grid) -> Score:
        """(batch,) shares."""
        return torch.cat([_share(one[None], least) for one in sdf])

    return thickness


def _share(sdf: Grid, least: float) -> torch.Tensor:
    """The share of one shape."""
    area, normals = (part.flatten(-3) for part in surface(sdf))
    rows = (area[0] > SEEN * area.amax()).nonzero()[:, 0]
    x = axis(sdf)
    nodes = torch.stack(torch.meshgrid(x, x, x, indexing="ij"), -1).reshape(-1, 3)[rows]
    outward = normals[:, 0, rows].T
    deep = torch.stack([sdf.flatten()[rows] + depth * least for depth in DEPTHS])  # from the node, past its surface
    under = (nodes - deep[..., None] * outward).reshape(1, -1, 3)
    worst = at(sdf, under).reshape(len(DEPTHS), -1).amax(0)
    filled = torch.sigmoid(-worst / (SOFTNESS * spacing(sdf)))
    return ((filled * area[0, rows]).sum() / area[0, rows].sum().clamp(min=1e-6))[None]
