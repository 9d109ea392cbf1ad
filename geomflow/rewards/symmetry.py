"""Likeness to the mirror image."""

import torch

from geomflow.errors import ConfigError
from geomflow.rewards._grid import Grid, Score, occupancy
from geomflow.steer.reward import Reward

AXES = {"x": 1, "y": 2, "z": 3}


def make(axis: str = "x") -> Reward:
    """Return the intersection over union of a shape and its mirror image: 1 if it is symmetric, no unit.

    Args:
        axis: The axis that is reversed, through the middle of the cube; x is left and right.

    Raises:
        ConfigError: No such axis.
    """
    if axis not in AXES:
        raise ConfigError(f"axis must be one of {', '.join(AXES)}, given {axis!r}")

    def symmetry(sdf: Grid) -> Score:
        """(batch,) shares in [0, 1]."""
        inside = occupancy(sdf)
        mirrored = inside.flip(AXES[axis])
        shared, all_ = torch.minimum(inside, mirrored).sum((1, 2, 3)), torch.maximum(inside, mirrored).sum((1, 2, 3))
        return shared / all_.clamp(min=1e-6)

    return symmetry
