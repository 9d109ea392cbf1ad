"""Whether a shape stands on its own: how far inside of what it stands on its centre of mass is."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.errors import ConfigError
from geomflow.rewards._grid import Grid, Score, along, axis, center_of_mass, floor, spacing
from geomflow.steer.reward import Reward

DIRECTIONS = 64
"""Horizontal directions in which the polygon is measured."""


def make(touch: float = 1.0) -> Reward:
    """Return the margin by which a shape stands, in the unit of [-1, 1]^3; negative if it would fall over.

    It is the least distance from the centre of mass, seen from above, to the sides of the support polygon: the convex
    hull of whatever touches the floor, which is as low as the lowest point. The shape is homogeneous and +y is up. The
    polygon is measured by its extent in 64 directions: in each, no point p reaches further than the largest p . u -
    distance(p), and some do.

    Args:
        touch: What lies lower than so many spacings of the grid above the floor touches it; at least 1, for there may
            be no node of the grid any lower.

    Raises:
        ConfigError: `touch` is under 1, or not finite.
    """
    if not 1 <= touch < math.inf:
        raise ConfigError(f"touch must be at least 1 spacing and finite, given {touch}")

    def stands_up(sdf: Grid) -> Score:
        """(batch,) margins."""
        reach = _reach(sdf, touch)
        return (reach - center_of_mass(sdf)[:, [0, 2]] @ _directions(sdf).T).amin(1)

    return stands_up


def _directions(sdf: Grid) -> Float[Tensor, "k 2"]:
    """Horizontal unit vectors (x, z)."""
    angles = torch.arange(DIRECTIONS, dtype=sdf.dtype, device=sdf.device) * (2 * math.pi / DIRECTIONS)
    return torch.stack([angles.cos(), angles.sin()], 1)


def _reach(sdf: Grid, touch: float) -> Float[Tensor, "batch k"]:
    """How far the support polygon goes in each direction."""
    level = (floor(sdf).detach() + touch * spacing(sdf))[:, None, None, None]
    touching = (along(axis(sdf), 1) <= level) & (sdf < spacing(sdf) / 2)
    beyond = torch.where(touching, -sdf, -10).amax(2)  # over heights; nothing reaches as little as -10
    x = axis(sdf)
    return torch.stack([(beyond + x[:, None] * u + x * v).amax((1, 2)) for u, v in _directions(sdf).tolist()], 1)
