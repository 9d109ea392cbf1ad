"""Overhangs, which a printer has to support: minus their area."""

import math

import torch

from geomflow.errors import ConfigError
from geomflow.rewards._grid import Grid, Score, along, axis, floor, integral, spacing, surface
from geomflow.steer.reward import Reward

SHARP = 0.03
"""How soon a face counts as steep enough, in cosines."""

GROUND = 1.5
"""Faces lower than so many spacings above the lowest point rest on the ground."""


def make(angle: float = 45.0) -> Reward:
    """Return minus the area, in the unit of [-1, 1]^3, of what looks down too much to be printed without support.

    Printed from the floor up, +y; what rests on the floor needs no support.

    Args:
        angle: A face hangs over if its normal is within so many degrees of straight down.

    Raises:
        ConfigError: The angle is not from 0 to 90.
    """
    if not 0 <= angle <= 90:
        raise ConfigError(f"angle must be from 0 to 90 degrees, given {angle}")

    def overhang(sdf: Grid) -> Score:
        """(batch,) areas with a minus."""
        area, normals = surface(sdf)
        hanging = torch.sigmoid((-normals[1] - math.cos(math.radians(angle))) / SHARP)
        level = (floor(sdf).detach() + GROUND * spacing(sdf))[:, None, None, None]
        return -integral(area * hanging * (along(axis(sdf), 1) > level))

    return overhang
